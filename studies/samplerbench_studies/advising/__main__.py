"""Compare ``advise`` with an exhaustive sweep, on one model.

    python -m samplerbench_studies.advising --model fashion --out runs/advising/fashion

A sweep over all configurations finds the best of each library at each budget. Then ``advise`` runs
once per seed. All results are stored in the folder, and an interrupted run continues. The table is
``table.csv`` there; ``python -m samplerbench_studies.advising.table`` shows several.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from samplerbench.benchmarks.advice import FIELDS, make_request

from .against import Best, Row, rows_of, run_advise, write_rows
from .sweep import Configuration, Sweep

BUDGETS = (4, 6, 8, 10, 15, 20)


def best_by_library(sweep: Sweep, budgets: Sequence[int], only: Sequence[str] = ()) -> Best:
    """Return the best configurations of the sweep by library and budget, by criterion.

    Args:
        sweep: sweep of the model.
        budgets: evaluations per sample.
        only: names of the samplers to consider; all if empty.
    """
    subject = make_request(sweep.model_spec, "cpu", sweep.seed, "card", only)
    best: dict[tuple[str, int], dict[str, Configuration]] = {}
    for budget in budgets:
        of: dict[str, list[Configuration]] = {library: [] for library in FIELDS}
        for entry in subject.entries(budget, auto=not only):
            one = Configuration(entry.cell.label, entry.cell.schedule.label)
            sweep.planned[one, budget] = entry.cell
            for library in entry.libraries:
                of[library].append(one)
        before = sorted(n for n in budgets if n < budget)[-2:]
        for library, candidates in of.items():
            sweep(sweep.hopeful(candidates, before), budget, library)
        for library, candidates in of.items():
            if found := sweep.best(candidates, budget):
                best[library, budget] = found
                told = (f"{k}: {v.label} {sweep.error(v, budget, k):.3g}" for k, v in found.items())
                sweep.progress(f"{library}, {budget}: best by {', by '.join(told)}")
    return best


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="as run takes it")
    parser.add_argument("--name", help="of the model in the table; by default as --model")
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is measured")
    parser.add_argument("--seeds", type=int, default=5, help="races, of seeds 1, 2, …")
    parser.add_argument("--minutes", type=float, default=10.0, help="that each race is given")
    parser.add_argument("--nfe", default=",".join(map(str, BUDGETS)), help="budgets")
    parser.add_argument("--sampler", action="append", default=[], help="only these (repeatable)")
    parser.add_argument("--threads", type=int, default=1, help="of the sweep")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    budgets = [int(text) for text in args.nfe.split(",")]

    def told(text: str) -> None:
        print(time.strftime("%H:%M:%S"), text, flush=True)

    try:
        sweep = Sweep(args.out, args.model, progress=told)
    except ValueError as error:
        parser.error(str(error))
    best = best_by_library(sweep, budgets, args.sampler)
    rows: list[Row] = []
    for seed in range(1, args.seeds + 1):
        told(f"{args.model}: race of seed {seed}")
        answer = run_advise(
            args.model, seed, budgets, args.minutes, args.out / f"seed-{seed}", args.sampler
        )
        rows += rows_of(answer, args.name or args.model, seed, sweep, best)
        write_rows(rows, args.out / "table.csv")
        for row in rows:
            if row.seed == seed:
                told(
                    f"{row.library}, {row.budget}, {row.criterion}: {row.ratio:.3f} ({row.recommended})"
                )


if __name__ == "__main__":
    main()
