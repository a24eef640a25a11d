"""``frontier``: the best configuration at each budget on exact problems."""

from __future__ import annotations

from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from samplerbench.benchmarks.cli.common import (
    JobsOption,
    OutOption,
    PeersPath,
    Plugins,
    error_console,
    integers,
    load_plugins,
    print_rows,
    say,
    workers,
)

MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1

FRONTIER_HOME = Path("results") / "runs" / "frontier"
FRONTIER_COLUMNS = {
    "model": "model",
    "end": "end",
    "budget": "NFE",
    "side": "side",
    "sampler": "sampler",
    "schedule": "schedule",
    "median": "median error",
    "flip_fraction": "flipped",
    "ratio_to_ours": "ratio to ours",
}
LIBRARIES = ("diffusers", "azula", "k_diffusion")
CLONES = ("diff-sampler", "UniPC", "dpm-solver")

EXAMPLES = ("frontier", "frontier --model gmm-2d --nfe 5,10 --out results/runs/mine")


def frontier(
    out_dir: OutOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Exact model, in place of all four (repeatable)."),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            help="Problems of a family in place of the four: training, validation or sealed.",
        ),
    ] = None,
    end: Annotated[
        list[str] | None,
        typer.Option("--end", help="End: zero or sigma_min (repeatable; zero)."),
    ] = None,
    side: Annotated[
        list[str] | None,
        typer.Option("--side", help="Only ours, peers or auto (repeatable; all)."),
    ] = None,
    nfe: Annotated[
        str | None,
        typer.Option("--nfe", help="Budgets of evaluations (5,8,10,15,20,30)."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=2, max=MOST, help="Initial noises. Half of them select the winners."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=LARGEST_SEED, help="Random seed of the initial noise."),
    ] = None,
    plugin: Plugins = None,
    peers_path: PeersPath = None,
    jobs: JobsOption = 1,
) -> None:
    """Find the best sampler per budget, ours or another library's.

    Each is compared with the default, `auto`. Measurements are cached.
    """
    import torch

    from samplerbench.samplers.peers import find_clone

    from ..frontier import Frontier, from_peers, ours
    from ..frontier.candidates import SIDES, default_candidates
    from ..frontier.measure import ENDS
    from ..frontier.problems import PARTS, problem_specs
    from ..frontier.table import summary_sentences, write_frontier

    if part is not None and model:
        raise ValueError("--part names its models; leave out --model, or --part")
    for what, asked, known in (
        ("--part", [part] if part else [], PARTS),
        ("--end", end, ENDS),
        ("--side", side, SIDES),
    ):
        if wrong := [name for name in asked or () if name not in known]:
            raise ValueError(f"{what}: there is no {wrong[0]!r}; choose {', '.join(known)}")
    models = problem_specs(part) if part else model  # type: ignore[arg-type]
    chosen = {
        "models": models,
        "ends": end,
        "budgets": integers(nfe, "--nfe"),
        "samples": samples,
        "seed": seed,
    }
    load_plugins(plugin, peers_path)
    torch.set_num_threads(1)  # small tensors only lose by being shared among threads
    executor = workers(jobs)
    study = Frontier(
        out_dir or FRONTIER_HOME,
        executor=executor,
        progress=lambda stage: error_console.print(stage, markup=False),
        **{key: value for key, value in chosen.items() if value},  # type: ignore[arg-type]
    )
    absent = [library for library in LIBRARIES if find_spec(library) is None]
    if absent:
        say(
            f"Peers are left out, since {', '.join(absent)} cannot be imported; pip "
            "install 'samplerbench[peers]' brings them."
        )
    not_cloned = [repository for repository in CLONES if find_clone(repository) is None]
    if not_cloned and not absent:
        say(
            "Peers that only run from clones are left out: --peers-path names no folder "
            f"with {', '.join(not_cloned)}."
        )
    candidates = [
        *ours(),
        *([] if absent else from_peers(clones=not not_cloned)),
        *default_candidates(),
    ]
    candidates = [one for one in candidates if one.side in (side or SIDES)]
    with closing(executor):
        rows = study(candidates)
    print_rows([row for row in rows if row["criterion"] == "median"], FRONTIER_COLUMNS)
    for sentence in summary_sentences(rows):
        say(sentence)
    say(f"Table: {write_frontier(rows, study.out)}")
    say("")
