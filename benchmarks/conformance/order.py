"""Orders of convergence, from exact start values, on two problems and two grids.

With any method, one first-order step among N steps leaves a global error of second order. So the
state is set to the exact flow after each of the first ``history`` steps. The history entries still
come from the sampler's own steps. Errors can cancel on one problem or grid. On a Gaussian they can
cancel for every N, as for the midpoint rule in sigma (docs/explanation/findings.md). So on the
Gaussian a slope may exceed the declared order.

Strong orders are measured on the mixture and a grid uniform in ln sigma. One Brownian tree has the
noise for every N. The error over paths has heavy tails, so slopes scatter by about 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import pairwise, zip_longest
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...samplers import Denoise, Grid, GridSampler, NoNoise, Sampler, Source, StepNoise, integrate
from ...samplers.brownian import BrownianNoise
from ...samplers.families.multistep import Multistep
from ...samplers.loop import cached_plan
from ..identity.sampler import CachedNoise
from ..scoring.converged_endpoints import path_limit
from .check import Check
from .problems import (
    GRIDS,
    INTERIOR,
    POINTS,
    SEED,
    ExactProblem,
    ThreeModes,
    is_single,
    problems,
    uneven_grid,
)

STEPS = (24, 48, 96, 192, 384, 768)
FLOOR = 1e-10
"""Smallest error that slopes use; below, rounding and the error of the exact flow dominate."""
FLOOR_OF_HIGH_ORDERS, FLOOR_OF_SINGLE = 3e-13, 1e-5
"""The same for orders of 5 and more, which soon pass below FLOOR, and for results in float32."""
WINDOW = 4
MARGIN = 0.25
TOLERANCES = (1e-1, 1e-3, 1e-5)
MOST_ERROR_PER_TOLERANCE = 100
"""Largest ratio of an adaptive sampler's global error to its tolerance for the error per step."""
ROWS = slice(0, 4)
"""Points of each problem from which an adaptive sampler starts."""
CORRECTED_LATER = (
    "a step alone is of lower order, and the run is of the declared one, which decides "
    "(the next evaluation corrects the step, as in PEC methods)"
)
OWN_START, UNEVEN = "order as shipped", "order, uneven steps"


