r"""Fréchet distance between Gaussians fitted to features: bias removed, with its standard error.

Two estimands, never to be mixed: :func:`estimate` takes the reference as the fixed truth (the
field's convention), and :func:`population_estimate` takes both sides as samples of unknown
distributions.

The influence function IF, the bias of second order, and its q(x) come from :mod:`.expansion`.

**Third order.** What is left after the second falls as 1 / N², and its constant grows with the
tails, up to more than the standard error. With D_N the value after the second order, and D_{N/2}
its mean over the two halves of the samples,

    value = (4 D_N - D_{N/2}) / 3

has no 1 / N² term (Richardson). The halves are random, by a fixed seed: where classes take turns,
every second sample is not like the others. The first-order noise of the halves averages to the
noise of the whole, so it stays; the variance of second order, V in the whole, 2 V in the mean of
the halves, with covariance V, becomes (16 + 2 - 8) V / 9 = 10/9 V.

**Standard error.** To second order the value is a U-statistic, F + mean IF(x_i) + mean_{i≠j} h(x_i,
x_j) / 2, where h(x, x) = 2 q(x). IF taken at the sample's own moments estimates IF(x_i) + mean_j
h(x_i, x_j) with j = i included: a sample that widens the covariance moves what it is compared with.
That own term, which the U-statistic lacks, is taken out,

    SE = sd(IF - 2 q / N - …) / sqrt(N),

with what :func:`.excess` adds to it for samples far out. Of the second order it counts twice;
:mod:`.second_order` has what the interval makes of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .expansion import FrechetReference, Side, check_dimensions, expand, resolved
from .rows import FloatArray, Moments, Rows, rows_of
from .second_order import interval, sum_of_noise

SEED = 0
"""Seed of the random halves, and of the order of the samples."""

EXCESS = 8 / 9
"""Excess of ``se`` over the variance of second order, in units of V: 2 - 10/9."""


@dataclass(frozen=True, eq=False)
class FrechetEstimate:
    """Fréchet distance with its error.

    Attributes:
        raw: the plug-in value, biased upwards; what published tables report. Never negative beyond
            rounding.
        value: raw - bias. Scatters around 0, so may be negative, when the true distance is 0. The
            order of the samples decides the halves of the extrapolation, and so moves ``value`` by
            a fraction of ``se``.
        se: standard error of ``value``. First order: where the true distance is near 0 it is up to
            √2 too large, since the noise of the influence counts second-order terms twice.
        low, high: ends of its 95 % interval, >= 0; not symmetric (:mod:`.second_order`).
        bias: estimated bias of ``raw``.
        n: number of generated samples.
        flag: why the interval is not to be trusted; empty if it is.
        influence: ``(n,)`` influence of each generated sample, its own term out, mean 0, in the
            order of the samples.
        reference_influence: ``(m,)`` influence of each reference sample in the population estimand;
            None if the reference is fixed.
    """

    raw: float
    value: float
    se: float
    low: float
    high: float
    bias: float
    n: int
    flag: str
    influence: FloatArray
    reference_influence: FloatArray | None = None


def frechet_distance(reference: FrechetReference, moments: Moments) -> float:
    """Return the plug-in Fréchet distance, in squared feature units, >= 0 up to rounding.

    Raises:
        ValueError: dimensions differ, or ``moments`` hold fewer than two samples.
    """
    check_dimensions(reference, moments)
    cov = moments.cov
    values = np.linalg.eigvalsh(reference.factor.T @ cov @ reference.factor)
    cross = np.sqrt(values[resolved(values)]).sum()
    return reference.distance(moments.mean, float(np.trace(cov)), float(cross))


def estimate(
    reference: FrechetReference, features: ArrayLike | Rows, moments: Moments | None = None
) -> FrechetEstimate:
    """Estimate the distance to the fixed reference: bias removed, with standard error.

    Args:
        reference: taken as exact for any ``n``.
        features: ``(n, d)`` features of n >= 2 independent samples, any real dtype; as
            :class:`.Rows` they are never in memory as a whole.
        moments: their moments in full precision, where ``features`` are stored rounded; they decide
            ``raw``. Bias and error always come from ``features``: whitened by their own covariance,
            rounding is never divided by a tiny s.

    Raises:
        ValueError: dimensions differ, fewer than two samples, or a value that is not finite.
    """
    rows = rows_of(features)
    if moments is not None and (moments.n, *moments.mean.shape) != rows.shape:
        raise ValueError(
            f"features {rows.shape} are not those of the moments ({moments.n}, "
            f"{len(moments.mean)}): pass both of the same samples"
        )
    side = expand(reference, rows, rows.moments, with_noise=True)
    halves = [expand(reference, half, half.moments).debiased for (half,) in _halves(rows)]
    raw = side.raw if moments is None else frechet_distance(reference, moments)
    return _estimate(raw, side.bias + _third_order_bias(side.debiased, halves), (side,))


def population_estimate(
    features_a: ArrayLike | Rows, features_b: ArrayLike | Rows
) -> FrechetEstimate:
    """Estimate the distance between the distributions of two *independent* sets, each with its own
    bias and variance.

    The errors of the two sides are independent, so the mixed second-order term averages to zero:
    biases add, and so do variances. Sets from shared latents are not independent; their biases
    partly cancel, and the value would come out too low.

    Args:
        features_a: ``(n, d)`` of the generated samples, n >= 2.
        features_b: ``(m, d)`` of converged samples from other latents, m >= 2.
    """
    rows_a, rows_b = rows_of(features_a), rows_of(features_b)
    a, b = _expand_both(rows_a, rows_b, with_noise=True)
    expanded = [_expand_both(x, y) for x, y in _halves(rows_a, rows_b)]
    halves = [half_a.debiased - half_b.bias for half_a, half_b in expanded]
    third = _third_order_bias(a.debiased - b.bias, halves)
    return _estimate(a.raw, a.bias + b.bias + third, (a, b))


def paired_difference(
    estimate_a: FrechetEstimate, estimate_b: FrechetEstimate
) -> tuple[float, float]:
    """Return FD_a - FD_b, bias removed, and its standard error sd(IF_a - IF_b) / sqrt(N), for two
    runs from the same latents in the same order.

    Effects of the latents on both runs cancel in the difference; the reference samples of the
    population estimand are shared likewise.

    Raises:
        ValueError: the runs differ in number of samples, in estimand, or in the size of the
            reference set.
    """
    pairs = [(estimate_a.influence, estimate_b.influence)]
    sides = (estimate_a.reference_influence, estimate_b.reference_influence)
    if sides[0] is not None and sides[1] is not None:
        pairs.append((sides[0], sides[1]))
    elif sides[0] is not sides[1]:
        raise ValueError(
            "a distance to a fixed reference and one between populations "
            "cannot be paired: use one estimator for both runs"
        )
    for a, b in pairs:
        if len(a) != len(b):
            raise ValueError(
                f"runs of {len(a)} and {len(b)} samples cannot be paired: "
                "compare them on the samples that both have"
            )
    se = np.linalg.norm([_standard_error(a - b) for a, b in pairs])
    return estimate_a.value - estimate_b.value, float(se)


def floor(reference: FrechetReference, held_out_features: ArrayLike | Rows, n: int) -> float:
    """Return the plug-in distance of ``n`` held-out real (or exact) samples: the raw value of a
    perfect sampler.

    With fewer than ``n`` held-out samples, the value is carried to ``n`` by its bias of second
    order, which falls as 1 / n.

    Args:
        reference: the fixed truth.
        held_out_features: ``(m, d)``, not in the reference set, in random order; the first ``n``
            are used.
        n: number of samples that the run has, >= 2.
    """
    if n < 2:
        raise ValueError(f"the floor of {n} samples is undefined: ask for at least two")
    rows = rows_of(held_out_features)
    if len(rows) > n:
        rows = rows_of(rows[:n])
    if len(rows) == n:
        return frechet_distance(reference, rows.moments)
    side = expand(reference, rows, rows.moments)
    return side.debiased + side.bias * len(rows) / n


def standard_error(reference: FrechetReference, features: ArrayLike | Rows) -> float:
    """Return the standard error of :func:`estimate` alone."""
    rows = rows_of(features)
    return _standard_error(expand(reference, rows, rows.moments).influence)


def _halves(*sides: Rows) -> list[tuple[Rows, ...]]:
    """Split all sides into random halves, the same for equal lengths; empty if too small."""
    if min(map(len, sides)) < 4:
        return []
    orders = [np.random.default_rng(SEED).permutation(len(rows)) for rows in sides]
    return [
        tuple(
            rows.take(np.sort(order[start::2])) for rows, order in zip(sides, orders, strict=True)
        )
        for start in (0, 1)
    ]


def _third_order_bias(whole: float, halves: Sequence[float]) -> float:
    """Return the bias of third order: a third of the excess of the halves over the whole."""
    return (float(np.mean(halves)) - whole) / 3 if halves else 0.0


def _expand_both(rows_a: Rows, rows_b: Rows, with_noise: bool = False) -> tuple[Side, Side]:
    """Expand each side with the other fixed."""
    a, b = rows_a.moments, rows_b.moments
    side_a = expand(FrechetReference.of(b), rows_a, a, with_noise)
    return side_a, expand(FrechetReference.of(a), rows_b, b, with_noise)


def _estimate(raw: float, bias: float, sides: Sequence[Side]) -> FrechetEstimate:
    """Combine plug-in value, bias of both orders, and the sides with noise, the samples' first."""
    value, se = raw - bias, math.hypot(*(_standard_error(side.influence) for side in sides))
    noise = sum_of_noise([side.noise for side in sides if side.noise])
    low, high = interval(value, se, noise, EXCESS)
    flag = "; ".join(dict.fromkeys(flag for side in sides for flag in side.flags))
    influence, *others = (side.influence for side in sides)
    return FrechetEstimate(
        raw, value, se, low, high, bias, len(influence), flag, influence, *others
    )


def _standard_error(influence: FloatArray) -> float:
    """Return the standard error of a mean of independent terms."""
    return float(influence.std(ddof=1) / np.sqrt(len(influence)))


PARTS = 5


def fd_infinity(
    reference: FrechetReference,
    features: ArrayLike | Rows,
    parts: int = PARTS,
    seed: int = SEED,
) -> float:
    """Return the plug-in distance extrapolated to infinitely many samples.

    The bias of the plug-in falls as 1 / N, so a straight line through plug-in values at several N
    meets 1 / N = 0 at an unbiased one (Chong and Forsyth 2020, arXiv:1911.07023, section 3). The
    sizes are N / g for g = 1 … ``parts``, each the mean over the g disjoint parts of the shuffled
    samples, with weight 1 / g: a mean over g parts has the variance of the whole to first order,
    but 1 / N² terms grow as g². A part must have more samples than features. A check on
    :func:`estimate`, and no better: it assumes the 1 / N law down to N / 5.
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
    values = []
    for g in groups:
        moments = rows.moments_of(np.array_split(shuffled, g))
        values.append(np.mean([frechet_distance(reference, part) for part in moments]))
    _, intercept = np.polyfit(groups / n, values, 1, w=1 / np.sqrt(groups))
    return float(intercept)
