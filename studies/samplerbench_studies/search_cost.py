"""Comparison of `auto` with the best others at equal evaluations, the search of its rule included.

    python -m samplerbench_studies.search_cost

With M samples, n evaluations of `auto` cost n + search / M evaluations a sample. The error of the
best other configuration at this cost is interpolated between measured budgets, in logarithms of
error and budget.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samplerbench.benchmarks.planning import Pilot, default_cache
from samplerbench.models import make_model
from samplerbench.results import markdown_table
from samplerbench.samplers import karras, make

REFERENCE = Path("results/reference")
PROBLEMS = ("gmm-2d", "gmm-64d", "fashion-mppca", "wavelet")
NETWORKS = ("digits", "faint", "wide", "fashion")
SAMPLES = (100, 1_000, 10_000)


class Found(NamedTuple):
    """Errors of `auto` and cost of its search, and lowest errors of other samplers, by budget."""

    auto: dict[int, tuple[float, int]]
    others: dict[int, float]

    def ratio(self, n: int, samples: float) -> float:
        """Return `auto`'s error at n over the best other's at equal cost; NaN if not measured."""
        error, search = self.auto[n]
        at, budgets = n + search / samples, sorted(self.others)
        if at > budgets[-1]:
            return float("nan")
        logs = np.log([self.others[b] for b in budgets])
        return error / float(np.exp(np.interp(np.log(at), np.log(budgets), logs)))


def at_home(
    auto: Path, others: Path, criterion: str, problems: Sequence[str] = PROBLEMS
) -> dict[str, Found]:
    """Read the errors on exact problems of the package; rules come from the cache or a search."""
    found = {name: Found({}, {}) for name in problems}
    for row in _rows(others):
        if row["criterion"] == criterion and row["side"] != "auto" and row["model"] in found:
            best, n = found[row["model"]].others, int(row["budget"])
            best[n] = min(float(row[criterion]), best.get(n, np.inf))
    for row in _rows(auto):
        if row["criterion"] == criterion and row["model"] in found:
            n, model = int(row["budget"]), make_model(row["model"])
            grid = karras(n, model.sigma_min, model.sigma_max)
            fitted: Any = Pilot(model, default_cache()).fitted(make("auto"), grid)
            found[row["model"]].auto[n] = float(row[criterion]), fitted.found.evaluations
    return found


def network(path: Path, column: str) -> Found:
    """Read the errors on a network from a result table."""
    found = Found({}, {})
    for row in _rows(path):
        n, error = int(row["budget"]), float(row[column] or "inf")
        if row["sampler"] == "auto":
            found.auto[n] = error, int(row["pilot_evaluations"])
        else:
            found.others[n] = min(error, found.others.get(n, np.inf))
    return found


def table(*criteria: Mapping[str, Found]) -> str:
    """Return a table with a row per problem and M, a column per budget, a ratio per criterion."""
    budgets = sorted({n for each in criteria[0].values() for n in each.auto})
    lines = [
        (
            name,
            f"{samples:,}" if np.isfinite(samples) else "any number",
            *(" / ".join(_short(each[name], n, samples) for each in criteria) for n in budgets),
        )
        for name in criteria[0]
        for samples in (*SAMPLES, np.inf)
    ]
    return markdown_table(("problem", "samples", *map(str, budgets)), lines)


def _short(found: Found, n: int, samples: float) -> str:
    if n not in found.auto:
        return ""
    ratio = found.ratio(n, samples)
    return "-" if np.isnan(ratio) else f"{ratio:.3g}" if ratio >= 10 else f"{ratio:.2f}"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--problem", nargs="+", default=list(PROBLEMS))
    args = parser.parse_args()
    auto, others = (args.reference / name for name in ("auto/home.csv", "frontier/frontier.csv"))
    print("median / RMS\n")
    print(
        table(
            *(
                at_home(auto, others, criterion, args.problem)
                | {
                    name: network(args.reference / "auto-networks" / f"{name}.csv", column)
                    for name in NETWORKS
                }
                for criterion, column in (("median", "rmse_median"), ("rms", "rmse"))
            )
        )
    )


if __name__ == "__main__":
    main()
