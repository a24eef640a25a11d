"""Multistep methods that can begin with single steps of the needed order, in place of steps of first and second order.

A multistep method is a polynomial through memos, integrated over the step. Nothing demands that these be memos of earlier steps: at levels
inside the step they make a single-step method out of the same weights. Stages at the levels cur^{1 - j/k} nxt^{j/k}, j = 1 … k - 1, each
reached by the polynomial through all the memos before it, and the end of the step by the one through all k, are of order k for k = 2
and 3: at two thirds of a step the line through both ends of it is as good as a parabola (Radau), so the weight of the stage at one third,
whose own error is of second order in h, vanishes with h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from ..base import LinearRow, memo_of
from ..grid import Grid
from ..types import Denoise, StepNoise
from .multistep import Multistep
from .stages import Evaluate, LinearStages, StagesRow, run_stages


class StartRow(NamedTuple):
    """A single step that leaves a memo for the multistep method: p x + q d at its beginning."""

    stages: StagesRow
    p: float = 0.0
    q: float = 1.0


def start_step(x: Tensor, row: StartRow, denoise: Denoise) -> tuple[Tensor, Tensor]:
    """Apply the row, in place of ``x``: the next state, and the memo."""
    before = x.clone() if row.p else x
    x, seen = run_stages(x, row.stages, denoise)
    return x, memo_of(before, seen[0], row.p, row.q)


@dataclass(frozen=True, kw_only=True)
class SelfStarting(Multistep):
    """A multistep method whose :meth:`row` is right for any distinct levels, the first of them where the step starts.

    Attributes:
        startup: "ramp", orders 1, 2, … in the first steps, as ``first`` says; or "singlestep", single steps of order k (see above), of k
            evaluations each, until there are k memos. k is the method's order but at most 3: a step of order k is accurate enough to start
            a method of order k + 1.
    """

    startup: Literal["ramp", "singlestep"] = "ramp"
    HIGHEST: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.startup not in ("ramp", "singlestep"):
            raise ValueError(f"{self.name}: startup must be 'ramp' or 'singlestep', got {self.startup!r}")
        if self.startup == "singlestep" and (self.first or self.analytic_first):
            raise ValueError(f"{self.name}: first and analytic_first are about startup 'ramp'; leave them out with 'singlestep'")

    def order_at(self, i: int) -> int:
        """At least the order of the single steps, from the first step on."""
        ramp = super().order_at(i)
        return ramp if self.startup == "ramp" else max(ramp, min(self.order or 1, self.HIGHEST))

    def row_at(self, grid: Grid, i: int, order: int) -> LinearRow | StartRow:
        """A single step where the memos of earlier steps do not suffice, unless it goes to 0."""
        cur, nxt = grid.sigma[i : i + 2]
        if order <= i + 1 or nxt == 0:
            return super().row_at(grid, i, min(order, i + 1))
        memo = self.row((cur,), nxt)
        return StartRow(SingleStep(method=self, stages=order).row(cur, nxt), memo.p, memo.q)

    def nfe(self, grid: Grid) -> int:
        """The stages of single steps are counted as what they are."""
        return super().nfe(grid) + sum(len(row.stages.stages) - 1 for row in self.plan(grid) if isinstance(row, StartRow))

    def step(self, x: Tensor, row: Any, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise) -> tuple[Tensor, Tensor | None]:
        """A single step, or one of the multistep method."""
        return start_step(x, row, denoise) if isinstance(row, StartRow) else super().step(x, row, past, denoise, noise)


@dataclass(frozen=True, kw_only=True)
class SingleStep(LinearStages):
    """The single-step method in a multistep one's weights.

    Attributes:
        method: whose weights.
        stages: evaluations a step, which is the order for 2 and 3.
    """

    name: ClassVar[str] = "single_step"
    method: Multistep
    stages: int

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Every state from all memos before it."""
        levels, memos = [cur], [self._memo(x, denoise, cur, nxt)]
        for j in range(1, self.stages):
            level = cur ** (1 - j / self.stages) * nxt ** (j / self.stages)
            memos.append(self._memo(self._state(x, memos, levels, level), denoise, level, nxt))
            levels.append(level)
        return self._state(x, memos, levels, nxt)

    def _memo(self, y: Any, denoise: Evaluate, level: float, nxt: float) -> Any:
        row = self.method.row((level,), nxt)
        return row.p * y + row.q * denoise(y, level)

    def _state(self, x: Any, memos: Sequence[Any], levels: Sequence[float], to: float) -> Any:
        row = self.method.row(levels, to)
        return sum((b * memo for b, memo in zip(row.b, memos, strict=True)), row.a * x)
