"""Shares of samples, such as flips: exact intervals, and exact tests of two paired shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .significance import LEVEL, Evidence

_HALVINGS = 50


def share_interval(count: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval (1934) of ``count / n``, with coverage >= 1 - level."""
    from scipy.special import betaincinv  # imported here: reading tables needs no scipy

    low = betaincinv(count, n - count + 1, level / 2) if count else 0.0
    high = betaincinv(count + 1, n - count, 1 - level / 2) if count < n else 1.0
    return float(low), float(high)


def count_changes(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[int, int]:
    """Count the samples with a property in ``b`` alone, and in ``a`` alone.

    Both arrays are ``(n,)`` of 0 and 1. Samples beyond the common length do not count.
    """
    n = min(len(a), len(b))
    change = b[:n] - a[:n]
    return int(np.sum(change > 0)), int(np.sum(change < 0))


def share_error(gained: int, lost: int, n: int) -> float:
    """Return the standard error of a paired difference of shares (Agresti and Min 2005).

    ``gained`` and ``lost`` are from :func:`count_changes`; ``n`` is the number of pairs.
    """
    size = n + 2
    return math.sqrt(max(gained + lost + 1 - (gained - lost) ** 2 / size, 0.0)) / size


@dataclass(frozen=True)
class PairedShares(Evidence):
    """Evidence from two shares over the same n samples.

    ``gained`` samples have the property in the candidate alone, ``lost`` in the baseline alone.
    Without a true difference, both kinds are equally likely (McNemar 1947, exact).
    """

    gained: int
    lost: int
    n: int

    @property
    def p_difference(self) -> float:
        """Two-sided p value of H0: candidate's share = baseline's share."""
        return min(1.0, 2 * _tail_probability(max(self.gained, self.lost), self.gained + self.lost))

    @property
    def p_equivalence(self) -> float:
        """P value of H0: |candidate's - baseline's share| >= margin."""
        return max(self.p_within, self._smallest_level(self.lost, self.gained, self.margin))

    @property
    def p_beyond(self) -> float:
        """P value of H0: candidate's - baseline's share <= margin."""
        if self.margin == 0:
            return _tail_probability(self.gained, self.gained + self.lost)
        return self._smallest_level(self.lost, self.gained, -self.margin)

    @property
    def p_within(self) -> float:
        """P value of H0: candidate's - baseline's share >= margin."""
        return self._smallest_level(self.gained, self.lost, self.margin)

    def _smallest_level(self, more: int, less: int, bound: float) -> float:
        """Return the p value of H0: (share of ``more``) - (share of ``less``) >= ``bound``."""

        def is_shown(level: float) -> bool:
            (_, high), (low, _) = (share_interval(k, self.n, level) for k in (more, less))
            return high - low < bound

        low, high = 0.0, 1.0
        if not is_shown(high):
            return 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if is_shown(middle) else (middle, high)
        return high


def _tail_probability(count: int, n: int) -> float:
    """Return P(X >= count) for the number of heads X of n fair coins; 1 for n = 0."""
    from scipy.special import betainc

    return float(betainc(count, n - count + 1, 0.5)) if count else 1.0
