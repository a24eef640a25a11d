"""Errors of a solver over the best formula: ``python -m samplerbench_studies.board_ratios FOLDER --solver NAME``.

FOLDER has submissions to the frozen suite. For each exact problem and budget, the solver's error, the worse of the
problem as drawn and moved, is divided by the least error of all formulas, which is chosen with hindsight. Errors below
the last target count as it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from samplerbench.benchmarks.frozen import BUDGETS
from samplerbench.results.board import Submission, read_submission

LEAST = 1e-6


def errors(submission: Submission) -> dict[tuple[str, int], float]:
    """Return the error of each problem and budget; infinite without a result within the budget."""
    worst: dict[tuple[str, int], float] = {}
    for curve in submission.curves:
        for budget, nfe, error in zip(BUDGETS, curve.nfe, curve.error, strict=False):
            counts = nfe is not None and error is not None and nfe <= budget
            found = float(error) if counts and error is not None else math.inf
            worst[curve.problem, budget] = max(worst.get((curve.problem, budget), LEAST), found)
    return worst


def main() -> None:
    """Print the geometric mean of the ratios, the worst one, and how many are below 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--solver", default="auto on karras")
    parser.add_argument("--most", type=int, default=30, help="largest number of evaluations")
    args = parser.parse_args()
    found = [read_submission(path) for path in sorted(args.folder.glob("*.json"))]
    formulas = [errors(s) for s in found if s.track == "plain" and not s.solver.stochastic]
    own = next(errors(s) for s in found if s.solver.name == args.solver)
    ratios = {
        key: error / min(formula.get(key, math.inf) for formula in formulas)
        for key, error in own.items()
        if 5 <= key[1] <= args.most
    }
    values, worst = np.array(list(ratios.values())), max(ratios, key=lambda key: ratios[key])
    print(f"{args.solver} over the best of {len(formulas)} formulas, {len(values)} cells:")
    print(f"geometric mean {np.exp(np.log(values).mean()):.2f}, below 1 in {(values < 1).sum()}")
    print(f"worst {ratios[worst]:.1f}, on {worst[0]} with {worst[1]} evaluations")


if __name__ == "__main__":
    main()
