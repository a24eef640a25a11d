"""DPM-Solver-fast: as many evaluations as the grid has steps, spent on single-step
DPM-Solver-3, 2 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..families.linear import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..numerics import phi
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolverFast(LinearMultistep):
    """Three intervals are one step of DPM-Solver-3, whose stages are at the levels between.

    The rest, one of DPM-Solver-2 or 1.

    With M intervals between positive levels the orders are 3, …, 3, and then 2, 1 if 3 divides M,
    else the remainder. The state after an interval inside a step is a stage, of lower order. Every
    stage is one evaluation at the state before it, so the whole is a multistep method in eps. With
    E_k the change of the state from the step's start to its k-th stage, x <- x + E_{k+1} - E_k.
    """

    name = "dpm_solver_fast"
    order = 2
    history = 2
    source = Source(
        "lu2022dpmsolver",
        "section 3.3 and appendix D.3; authors' code, method='singlestep', order 3",
        "https://arxiv.org/abs/2206.00927v3",
        deviations=(
            "stages are at the grid's own levels, as in the authors' code for uniform "
            "and quadratic time; for uniform lam that code gives "
            "every step the same length, whatever its order",
            "declared at its measured order, 2, which the first-order step at the end allows",
        ),
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        """The rows of one step after the other, and the step to 0."""
        rows, start = [], 0
        for order in self.groups(grid):
            rows += _rows(grid.sigma[start : start + order + 1])
            start += order
        return [*rows, jump(grid.sigma[-2])] if grid.to_zero else rows

    def groups(self, grid: Grid) -> list[int]:
        """The orders of the steps; each is also the number of its intervals."""
        threes, remainder = divmod(len(grid) - int(grid.to_zero), 3)
        if remainder or not threes:
            return [3] * threes + [remainder] * bool(remainder)
        return [3] * (threes - 1) + [2, 1]

    def profile(self, grid: Grid) -> list[int]:
        """The order of the step to which each interval belongs."""
        return [order for order in self.groups(grid) for _ in range(order)] + [1] * grid.to_zero


def _rows(levels: tuple[float, ...]) -> list[LinearRow]:
    """Return one row an interval: the difference of two changes, with eps_j = memo_j / sigma_j."""
    changes = [_change(levels, k) for k in range(len(levels))]
    rows = []
    for k, cur in enumerate(levels[:-1]):
        before = changes[k] + [0.0] * (len(changes[k + 1]) - len(changes[k]))
        weights = [
            (w - v) / sigma for w, v, sigma in zip(changes[k + 1], before, levels, strict=False)
        ]
        rows.append(LinearRow(cur, a=1.0, b=tuple(reversed(weights)), p=1.0, q=-1.0))
    return rows


def _change(levels: tuple[float, ...], k: int) -> list[float]:
    """Weights of eps_0 … eps_{k-1} in the change from ``levels[0]`` to ``levels[k]`` of a step with
    one stage per inner level.

    Constant eps gives levels[k] - levels[0]; the correction to it is in the newest of the eps,
    eps_{k-1}, at the fraction r of the way.
    """
    cur, nxt = levels[0], levels[k]
    if k < 2:
        return [nxt - cur] * k
    h, r = math.log(cur / nxt), math.log(cur / levels[k - 1]) / math.log(cur / nxt)
    last = k == len(levels) - 1
    w = nxt * math.expm1(h) / 2 / r if last and k == 2 else nxt * h * phi(2, h) / r
    return [nxt - cur + w, *[0.0] * (k - 2), -w]
