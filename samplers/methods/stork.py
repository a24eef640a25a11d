"""STORK, and Adams-Bashforth in the velocity (``vab_1`` to ``vab_4``).

STORK is a stabilised Runge-Kutta method whose stages use Taylor polynomials of the velocity.

In flow time t = sigma / (1 + sigma) the state y = x / (1 + sigma) = (1 - t) x0 + t z has the
velocity dy/dt = v = eps - d. One evaluation a step gives v; its derivatives come from divided
differences of the last evaluations. The stages' velocities then depend on time only. So a method
counts only by its moments m_j = sum_k b_k c_k^j, which are 1 / (j + 1) for j below its order:

    y <- y + sum_j H^{j+1} m_j v^{(j)} / j!, H = t_nxt - t_cur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

from ..families.multistep import Multistep, Startup, adams_row
from ..registry import register, register_family
from ..types import Source


@dataclass(frozen=True, kw_only=True)
class VelocityAB(Multistep):
    """Adams-Bashforth in the velocity v = (x - d) / sigma - d: dy/du = v with v a polynomial in u.

    y = x / (1 + sigma) and u = sigma / (1 + sigma): the rectified-flow process y = (1 - u) x0 + u z,
    for any process that the model was trained on.
    """

    source: ClassVar[Source] = Source(
        "rozet2025azula", "vABSampler", "https://github.com/probabilists/azula"
    )
    through_zero: bool = False
    startup: Startup = "ramp"
    row = adams_row  # type: ignore[assignment]

    def entry_coefficients(self, sigma: float) -> tuple[float, float]:
        return 1 + sigma, 1 / sigma

    def decay(self, cur: float, nxt: float) -> float:
        return (1 + nxt) / (1 + cur)

    def variable(self, sigma: float) -> float:
        return sigma / (1 + sigma)

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return (1 + nxt) du^{k+1} / (k+1)!, k = 0 … count - 1, with du the step in u."""
        step = self.variable(nxt) - self.variable(cur)
        return [(1 + nxt) * step ** (k + 1) / math.factorial(k + 1) for k in range(count)]


for _k in (1, 2, 3, 4):
    _same = "euler" if _k == 1 else ""
    register_family(VelocityAB, f"vab_{_k}", points=_k, order=_k, same_as=_same)


_paper = partial(Source, "tan2025stork", url="https://arxiv.org/abs/2505.24210v2")
_STORK_DEVIATIONS = (
    "the flow-matching form for every model, since its time is a function of sigma alone",
    "the derivatives are divided differences for any steps, where the authors' code "
    "takes equal ones for the first derivative",
    "the first steps use the history that there is, without the half steps of the authors' code",
)


@register
@dataclass(frozen=True, kw_only=True)
class Stork2(VelocityAB):
    """STORK-2: second-order Runge-Kutta-Gegenbauer on a quadratic polynomial of the velocity.

    The polynomial goes through the velocities of the last three evaluations.

    Attributes:
        stages: number of stages of the method, >= 2; they cost no evaluations.
    """

    name = "stork_2"
    order = 2
    points = 3
    source = _paper(
        "STORK-2; authors' code, step_flow_matching_2",
        deviations=(
            *_STORK_DEVIATIONS,
            "stages are at the times of the Gegenbauer method, where the authors' code "
            "has those of the Legendre method, with which "
            "the weight of v' is 0.4896 at 50 stages and not 1/2",
        ),
    )
    stages: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.stages, int) and self.stages >= 2):
            raise ValueError(f"stork_2: stages must be a whole number >= 2, got {self.stages}")

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return VelocityAB's moments, the third multiplied by 3 :func:`gegenbauer_moment`."""
        exact = super().moments(cur, nxt, count)
        return [*exact[:2], *(m * 3 * gegenbauer_moment(self.stages) for m in exact[2:])]


@cache
def gegenbauer_moment(stages: int) -> float:
    """Return y(1) of y' = t², y(0) = 0, by one Runge-Kutta-Gegenbauer step of second order.

    The exact value is 1/3. The difference distinguishes STORK-2 from three-point Adams-Bashforth.
    RKG2 of Skaras et al. 2021 has b_j = 4 (j - 1) (j + 4) / (3 j (j + 1) (j + 2) (j + 3)), b_0 = 1
    and b_1 = 1/3. The stages are y_j = mu_j y_{j-1} + nu_j y_{j-2} + w mu_j f(c_{j-1}) with w = 6 /
    ((s + 4) (s - 1)) and s = ``stages``; terms in y_0 and f(0) vanish here.
    """
    w = 6 / ((stages + 4) * (stages - 1))

    def weight(j: int) -> float:
        if j < 2:
            return (1.0, 1 / 3)[j]
        return 4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3))

    def stage_time(j: int) -> float:
        return (j + 4) * (j - 1) / ((stages + 4) * (stages - 1)) if j > 1 else w

    older, y = 0.0, 0.0
    for j in range(2, stages + 1):
        mu = (2 * j + 1) * weight(j) / (j * weight(j - 1))
        nu = -(j + 1) * weight(j) / (j * weight(j - 2))
        older, y = y, mu * y + nu * older + w * mu * stage_time(j - 1) ** 2
    return y


@register
@dataclass(frozen=True, kw_only=True)
class Stork4(VelocityAB):
    """STORK-4: ROCK4 on a cubic polynomial of v, which equals four-point Adams-Bashforth in v."""

    name = "stork_4"
    order = 4
    points = 4
    same_as = "vab_4"
    source = _paper(
        "STORK-4; authors' code, step_flow_matching_4 with derivative_order 3",
        deviations=(
            *_STORK_DEVIATIONS,
            "the order conditions of ROCK4 stand for its tables; the authors' code swaps "
            "the first two stages, so that its weights "
            "sum to 0.9990 at 50 stages",
        ),
    )
