"""``validate``: whether what a table here says of samplers holds for other people's networks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from samplerbench.benchmarks.cli.common import (
    JobsOption,
    OutOption,
    error_console,
    print_rows,
    say,
    workers,
)

MOST = 1_000_000_000

VALIDATE_HOME = Path("results") / "runs" / "validate"
VALIDATE_COLUMNS = {
    "set": "set",
    "methods": "methods",
    "plainly bad": "plainly bad",
    "predictor": "predictor",
    "n_methods": "n",
    "rank": "rank correlation",
    "alike": "ordered alike",
    "apart": "of those > 25 % apart",
}

EXAMPLES = ("validate", "validate --model fashion --model emoji --explore")


def validate(
    out_dir: OutOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Model to predict with, in place of the usual (repeatable)."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=2, max=MOST, help="Samples per cell.")
    ] = None,
    latents: Annotated[
        int | None,
        typer.Option("--latents", min=2, max=MOST, help="Samples to compare with their endpoints."),
    ] = None,
    explore: Annotated[
        bool,
        typer.Option("--explore", help="Compare every column with every published set."),
    ] = False,
    jobs: JobsOption = 1,
) -> None:
    """Re-run published comparisons on the models here.

    The result is the rank correlation with the published tables. Measurements are cached.
    """
    import torch

    from ..validity.measuring import Depth
    from ..validity.study import Validity
    from ..validity.table import statistic_with_interval

    torch.set_num_threads(1)  # processes share the cores
    depth = None
    if samples or latents:
        usual = Depth()
        depth = Depth(samples=samples or usual.samples, latents=latents or usual.latents)
    executor = workers(jobs)
    study = Validity(
        out_dir or VALIDATE_HOME,
        models=model or (),
        depth=depth,
        explore=explore,
        console=error_console,
        executor=executor,
    )
    with closing(executor):
        rows = study()
    shown = [
        row
        | {
            "rank": statistic_with_interval(row, "spearman"),
            "alike": statistic_with_interval(row, "alike_0"),
            "apart": statistic_with_interval(row, "alike_25"),
        }
        for row in rows
    ]
    if shown:
        print_rows(shown, VALIDATE_COLUMNS)
    else:
        say("None of the chosen predictors is of these models; --explore shows what theirs do.")
    say(f"Tables: {study.out}")
