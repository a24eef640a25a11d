"""Adams-Bashforth in the velocity of a straight-line process, as a polynomial in a warped noise
level; and ``auto``, the default sampler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..base import Declared
from ..families.adams import adams_row
from ..families.deferral import deferred
from ..families.linear import LinearRow
from ..families.multistep import Multistep
from ..families.startup import Startup
from ..families.warp import Warp
from ..grid import Grid
from ..numerics import integral
from ..registry import get, register, register_family
from ..types import Denoise, Noise, Source

TO_ZERO = 40.0
"""log(cur / nxt) that stands for a step to 0 in a quadrature over log sigma: what is left out
is below rounding.
"""
_SOURCE = Source(
    "zhang2023deis",
    "rhoAB-DEIS, with another memo, variable and kernel",
    "https://arxiv.org/abs/2204.13902v4",
    deviations=(
        "the velocity is remembered, as a polynomial in the warped level: "
        "docs/auto.md derives and measures it",
    ),
)


@dataclass(frozen=True, kw_only=True)
class WarpedAB(Multistep):
    """In y = x / (k + sigma) and u = sigma / (k + sigma), dy/du = v with v = [x - (1 + sigma / k)
    d] k / sigma, a polynomial in g(sigma).

    On levels at equal distances in g this is the classical Adams-Bashforth weights with the exact
    kernel in place of a constant one, so that the extrapolation is as stable as it is on a uniform
    grid, in whatever way the levels are graded.

    Attributes:
        knee: k > 0. Of the process y = (1 - u) x0 + u z / k.
        scale, power, exponent: of the :class:`~samplerbench.samplers.families.warp.Warp` g.
        deferred: with ``analytic_first``, the first step is done again with the evaluation of the
            second (:mod:`.deferral`), and needs no assumption on the data.
    """

    source: ClassVar[Source] = _SOURCE
    through_zero: bool = False
    startup: Startup = "ramp"
    knee: float = 1.5
    scale: float = 0.09
    power: float = 1.07
    exponent: float = 0.63
    deferred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deferred and not self.analytic_first:
            raise ValueError(
                f"{self.name}: deferred is about the analytic first step; set analytic_first too"
            )
        if not self.knee > 0:
            raise ValueError(f"{self.name}: knee must be positive, got {self.knee}")
        self.warp  # noqa: B018 - refuses bad values

    @property
    def warp(self) -> Warp:
        """The coordinate g."""
        return Warp(self.scale, self.power, self.exponent)

    @property
    def history(self) -> int:  # type: ignore[override]
        """One more memo where the first step is deferred: the correction of the second memo
        reads the first.
        """
        return self.points if self.deferred else self.points - 1

    def plan(self, grid: Grid) -> list[Any]:
        """The rows, with the deferred first step in them."""
        rows = super().plan(grid)
        return deferred(rows) if self.deferred else rows

    def remembered(self, sigma: float) -> tuple[float, float]:
        """The velocity."""
        return 1 + sigma / self.knee, self.knee / sigma

    def decay(self, cur: float, nxt: float) -> float:
        """(k + nxt) / (k + cur)."""
        return (self.knee + nxt) / (self.knee + cur)

    def variable(self, sigma: float) -> float:
        """The coordinate g."""
        return self.warp(sigma)

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """(k + nxt) int (g - g(cur))^j / j! dsigma / (k + sigma)²: the first in closed form,
        the others by quadrature in log sigma.
        """
        g, k, here = self.warp, self.knee, self.warp(cur)
        h = math.log(cur / nxt) if nxt > 0 else TO_ZERO

        def moment(j: int) -> float:
            def kernel(s: float) -> float:
                sigma = cur * math.exp(-s)
                return (g(sigma) - here) ** j / math.factorial(j) * sigma / (k + sigma) ** 2

            return -(k + nxt) * integral(kernel, 0.0, h)

        return [self.decay(cur, nxt) - 1, *(moment(j) for j in range(1, count))]

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """The polynomial through the memos, integrated over the step."""
        return adams_row(self, levels, nxt)


for _points in (2, 3, 4):
    register_family(WarpedAB, f"warped_ab_{_points}", points=_points, order=_points)


@register
@dataclass(frozen=True, kw_only=True)
class Auto(Declared):
    """The default for any budget: fourth-order :class:`WarpedAB` on equal steps of its own
    coordinate between the ends of the grid.

    Where the grid starts far above the data (sigma >= 20), the first step shares the evaluation of
    the second (:mod:`.deferral`), and the evaluation saved buys one more step. The step to 0 is a
    step like any other. N steps cost N evaluations.
    """

    name = "auto"
    order = 2
    own_grid = True
    translates = False
    source = _SOURCE
    FAR: ClassVar[float] = 20.0

    def _method(self, grid: Grid) -> WarpedAB:
        far = len(grid) > 1 and grid.sigma[0] >= self.FAR
        return get("warped_ab_4")(analytic_first=far, deferred=far, through_zero=len(grid) > 1)

    def levels(self, grid: Grid) -> Grid:
        """The levels that are used in place of those of ``grid``."""
        if len(grid) == 1:
            return grid
        method = self._method(grid)
        last = grid.sigma[-2] if grid.to_zero else grid.sigma[-1]
        return method.warp.grid(
            len(grid) + int(method.analytic_first), last, grid.sigma[0], to_zero=grid.to_zero
        )

    def profile(self, grid: Grid) -> list[int]:
        """Orders of the steps on :meth:`levels`, the analytic first one included."""
        return self._method(grid).profile(self.levels(grid))

    def nfe(self, grid: Grid) -> int:
        """One evaluation a step of the grid that was given."""
        return len(grid)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Integrate on :meth:`levels`."""
        return self._method(grid).solve(denoise, x, self.levels(grid), noise)
