"""``scaling``: a run on many GPUs, simulated."""

from __future__ import annotations

from itertools import chain
from math import inf
from typing import Annotated

import typer

from ..common.console import print_json, print_rows
from ..common.options import (
    LARGEST_SEED,
    MOST,
    Json,
    integers,
)

MOST_GPUS, MOST_SAMPLES = 10_000, 200_000_000


def scaling(
    gpus: Annotated[str, typer.Option("--gpus", help="Numbers of GPUs.")] = "64,1000",
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=MOST, help="Samples of each cell.")
    ] = 50_000,
    samplers: Annotated[
        int | None, typer.Option("--samplers", min=1, help="40 by default.")
    ] = None,
    nfe: Annotated[
        str | None, typer.Option("--nfe", help="Budgets, in place of 1,2,3,5,8,10,15,20,35,50.")
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=1e-3, max=1e9, help="Evaluations a second of one GPU (assumed)."
        ),
    ] = 1000.0,
    start: Annotated[
        float, typer.Option("--start", min=0, help="Seconds until a process draws its first shard.")
    ] = 30.0,
    references: Annotated[
        float, typer.Option("--references", min=0, help="Evaluations before the first score.")
    ] = 0.0,
    score: Annotated[float, typer.Option("--score", min=0, help="Seconds to score a cell.")] = 10.0,
    latency: Annotated[
        float, typer.Option("--latency", min=0, help="Milliseconds of an operation on the folder.")
    ] = 0.5,
    operations: Annotated[
        float, typer.Option("--operations", min=1, help="Operations a second that it serves.")
    ] = 20_000.0,
    spread: Annotated[
        float, typer.Option("--spread", min=0, max=1, help="Spread of the GPUs' speeds (0.05).")
    ] = 0.05,
    mtbf: Annotated[
        float | None,
        typer.Option("--mtbf", min=1, help="Hours between failures of a node of 8 GPUs."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of speeds and failures.")
    ] = 0,
    before: Annotated[
        bool, typer.Option("--before", help="Also by the rules of the program before this study.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what the program's own work takes here.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with real runs here, whose workers sleep.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Simulate a run on many GPUs by the rules of this program, and say where their time goes.

    Rates and file systems are assumed, not measured.
    """
    from ...studies.scaling import Costs, Work, table

    if measure or check:
        from ...studies.scaling import measure as measuring
        from ...studies.scaling import processes, sleeping

        found = list(
            measuring.measured() if measure else chain(processes.compared(), sleeping.compared())
        )
        columns = {name: name for name in found[0]}
    else:
        counts = integers(gpus, "--gpus") or ()
        if max(counts) > MOST_GPUS:
            raise ValueError(f"--gpus {gpus}: give numbers up to {MOST_GPUS:,}")
        budgets = integers(nfe, "--nfe") or table.BUDGETS
        samplers = samplers or table.SAMPLERS
        if samplers * len(budgets) * samples > MOST_SAMPLES:
            raise ValueError(
                f"{samplers} samplers, {len(budgets)} budgets and {samples:,} samples are more than "
                f"{MOST_SAMPLES:,} samples in all; give fewer of one of them"
            )
        costs = Costs(
            rate=rate,
            start=start,
            shard=table.SHARD_SECONDS,
            write=table.WRITE_SECONDS,
            operation=latency / 1e3,
            operations=operations,
            references=references,
            score=score,
            spread=spread,
            mtbf=inf if mtbf is None else mtbf * 3600,
            back=table.BACK_SECONDS,
        )
        work = Work(samples, samplers, budgets)
        found = list(table.rows(work, counts, costs, seed, before=before))
        columns = table.COLUMNS
    if as_json:
        print_json(found)
    else:
        print_rows([table.in_words(row) for row in found], columns)
