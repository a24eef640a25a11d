"""First-order forecast of the errors that a :class:`.rule.Rule` makes on probed trajectories.

A linear multistep method runs on the known trajectory. Its history entries come from the exact
denoised image d, plus the Jacobian of d times the error of the state so far. The forecast contains
the truncation error of every step and its propagation through all later steps. It omits terms of
second order in the errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .probe import Array, ProbeData
from .rule import HIGHEST_LAST, Rule

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NODES = (1 + _NODES) / 2
_WEIGHTS = _WEIGHTS / 2
SMALLEST_STEP = 1e-9
"""Smallest step, relative to the level at its start. A rule with a smaller one gets error inf."""


class Forecast(NamedTuple):
    """Forecast of P rules on K trajectories; inf for a rule whose levels do not fall.

    Attributes:
        errors: ``(P, K)``, root mean squares over the dimensions of the error at the last level.
        second_order: ``(P, K)``, estimated size of the omitted second-order terms: the sum over the
            evaluations of |J e| |e| / sigma. e is the error of the state, J the Jacobian of d, and
            |.| the root mean square.
        largest_error: ``(P, K)``, the largest error of the state over the evaluations, each scaled
            to the last level as if the data were Gaussian. It finds errors that J = 0 hides from
            ``errors``, as near one of a set of points.
    """

    errors: Array
    second_order: Array
    largest_error: Array


def forecast(
    probe: ProbeData, rules: Sequence[Rule], n: int, start: float, *, to_zero: bool
) -> Forecast:
    """Return the errors of rules in x(sigma_min), or in the denoised image there if ``to_zero``.

    Args:
        probe: probe of the model.
        rules: P rules with equal ``points``, ``deferred`` and ``corrected``.
        n: evaluations, >= 1.
        start: first level, at most the probe's.
        to_zero: True if the grid ends at 0, False if it ends at sigma_min.
    """
    with np.errstate(all="ignore"):  # extreme rules leave the range of floats, and are out
        return _forecast_falling(
            probe, _RuleArrays.of(rules, start, float(probe.levels[-1])), n, to_zero
        )


def _forecast_falling(probe: ProbeData, many: _RuleArrays, n: int, to_zero: bool) -> Forecast:
    """Return the forecast of all rules: infinite errors for a rule whose levels do not fall."""
    levels = many.levels(n, to_zero=to_zero)
    steps = levels[:, :-1] - levels[:, 1:] > SMALLEST_STEP * levels[:, :-1]
    if to_zero:  # the last evaluation may be at sigma_min itself
        steps[:, -1] |= levels[:, -1] == levels[:, -2]
    falls = np.flatnonzero(steps.all(1))
    whole = Forecast(*np.full((3, len(levels), len(probe.first)), math.inf))
    if len(falls):
        parts = _propagate_error(probe, many.subset(falls), levels[falls], to_zero)
        whole.errors[falls], whole.second_order[falls], whole.largest_error[falls] = parts
    return whole


@dataclass(frozen=True)
class _RuleArrays:
    """The numbers of several rules, ``(P,)`` each, with the levels at both ends."""

    points: int
    deferred: bool
    corrected: bool
    spread: Array
    knee: Array
    scale: Array
    power: Array
    exponent: Array
    first: Array
    last: Array
    start: float
    end: float

    @classmethod
    def of(cls, rules: Sequence[Rule], start: float, end: float) -> _RuleArrays:
        """Return the numbers of the rules, in the units of the data."""
        spread, knee, scale, power, exponent, first, last = np.array([rule[3:] for rule in rules]).T
        lengths = (spread, knee * spread, scale * spread)
        return cls(*rules[0][:3], *lengths, power, exponent, first, last * spread, start, end)

    def subset(self, indices: NDArray[np.int64]) -> _RuleArrays:
        """Return the arrays of the rules at ``indices``."""
        numbers = ("spread", "knee", "scale", "power", "exponent", "first", "last")
        return replace(self, **{name: getattr(self, name)[indices] for name in numbers})

    def g(self, levels: Array) -> Array:
        """Return the rules' coordinates of ``levels`` ``(P, …)``."""
        shape = (-1, *[1] * (levels.ndim - 1))
        scale, power, exponent = (v.reshape(shape) for v in (self.scale, self.power, self.exponent))
        return np.log1p((levels / scale) ** power) ** exponent

    def levels(self, n: int, *, to_zero: bool) -> Array:
        """Return the levels of :meth:`Rule.grid`, sigma_min in place of 0: ``(P, steps + 1)``."""
        count = n + int(self.deferred)
        lowest = np.full(len(self.knee), self.end)
        if to_zero and count == 1:
            return np.stack([np.full_like(lowest, self.start), lowest], 1)
        wanted_last = np.minimum(np.maximum(self.last, self.end), HIGHEST_LAST * self.start)
        last = wanted_last if to_zero else lowest
        inner = count - 1 if to_zero else count
        share = (self.first[:, None] + np.arange(inner - 1)) / (self.first[:, None] + inner - 1)
        top, low = (self.g(v)[:, None] for v in (np.full_like(last, self.start), last))
        g = top + (low - top) * share
        scale, power, exponent = (v[:, None] for v in (self.scale, self.power, self.exponent))
        between = scale * np.expm1(g ** (1 / exponent)) ** (1 / power)
        ends = [last, lowest] if to_zero else [last]
        first = np.full((len(last), 1), self.start)
        return np.concatenate([first, between, *(end[:, None] for end in ends)], 1)


