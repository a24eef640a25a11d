r"""Fréchet distance between Gaussians fitted to features: bias removed, with its standard error.

There are two estimands, never to be mixed. :func:`estimate` takes the reference as the fixed truth
(the field's convention). :func:`population_estimate` takes both sides as samples of unknown
distributions.

:mod:`.expansion` explains the influence function IF and the bias of second order, mean q(x) / N.

**Third order.** The bias beyond second order falls as 1 / N². For heavy tails it can exceed the
standard error. Let D_N be the plug-in distance without the second-order bias, and D_{N/2} the mean
of such distances of two halves of the samples. Then

    value = (4 D_N - D_{N/2}) / 3

has no 1 / N² term (Richardson). A fixed seed draws the halves, since every second sample could be
of one class. The noise of first order is unchanged, since the halves' noise averages to the noise
of the whole. The noise of second order has the variance V in D_N and 2 V in D_{N/2}, and their
covariance is V. So its variance in the value is (16 V + 2 V - 8 V) / 9 = 10/9 V.

**Standard error.** To second order the value is a U-statistic: the true distance + mean IF(x_i) +
mean_{i≠j} h(x_i, x_j) / 2. Here h is the effect of a pair of samples, and h(x, x) = 2 q(x). IF at
the samples' own moments estimates IF(x_i) + mean_j h(x_i, x_j). It includes j = i, since x_i is
part of the covariance. The U-statistic has no such term, so it is subtracted:

    SE = sd(IF - 2 q / N - …) / sqrt(N),

where … are the corrections of :func:`.leverage_corrections`. This SE counts the variance of second
order twice; the interval of :mod:`.second_order` subtracts the excess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .expansion import (
    FrechetReference,
    PlugInDistance,
    check_dimensions,
    expand,
    resolved_eigenvalue_mask,
)
from .rows import FloatArray, Moments, Rows, rows_of
from .second_order import add_distance_noise, interval

SEED = 0
"""Seed of the random halves, and of the shuffle of :func:`fd_infinity`."""

EXCESS = 8 / 9
"""Variance of second order that ``se²`` counts in excess, in units of V (see module): 2 - 10/9."""


@dataclass(frozen=True, eq=False)
class FrechetEstimate:
    """Fréchet distance with its error.

    Attributes:
        raw: plug-in value, biased upwards, as published tables report it; >= 0 up to rounding.
        value: ``raw`` - ``bias``. It may be negative if the true distance is near 0. The order of
            the samples decides on halves (see module), and so changes it by a fraction of ``se``.
        se: standard error of ``value`` to first order. Near a true distance of 0, ``se`` is too
            large by a factor of up to √2, since it counts second-order noise twice.
        low, high: ends of the 95 % interval, >= 0, not symmetric (:mod:`.second_order`).
        bias: estimated bias of ``raw``.
        n: number of generated samples.
        flag: reasons not to trust the interval; "" if there are none.
        influence: influence of each generated sample ``(n,)``, mean 0; its sd / sqrt(n) enters ``se``.
        reference_influence: influences of reference samples ``(m,)``; None for a fixed reference.
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
    cross = np.sqrt(values[resolved_eigenvalue_mask(values)]).sum()
    return reference.distance(moments.mean, float(np.trace(cov)), float(cross))


