"""Adams-Bashforth in the velocity of the straight-line process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..families.adams import adams_row
from ..families.linear import LinearRow
from ..families.multistep import Multistep
from ..families.startup import Startup
from ..registry import register_family
from ..types import Source


@dataclass(frozen=True, kw_only=True)
class VelocityAB(Multistep):
    """Adams-Bashforth in the velocity: with y = x / (1 + sigma) and u = sigma / (1 + sigma) the ODE
    is dy/du = v with v = (x - d) / sigma - d, a polynomial in u.

    That is the rectified-flow process y = (1 - u) x0 + u z, for any process that the model was
    trained on.
    """

    source: ClassVar[Source] = Source(
        "rozet2025azula", "vABSampler", "https://github.com/probabilists/azula"
    )
    through_zero: bool = False
    startup: Startup = "ramp"

    def remembered(self, sigma: float) -> tuple[float, float]:
        """The velocity (x - (1 + sigma) d) / sigma."""
        return 1 + sigma, 1 / sigma

    def decay(self, cur: float, nxt: float) -> float:
        """(1 + nxt) / (1 + cur)."""
        return (1 + nxt) / (1 + cur)

    def variable(self, sigma: float) -> float:
        """U = sigma / (1 + sigma)."""
        return sigma / (1 + sigma)

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """(1 + nxt) du^{k+1} / (k+1)! with du the step in u."""
        step = self.variable(nxt) - self.variable(cur)
        return [(1 + nxt) * step ** (k + 1) / math.factorial(k + 1) for k in range(count)]

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """The polynomial through the memos, integrated over the step."""
        return adams_row(self, levels, nxt)


for _points in (1, 2, 3, 4):
    register_family(
        VelocityAB,
        f"vab_{_points}",
        points=_points,
        order=_points,
        same_as="euler" if _points == 1 else "",
    )
