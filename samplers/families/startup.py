"""Multistep methods that begin with single steps of the needed order, in place of steps of first
and second order.

A multistep method is a polynomial through memos, integrated over the step. Nothing demands that
these be memos of earlier steps: at levels inside the step they make a single-step method out of the
same weights. Stages at the levels cur^{1 - j/k} nxt^{j/k}, j = 1 … k - 1, each reached by the
polynomial through all the memos before it, and the end of the step by the one through all k, are of
order k for k = 2 and 3: at two thirds of a step the line through both ends of it is as good as a
parabola (Radau), so the weight of the stage at one third, whose own error is of second order in h,
vanishes with h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

from ..types import Denoise, Source
from .linear import LinearRow, memo_of
from .stages import Evaluate, LinearStages, StagesRow, run_stages

Startup = Literal["ramp", "singlestep"]
HIGHEST = 3
"""The highest order of these single steps; accurate enough to start a method of one order more."""


class Weights(Protocol):
    """A multistep method whose weights are right for any distinct levels."""

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """The step to ``nxt`` from memos at ``levels``; the step starts at the first of them."""
        ...


class StartRow(NamedTuple):
    """A single step that leaves a memo for the multistep method: p x + q d at its beginning."""

    stages: StagesRow
    p: float = 0.0
    q: float = 1.0


def start_row(method: Weights, cur: float, nxt: float, order: int) -> StartRow:
    """The single step from ``cur`` to ``nxt`` > 0 in the method's weights, of as many
    evaluations as its order.
    """
    memo = method.row((cur,), nxt)
    return StartRow(SingleStep(method=method, stages=order).row(cur, nxt), memo.p, memo.q)


def start_step(x: Tensor, row: StartRow, denoise: Denoise) -> tuple[Tensor, Tensor]:
    """Apply the row, in place of ``x``: the next state, and the memo."""
    before = x.clone() if row.p else x
    x, images = run_stages(x, row.stages, denoise)
    return x, memo_of(before, images[0], row.p, row.q)


@dataclass(frozen=True, kw_only=True)
class SingleStep(LinearStages):
    """The single-step method in a multistep one's weights.

    Attributes:
        method: whose weights.
        stages: evaluations a step, which is the order for 2 and 3.
    """

    name = "single_step"
    source = Source("", "stages in the multistep method's own weights", "")
    method: Weights
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
