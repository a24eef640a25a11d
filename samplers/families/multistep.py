"""Multistep methods, with options for the orders of their first and last steps.

Adams-Bashforth methods split dx/dsigma = (x - d) / sigma, with d the denoised image, into a linear
part, which is solved exactly, and a slowly varying rest m. Steps leave its values at evaluations,
the history entries, for later steps. With u a function of the level,

    x(nxt) = decay x(cur) + integral over the step of kernel m du,

and the polynomial in u through the last k values of m gives a method of order k on any grid. The
choice of m, u and the linear part makes the family (:class:`ChangeOfVariables`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from ..base import check_choice
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import monomial_weights
from ..types import Denoise, StepNoise
from .linear import LinearRow, compute_history_entry, jump, linear_step
from .stages import Evaluate, StagesRow, run_stages, trace_step

Startup = Literal["ramp", "singlestep"]
HIGHEST = 3
"""Highest order of the single steps that start a multistep method, also one of order 4."""


class StartRow(NamedTuple):
    """Coefficients ``stages`` of a single step that starts a multistep method.

    Its history entry is p x + q d, with x and d the state and the denoised image at its beginning.
    """

    stages: StagesRow
    p: float = 0.0
    q: float = 1.0


def start_row(method: Multistep, stages: int, cur: float, nxt: float) -> StartRow:
    """Return a single step that starts a multistep method, with the multistep method's weights.

    With k = ``stages``, evaluations are at the levels cur^{1 - j/k} nxt^{j/k}, j = 0 … k - 1. After
    each evaluation, the polynomial through the step's entries p x + q d gives the state at the next
    level, and finally at nxt. The order is k for k = 2 and 3. For k = 3, the entry at 1/3 of the
    step has an error of second order in the step length h. Its weight vanishes with h, since the
    line through the entries at 0 and 2/3 integrates as well as a parabola (Radau).
    """
    levels = [cur ** (1 - j / stages) * nxt ** (j / stages) for j in range(stages)]

    def update(x: Any, denoise: Evaluate) -> Any:
        y, entries = x, []
        for level, to in pairwise([*levels, nxt]):
            own = method.row((level,), nxt)
            entries.append(own.p * y + own.q * denoise(y, level))
            row = method.row(levels[: len(entries)], to)
            y = sum((b * entry for b, entry in zip(row.b, entries, strict=True)), row.a * x)
        return y

    first = method.row((cur,), nxt)
    return StartRow(trace_step(update), first.p, first.q)


@dataclass(frozen=True, kw_only=True)
class Multistep(GridSampler):
    """Base class of linear multistep methods on ``points`` evaluations; define :meth:`row`.

    Step i (from 0) combines its own evaluation with the min(i, points - 1) evaluations before it.
    So the orders are 1, 2, …, points. The step to sigma = 0 is x <- d, of order 1. Libraries differ
    in their first and last steps, so options change these:

    Attributes:
        first: orders of steps 0, 1, … in place of 1, 2, …. Larger ones are reduced to the number of
            evaluations so far, and to ``points``.
        last: largest orders of the last steps: with (2, 1), the last step has order 1 and the step
            before at most 2. On a grid of fewer steps, entries at the front are ignored. ``order``
            is the order without ``last``. A last step of order k to a positive level leaves at most
            k + 1.
        analytic_first: True leaves out the evaluation of the first of two or more steps. Instead
            eps = x / sqrt(1 + sigma²), which is right at high noise for data of mean zero. This is
            the analytical first step of GENIE, arXiv:2210.05475. ``order`` is the order without
            it. The error of this eps leaves order 1.

    Two more options suit some formulas only. They are constants here, and fields of the subclasses
    that offer them, ``through_zero: bool = False`` and ``startup: Startup = "ramp"``:
        through_zero: True makes the step to 0 by the formula, which must hold at sigma = 0.
        startup: "ramp" begins with the orders 1, 2, … or ``first``. With "singlestep" the first
            k - 1 steps have order k, by k evaluations each (:func:`start_row`). k is the
            method's order, at most 3. Then :meth:`row` must be right for any distinct levels.
    """

    points: ClassVar[int]
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    analytic_first: bool = False
    through_zero = False
    startup = "ramp"

    def __post_init__(self) -> None:
        for name, orders in (("first", self.first), ("last", self.last)):
            if not all(isinstance(k, int) and k >= 1 for k in orders):
                raise ValueError(
                    f"{self.name}: {name} must list orders >= 1, such as (1, 2), got {orders}"
                )
        check_choice(self, "startup", "ramp", "singlestep")
        if self.startup == "singlestep" and (self.first or self.analytic_first):
            raise ValueError(
                f"{self.name}: first and analytic_first are about startup "
                "'ramp'; leave them out with 'singlestep'"
            )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Largest number of earlier evaluations that a step uses."""
        return self.points - 1

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """True if the first step is not analytic."""
        return not self.analytic_first

    @abstractmethod
    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return the coefficients of the step from ``levels[0]`` to ``nxt``.

        It combines the history entries at ``levels``, newest first (:class:`.LinearRow`).
        """

    def order_at(self, i: int) -> int:
        """Return the order of step ``i``, from 0, unless ``last`` or a step to 0 lowers it."""
        ramp = min(self.first[i] if i < len(self.first) else self.points, i + 1, self.points)
        return ramp if self.startup == "ramp" else max(ramp, min(self.order or 1, HIGHEST))

    def profile(self, grid: Grid) -> list[int]:
        """Return the order of each step: the number of evaluations, old and new, that it uses."""
        orders = lower_last([self.order_at(i) for i in range(len(grid))], self.last)
        if grid.to_zero:  # a step to 0 has no single steps at its start
            return [*orders[:-1], min(orders[-1], len(grid)) if self.through_zero else 1]
        return orders

    def plan(self, grid: Grid) -> list[Any]:
        """Return the coefficients of each step, which has the order that :meth:`profile` says."""
        rows: list[Any] = []
        for i, order in enumerate(self.profile(grid)):
            cur, nxt = grid.sigma[i : i + 2]
            if nxt == 0 and not self.through_zero:
                rows.append(jump(cur))
            elif order > i + 1 and nxt > 0:
                rows.append(start_row(self, order, cur, nxt))
            else:
                first = max(i + 1 - order, 0)
                rows.append(self.row(grid.sigma[first : i + 1][::-1], nxt))
        if self._skips_first(grid):
            cur = rows[0].sigma
            rows[0] = rows[0]._replace(gain=1 - cur / math.hypot(1, cur))
        return rows

    def step(
        self, x: Tensor, row: Any, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Tensor | None]:
        """Return the next state, and the history entry p x + q d; None if history is 0."""
        if isinstance(row, StartRow):
            before = x.clone() if row.p else x
            x, images = run_stages(x, row.stages, denoise)
            return x, compute_history_entry(before, images[0], row.p, row.q)
        x, entry = linear_step(x, row, past, denoise, noise)
        return x, entry if self.history else None

    def nfe(self, grid: Grid) -> int:
        """Return the evaluations per sample: 1 a step, 0 for an analytic one, k for k stages."""
        if self.startup == "ramp":
            return len(grid) - int(self._skips_first(grid))
        starts = (row.stages.stages for row in self.plan(grid) if isinstance(row, StartRow))
        return len(grid) + sum(len(stages) - 1 for stages in starts)

    def _skips_first(self, grid: Grid) -> bool:
        """Return True if the first step makes no evaluation; False on a grid of one step."""
        return self.analytic_first and len(grid) > 1


def lower_last(orders: list[int], most: Sequence[int]) -> list[int]:
    """Return ``orders``, the last ones at most ``most``: [3, 3, 3] and (2, 1) give [3, 2, 1]."""
    limits = [*[max(orders)] * len(orders), *most][-len(orders) :]
    return list(map(min, orders, limits))


@dataclass(frozen=True, kw_only=True)
class MultistepToZero(Multistep):
    """Base class of multistep methods with the option ``through_zero``: a step to 0 by formula."""

    through_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class SelfStarting(Multistep):
    """Base class of multistep methods with the option ``startup``: first steps by single steps."""

    startup: Startup = "ramp"


class ChangeOfVariables(Protocol):
    """Change of variables of the probability-flow ODE; define :meth:`variable` and :meth:`moments`.

    A history entry is what a step leaves for later steps: the denoised image d, or scale (x - c d).
    c and scale are functions of the level. By default the entry is eps = (x - d) / sigma, which is
    dx/dsigma.
    """

    def entry_coefficients(self, sigma: float) -> tuple[float, float] | None:
        """Return (c, scale) at ``sigma``, where the entry is scale (x - c d); None if it is d."""
        return 1.0, 1 / sigma

    def decay(self, cur: float, nxt: float) -> float:  # noqa: ARG002
        """Return the weight of the state in a step, from the exact solution of the linear part."""
        return 1.0

    @abstractmethod
    def variable(self, sigma: float) -> float:
        """Return u at ``sigma``: the variable in which the entry is taken as a polynomial."""

    @abstractmethod
    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return the integrals of kernel (u - u(cur))^k / k! over the step, k = 0 … ``count`` - 1.

        The kernel is the weight of the entry in the exact solution x(nxt).
        """


