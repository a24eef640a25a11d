"""Agreement of two columns in their order of methods at each budget, with bootstrap intervals.

Correlations are computed within budgets, since across budgets all columns fall with the number of
evaluations. A budget is weighted by its number of methods less one, to which the inverse variance
of a rank correlation is proportional. The bootstrap is over methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata

from .sets import FEWEST

REPLICATES = 1000
SEPARATIONS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Smallest differences of two published FIDs, relative to the smaller, for which their order
counts.
"""


@dataclass(frozen=True)
class Pair:
    """Value of a method at a budget in our table, paired with its published FID.

    Attributes:
        method: name of the method, the unit of the bootstrap.
        budget: evaluations per sample, with the name of the set if sets are pooled.
        ours: value of a column here; lower is better.
        theirs: published FID.
    """

    method: str
    budget: int | tuple[str, int]
    ours: float
    theirs: float


Statistic = Callable[[Sequence[Pair]], float]


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Return the rank correlation, ties at their mean; NaN if all values of one side are equal."""
    a, b = rankdata(x), rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else np.nan


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's tau-b; NaN if all values of one side are equal."""
    return float(kendalltau(x, y)[0])  # pyright: ignore[reportArgumentType]


def mean_over_budgets(
    pairs: Sequence[Pair], of: Callable[[ArrayLike, ArrayLike], float] = spearman
) -> float:
    """Return the mean over budgets of a correlation, weighted by methods less one.

    It is NaN if no budget has enough methods.
    """
    values, weights = [], []
    for group in _pairs_by_budget(pairs):
        value = of([p.ours for p in group], [p.theirs for p in group])
        if np.isfinite(value):
            values.append(value)
            weights.append(len(group) - 1)
    return float(np.average(values, weights=weights)) if values else np.nan


def share_ordered_alike(pairs: Sequence[Pair], separation: float = 0.0) -> float:
    """Return the share of pairs of methods at one budget that both columns order alike.

    Only pairs count whose published FIDs differ by more than ``separation`` times the smaller one.
    Equal values of ours count half. Without such pairs, the share is NaN.
    """
    hits = total = 0.0
    for group in _pairs_by_budget(pairs):
        ours = np.array([p.ours for p in group])
        theirs = np.array([p.theirs for p in group])
        apart = theirs[None, :] > (1 + separation) * theirs[:, None]
        sign = np.sign(ours[None, :] - ours[:, None])[apart]
        total += len(sign)
        hits += (1 + sign).sum() / 2
    return hits / total if total else np.nan


def bootstrap_interval(
    pairs: Sequence[Pair], statistic: Statistic, *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[float, float]:
    """Return a statistic's 95 % interval by a bootstrap over methods, each with all its budgets.

    Both ends are NaN if the statistic is finite in fewer than half of the replicates.
    """
    of: dict[str, list[Pair]] = {}
    for pair in pairs_of_counted_budgets(pairs):
        of.setdefault(pair.method, []).append(pair)
    names, rng = sorted(of), np.random.default_rng(seed)
    values = []
    for _ in range(replicates if names else 0):
        drawn = rng.integers(len(names), size=len(names))
        values.append(statistic([pair for i in drawn for pair in of[names[i]]]))
    kept = np.array(values)[np.isfinite(values)]
    if not len(kept) or len(kept) < replicates / 2:
        return np.nan, np.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


STATISTICS: dict[str, Statistic] = {
    "spearman": mean_over_budgets,
    "kendall": partial(mean_over_budgets, of=kendall),
    **{f"alike_{round(100 * x)}": partial(share_ordered_alike, separation=x) for x in SEPARATIONS},
}
"""Statistics by column of the study's table; ``alike_25`` uses pairs more than 25 % apart."""


def pairs_of_counted_budgets(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of budgets with enough methods."""
    return [pair for group in _pairs_by_budget(pairs) for pair in group]


def ranks_in_unit_range(values: Iterable[float]) -> NDArray[np.float64]:
    """Return ranks scaled to [0, 1], ties at their mean; 0.5 for a single value."""
    found = rankdata(list(values))
    return (found - 1) / (len(found) - 1) if len(found) > 1 else np.full(len(found), 0.5)


def _pairs_by_budget(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return the pairs of each budget with enough methods, counting repeats of a bootstrap."""
    by: dict[object, list[Pair]] = {}
    for pair in pairs:
        by.setdefault(pair.budget, []).append(pair)
    return [group for group in by.values() if len(group) >= FEWEST]
