"""Recommendations of ``advise`` beside the best of a sweep."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ...advice.answer import Advice, Choice
from .sweep import Configuration, Sweep

CACHE = "SAMPLERBENCH_CACHE"
ANY = "python"
"""The library that has every configuration."""
OWN_LEVELS = "karras"
"""Stands for the schedule of a sampler that has levels of its own; of a grid it takes the ends alone."""

NUMBERS = ("rmse", "best_rmse", "ratio", "minutes", "resolution")


@dataclass(frozen=True)
class Row:
    """One recommendation.

    Attributes:
        model: its name.
        seed: of the race, and of its latents.
        budget: evaluations per sample.
        library: whose users it is for.
        recommended: sampler and schedule.
        rmse: root mean square error of that on the latents of the sweep.
        best: the best of the sweep that the library has.
        best_rmse: its error.
        ratio: of the two.
        minutes: wall time of the race, for all budgets together.
        undecided: what the race said that it could not decide.
        resolution: how far off the endpoints may be.
        latents: of the sweep.
    """

    model: str
    seed: int
    budget: int
    library: str
    recommended: str
    rmse: float
    best: str
    best_rmse: float
    ratio: float
    minutes: float
    undecided: str
    resolution: float
    latents: int


Best = Mapping[tuple[str, int], tuple[Configuration, float]]
"""The best of a sweep and its error, by library and budget."""


def rows_of(advice: Advice, name: str, seed: int, sweep: Sweep, best: Best) -> list[Row]:
    """One for each budget and library for which ``best`` has something and the answer too."""
    rows = []
    for budget in advice.budgets:
        for library, recommended in budget.best.items():
            if (library, budget.nfe) not in best:
                continue
            winner, smallest = best[library, budget.nfe]
            meant = configuration_of(recommended.choice)
            error = sweep.error(meant, budget.nfe)
            rows.append(
                Row(
                    model=name,
                    seed=seed,
                    budget=budget.nfe,
                    library=library,
                    recommended=meant.label,
                    rmse=error,
                    best=winner.label,
                    best_rmse=smallest,
                    ratio=error / smallest,
                    minutes=advice.minutes[0],
                    undecided=budget.undecided,
                    resolution=sweep.resolution,
                    latents=sweep.count,
                )
            )
    return rows


def configuration_of(choice: Choice) -> Configuration:
    """The configuration that is recommended."""
    return Configuration(choice.sampler, choice.schedule or OWN_LEVELS)


def asked(spec: str, seed: int, budgets: Sequence[int], minutes: float, out: Path) -> Advice:
    """What ``samplerbench advise`` answers, run as its users run it unless it was. It has a cache of its own,
    so that what one seed found takes no time off another.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    path = out / "advice.json"
    if not path.is_file():
        command = [sys.executable, "-m", "samplerbench.benchmarks", "advise", "--model", spec]
        command += ["--nfe", ",".join(map(str, budgets)), "--minutes", f"{minutes:g}"]
        command += ["--seed", str(seed), "--out", str(out)]
        subprocess.run(command, check=True, env=os.environ | {CACHE: str(out / "cache")})
    return Advice.from_json(json.loads(path.read_text(encoding="utf-8")))


def write(rows: Sequence[Row], path: Path) -> None:
    """As CSV, with errors to six digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row)
            writer.writerow(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
            )


def read(path: Path) -> list[Row]:
    """What :func:`write` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: Mapping[str, str]) -> Row:
    values: dict[str, Any] = dict(line)
    values |= {name: int(line[name]) for name in ("seed", "budget", "latents")}
    values |= {name: float(line[name]) for name in NUMBERS}
    return Row(**values)
