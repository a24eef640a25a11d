"""Solvers of every method, model, seed and budget, as files that anybody can run.

    python -m samplerbench_studies.fitted.finding --model gmm-64d --nfe 4,5,6,8,10,15 --seeds 5 --out DIR

Each solver is a file ``DIR/MODEL/METHOD-SEED-N.json`` for
``--sampler tabulated --schedule "published(file='…')"``, and a line of ``DIR/MODEL/costs.csv`` says
what finding it took. What is there is not found again.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from samplerbench.benchmarks.advice import make_request
from samplerbench.models import Denoiser
from samplerbench.samplers import tabulate

from .methods import Found, Subject, methods_of

COLUMNS = ("model", "method", "seed", "nfe", "latents", "search", "teacher", "seconds")
"""Columns of ``costs.csv``; ``search`` and ``teacher`` count evaluations of the model on all latents."""


def find_solvers(
    name: str,
    out: Path,
    budgets: Sequence[int],
    seed: int,
    latents: int,
    power: int = 0,
    only: Sequence[str] = (),
) -> None:
    """Find and write the solvers that ``out`` lacks, for one model and seed."""
    model = make_request(name, "cpu", 0, "card", ()).model
    subject, folder = Subject(model, seed, latents, power), out / slug(name)
    folder.mkdir(parents=True, exist_ok=True)
    for n in budgets:
        for method in methods_of(seed, only):
            path = folder / f"{method}-{seed}-{n}.json"
            if path.exists():
                continue
            found = subject.find(method, n)
            row = [name, method, seed, n, latents, found.cost.evaluations]
            row += [subject.train.teacher.evaluations, f"{found.cost.seconds:.2f}"]
            _append(folder / "costs.csv", row)
            path.write_text(json.dumps(as_published(found, model)), encoding="utf-8")
            print(*row, flush=True)


def slug(name: str) -> str:
    """Return a model's spec as the name of a folder."""
    return re.sub(r"[^\w.-]+", "-", Path(name.partition("?")[0]).name)


def as_published(found: Found, model: Denoiser) -> dict[str, Any]:
    """Return a solver as the content of a JSON file for the schedule ``published``."""
    table = tabulate(found.sampler, found.grid)
    given = [row.level or sigma for row, sigma in zip(table, found.grid.sigma, strict=False)]
    own = any(row.level for row in table)
    numbers: dict[str, Any] = {
        "levels": found.grid.sigma,
        "coefficients": [(row.a, *row.b) for row in table],
    }
    return {
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "tables": [numbers | ({"network_levels": given} if own else {})],
    }


def _append(path: Path, row: Sequence[Any]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(row)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", required=True, help="as run takes it")
    parser.add_argument("--nfe", default="4,5,6,8,10,15", help="budgets")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--latents", type=int, default=96, help="latents to find solvers on")
    parser.add_argument("--power", type=int, default=0, help="of the mean of distances")
    parser.add_argument("--method", action="append", default=[], help="only these methods")
    parser.add_argument("--out", type=Path, default=Path("fitted"))
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    budgets = [int(text) for text in args.nfe.split(",")]
    try:
        _find_all(args, budgets)
    except ValueError as error:
        parser.error(str(error))


def _find_all(args: argparse.Namespace, budgets: Sequence[int]) -> None:
    for seed in range(args.seeds):
        for name in args.model:
            find_solvers(name, args.out, budgets, seed, args.latents, args.power, args.method)


if __name__ == "__main__":
    main()