def adams_row(form: ChangeOfVariables, levels: Sequence[float], nxt: float) -> LinearRow:
    """Return the coefficients of the step from ``levels[0]`` to ``nxt``, on entries at ``levels``.

    Steps store an entry of :class:`ChangeOfVariables` without scale, as x - c d or d; the weights include it.
    """
    cur = levels[0]
    weights = history_weights(form, levels, cur, form.moments(cur, nxt, len(levels)))
    pairs = [form.entry_coefficients(level) for level in levels]
    if pairs[0] is None:
        return LinearRow(cur, form.decay(cur, nxt), tuple(weights))
    scaled = tuple(w * pair[1] for w, pair in zip(weights, pairs, strict=True) if pair)
    return LinearRow(cur, form.decay(cur, nxt), scaled, p=1.0, q=-pairs[0][0])


def history_weights(
    form: ChangeOfVariables, levels: Sequence[float], cur: float, moments: Sequence[float]
) -> list[float]:
    """Return weights w_j with sum_j w_j m_j = L[p], with m_j the history entry at ``levels[j]``.

    p is the polynomial through the entries, in u = ``form.variable``. L is a linear functional,
    such as an integral over the step. ``moments[k]`` is its value L[(u - u(cur))^k / k!].
    """
    origin = form.variable(cur)
    return monomial_weights([form.variable(level) - origin for level in levels], moments)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforth(Multistep, ChangeOfVariables):
    """Base class of Adams-Bashforth samplers; define :meth:`variable` and :meth:`moments`."""

    startup: Startup = "ramp"

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return the step from ``levels[0]`` to ``nxt`` on entries at ``levels`` (newest first)."""
        return adams_row(self, levels, nxt)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforthToZero(AdamsBashforth):
    """Base class of Adams-Bashforth samplers with ``through_zero``: a step to 0 by formula."""

    through_zero: bool = False
