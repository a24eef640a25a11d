"""Comparison of the recommendations of ``advise`` with the best of a sweep."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from samplerbench.benchmarks.advice import (
    OWN_FIELDS,
    TUNED_LEVELS,
    Advice,
    Budget,
    Choice,
    FittedNumbers,
    tuned_cell,
)
from samplerbench.benchmarks.advice.exports import is_written_as_numbers

from .criteria import Distances
from .sweep import Configuration, Sweep

CACHE = "SAMPLERBENCH_CACHE"
ANY = "python"
"""Name of the library that has every configuration."""
OWN_LEVELS = "karras"
"""Schedule given to a sampler with levels of its own, which uses only the ends of the grid."""

NUMBERS = ("error", "smallest", "ratio", "worst", "minutes", "resolution")


@dataclass(frozen=True)
class Row:
    """Recommendation of ``advise`` and the best configuration of the sweep.

    Attributes:
        model: name of the model.
        seed: seed of ``advise`` and its latents.
        budget: evaluations per sample.
        library: library of the user, a key of :data:`~samplerbench.benchmarks.advice.FIELDS`.
        criterion: criterion of the comparison, of :data:`.criteria.CRITERIA`.
        recommended: recommended sampler and schedule; "" for no recommendation.
        error: error of the recommended configuration on the latents of the sweep.
        best: best configuration of the sweep within the library.
        smallest: error of ``best``.
        ratio: ``error`` over ``smallest``.
        worst: share of the mean square of the recommended (or else the best) configuration in the
            worst hundredth of the latents.
        minutes: wall time of the race, for all budgets together.
        undecided: comparisons that ``advise`` reported as undecided.
        resolution: root mean square error that the endpoints may have.
        latents: number of latents of the sweep.
    """

    model: str
    seed: int
    budget: int
    library: str
    criterion: str
    recommended: str
    error: float
    best: str
    smallest: float
    ratio: float
    worst: float
    minutes: float
    undecided: str
    resolution: float
    latents: int


Best = Mapping[tuple[str, int], Mapping[str, Configuration]]
"""Best configurations of a sweep: by (library, budget), then by criterion."""


def rows_of(advice: Advice, name: str, seed: int, sweep: Sweep, best: Best) -> list[Row]:
    """Return a row for each budget, library and criterion of ``best``.

    The error is infinite without a recommendation.
    """
    rows = []
    for budget in advice.budgets:
        found = recommended_configurations(budget, sweep)
        for (library, nfe), winners in best.items():
            if nfe != budget.nfe:
                continue
            meant = found.get(library)
            for criterion, winner in winners.items():
                error = sweep.error(meant, nfe, criterion) if meant else math.inf
                smallest = sweep.error(winner, nfe, criterion)
                rows.append(
                    Row(
                        model=name,
                        seed=seed,
                        budget=nfe,
                        library=library,
                        criterion=criterion,
                        recommended=meant.label if meant else "",
                        error=error,
                        best=winner.label,
                        smallest=smallest,
                        ratio=error / smallest if error != smallest else 1.0,
                        worst=share_of_worst(sweep.distances(meant or winner, nfe, sweep.count)),
                        minutes=advice.minutes[0],
                        undecided=budget.undecided,
                        resolution=sweep.resolution,
                        latents=sweep.count,
                    )
                )
    return rows


def recommended_configurations(budget: Budget, sweep: Sweep) -> dict[str, Configuration]:
    """Return the recommended configuration of each library at a budget.

    Libraries are keys of :data:`~samplerbench.benchmarks.advice.FIELDS`. A library's own solver has
    a separate entry only if the recommendation is not such a solver.
    """
    found = {
        library: configuration_of(best.choice, budget.nfe, sweep)
        for library, best in budget.best.items()
    }
    for library in found.keys() & OWN_FIELDS.keys():
        own, cell = budget.best[library].own, sweep.cell(found[library], budget.nfe)
        if own is not None:
            found[OWN_FIELDS[library]] = configuration_of(own, budget.nfe, sweep)
        elif cell.grid and not is_written_as_numbers(library, cell.sampler, cell.grid, sweep.model):
            found[OWN_FIELDS[library]] = found[library]
    return found


def share_of_worst(distances: Distances) -> float:
    """Return the share of the largest hundredth of the distances in the sum of their squares."""
    squares = np.sort(np.square(distances))[::-1]
    return float(squares[: max(1, round(len(squares) / 100))].sum() / squares.sum())


def configuration_of(choice: Choice, budget: int, sweep: Sweep) -> Configuration:
    """Return the recommended configuration; add it to the sweep if it was fitted to the model."""
    if not choice.coefficients and choice.schedule != TUNED_LEVELS:
        return Configuration(choice.sampler, choice.schedule or OWN_LEVELS)
    base = sweep.cell(Configuration(choice.sampler, OWN_LEVELS), budget)
    cell = tuned_cell(base, FittedNumbers.read(choice.levels, choice.coefficients))
    one = Configuration(choice.label, str(cell.facts["tuning_digest"]))
    sweep.planned[one, budget] = cell
    return one


def run_advise(
    spec: str,
    seed: int,
    budgets: Sequence[int],
    minutes: float,
    out: Path,
    only: Sequence[str] = (),
) -> Advice:
    """Return the stored output of ``samplerbench advise``; without one, run the command first.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    path = out / "advice.json"
    if not path.is_file():
        command = [sys.executable, "-m", "samplerbench", "advise", "--model", spec]
        command += ["--nfe", ",".join(map(str, budgets)), "--minutes", f"{minutes:g}"]
        command += ["--seed", str(seed), "--out", str(out)]
        command += [text for name in only for text in ("--sampler", name)]
        own = os.environ | {CACHE: str(out / "cache")}
        subprocess.run(command, check=True, env=own, stdout=subprocess.DEVNULL)
    return Advice.from_json(json.loads(path.read_text(encoding="utf-8")))


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, with errors to six digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            writer.writerow(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
            )


def read_rows(path: Path) -> list[Row]:
    """Return the rows that :func:`write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_parse_row(line) for line in csv.DictReader(file)]


def _parse_row(line: Mapping[str, str]) -> Row:
    values: dict[str, Any] = dict(line)
    values |= {name: int(line[name]) for name in ("seed", "budget", "latents")}
    values |= {name: float(line[name]) for name in NUMBERS}
    return Row(**values)
