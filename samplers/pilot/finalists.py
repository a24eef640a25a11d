"""Choice among the best rules of a search, on latents that had no part in it.

Rules of few steps that differ by some percent on the latents of the search can differ by a factor
of two in the distribution of their samples. So the distance on fresh latents decides only what it
can tell apart; then the first two moments of the samples, and then a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .probe import Array
from .rule import Rule
from .search import cost_of

ALIKE = 1.2
"""Factor below which distance does not distinguish errors: a lower order is worth as much."""
SURE = 2.0
"""Paired standard errors from which on a rule's moments are further off than the nearest rule's."""
LATENTS_PER_AXIS = 4
"""Latents for each principal axis that moments are compared along."""


class MomentError(NamedTuple):
    """Squared error of mean and standard deviation, in variances of the data, mean over axes.

    Attributes:
        value: without the bias that few latents give it, so that it may be negative.
        influence: ``(K,)`` of each latent, to first order, mean 0.
    """

    value: float
    influence: Array


def principal_axes(ends: Array, count: int) -> Array:
    """Return the leading principal axes of ``ends`` ``(K, dim)``: ``(dim, A)``, A <= ``count``."""
    centred = ends - ends.mean(0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    leading = [i for i in range(len(values))[::-1] if values[i] > 1e-9 * values[-1]][:count]
    return centred.T @ (vectors[:, leading] / np.sqrt(values[leading]))


def moment_error(ends: Array, truth: Array, axes: Array) -> MomentError:
    """Compare mean and standard deviation of paired ends along axes.

    Along an axis, let s² be the variance of the truth, and S² of the ends. For Gaussian marginals
    (m - M)² + (s - S)² is the squared Wasserstein distance, the part of the mean square error that
    a distribution shows. With paired latents M - m is the mean error, and S - s has the influence
    ((x - M)² - S²) / 2S - ((t - m)² - s²) / 2s. The square of an estimate is too large by its
    variance, which is taken off.

    Args:
        ends: ``(K, dim)`` of a rule.
        truth: ``(K, dim)`` of the same latents.
        axes: ``(dim, A)``, of other latents.
    """
    count = len(truth)
    a, b = truth @ axes, ends @ axes
    a0, b0 = a - a.mean(0), b - b.mean(0)
    s, t = (np.maximum(v.std(0, ddof=1), 1e-12 * np.abs(a).max()) for v in (a, b))
    shift, stretch = b0 - a0, (b0**2 - t**2) / (2 * t) - (a0**2 - s**2) / (2 * s)
    bias, shrunk = (b - a).mean(0), t - s
    noise = (shift.var(0, ddof=1) + stretch.var(0, ddof=1)) / count
    value = (bias**2 + shrunk**2 - noise) / s**2
    influence = 2 * (bias * shift + shrunk * (stretch - stretch.mean(0))) / s**2
    return MomentError(float(value.mean()), influence.mean(1))


def choose_rule(
    rules: Sequence[Rule], ends: Array, truth: Array, axes: Array, spread: float
) -> Rule:
    """Choose among finalists.

    1. Those within a factor :data:`ALIKE` of the smallest error (:func:`.cost_of`) are left.
    2. Of these, those whose moments are surely further off than the nearest go.
    3. Of these, the lowest order, and of one order the smallest error.

    Args:
        rules: F of them.
        ends: ``(F, K, dim)`` of their samples.
        truth: ``(K, dim)``, where the same latents lead.
        axes: ``(dim, A)`` principal axes of the data.
        spread: standard deviation of the data.
    """
    costs = cost_of(np.sqrt(np.square(ends - truth).mean(-1)), spread)
    near = [i for i in range(len(rules)) if costs[i] <= costs.min() + math.log(ALIKE)]
    rows = np.isfinite(ends[near]).all((0, 2))
    if rows.sum() >= LATENTS_PER_AXIS and axes.shape[1]:  # data that are one point have no axes
        moments = {i: moment_error(ends[i, rows], truth[rows], axes) for i in near}
        lowest = min(moments.values(), key=lambda moment: moment.value)
        near = [i for i in near if not _is_surely_larger(moments[i], lowest)]
    return rules[min(near, key=lambda i: (rules[i].order, costs[i]))]


def _is_surely_larger(error: MomentError, other: MomentError) -> bool:
    """Return True if a moment error is larger by :data:`SURE` paired standard errors."""
    gap = error.influence - other.influence
    return error.value - other.value > SURE * float(gap.std(ddof=1)) / math.sqrt(len(gap))