@dataclass(frozen=True, kw_only=True)
class ExactStartSampler(GridSampler):
    """Grid sampler that runs ``inner`` and makes the first ``history`` states exact.

    The first rows of a batch must be the points of ``problem``; only these rows are replaced.
    """

    name = "exact_start"
    source: ClassVar[Source] = Source("", "", "")
    inner: GridSampler
    problem: ExactProblem

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of history entries that a step of the inner sampler reads."""
        return self.inner.history

    def plan(self, grid: Grid) -> list[tuple[Any, Tensor | None]]:
        """Return for each step the inner plan's row, and the exact state after the step or None."""
        truths = [self.problem.truth(s) for s in grid.sigma[1 : self.history + 1]]
        return list(zip_longest(cached_plan(self.inner, grid), truths))

    def step(
        self, x: Tensor, row: Any, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Take the inner step, and replace the state by the exact state if the row has one."""
        inner_row, exact = row
        x, entry = self.inner.step(x, inner_row, past, denoise, noise)
        return x if exact is None else torch.cat([exact, x[len(exact) :]]), entry


def order_with_options(sampler: Sampler) -> int | None:
    """Return the least order that the options ``last`` and ``analytic_first`` leave; None if undeclared."""
    if sampler.order is None or not isinstance(sampler, Multistep):
        return sampler.order
    # one last step of order k errs by h^(k + 1)
    limits = [k + 1 for k in sampler.last] + [1] * sampler.analytic_first
    return min(sampler.order, *limits) if limits else sampler.order


def check_order(sampler: Sampler, *, fast: bool) -> Iterator[Check]:
    """Yield checks of the order of whole runs, single steps, plain runs, and uneven steps.

    Whole runs from exact start values need the declared order (:func:`order_with_options`). Single
    steps should have one order more, but cannot fail if whole runs pass, or if the sampler chooses
    its grid. Plain runs, with the sampler's own first steps, need the declared order, but at most 2.
    Uneven steps, of alternating length, need order 1. Orders may be off by :data:`MARGIN`. A sampler
    without a declared order cannot fail.
    """
    _prepare_truths(getattr(sampler, "history", 0))
    pairs = [(problem, grid) for problem in problems() for grid in GRIDS]
    if fast:
        pairs = [pairs[0], pairs[3]]
    table = {
        f"{problem.name}/{grid}": _errors_and_slopes(sampler, problem, GRIDS[grid])
        for problem, grid in pairs
    }
    slopes = {key: entry["slope"] for key, entry in table.items()}
    local = {key: entry["local_slope"] for key, entry in table.items()}
    shipped = {key: entry["as_shipped_slope"] for key, entry in table.items()}
    gaussian = _errors_and_slopes(sampler, problems()[0], uneven_grid)
    order = order_with_options(sampler)
    is_least = order != sampler.order
    right = order is None or all(
        order - MARGIN < slope < order + MARGIN
        or (slope >= order and (is_least or not key.startswith(ThreeModes.name)))
        or slope == math.inf
        for key, slope in slopes.items()
    )
    # if the sampler chooses its grid, the first step depends on the number of steps
    measurable = order is not None and not sampler.own_grid
    least = order + 1 if order is not None else math.nan
    enough = not measurable or all(slope > least - MARGIN for slope in local.values())
    decided = measurable and right and not enough  # later steps correct the error of a single step
    declared = "none declared" if order is None else f"declared {order}"
    if is_least:
        declared = f"at least {order} with these options, declared {sampler.order} without"
    detail = f"{range_in_words(slopes.values())}, {declared}"
    if math.inf in slopes.values():
        detail += f" (inf: no error above rounding at {STEPS[1]} steps, so no order is measured)"
    yield Check("order", right, detail, table, asserted=order is not None)
    detail, judged = range_in_words(local.values()), measurable and not decided
    if measurable:
        detail += (
            f", {least} usual: {CORRECTED_LATER}" if decided else f", at least {least} expected"
        )
    yield Check("local order", enough or decided, detail, local, asserted=judged)
    detail = f"{range_in_words(shipped.values())} with its own start-up"
    if order is not None:
        detail += f", at least {min(order, 2)} expected"
    enough = order is None or all(slope > min(order, 2) - MARGIN for slope in shipped.values())
    yield Check(OWN_START, enough, detail, shipped, asserted=order is not None)
    detail = f"{gaussian['slope']:.2f} on steps that alternate as 1 to 2"
    falls = order is None or gaussian["slope"] > 1 - MARGIN
    if not falls:
        detail += ": the error does not fall as it must for any method"
    yield Check(UNEVEN, falls, detail, gaussian, asserted=not falls)


@cache
def _prepare_truths(history: int) -> None:
    """Compute and cache exact states for order checks: after first steps, and at the end."""
    grids = [grid(n).sigma for grid in (*GRIDS.values(), uneven_grid) for n in STEPS]
    levels = [level for sigma in grids for level in (*sigma[1 : max(history, 3) + 2], sigma[-1])]
    for problem in problems():
        problem.prepare(levels)


def _errors_and_slopes(
    sampler: Sampler, problem: ExactProblem, schedule: Callable[[int], Grid]
) -> dict[str, Any]:
    """Return errors by number of steps, until they reach rounding level, and their slopes."""
    rows, floor = [], FLOOR_OF_HIGH_ORDERS if (sampler.order or 0) > 4 else FLOOR
    coarse = _sample_from_start(sampler, problem, schedule(STEPS[0]))
    if is_single(coarse):
        floor = FLOOR_OF_SINGLE
    for n in STEPS:
        rows.append(_errors_on_grid(sampler, problem, schedule(n)))
        if not max(rows[-1][0], rows[-1][2]) > floor:
            break
    steps, kinds = list(STEPS[: len(rows)]), ("", "local_", "as_shipped_")
    errors = dict(zip(kinds, map(list, zip(*rows, strict=True)), strict=True))
    return {
        "N": steps,
        **{f"{kind}error": values for kind, values in errors.items()},
        **{f"{kind}slope": slope(steps, values, floor) for kind, values in errors.items()},
    }


def _errors_on_grid(
    sampler: Sampler, problem: ExactProblem, grid: Grid
) -> tuple[float, float, float]:
    """Return three errors: of a run from exact states, of one step after them, of a plain run."""
    truth = problem.truth(grid.sigma[-1])
    if not isinstance(sampler, GridSampler):
        error = rms(_sample_from_start(sampler, problem, grid), truth)
        first = _sample_from_start(sampler, problem, Grid(grid.sigma[:2]))
        return error, rms(first, problem.truth(grid.sigma[1])), error
    local = math.nan

    def watch(i: int, level: float, x: Tensor) -> None:
        nonlocal local
        if i == sampler.history:
            local = rms(x[:POINTS], problem.truth(level))

    # run the points without exact states too, in the same batch if rows are independent
    plain = type(sampler).sample is GridSampler.sample
    both = sampler.history > 0 and not sampler.batch_coupled and plain
    start = torch.cat([problem.start] * (1 + both))
    exact = ExactStartSampler(inner=sampler, problem=problem)
    end = integrate(exact, problem, start, grid, NoNoise(), on_step=watch)
    error = rms(end[:POINTS], truth)
    if both:
        return error, local, rms(end[POINTS:], truth)
    if not sampler.history:
        return error, local, error
    return error, local, rms(_sample_from_start(sampler, problem, grid), truth)


def _sample_from_start(sampler: Sampler, problem: ExactProblem, grid: Grid) -> Tensor:
    return sampler.sample(problem, problem.start.clone(), grid, NoNoise())


def rms(x: Tensor, truth: Tensor) -> float:
    """Return the root mean square of ``x`` - ``truth`` over points and dimensions."""
    return float((x - truth).square().mean().sqrt())


def slope(steps: Sequence[int], errors: Sequence[float], floor: float = FLOOR) -> float:
    """Return the measured order: minus the slope of log error against log N.

    The line is fitted to the last four finite errors above ``floor``. The result is NaN if the last
    error is not finite. With fewer than two such errors, it is inf if the last error is at most
    ``floor``, else NaN.
    """
    if not math.isfinite(errors[-1]):
        return math.nan
    pairs = zip(steps, errors, strict=True)
    points = [(math.log(n), -math.log(e)) for n, e in pairs if floor < e < math.inf][-WINDOW:]
    if len(points) < 2:
        return math.inf if errors[-1] <= floor else math.nan
    n, e = np.array(points).T
    return float(np.polyfit(n, e, 1)[0])


def range_in_words(orders: Iterable[float], digits: int = 2) -> str:
    """Return the range of orders in words, such as ``2.97 to 3.01``, or a single number."""
    values = list(orders)
    ends = np.min(values), np.max(values)
    return " to ".join(dict.fromkeys(f"{end:.{digits}f}" for end in ends))


def check_tolerance(sampler: Sampler) -> list[Check]:
    """Check that the smallest tolerance has the smallest error, and one near the tolerance.

    It may be :data:`MOST_ERROR_PER_TOLERANCE` times as large.
    """
    names = [f.name for f in fields(sampler) if f.name in ("rtol", "atol", "tol")]
    if not names:
        return [Check("tolerance", False, "an adaptive sampler needs a field rtol, atol or tol")]
    grid = Grid(INTERIOR[::-1])
    errors: dict[str, list[float]] = {}
    for problem in problems():
        truth = problem.truth(grid.sigma[-1])[ROWS]
        stricter = [replace(sampler, **dict.fromkeys(names, tolerance)) for tolerance in TOLERANCES]
        errors[problem.name] = [
            rms(strict.sample(problem, problem.start[ROWS].clone(), grid, NoNoise()), truth)
            for strict in stricter
        ]
    falls = all(values[-1] < min(values[:-1]) for values in errors.values())
    most = MOST_ERROR_PER_TOLERANCE * TOLERANCES[-1]
    is_near = all(values[-1] < most for values in errors.values())
    detail = "; ".join(f"{name} {_errors_in_words(values)}" for name, values in errors.items())
    detail = f"errors at {_errors_in_words(TOLERANCES)}: {detail}"
    return [Check("tolerance", falls and is_near, detail, {"tolerance": TOLERANCES, **errors})]


def _errors_in_words(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.0e}" for value in values)


PATHS = 512
PATH_STEPS = (16, 32, 64, 128)
LOG2_LIMIT_STEPS = 8
"""log2 of the number of steps for the limit of the reverse SDE.

The limit's error is 4e-4, a twentieth of the error of first-order methods at 256 steps.
"""


def check_strong(sampler: Sampler) -> Iterator[Check]:
    """Check that the slope of the pathwise error against N is near the declared strong order.

    The error is the distance to the exact solution of the reverse SDE on the same Brownian paths.
    Without a declared order, the check only reports two orders: one of this error, and one of the
    change of samples from N to 2 N steps. Samplers for few-step maps get no check.
    """
    if sampler.for_maps:
        return
    declared = sampler.strong_order
    ends = [_end_on_paths(sampler, n) for n in PATH_STEPS]
    errors = [rms(end, _limit_on_paths()) for end in ends]
    order = slope(PATH_STEPS, errors)
    data: dict[str, Any] = {"N": PATH_STEPS, "error": errors, "to_reverse_sde": order}
    if declared is not None:
        data["strong_order"], close = order, abs(order - declared) < MARGIN
        yield Check("strong order", close, f"{order:.2f}, declared {declared:g}", data)
        return
    ends.append(_end_on_paths(sampler, 2 * PATH_STEPS[-1]))
    moves = [rms(end, finer) for end, finer in pairwise(ends)]
    own = slope(PATH_STEPS, moves)
    data |= {"strong_order": own, "own_limit": moves}
    detail = (
        f"{own:.2f} towards its own limit, {order:.2f} towards the reverse SDE's, none declared"
    )
    yield Check("strong order", True, detail, data, asserted=False)


@cache
def _shared_paths() -> tuple[BrownianNoise, CachedNoise]:
    paths = BrownianNoise(SEED, torch.arange(PATHS), (2,), INTERIOR[1], INTERIOR[0], torch.float64)
    return paths, CachedNoise(paths, of_levels=True)  # most samplers draw over the same intervals


def _end_on_paths(sampler: Sampler, n: int) -> Tensor:
    """Return samples ``(PATHS, 2)`` of the mixture after ``n`` steps on the shared paths."""
    noise, grid = _shared_paths()[1], GRIDS["uniform_lambda"](n)
    return sampler.sample(problems()[1], INTERIOR[1] * noise.initial(), grid, noise)


@cache
def _limit_on_paths() -> Tensor:
    """Return accurate end states ``(PATHS, 2)`` of the reverse SDE on the shared paths."""
    paths, _ = _shared_paths()
    return path_limit(problems()[1], paths.tree, INTERIOR[1] * paths.initial(), LOG2_LIMIT_STEPS)