def _propagate_error(probe: ProbeData, many: _RuleArrays, levels: Array, to_zero: bool) -> Forecast:
    """Propagate the error of the state from level to level.

    The rule's history holds v = [x - (1 + sigma / k) d] k / sigma, with its knee k. In y = x / (k + sigma)
    and u = sigma / (k + sigma), the probability flow is dy/du = v.
    """
    d, x = probe.at(levels)
    gain = (many.knee[:, None] / levels)[..., None, None]
    pull = (1 + levels / many.knee[:, None])[..., None, None]
    weights, ahead, correction = _memo_weights(many, levels)
    total = (many.knee[:, None] + levels)[..., None, None]
    error = np.zeros_like(x[:, 0])
    second_order, largest_error = np.zeros(error.shape[:2]), np.zeros(error.shape[:2])
    shrinkage = probe.spread / np.hypot(probe.spread, levels) / math.sqrt(probe.dim)

    def response(i: int, error: Array) -> Array:
        """Return the change of the image at level ``i`` by an error of the state.

        Add the sizes of both to ``second_order`` and ``largest_error``.
        """
        change, size = probe.response_at(levels[:, i], error), _lengths(error)
        second_order[...] += _lengths(change) * size / (probe.dim * levels[:, i, None])
        np.maximum(largest_error, size * shrinkage[:, i, None], out=largest_error)
        return change

    if many.deferred:
        off = _analytic_step(many, levels, weights, x[:, 0]) - x[:, 1]
        d[:, 0] = d[:, 1] = d[:, 1] + response(1, off)
    memos: list[Array] = []
    image = d[:, 0]
    for i in range(levels.shape[1] - 1):
        state, image = x[:, i] + error, d[:, i]
        if i > int(many.deferred):
            image = image + response(i, error)
        memos.append(gain[:, i] * (state - pull[:, i] * image))
        y = state / total[:, i]
        if many.corrected and i > int(many.deferred):
            y += _weighted_memos(correction[:, i - 1], memos)
        if many.deferred and i == 0:  # the image of the next level, held over the step
            share = (levels[:, 1] / levels[:, 0])[:, None, None]
            error = share * x[:, 0] + (1 - share) * image - x[:, 1]
            continue
        y += _weighted_memos(weights[:, i], memos)
        error = y * total[:, i + 1] - x[:, i + 1]
    if to_zero:
        ratio = (levels[:, -1] / many.knee)[:, None, None]
        ends = (x[:, -1] + error - ratio * _weighted_memos(ahead, memos)) / (1 + ratio)
        # an evaluation at sigma_min itself is the image
        evaluated = (levels[:, -1] == levels[:, -2])[:, None, None]
        error = np.where(evaluated, image, ends) - d[:, -1]
    return Forecast(_lengths(error) / math.sqrt(probe.dim), second_order, largest_error)