def estimate(
    reference: FrechetReference, features: ArrayLike | Rows, moments: Moments | None = None
) -> FrechetEstimate:
    """Estimate the Fréchet distance to a fixed reference, without bias and with standard error.

    Args:
        reference: reference that is taken as exact.
        features: ``(n, d)`` of n >= 2 independent samples; :class:`.Rows` are read by blocks.
        moments: moments of the same samples before ``features`` were rounded for storage; None
            takes the moments of ``features``. Given moments remove the rounding error of the
            plug-in value ``raw``. Bias and error come from ``features`` alone, since whitening
            could amplify rounding errors.

    Raises:
        ValueError: dimensions or counts differ, there are fewer than two samples, or a value is not
            finite.
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
    """Estimate the Fréchet distance between the distributions of two *independent* sets of samples.

    For independent sets, the biases and variances of the two sides add. For sets from shared
    latents, the biases partly cancel, and the value would be too low.

    Args:
        features_a: ``(n, d)`` of the generated samples, n >= 2.
        features_b: ``(m, d)`` of converged samples from other latents, m >= 2.

    Raises the same errors as :func:`estimate`.
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
    """Return FD_a - FD_b without bias, and its standard error, for two runs from the same latents.

    Samples of one latent are paired, so the effects of latents cancel. The standard error is
    sd(IF_a - IF_b) / sqrt(N), with IF the influences. If both estimates have influences of
    reference samples, these are paired too.

    Raises:
        ValueError: only one reference is fixed, or the numbers of samples differ.
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
    """Return the plug-in distance of ``n`` held-out samples: the raw value of a perfect sampler.

    If there are fewer held-out samples, their bias, which falls as 1 / n, is rescaled to ``n``.

    Args:
        reference: fixed truth.
        held_out_features: ``(m, d)`` of samples outside the reference, in random order, m >= 2.
        n: number of samples of the run, >= 2.

    Raises:
        ValueError: ``n`` is below 2, or :func:`estimate` would raise.
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
    """Return the ``se`` of ``estimate(reference, features)`` with less work.

    Raises the same errors as :func:`estimate`.
    """
    rows = rows_of(features)
    return _standard_error(expand(reference, rows, rows.moments).influence)


def _halves(*sides: Rows) -> list[tuple[Rows, ...]]:
    """Return two random halves, each with rows of every side; [] if a side has under 4 rows."""
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
    """Return the bias of third order: (mean of ``halves`` - ``whole``) / 3; 0 without halves."""
    return (float(np.mean(halves)) - whole) / 3 if halves else 0.0


def _expand_both(
    rows_a: Rows, rows_b: Rows, with_noise: bool = False
) -> tuple[PlugInDistance, PlugInDistance]:
    a, b = rows_a.moments, rows_b.moments
    side_a = expand(FrechetReference.of(b), rows_a, a, with_noise)
    return side_a, expand(FrechetReference.of(a), rows_b, b, with_noise)


def _estimate(raw: float, bias: float, sides: Sequence[PlugInDistance]) -> FrechetEstimate:
    value, se = raw - bias, math.hypot(*(_standard_error(side.influence) for side in sides))
    noise = add_distance_noise([side.noise for side in sides if side.noise])
    low, high = interval(value, se, noise, EXCESS)
    flag = "; ".join(dict.fromkeys(flag for side in sides for flag in side.flags))
    influence, *others = (side.influence for side in sides)
    return FrechetEstimate(
        raw, value, se, low, high, bias, len(influence), flag, influence, *others
    )


def _standard_error(influence: FloatArray) -> float:
    """Return the standard error of the mean of independent terms ``(n,)``, n >= 2."""
    return float(influence.std(ddof=1) / np.sqrt(len(influence)))


PARTS = 5


def fd_infinity(
    reference: FrechetReference,
    features: ArrayLike | Rows,
    parts: int = PARTS,
    seed: int = SEED,
) -> float:
    """Return the plug-in distance extrapolated to infinitely many samples.

    The bias of the plug-in falls as 1 / N, so a line through plug-in values at several N has an
    unbiased value at 1 / N = 0 (Chong and Forsyth 2020, arXiv:1911.07023, section 3). Sizes are N
    / g for g = 1 … ``parts``. Each value is the mean over g disjoint parts of the shuffled samples.
    Its weight is 1 / g, since terms in 1 / N² grow as g². This is only a check on :func:`estimate`,
    since the 1 / N law is assumed down to N / ``parts``.

    Raises:
        ValueError: ``parts`` is below 2, or a part has no more samples than features.
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
