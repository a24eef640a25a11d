"""Rules with the smallest forecast errors, a trial of the best, and a choice on fresh latents.

Rules of few steps that differ by some percent on the latents of the search can differ by a factor
of two in the distribution of their samples. So the distance on fresh latents decides only what it
can tell apart; then the first two moments of the samples, and then a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice, product, zip_longest
from typing import NamedTuple

import numpy as np

from .forecast import forecast
from .probe import Array, ProbeData
from .rule import Rule

HIGHEST = 4
KINDS = tuple(
    (points, deferred, corrected)
    for corrected, points, deferred in product((False, True), range(1, HIGHEST + 1), (False, True))
    if points > 1 or corrected
)
"""``points``, ``deferred`` and ``corrected``."""

BOUNDS = np.log(
    [
        *((0.05, 100.0), (0.002, 10.0), (0.15, 12.0), (0.02, 6.0)),
        *((0.01, 2.0), (2e-4, 1.0)),
    ]
)
"""Bounds of knee, scale, power, exponent, first and last, all searched in logarithm."""

MANY = 25
"""Evaluations from which on only the most points are searched, which then always win."""

MEMBERS, GENERATIONS = 12, 40
"""Members of the population for each number that is searched, and generations."""
CONFIRMED = 16
"""Evaluations up to which finalists are tried on other latents."""
TRIALS, UNCONFIRMED = 100, 2
"""Evaluations per latent for trials of the best rules of all kinds, together; and the number of
rules that are tried beyond :data:`CONFIRMED`, where more would be chosen for the probe's latents
alone.
"""
OF_EACH_ORDER, BEHIND = 2, 1.25
"""Rules of each order that are left after that, and their largest cost relative to the best."""
FINALISTS = OF_EACH_ORDER * HIGHEST
"""At most: orders are 2 to ``HIGHEST + 1``."""
NEAR, MORE = 1.15, 2
"""Largest forecast of a rule relative to the best of a search, and the number of such rules that
are tried, at equal distances in rank, in addition to the best of each kind.
"""
DIGITS, DIGITS_OF_SPREAD = 4, 9
"""Significant digits of a rule's numbers, so that its text is short."""

HOPEFUL = 4.0
"""Largest forecast of a rule that is tried, relative to the best."""

MOSTLY = 0.7
"""Weight of the typical sample in the cost; the rest belongs to the worst."""
ALLOWANCES = ((1.0, 2), (0.1, 1))
"""Allowances for states that stray on their way, in units of the data's spread: a weight, and a
power. First order leaves out what is of second, so the first is right in principle; the second is
the more careful. Each has a search of its own.
"""
EXACT, HOPELESS = 1e-9, 1e6
"""Errors are counted as no smaller and no larger than this, in units of the data's spread."""

Kind = tuple[int, bool, bool]
Trial = Callable[[Rule], Array]


def cost_of(errors: Array, spread: float) -> Array:
    """Return the log of the weighted geometric mean of the errors' geometric and root mean square.

    The first follows the median, the second the few samples that bend most; either alone buys a
    little of itself with much of the other.

    Args:
        errors: ``(…, K)`` >= 0; what is not finite counts as hopeless.
        spread: standard deviation of the data.

    Returns:
        ``(…)``.
    """
    size = np.clip(np.nan_to_num(errors / spread, nan=HOPELESS, posinf=HOPELESS), EXACT, HOPELESS)
    typical, worst = np.log(size).mean(-1), 0.5 * np.log(np.square(size).mean(-1))
    return MOSTLY * typical + (1 - MOSTLY) * worst


def best_rule(probe: ProbeData, n: int, start: float, *, to_zero: bool) -> Rule:
    """Return the rule for ``n`` evaluations from ``start`` with the smallest forecast error."""
    return _search_kinds(probe, n, start, to_zero, ALLOWANCES[0])[0][0]


def find_finalists(
    probe: ProbeData, n: int, start: float, *, to_zero: bool, trial: Trial
) -> list[tuple[float, Rule]]:
    """Search rules, try the best on the model, and return the best of these with their costs.

    Each of :data:`ALLOWANCES` has two searches, with and without correction. Of each, the best of
    every kind are tried, and some that are little worse: large steps are beyond first order.
    ``trial`` gives the errors ``(K,)`` of a rule on the model itself. At most :data:`OF_EACH_ORDER`
    of each order are left, the best first. The other arguments are as in
    :func:`.forecast.forecast`.
    """
    searched = (_search_kinds(probe, n, start, to_zero, allowance) for allowance in ALLOWANCES)
    best, near = zip(*searched, strict=True)
    in_turn = (rule for rank in zip_longest(*best, *near) for rule in rank if rule is not None)
    count = TRIALS // n if n <= CONFIRMED else UNCONFIRMED
    trials = list(islice(dict.fromkeys(in_turn), count))
    costs = [float(cost_of(trial(rule), probe.spread)) for rule in trials]
    ranked = sorted(zip(costs, trials, strict=True))
    close = [(cost, rule) for cost, rule in ranked if cost <= ranked[0][0] + math.log(BEHIND)]
    return [
        (cost, rule)
        for i, (cost, rule) in enumerate(close)
        if sum(other.order == rule.order for _, other in close[:i]) < OF_EACH_ORDER
    ]


