"""``run frontier``: the best of this library beside the best of the peers, and the default beside both."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from .console import err, out, print_rows, say
from .options import integers

NAME = "frontier"
COLUMNS = {
    "model": "model", "budget": "NFE", "side": "side", "sampler": "sampler", "schedule": "schedule", "median": "median error",
    "flip_fraction": "flipped", "ratio_to_ours": "ratio to ours",
}  # fmt: skip
LIBRARIES = ("diffusers", "azula", "k_diffusion")
CLONES = ("diff-sampler", "UniPC", "dpm-solver")


def run_frontier(
    folder: Path | None, models: list[str] | None, nfe: str | None, samples: int | None, seed: int | None, others: Mapping[str, object]
) -> None:
    """Measure what is missing and write ``frontier.csv`` and ``frontier.md``.

    Args:
        folder: run directory.
        models: exact models, in place of all four.
        nfe: budgets, in place of 5, 8, 10, 15, 20 and 30.
        samples: latents, half of which choose.
        seed: of the latents.
        others: further options by name; none of them may be given.

    Raises:
        ValueError: an option that the frontier does not take.
    """
    import torch

    from ...samplers.peers.locate import clone
    from ..studies.frontier import Frontier, from_peers, ours
    from ..studies.frontier.candidates import default
    from ..studies.frontier.table import summary, write_frontier

    if given := [option for option, value in others.items() if value is not None]:
        raise ValueError(f"run frontier does not take {given[0]}; it takes --out, --model, --nfe, --samples, --seed and --peers-path")
    chosen = {"models": models, "budgets": integers(nfe, "--nfe"), "samples": samples, "seed": seed}
    frontier = Frontier(
        folder or Path("results") / "runs" / NAME,
        progress=lambda stage: err.print(stage, markup=False),
        **{key: value for key, value in chosen.items() if value},  # type: ignore[arg-type]
    )
    absent = [library for library in LIBRARIES if find_spec(library) is None]
    if absent:
        say(f"Peers are left out, since {', '.join(absent)} cannot be imported; pip install 'samplerbench[peers]' brings them.")
    not_cloned = [repository for repository in CLONES if clone(repository) is None]
    if not_cloned and not absent:
        say(f"Peers that only run from clones are left out: --peers-path names no folder with {', '.join(not_cloned)}.")
    torch.set_num_threads(1)  # small tensors only lose by being shared among threads
    rows = frontier([*ours(), *([] if absent else from_peers(clones=not not_cloned)), *default()])
    print_rows([row for row in rows if row["criterion"] == "median"], COLUMNS)
    for sentence in summary(rows):
        say(sentence)
    say(f"Table: {write_frontier(rows, frontier.out)}")
    out.print()
