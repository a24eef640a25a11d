r"""Fréchet distance extrapolated to infinitely many samples.

The bias of the plug-in falls as 1 / N, so a straight line through plug-in values at several N meets
1 / N = 0 at an unbiased one (Chong and Forsyth 2020, arXiv:1911.07023, section 3). Here the sizes
are N / g for g = 1 … 5, and the value at N / g is the mean over the g disjoint parts of the
shuffled samples, so that every point of the line uses every sample; the paper draws 15 random
subsets of sizes between 5 000 and N. Points carry the weight 1 / g: a mean over g parts has the
variance of the whole to first order, but 1 / N² terms grow as g².

A check on ``frechet.estimate``, which takes the bias from fourth moments, and no better: it assumes
the 1 / N law down to N / 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .frechet import FrechetReference, frechet_distance
from .rows import Rows, rows_of

PARTS = 5
SEED = 0


def fd_infinity(
    reference: FrechetReference, features: ArrayLike | Rows, parts: int = PARTS, seed: int = SEED
) -> float:
    """Return the intercept of the line.

    Args:
        reference: the fixed truth.
        features: ``(n, d)``; a part of n / ``parts`` samples must exceed d, below which the law is
            another.
        parts: the most parts, >= 2.
        seed: of the shuffle.

    Raises:
        ValueError: too few samples, dimensions differ, or a value is not finite.
    """
    rows = rows_of(features)
    n, d = rows.shape
    if parts < 2 or n // parts <= d:
        raise ValueError(
            f"extrapolation from {n} samples in {parts} parts needs parts of "
            f"more than {d} samples, and at least two of them"
        )
    shuffled = np.random.default_rng(seed).permutation(n)
    groups = np.arange(1, parts + 1)
    values = [
        np.mean(
            [
                frechet_distance(reference, part)
                for part in rows.moments_of(np.array_split(shuffled, g))
            ]
        )
        for g in groups
    ]
    _, intercept = np.polyfit(groups / n, values, 1, w=1 / np.sqrt(groups))
    return float(intercept)
