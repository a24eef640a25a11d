r"""Memorisation: closeness of samples to training examples, compared with fresh data.

For a sample, r = d_1 / d_2 is the ratio of its distances to the nearest and to the second nearest
training example. The usual sign of memorisation is r < 1/3 (Gu et al. 2023, arXiv:2310.02664,
section 2). The threshold here is instead the 1 % quantile of r over data that the model has not
seen:

    memorised = share of samples with r below the held-out data's 1 % quantile.

So a model that generalises has a share of 1 % on average over sets of held-out data. That of one set
of k varies: its standard deviation is 0.1 / sqrt(k). Without held-out data, every training example is
held out from the others in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...results.comparison.sample_shares import share_interval
from ...results.quantities.built_in import DUPLICATES, MEMORISED
from .estimators.rows import FloatArray, Rows, as_rows, rows_of
from .metric import Context, Measured, metric
from .precision_recall import neighbour_distances

LEVEL = 0.01
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Share of samples that are near-copies of training examples.

    Attributes:
        share: share of samples with a ratio below ``threshold``; without memorisation about 1 %.
        low, high: exact 95 % binomial interval of ``share``, given ``threshold`` (Clopper and Pearson
            1934).
        threshold: quantile of the held-out data's ratios.
        ratio: :func:`distance_ratio` of each sample, ``(n,)`` in [0, 1].
    """

    share: float
    low: float
    high: float
    threshold: float
    ratio: FloatArray


def distance_ratio(x: ArrayLike, training: ArrayLike, *, same: bool = False) -> FloatArray:
    """Return d_1 / d_2, the ratio of distances to the nearest and second nearest example, ``(n,)``.

    Ratios are in [0, 1]. The ratio of an exact copy is 0, also if the example occurs twice.

    Args:
        x: samples ``(n, ...)``.
        training: examples ``(m, ...)``, m >= 2, or m >= 3 if ``same``.
        same: True if ``x`` is ``training``; then no example is its own neighbour.

    Raises:
        ValueError: too few examples, dimensions differ, or a value is not finite.
    """
    rows, examples = as_rows(x), as_rows(training)
    if rows.shape[1] != examples.shape[1]:
        raise ValueError(
            f"samples of {rows.shape[1]} values cannot be compared with "
            f"examples of {examples.shape[1]}"
        )
    first, second = neighbour_distances(rows, examples, 2, same=same).T
    return np.sqrt(np.divide(first, second, out=np.zeros_like(first), where=first > 0))


def memorised_threshold(
    training: ArrayLike, held_out: ArrayLike | None = None, level: float = LEVEL
) -> float:
    """Return quantile ``level`` of :func:`distance_ratio` over data outside the training set.

    Args:
        training: examples ``(m, ...)``, m >= 2, or m >= 3 for ``held_out`` None.
        held_out: other data ``(k, ...)`` of the same kind. None holds out each example in turn.
        level: level of the quantile, in (0, 1).

    Of k fresh ratios, the j-th smallest exceeds a share of j / (k + 1) on average (Weibull 1939). So
    there is no threshold below 1 / level - 1 of them.

    Raises a ValueError with too few held-out data, and the errors of :func:`distance_ratio`.
    """
    fresh = training if held_out is None else held_out
    fewest = math.ceil(1 / level) - 1
    if len(as_rows(fresh)) < fewest:
        raise ValueError(
            f"{len(as_rows(fresh))} held-out data have no {level:.2g} quantile: pass at least {fewest}"
        )
    ratio = distance_ratio(fresh, training, same=held_out is None)
    return float(np.quantile(ratio, level, method="weibull"))


def memorisation(samples: ArrayLike | Rows, training: ArrayLike, threshold: float) -> Memorisation:
    """Measure the share of samples that are near-copies of training examples.

    Args:
        samples: ``(n, ...)``, n >= 1.
        training: examples ``(m, ...)``, m >= 2.
        threshold: ratio below which a sample is a near-copy, from :func:`memorised_threshold`.

    Raises:
        ValueError: there is no sample, or :func:`distance_ratio` raises.
    """
    rows = rows_of(samples)
    if len(rows) == 0:
        raise ValueError("the memorisation of no samples is undefined: pass at least one")
    ratio = np.concatenate([distance_ratio(block, training) for _, block in rows.blocks()])
    # a threshold of 0, of examples that occur twice, still finds exact copies
    hits = int(((ratio < threshold) | (ratio == 0)).sum())
    low, high = binomial_interval(hits, len(rows))
    return Memorisation(hits / len(rows), low, high, threshold, ratio)


def duplicate_share(samples: ArrayLike) -> float:
    """Return the share of the samples, in [0, 1), that equal an earlier sample in every value.

    Raises:
        ValueError: there is no sample, or a value is not finite.
    """
    rows = as_rows(samples) + 0.0  # -0.0 becomes 0.0
    if len(rows) == 0:
        raise ValueError("no samples have no repeats: pass at least one")
    return 1 - len({row.tobytes() for row in rows}) / len(rows)


def binomial_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Clopper and Pearson's interval (default: 95 %) from ``hits`` in ``n`` >= 1 trials."""
    return share_interval(hits, n, 1 - confidence)


@metric("memorised", version=10, needs={"samples", "training set"}, quantities=(MEMORISED,))
def measure_memorised(cell: Context) -> Measured:
    """Measure the share of near-copies of training examples; no result without samples."""
    if not len(cell.known_rows):
        return Measured({})
    result = memorisation(cell.known_rows, *cell.training)
    ends = {"memorised_low": result.low, "memorised_high": result.high}
    return Measured({"memorised": result.share, **ends})


@metric("duplicates", version=8, needs={"samples"}, quantities=(DUPLICATES,))
def measure_duplicates(cell: Context) -> Measured:
    """Measure the share of exact repeats among samples stored unrounded; empty without these."""
    return Measured({"duplicates": duplicate_share(cell.whole)} if len(cell.whole) else {})
