"""iPNDM: Adams-Bashforth in sigma with the coefficients of equal steps, whatever the steps are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..base import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..registry import register
from ..types import Source

_EQUAL_STEPS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


@register
@dataclass(frozen=True, kw_only=True)
class IPNDM(LinearMultistep):
    """x <- x + (nxt - cur) sum_j w_j eps_{i-j}, eps = (x - d) / sigma, w the classical Adams-Bashforth weights of four points.

    On levels that are uniform in sigma this is fourth order. On every other grid the weights miss the first moment of the history by a
    term proportional to the step, so that the method is of second order, and yet among the best below 15 evaluations.
    """

    name = "ipndm"
    order = 2
    history = 3
    points: ClassVar[int] = 4
    source = Source(
        "zhang2023deis", "eq. (15) and appendix H.1", "https://arxiv.org/abs/2204.13902v4",
        deviations=("declared at its order on graded grids, 2",),
    )  # fmt: skip

    def plan(self, grid: Grid) -> list[LinearRow]:
        """The first steps use fewer points; the step to 0 is x <- d. eps_j = memo_j / sigma_j."""
        rows = []
        for i, (cur, nxt) in enumerate(grid.intervals()):
            if nxt == 0:
                rows.append(jump(cur))
                continue
            weights = _EQUAL_STEPS[min(i, self.points - 1)]
            b = tuple((nxt - cur) * w / grid.sigma[i - j] for j, w in enumerate(weights))
            rows.append(LinearRow(cur, a=1.0, b=b, p=1.0, q=-1.0))
        return rows


@register
@dataclass(frozen=True, kw_only=True)
class IPNDM3(IPNDM):
    """iPNDM with three points."""

    name = "ipndm_3"
    history = 2
    points = 3


@register
@dataclass(frozen=True, kw_only=True)
class IPNDM2(IPNDM):
    """iPNDM with two points."""

    name = "ipndm_2"
    history = 1
    points = 2
