"""What all multistep methods share: how many earlier evaluations each step uses, and a first step without an evaluation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..base import LinearMultistep, LinearRow, jump
from ..grid import Grid


@dataclass(frozen=True, kw_only=True)
class Multistep(LinearMultistep):
    """A linear multistep method of up to ``points`` evaluations. Subclasses write :meth:`row`.

    Step i uses the evaluation that it makes and min(i, points - 1) earlier ones: orders 1, 2, … at the start. The step to sigma = 0 is
    x <- d. Libraries differ in what they do at both ends, so that is an option:

    Attributes:
        first: orders of the first steps, in place of 1, 2, …; never more than there are evaluations.
        last: orders that the last steps must not exceed, e.g. (2, 1); on a shorter grid its own last entries.
        analytic_first: the first step, unless it is the only one, takes eps = x / sqrt(1 + sigma²), the noise prediction at high noise,
            without an evaluation (the analytical first step of GENIE, arXiv:2210.05475). It assumes data of mean zero.
    """

    points: ClassVar[int]
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    analytic_first: bool = False

    def __post_init__(self) -> None:
        for name, orders in (("first", self.first), ("last", self.last)):
            if not all(isinstance(k, int) and k >= 1 for k in orders):
                raise ValueError(f"{self.name}: {name} must list orders >= 1, such as (1, 2), got {orders}")

    @property
    def history(self) -> int:  # type: ignore[override]
        """The earlier evaluations that a step uses."""
        return self.points - 1

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Not with an analytic first step."""
        return not self.analytic_first

    @abstractmethod
    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """The step to ``nxt`` from evaluations at ``levels``, newest first: levels[0] is where the step starts."""

    def order_at(self, i: int) -> int:
        """The order of step ``i`` far from the end of the grid."""
        return min(self.first[i] if i < len(self.first) else self.points, i + 1, self.points)

    def profile(self, grid: Grid) -> list[int]:
        """The number of evaluations that each step uses, which is its order."""
        n = len(grid)
        orders = [self.order_at(i) for i in range(n)]
        for i, most in zip(range(n - 1, -1, -1), reversed(self.last), strict=False):
            orders[i] = min(orders[i], most)
        return [*orders[:-1], 1] if grid.to_zero and not self.crosses_zero else orders

    @property
    def crosses_zero(self) -> bool:
        """Whether the step to 0 is a step like any other."""
        return False

    def plan(self, grid: Grid) -> list[Any]:
        """One row a step, of the order that the profile says."""
        rows = [self.row_at(grid, i, k) for i, k in enumerate(self.profile(grid))]
        if self._skips_first(grid):
            rows[0] = rows[0]._replace(gain=analytic_gain(rows[0].sigma))
        return rows

    def row_at(self, grid: Grid, i: int, order: int) -> Any:
        """The row of step ``i``, of this order, which is the number of evaluations that it uses."""
        cur, nxt = grid.sigma[i : i + 2]
        return jump(cur) if nxt == 0 and not self.crosses_zero else self.row(grid.sigma[i - order + 1 : i + 1][::-1], nxt)

    def nfe(self, grid: Grid) -> int:
        """One evaluation a step, none in an analytic first one."""
        return len(grid) - int(self._skips_first(grid))

    def _skips_first(self, grid: Grid) -> bool:
        """Whether the first step is analytic; an only step is the jump to the denoised image, which must be one."""
        return self.analytic_first and len(grid) > 1


@dataclass(frozen=True, kw_only=True)
class MultistepToZero(Multistep):
    """A multistep method whose formula holds at sigma = 0.

    Attributes:
        through_zero: use it in the step to 0 as in any other; by default that step is x <- d.
    """

    through_zero: bool = False

    @property
    def crosses_zero(self) -> bool:
        """As ``through_zero`` says."""
        return self.through_zero


def analytic_gain(sigma: float) -> float:
    """The factor g of d = g x that corresponds to eps = x / sqrt(1 + sigma²)."""
    return 1 - sigma / math.hypot(1, sigma)
