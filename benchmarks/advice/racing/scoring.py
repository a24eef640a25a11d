"""The score: errors of what a race chose, on latents that chose nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...running.executors.shard_limits import expected
from ..answer import Choice, Value
from ..asked.request import Entry
from .measuring import Bench
from .paired import Squares, log_error, log_ratio, root_mean_square
from .truth import FIRST, SCORED
from .tuned import FittedNumbers

COUNTS = (FIRST, 32, 64, 128, 256)

Scores = dict[int, dict[str, Squares]]
"""Squares by budget and label."""


def score(
    scores: Scores, bench: Bench, chosen: Mapping[int, Sequence[Entry]], seconds: float
) -> None:
    """Take errors of configurations on as many latents as there is time for, the same for all. Only the end
    of the stage prevents the first two counts.

    Args:
        scores: where they go; what is there when the stage is broken off can be used.
        bench: where they are measured.
        chosen: configurations by budget.
        seconds: that there are.
    """
    scores |= {budget: {} for budget in chosen}
    cost = sum(bench.forecast(entry, 1) for entries in chosen.values() for entry in entries)
    cost += max(bench.truth.steps or 0, 1) / bench.rate
    start = 0
    for stop in COUNTS:
        if start > COUNTS[0] and cost * stop > seconds:
            break
        bench.truth.solve(SCORED + start, SCORED + stop)
        for budget, entries in chosen.items():
            with_one = [e for e in entries if not e.cell.sampler.stochastic]
            for which, squares in bench.squares(with_one, SCORED + start, SCORED + stop, bool):
                label = with_one[which].label
                if squares is None:
                    scores[budget].pop(label, None)
                elif start == 0 or label in scores[budget]:
                    before = scores[budget].get(label, np.empty(0))
                    scores[budget][label] = np.concatenate([before, squares])
        start = stop


def of_one_length(scores: Scores) -> Scores:
    """Return scores on the latents that all of them have, so that they compare latent by latent."""
    lengths = [len(squares) for by_label in scores.values() for squares in by_label.values()]
    least = min(lengths, default=0)
    return {
        n: {label: of[:least] for label, of in by_label.items()} for n, by_label in scores.items()
    }


def choice(bench: Bench, entry: Entry, squares: Squares | None, fd_conv: Value | None) -> Choice:
    """Return a configuration as an answer has it."""
    cell = entry.cell
    used = cell.grid
    own = bool(cell.sampler.own_grid)
    if own and used is not None and hasattr(cell.sampler, "levels"):
        used = cell.sampler.levels(used)  # type: ignore[attr-defined]
    return Choice(
        label=entry.label,
        sampler=cell.label,
        schedule="" if own else cell.schedule.label,
        nfe=_nfe(bench, entry),
        steps=cell.steps,
        levels=() if used is None else tuple(used.sigma),
        coefficients=tuple(map(tuple, FittedNumbers.of(cell.sampler, used).rows)) if used else (),
        error=None if squares is None else log_error(squares).interval(),
        rms=None if squares is None else root_mean_square(squares),
        median=None if squares is None else float(np.median(np.sqrt(squares))),
        fd_conv=fd_conv,
        failed=cell.skip or bench.failures.get(entry.label, ""),
        search_evaluations=int(str(cell.facts.get("pilot_evaluations", 0))),
    )


def ratio(a: Squares | None, b: Squares | None) -> Value | None:
    """Return the ratio of the errors of ``a`` and ``b``; None where one has none."""
    return None if a is None or b is None else log_ratio(a, b).interval()


def _nfe(bench: Bench, entry: Entry) -> float:
    if entry.cell.grid is None:
        return math.nan
    return float(expected(bench.asked.model, entry.cell))
