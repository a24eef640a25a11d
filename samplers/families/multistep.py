"""Multistep methods: how many earlier evaluations a step uses, and options at both ends."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from ..grid import Grid
from ..loop import GridSampler
from ..types import Denoise, Source, StepNoise
from .linear import LinearRow, jump, linear_step, memo_of
from .stages import Evaluate, LinearStages, StagesRow, run_stages

Startup = Literal["ramp", "singlestep"]
HIGHEST = 3
"""The highest order of these single steps; accurate enough to start a method of one order more."""


class StartRow(NamedTuple):
    """A single step that leaves a memo for the multistep method: p x + q d at its beginning."""

    stages: StagesRow
    p: float = 0.0
    q: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SingleStep(LinearStages):
    """The single-step method in a multistep one's weights.

    Stages at the levels cur^{1 - j/k} nxt^{j/k}, j = 1 … k - 1, each reached by the polynomial
    through all the memos before it, and the end of the step by the one through all k, are of order
    k for k = 2 and 3: at two thirds of a step the line through both ends of it is as good as a
    parabola (Radau), so the weight of the stage at one third, whose own error is of second order in
    h, vanishes with h.

    Attributes:
        method: whose weights.
        stages: evaluations a step, which is the order for 2 and 3.
    """

    name = "single_step"
    source = Source("", "stages in the multistep method's own weights", "")
    method: Multistep
    stages: int

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state at ``nxt``; each stage's state uses all memos before it."""
        levels, memos = [cur], [self._memo_at(x, denoise, cur, nxt)]
        for j in range(1, self.stages):
            level = cur ** (1 - j / self.stages) * nxt ** (j / self.stages)
            y = self._state_from_memos(x, memos, levels, level)
            memos.append(self._memo_at(y, denoise, level, nxt))
            levels.append(level)
        return self._state_from_memos(x, memos, levels, nxt)

    def _memo_at(self, y: Any, denoise: Evaluate, level: float, nxt: float) -> Any:
        row = self.method.row((level,), nxt)
        return row.p * y + row.q * denoise(y, level)

    def _state_from_memos(
        self, x: Any, memos: Sequence[Any], levels: Sequence[float], to: float
    ) -> Any:
        row = self.method.row(levels, to)
        return sum((b * memo for b, memo in zip(row.b, memos, strict=True)), row.a * x)


@dataclass(frozen=True, kw_only=True)
class Multistep(GridSampler):
    """A linear multistep method of up to ``points`` evaluations. Subclasses write :meth:`row`.

    Step i uses the evaluation that it makes and min(i, points - 1) earlier ones: orders 1, 2, … at
    the start. The step to sigma = 0 is x <- d. Libraries differ in what they do at both ends, so
    that is an option:

    Attributes:
        first: orders of the first steps, in place of 1, 2, …; never more than there are
            evaluations.
        last: orders that the last steps must not exceed, e.g. (2, 1); on a shorter grid its own
            last entries.
        analytic_first: the first step, unless it is the only one, takes eps = x / sqrt(1 + sigma²),
            the noise prediction at high noise, without an evaluation (the analytical first step of
            GENIE, arXiv:2210.05475). It assumes data of mean zero.

    Two more options make sense for some formulas only. Here they are constants; a method that has
    one declares the field, ``through_zero: bool = False`` or ``startup: Startup = "ramp"``:
        through_zero: for a formula that holds at sigma = 0: use it in the step to 0 as in any
            other.
        startup: for a :meth:`row` that is right for any distinct levels. "ramp", orders 1, 2, … in
            the first steps, as ``first`` says; or "singlestep", single steps of order k
            (:class:`SingleStep`), of k evaluations each, until there are k memos. k is the method's
            order but at most 3.
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
        if self.startup not in ("ramp", "singlestep"):
            raise ValueError(
                f"{self.name}: startup must be 'ramp' or 'singlestep', got {self.startup!r}"
            )
        if self.startup == "singlestep" and (self.first or self.analytic_first):
            raise ValueError(
                f"{self.name}: first and analytic_first are about startup "
                "'ramp'; leave them out with 'singlestep'"
            )

    @property
    def history(self) -> int:  # type: ignore[override]
        """The earlier evaluations that a step uses."""
        return self.points - 1

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Return True without an analytic first step."""
        return not self.analytic_first

    @abstractmethod
    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return the step from levels[0] to ``nxt``; evaluations are at ``levels``, newest first."""

    def order_at(self, i: int) -> int:
        """Return the order of step ``i`` far from the end of the grid."""
        ramp = min(self.first[i] if i < len(self.first) else self.points, i + 1, self.points)
        return ramp if self.startup == "ramp" else max(ramp, min(self.order or 1, HIGHEST))

    def profile(self, grid: Grid) -> list[int]:
        """Return the number of evaluations that each step uses, which is its order."""
        n = len(grid)
        orders = [self.order_at(i) for i in range(n)]
        for i, most in zip(range(n - 1, -1, -1), reversed(self.last), strict=False):
            orders[i] = min(orders[i], most)
        return [*orders[:-1], 1] if grid.to_zero and not self.through_zero else orders

    def plan(self, grid: Grid) -> list[Any]:
        """Return one row a step, of the order that the profile says."""
        rows = [self._row_at(grid, i, k) for i, k in enumerate(self.profile(grid))]
        if self._skips_first(grid):
            cur = rows[0].sigma
            rows[0] = rows[0]._replace(gain=1 - cur / math.hypot(1, cur))
        return rows

    def _row_at(self, grid: Grid, i: int, order: int) -> Any:
        """Return the jump to 0, a single step where memos are lacking, or the method's own row."""
        cur, nxt = grid.sigma[i : i + 2]
        if nxt == 0 and not self.through_zero:
            return jump(cur)
        if order > i + 1 and nxt > 0:
            memo, single = self.row((cur,), nxt), SingleStep(method=self, stages=order)
            return StartRow(single.row(cur, nxt), memo.p, memo.q)
        points = min(order, i + 1)
        return self.row(grid.sigma[i - points + 1 : i + 1][::-1], nxt)

    def step(
        self, x: Tensor, row: Any, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Tensor | None]:
        """Take a step: a :class:`StartRow` by the single-step method, else the multistep method."""
        if isinstance(row, StartRow):
            before = x.clone() if row.p else x
            x, images = run_stages(x, row.stages, denoise)
            return x, memo_of(before, images[0], row.p, row.q)
        x, memo = linear_step(x, row, past, denoise, noise)
        return x, memo if self.history else None

    def nfe(self, grid: Grid) -> int:
        """Return the evaluations: one a step, 0 in an analytic first, all stages of single steps."""
        if self.startup == "ramp":
            return len(grid) - int(self._skips_first(grid))
        starts = (row.stages.stages for row in self.plan(grid) if isinstance(row, StartRow))
        return len(grid) + sum(len(stages) - 1 for stages in starts)

    def _skips_first(self, grid: Grid) -> bool:
        """Return True if the first step is analytic; the jump to the denoised image cannot be."""
        return self.analytic_first and len(grid) > 1


@dataclass(frozen=True, kw_only=True)
class MultistepToZero(Multistep):
    """A multistep method whose formula holds at sigma = 0: it has the option ``through_zero``."""

    through_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class SelfStarting(Multistep):
    """A multistep method whose row holds for any distinct levels: it has the option ``startup``."""

    startup: Startup = "ramp"