def _weighted_memos(weights: Array, memos: Sequence[Array]) -> Array:
    """Return the sum of history entries (newest last) times weights ``(P, m)`` (newest first)."""
    terms = zip(weights.T[..., None, None], reversed(memos), strict=False)
    return sum((weight * memo for weight, memo in terms), np.zeros_like(memos[-1]))


def _lengths(vectors: Array) -> Array:
    """Return the Euclidean lengths of vectors along the last axis."""
    return np.sqrt(np.square(vectors).sum(-1))


def _analytic_step(many: _RuleArrays, levels: Array, weights: Array, x: Array) -> Array:
    """Return the state after a first step from ``x`` with the denoiser of Gaussian data."""
    start, knee = levels[:, 0], many.knee
    pull_to_mean = 1 - start / np.hypot(many.spread, start)
    slope = (1 - (1 + start / knee) * pull_to_mean) * knee / start
    moved = (knee + levels[:, 1]) * (1 / (knee + start) + weights[:, 0, 0] * slope)
    return moved[:, None, None] * x


def _memo_weights(many: _RuleArrays, levels: Array) -> tuple[Array, Array, Array]:
    """Return three arrays of weights of the history entries, newest first.

    1. ``(P, steps, points)``: the weights in y at the end of each step.
    2. ``(P, points)``: the weights that extrapolate the entry to the end of the last step.
    3. ``(P, steps, points + 1)``: the changes of the first by the corrector, with the weight of
       the entry at the end of the step in front.
    """
    size, steps = len(levels), levels.shape[1] - 1
    start, span = levels[:, :-1, None], np.log(levels[:, :-1] / levels[:, 1:])[..., None]
    inside = start * np.exp(-span * _NODES)
    kernel = -span * _WEIGHTS * inside / (many.knee[:, None, None] + inside) ** 2
    at, nodes = many.g(inside), many.g(levels)
    weights, ahead = np.zeros((size, steps, many.points)), np.zeros((size, many.points))
    correction = np.zeros((size, steps, many.points + 1))
    for i in range(steps):
        used = nodes[:, max(0, i + 1 - many.points) : i + 1][:, ::-1]
        count = used.shape[1]
        weights[:, i, :count] = (_lagrange_values(used, at[:, i]) * kernel[:, i, None]).sum(2)
        if many.corrected and i < steps - 1:
            both = np.concatenate([nodes[:, i + 1 : i + 2], used], 1)
            correction[:, i, : count + 1] = (
                _lagrange_values(both, at[:, i]) * kernel[:, i, None]
            ).sum(2)
            correction[:, i, 1:] -= weights[:, i]
        if i == steps - 1:
            ahead[:, :count] = _lagrange_values(used, nodes[:, -1:])[..., 0]
    return weights, ahead, correction


def _lagrange_values(nodes: Array, at: Array) -> Array:
    """Return values ``(P, m, q)`` at ``(P, q)`` of the Lagrange polynomials of ``(P, m)`` nodes."""
    gaps = at[:, None, :] - nodes[:, :, None]
    values = np.ones((*nodes.shape, at.shape[1]))
    for j in range(nodes.shape[1]):
        for other in range(nodes.shape[1]):
            if other != j:
                values[:, j] *= gaps[:, other] / (nodes[:, j] - nodes[:, other])[:, None]
    return values