def _search_kinds(
    probe: ProbeData, n: int, start: float, to_zero: bool, allowance: tuple[float, int]
) -> tuple[list[Rule], list[Rule]]:
    """Return the best rule of each hopeful kind, the best first, and some close to it."""
    parts = [
        _search_parameters(probe, n, start, to_zero, allowance, corrected)
        for corrected in (False, True)
    ]
    best = sorted(best for best_of, _ in parts for best in best_of.values())
    hopeful = [rule for cost, rule in best if cost <= best[0][0] + math.log(HOPEFUL)]
    return hopeful, [
        rule for rank in zip(*(near for _, near in parts), strict=True) for rule in rank
    ]


def _search_parameters(
    probe: ProbeData,
    n: int,
    start: float,
    to_zero: bool,
    allowance: tuple[float, int],
    corrected: bool,
) -> tuple[dict[Kind, tuple[float, Rule]], list[Rule]]:
    """Return the best rule of each kind and its cost, and :data:`MORE` others.

    By differential evolution (Storn and Price 1997) from fixed random numbers.
    """
    from scipy.optimize import differential_evolution  # here: few runs have a use for it

    fewest = HIGHEST if n >= MANY else 2
    kinds = [
        kind
        for kind in KINDS
        if kind[2] == corrected and fewest - corrected <= kind[0] <= max(2, n)
    ]
    best_of: dict[Kind, tuple[float, Rule]] = {}
    costed_rules: list[tuple[float, Rule]] = []
    weight, power = allowance

    def costs(population: Array) -> Array:
        """Return the costs of the population ``(numbers, members)``."""
        kind_of, numbers = population[0].astype(int), np.exp(population[1:].T)
        values = np.empty(len(kind_of))
        for i in np.unique(kind_of):
            members = np.flatnonzero(kind_of == i)
            rules = [_rule_of_numbers(kinds[i], probe.spread, numbers[j]) for j in members]
            forecasts = forecast(probe, rules, n, start, to_zero=to_zero)
            largest_error = np.minimum(forecasts.largest_error / probe.spread, HOPELESS) ** power
            doubtful = forecasts.second_order + weight * probe.spread * largest_error
            values[members] = cost_of(forecasts.errors + doubtful, probe.spread)
            costed = list(zip(values[members].tolist(), rules, strict=True))
            costed_rules.extend(costed)
            best_of[kinds[i]] = min([*costed, best_of.get(kinds[i], costed[0])])
        return values

    differential_evolution(
        costs,
        [(0, len(kinds) - 1e-9), *BOUNDS],
        vectorized=True,
        updating="deferred",
        popsize=MEMBERS,
        maxiter=GENERATIONS,
        polish=False,
        rng=0,
    )
    costed_rules.sort()
    near = [rule for cost, rule in costed_rules if cost <= costed_rules[0][0] + math.log(NEAR)]
    return best_of, [near[len(near) * i // (MORE + 1)] for i in range(1, MORE + 1)]


def _rule_of_numbers(kind: Kind, spread: float, numbers: Array) -> Rule:
    """Return the rule of a kind with these numbers, in the order of :data:`BOUNDS`."""
    shortened = (float(f"{number:.{DIGITS}g}") for number in numbers)
    return Rule(*kind, float(f"{spread:.{DIGITS_OF_SPREAD}g}"), *shortened)


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
    """Compare mean and standard deviation of paired ends ``(K, dim)`` along axes ``(dim, A)``.

    Along an axis, let s² be the variance of the truth, and S² of the ends. For Gaussian marginals
    (m - M)² + (s - S)² is the squared Wasserstein distance, the part of the mean square error that
    a distribution shows. With paired latents M - m is the mean error, and S - s has the influence
    ((x - M)² - S²) / 2S - ((t - m)² - s²) / 2s. The square of an estimate is too large by its
    variance, which is taken off. The axes are of other latents.
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
