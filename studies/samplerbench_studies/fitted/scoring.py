"""Scores of the solvers that were found, and of DPM-Solver-v3, on latents that no search uses.

    python -m samplerbench_studies.fitted.scoring --model gmm-64d --nfe 4,5,6,8,10,15 --out DIR

``samplerbench run`` scores them, in ``DIR/runs/MODEL``: every file of ``DIR/MODEL`` as a table,
and the tables of another model (``--from``), moved to the range of this one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import samplerbench
from samplerbench.benchmarks.advice import make_request
from samplerbench.samplers import Grid

from .finding import slug
from .methods import FLOW_LEVELS, Subject

TRANSFERRED = "bns-network"
"""Method whose tables are also tried on models that they were not fitted to, as NeuralSolver's."""
V3 = "dpm_solver_v3"
V3_SETTINGS = (V3, f"{V3}(corrector='plain')", f"{V3}(corrector='plain', pseudo=True)")
"""Settings of DPM-Solver-v3 that its authors advise for one case or another."""


def score(
    name: str, out: Path, budgets: Sequence[int], source: str, settings: dict[str, Any]
) -> None:
    """Score the solvers of a model with the ``settings`` of a suite, in a run directory.

    DPM-Solver-v3 runs on levels at equal distances in log-SNR, and on a flow's own too, with and
    without an evaluation at sigma_min.
    """
    subject = Subject(make_request(name, "cpu", 0, "card", ()).model, 0, 2)
    specs = ["uniform_lambda", *FLOW_LEVELS[: subject.is_flow]]
    folder, own = out / "runs" / slug(name), out / slug(name)
    for n in budgets:
        schedules = [published(path) for path in sorted(own.glob(f"*-{n}.json"))]
        if source:
            transferred = out / slug(source) / f"{TRANSFERRED}-0-{n}.json"
            schedules.append(published(transferred, ", carry=True"))
        grids = [grid for spec in specs for grid in subject.grids(spec, n)]
        files = [
            _write_levels(grid, subject, own / "levels" / f"{k}-{n}.json")
            for k, grid in enumerate(grids)
        ]
        for samplers, levels in ((["tabulated"], schedules), (V3_SETTINGS, map(published, files))):
            suite = {"models": [name], "samplers": list(samplers), "schedules": list(levels)}
            samplerbench.run(suite | {"nfe": [n]} | settings, folder, timing=False)


def _write_levels(grid: Grid, subject: Subject, path: Path) -> Path:
    """Write levels as a file for the schedule ``published``; return ``path``."""
    path.parent.mkdir(exist_ok=True)
    ends = {"sigma_min": subject.model.sigma_min, "sigma_max": subject.model.sigma_max}
    path.write_text(json.dumps(ends | {"tables": [{"levels": grid.sigma}]}), encoding="utf-8")
    return path


def published(path: Path, options: str = "") -> str:
    """Return the schedule of a solver's file."""
    return f"published(file='{path}'{options})"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="as run takes it")
    parser.add_argument("--nfe", default="4,5,6,8,10,15", help="budgets")
    parser.add_argument("--from", dest="source", default="", help="model whose tables are tried")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument(
        "--converged", type=int, default=2000, help="converged samples, for fd_conv"
    )
    parser.add_argument("--extractor", default="", help="feature space, such as card:32")
    parser.add_argument("--reference", default="", help="data for a checkpoint, as run takes it")
    parser.add_argument("--out", type=Path, default=Path("fitted"))
    args = parser.parse_args()
    settings: dict[str, Any] = {
        "samples": args.samples,
        "reference_samples": args.samples,
        "converged_samples": max(args.converged, args.samples),
    }
    given = {"extractor": args.extractor, "reference": args.reference}
    settings |= {key: value for key, value in given.items() if value}
    budgets = [int(text) for text in args.nfe.split(",")]
    try:
        score(args.model, args.out, budgets, args.source, settings)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
