"""Coverage of modes or classes: counts, missing modes, and a chi-squared test of frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.quantities.built_in import LABELS, MODES
from .estimators.rows import FloatArray
from .metric import Context, Measured, metric

FEWEST = 5.0
"""Smallest expected count in a cell of the chi-squared test (Cochran 1954, doi:10.2307/3001616).

Rarer modes are pooled into cells of at least this count.
"""


@dataclass(frozen=True, eq=False)
class ModeCoverage:
    """Spread of samples over modes.

    Attributes:
        counts: samples in each mode, ``(K,)``.
        missing: indices of the modes that should have samples and have none.
        covered: share, in [0, 1], of the modes that should have samples and do.
        statistic: Pearson's chi-squared with rare modes pooled; infinite if impossible modes occur.
        freedom: degrees of freedom of ``statistic``; 0 if pooling left a single group of modes.
        p: chance of a statistic at least as large; 1 if ``freedom`` is 0 and ``statistic`` finite.
    """

    counts: NDArray[np.int64]
    missing: tuple[int, ...]
    covered: float
    statistic: float
    freedom: int
    p: float


def mode_counts(modes: ArrayLike, k: int) -> NDArray[np.int64]:
    """Return the number of samples in each of ``k`` modes, ``(k,)``.

    Raises:
        ValueError: a mode is not one of 0 … k - 1.
    """
    numbers = np.asarray(modes)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < k):
        raise ValueError(f"modes must lie in [0, {k - 1}], got {numbers.min()} to {numbers.max()}")
    return np.bincount(numbers, minlength=k).astype(np.int64)


def against_proportions(counts: ArrayLike, proportions: ArrayLike) -> ModeCoverage:
    """Test counts O of modes against known proportions p: sum (O - E)² / E, with E = n p.

    Args:
        counts: samples in each mode, ``(K,)``; at least one sample in all.
        proportions: shares ``(K,)`` >= 0, up to a factor. A mode of share 0 is impossible.

    Raises:
        ValueError: shapes differ, a value is negative, or all counts or all proportions are 0.
    """
    observed, p = _pair(counts, proportions)
    expected = p / p.sum() * observed.sum()
    cells = _pool_cells(expected, observed, expected)
    statistic = _pearson(*cells)
    if (observed[p == 0] > 0).any():
        statistic = np.inf
    return _coverage(observed, p > 0, statistic, len(cells[0]) - 1)


def against_counts(counts: ArrayLike, reference_counts: ArrayLike) -> ModeCoverage:
    """Test counts of modes against a reference *sample*: chi-squared homogeneity of a 2 × K table.

    Args:
        counts: samples in each mode, ``(K,)``.
        reference_counts: independent samples of the truth in each mode, ``(K,)``.

    Raises:
        ValueError: shapes differ, a count is negative, or all counts of one argument are 0.
    """
    observed, reference = _pair(counts, reference_counts)
    n, m = observed.sum(), reference.sum()
    share = (observed + reference) / (n + m)
    a, b, pooled = _pool_cells(share * min(n, m), observed, reference, share)
    statistic = _pearson(a, n * pooled) + _pearson(b, m * pooled)
    return _coverage(observed, reference > 0, statistic, len(a) - 1)


def _pair(counts: ArrayLike, other: ArrayLike) -> tuple[FloatArray, FloatArray]:
    a, b = np.asarray(counts, np.float64), np.asarray(other, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"counts {a.shape} and what they are held against {b.shape} must "
            "be vectors of one length"
        )
    if not (0 < a.sum() < np.inf and 0 < b.sum() < np.inf and a.min() >= 0 and b.min() >= 0):
        raise ValueError(
            "the modes of no samples cannot be tested: pass at least one "
            "sample, and finite proportions >= 0"
        )
    return a, b


def _pool_cells(expected: FloatArray, *values: FloatArray) -> tuple[FloatArray, ...]:
    """Return ``values`` summed over groups of modes; ``expected`` sums to >= FEWEST in each."""
    order = np.argsort(expected, kind="stable")
    cell, cells, total = 0, np.zeros(len(order), np.int64), 0.0
    for place, mode in enumerate(order):
        cells[place] = cell
        total += expected[mode]
        if total >= FEWEST:
            cell, total = cell + 1, 0.0
    if total > 0 or cell == 0:  # the modes left over join the last full cell
        cells = np.minimum(cells, max(cell - 1, 0))
    return tuple(np.bincount(cells, weights=value[order]).astype(np.float64) for value in values)


def _pearson(observed: FloatArray, expected: FloatArray) -> float:
    positive = expected > 0
    return float((np.square(observed - expected)[positive] / expected[positive]).sum())


def _coverage(
    observed: FloatArray, wanted: NDArray[np.bool_], statistic: float, freedom: int
) -> ModeCoverage:
    from scipy.special import chdtrc  # imported here, since a finished run does not need it

    missing = tuple(np.flatnonzero(wanted & (observed == 0)).tolist())
    covered = 1 - len(missing) / int(wanted.sum())
    p = float(chdtrc(freedom, statistic) if freedom > 0 else np.isfinite(statistic))
    return ModeCoverage(observed.astype(np.int64), missing, covered, statistic, freedom, p)


MODE_SAMPLES = 10_000
"""Number of exact samples whose modes are the reference."""


@metric("modes", version=9, needs={"samples", "modes"}, quantities=(MODES,))
def mode_coverage(cell: Context) -> Measured:
    """Measure the share of modes that have samples; for exact models, test the modes' frequencies.

    For a network there is no test: its imperfect classifier would sort real images into classes in
    unknown proportions. Without modes or stored samples the result is empty.
    """
    modes = cell.own_modes
    if modes is None:
        return Measured({})
    exact = cell.once("exact modes", lambda: _exact_modes(cell))
    if exact is None:
        covered = float((mode_counts(modes, cell.classes) > 0).mean()) if cell.classes else None
        return Measured({} if covered is None else {"mode_coverage": covered})
    # numbered again, since modes such as the bits of coefficients can have huge numbers
    seen, number = np.unique(np.concatenate([modes, exact]), return_inverse=True)
    mine, theirs = (mode_counts(part, len(seen)) for part in np.split(number, [len(modes)]))
    coverage = against_counts(mine, theirs)
    return Measured({"mode_coverage": coverage.covered, "mode_p": coverage.p})


def _exact_modes(cell: Context) -> NDArray[np.int64] | None:
    x = cell.exact_samples(MODE_SAMPLES)
    return None if x is None else cell.modes(x)


@metric("labels", version=8, needs={"labels"}, quantities=(LABELS,))
def label_agreement(cell: Context) -> Measured:
    """Measure the share of conditional samples that lie in the class they were conditioned on."""
    return Measured({"label_agreement": float(cell.own_label.mean())})
