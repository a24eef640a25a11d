"""Search for the rules with the smallest forecast errors, and choice of one on fresh latents.

Rules whose errors on the latents of the search differ by some percent can differ by a factor of two
in the distribution of their samples. The choice therefore compares three things in turn: errors on
fresh latents, the first two moments of the samples, and the order of convergence.
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
"""Discrete parts of all rules that are searched: ``points``, ``deferred`` and ``corrected``."""

BOUNDS = np.log(
    [
        *((0.05, 100.0), (0.002, 10.0), (0.15, 12.0), (0.02, 6.0)),
        *((0.01, 2.0), (2e-4, 1.0)),
    ]
)
"""Bounds of the logarithms of knee, scale, power, exponent, first and last in the search."""

MANY = 25
"""Evaluations from which only rules of the highest order are searched, which then always win."""

MEMBERS, GENERATIONS = 12, 40
"""Differential evolution: members of the population per searched number, and generations."""
CONFIRMED = 16
"""Largest number of evaluations for which finalists are compared on fresh latents."""
TRIALS, UNCONFIRMED = 100, 2
"""Limits of the trials of rules on the model: evaluations per latent of all trials together; and,
for grids beyond :data:`CONFIRMED`, the number of rules. Without finalists on fresh latents, more
trials would fit the rule to the probe's latents.
"""
OF_EACH_ORDER, BEHIND = 2, 1.25
"""Number of finalists of each order, and their largest error relative to the best."""
FINALISTS = OF_EACH_ORDER * HIGHEST
"""Largest number of finalists: orders are 2 to ``HIGHEST + 1``."""
NEAR, MORE = 1.15, 2
"""Rules that are tried in addition to the best of each of :data:`KINDS`: their largest forecast
relative to the best, and their number per search, at equal distances in rank.
"""
DIGITS, DIGITS_OF_SPREAD = 4, 9
"""Significant digits of a rule's searched numbers, and of its spread, so that its text is short."""

HOPEFUL = 4.0
"""Largest forecast of a rule that is tried, relative to the best."""

MOSTLY = 0.7
"""Weight of the errors' geometric mean in :func:`log_mean_error`; the root mean square has the rest."""
ALLOWANCES = ((1.0, 2), (0.1, 1))
"""Penalties weight * e^power that searches add to the forecast, with e the largest error of a state
in units of the data's spread. The square estimates the terms that first order omits, and the linear
one is more careful. Each penalty has a search of its own.
"""
EXACT, HOPELESS = 1e-9, 1e6
"""Bounds to which errors are clipped, in units of the data's spread."""

Kind = tuple[int, bool, bool]
Trial = Callable[[Rule], Array]


def log_mean_error(errors: Array, spread: float) -> Array:
    """Return the log of a weighted geometric mean of two averages: geometric and root mean square.

    The geometric mean follows the median, the root mean square the few worst samples. A search that
    minimises one alone makes the other much larger.

    Args:
        errors: ``(…, K)`` >= 0; errors that are not finite count as :data:`HOPELESS`.
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

    Each of :data:`ALLOWANCES` has two searches, with and without corrector. The best rule of each
    of :data:`KINDS` and some slightly worse ones are tried, since first order ranks large steps
    roughly. ``trial`` returns the errors ``(K,)`` of a rule on the model itself. The other
    arguments are as in :func:`.forecast.forecast`.

    Returns:
        Pairs of cost and rule, at most :data:`OF_EACH_ORDER` of each order, the best first.
    """
    searched = (_search_kinds(probe, n, start, to_zero, allowance) for allowance in ALLOWANCES)
    best, near = zip(*searched, strict=True)
    in_turn = (rule for rank in zip_longest(*best, *near) for rule in rank if rule is not None)
    count = TRIALS // n if n <= CONFIRMED else UNCONFIRMED
    trials = list(islice(dict.fromkeys(in_turn), count))
    costs = [float(log_mean_error(trial(rule), probe.spread)) for rule in trials]
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
    """Return the best rule of each kind, best first, and other rules with nearly the best cost."""
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
    """Return the best rule of each kind with its cost, and :data:`MORE` rules with nearly that
    cost.

    The search is differential evolution (Storn and Price 1997) with a fixed seed.
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
            values[members] = log_mean_error(forecasts.errors + doubtful, probe.spread)
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
    """Return the rule of ``kind`` (:data:`KINDS`) and ``numbers``, ordered as :data:`BOUNDS`."""
    shortened = (float(f"{number:.{DIGITS}g}") for number in numbers)
    return Rule(*kind, float(f"{spread:.{DIGITS_OF_SPREAD}g}"), *shortened)


ALIKE = 1.2
"""Factor below which two errors count as equal in :func:`choose_rule`."""
SURE = 2.0
"""Paired standard errors by which a moment error must exceed the smallest to exclude a rule."""
LATENTS_PER_AXIS = 4
"""Latents for each principal axis along which moments are compared."""


class MomentError(NamedTuple):
    """Squared error of mean and standard deviation, in variances of the data, mean over axes.

    Attributes:
        value: the estimate, corrected for the bias of few latents, so it may be negative.
        influence: ``(K,)`` first-order influence of each latent on ``value``, with mean 0.
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

    Along an axis, the truth t has mean m and variance s², the ends x have M and S². For Gaussian
    marginals (m - M)² + (s - S)² is the squared Wasserstein distance, the part of the mean square
    error that a distribution shows. With paired latents M - m is the mean error. S - s has the
    influence ((x - M)² - S²) / 2S - ((t - m)² - s²) / 2s. The square of an estimate is too large by
    its variance, which is subtracted. The axes must come from other latents.
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
    """Return the best of the finalists.

    1. Rules within a factor :data:`ALIKE` of the smallest error (:func:`.log_mean_error`) remain.
    2. A rule whose moment error is surely larger than the smallest is dropped.
    3. Of the rest, the lowest order wins, and within an order the smallest error.

    Args:
        rules: F finalists.
        ends: ``(F, K, dim)`` samples of each rule.
        truth: ``(K, dim)`` reference samples from the same latents.
        axes: ``(dim, A)`` principal axes of the data.
        spread: standard deviation of the data.
    """
    costs = log_mean_error(np.sqrt(np.square(ends - truth).mean(-1)), spread)
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
