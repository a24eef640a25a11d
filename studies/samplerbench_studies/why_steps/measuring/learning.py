"""Measurements of row 11: grids by search and by gradient, at equal numbers of evaluations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplerbench.benchmarks.tuning import (
    TEST_IDS,
    TRAIN_IDS,
    FreeKind,
    TuningProblem,
    candidate_grids,
    power_mean,
    tuning_problem,
)
from samplerbench.models import Denoiser
from samplerbench.samplers import Grid, Sampler, make

from ...arrays import FloatArray
from ...gradient import Unrolled
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .grid_searches import (
    DESCENTS,
    NEAR,
    SEARCHES,
    Method,
    Trial,
    available,
    by_gradient,
    by_optuna,
    searched,
)

MODELS = {"gmm-2d": (192, 384), "gmm-64d": (192, 384), "digits": (24, 96)}
"""Numbers of latents for tuning and for testing, by model; the network has fewer, as it is
slower.
"""
FAST_MODELS = ("gmm-2d", "gmm-64d")
SAMPLERS = ("euler", "dpmpp_2m", "ipndm")
STEPS = 6
"""Evaluations per sample; five levels of the grid are free."""
RUNS, FAST_RUNS = 160, 60
"""Budget of a method, in runs of the sampler on each latent."""
FIRST = 5
"""Runs at the first point of a curve; the number doubles at each further point."""
POWER = 1
"""Exponent of the mean of distances: the arithmetic mean."""


class Course(NamedTuple):
    """Results of a method for a sampler on a model.

    Attributes:
        method: name of the method.
        spent: evaluations per latent at each point of the curve.
        errors: error of the best grid so far on the test latents, at each point.
        final: error of the final grid on the test latents.
        seconds: core seconds.
        levels: final levels.
    """

    method: str
    spent: Sequence[float]
    errors: Sequence[float]
    final: Interval
    seconds: float
    levels: Sequence[float]


class LearnedCase(NamedTuple):
    """Results of all methods for a sampler on a model.

    Attributes:
        model, sampler: names of model and sampler.
        start: error of the best built-in grid on the test latents, from which all methods start.
        levels: levels of that grid.
        grids: results of each method with free levels.
        coefficients: results of each method with free levels and coefficients.
    """

    model: str
    sampler: str
    start: Interval
    levels: Sequence[float]
    grids: Sequence[Course]
    coefficients: Sequence[Course]


class LearnedResult(NamedTuple):
    """Measurements of row 11; ratios are geometric means over the cases.

    Attributes:
        cases: results by sampler and model.
        missing: methods that are not installed.
        gained: error of grids by gradient over the error of built-in grids.
        against: error of grids by gradient over the error by the best search, chosen on the tuning
            latents.
        searches: error of grids by gradient over the error by each search.
        coefficients: error with coefficients by gradient over the error of the best grid.
        coefficients_searched: error with coefficients by gradient over the error with coefficients
            by search; None without a search.
        early: share of the evaluations after which the gradient reaches the final error of the best
            search; 1 if it never does.
    """

    cases: Sequence[LearnedCase]
    missing: Sequence[str]
    gained: Interval
    against: Interval
    searches: dict[str, Interval]
    coefficients: Interval
    coefficients_searched: Interval | None
    early: float


class _Found(NamedTuple):
    """Results of a method, with the distances for intervals."""

    course: Course
    train: float
    distances: FloatArray


def measure(effort: Effort) -> LearnedResult:
    """Measure row 11: all methods on all samplers and models."""
    methods, cases, found, starts = available(), [], [], []
    for name in FAST_MODELS if effort.fast else MODELS:
        model = effort.model(name)
        train, test = (
            tuning_problem(model, first, effort.samples(count, 32), 0)
            for first, count in zip((TRAIN_IDS, TEST_IDS), MODELS[name], strict=True)
        )
        for sampler in SAMPLERS:
            case, by_method, start = _case(effort, (name, sampler), train, test, methods)
            cases.append(case)
            found.append(by_method)
            starts.append(start)
    best = [_best(one, list(SEARCHES)) for one in found]
    overall = [_best(one, [*SEARCHES, *DESCENTS]) for one in found]
    learned = [one["gradient"] for one in found]
    both = [one["all by gradient"] for one in found]
    tried = [one["all by CMA-ES"] for one in found if "all by CMA-ES" in one]
    return LearnedResult(
        cases,
        [name for name in SEARCHES if name not in methods],
        ratio([one.distances for one in learned], starts),
        ratio(*(_distances(side) for side in (learned, best))),
        {
            name: ratio(*(_distances(side) for side in (learned, [one[name] for one in found])))
            for name in SEARCHES
            if name in methods
        },
        ratio(*(_distances(side) for side in (both, overall))),
        ratio(*(_distances(side) for side in (both, tried))) if tried else None,
        float(np.exp(np.mean([_early(*pair) for pair in zip(learned, best, strict=True)]))),
    )


def ratio(above: Sequence[FloatArray], below: Sequence[FloatArray]) -> Interval:
    """Return the ratio of mean distances, as a geometric mean over cases.

    The interval is over latents, which both sides share.

    Args:
        above: distances ``(n,)`` of each case, in the numerator.
        below: distances ``(n,)`` of each case, in the denominator.
    """
    most = max(map(len, above))

    def logs(rows: NDArray[np.int64]) -> float:
        logs = []
        for one, other in zip(above, below, strict=True):
            own = rows[: len(one)] % len(one)  # uniform where the most is a multiple of it
            logs.append(_log(one[own]) - _log(other[own]))
        return float(np.mean(logs))

    return Interval(*np.exp(bootstrap(logs, most)).tolist())


def _log(distances: FloatArray) -> float:
    return float(np.log(power_mean(distances, POWER)))


def _case(
    effort: Effort,
    names: tuple[str, str],
    train: TuningProblem,
    test: TuningProblem,
    methods: dict[str, Method],
) -> tuple[LearnedCase, dict[str, _Found], FloatArray]:
    """Return the case of a sampler on a model, results by method, and distances at the start."""
    model, sampler = names[0], make(names[1])
    start = starting_grid(train, sampler, train.model)
    budget = STEPS * (FAST_RUNS if effort.fast else RUNS)
    begin = partial(_found, sampler, start, train, test, budget)
    found = {name: begin("levels", name, method) for name, method in methods.items()}
    free: dict[str, Method] = {"all by gradient": by_gradient}
    if "CMA-ES" in methods:
        free["all by CMA-ES"] = partial(by_optuna, way="cma", reach=NEAR)
    more = {name: begin("both", name, method) for name, method in free.items()}
    there = test.distances(sampler, start)
    case = LearnedCase(
        model,
        names[1],
        _mean(there),
        start.sigma,
        [one.course for one in found.values()],
        [one.course for one in more.values()],
    )
    return case, found | more, there


def starting_grid(problem: TuningProblem, sampler: Sampler, model: Denoiser) -> Grid:
    """Return the best built-in grid for the evaluations of all methods.

    Grids with and without an evaluation at the lowest level are tried.
    """
    untuned, early = candidate_grids(STEPS, model)
    return min([*untuned, *early], key=lambda grid: problem.distances(sampler, grid).mean())


def _found(
    sampler: Sampler,
    start: Grid,
    train: TuningProblem,
    test: TuningProblem,
    budget: int,
    what: FreeKind,
    name: str,
    method: Method,
) -> _Found:
    """Return the results of a method from a start, and their errors on the test latents."""
    trial = Trial(Unrolled(train, sampler, start, POWER, what), budget)
    before = time.process_time()
    searched(method, trial, 0)
    seconds = time.process_time() - before
    marks = [*_doubling(FIRST * STEPS, budget), budget]
    at = [
        max((k for k, one in enumerate(trial.history) if one[0] <= mark), default=0)
        for mark in marks
    ]
    scores = {
        k: test.distances(
            trial.descent.free.sampler_at(trial.history[k][2]),
            trial.descent.free.grid(trial.history[k][2]),
        )
        for k in {*at, len(trial.history) - 1}
    }
    _, value, z = trial.history[-1]
    distances = scores[len(trial.history) - 1]
    course = Course(
        name,
        marks,
        [power_mean(scores[k], POWER) for k in at],
        _mean(distances),
        seconds,
        trial.descent.free.grid(z).sigma,
    )
    return _Found(course, value, distances)


def _doubling(first: int, end: int) -> list[int]:
    marks = []
    while first < end:
        marks.append(first)
        first *= 2
    return marks


def _mean(distances: FloatArray) -> Interval:
    return bootstrap(lambda rows: power_mean(distances[rows], POWER), len(distances))


def _best(found: dict[str, _Found], names: Sequence[str]) -> _Found:
    """Return the best result by the error on the tuning latents."""
    return min((found[name] for name in names if name in found), key=lambda one: one.train)


def _distances(found: Sequence[_Found]) -> list[FloatArray]:
    return [one.distances for one in found]


def _early(learned: _Found, best: _Found) -> float:
    """Return the log of the share of evaluations for ``learned`` to reach the end of ``best``."""
    course = learned.course
    reached = [
        spent
        for spent, error in zip(course.spent, course.errors, strict=True)
        if error <= best.course.final.value
    ]
    return float(np.log(min(reached, default=course.spent[-1]) / course.spent[-1]))
