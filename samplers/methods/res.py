"""RES, the refined exponential solver, and exponential Runge-Kutta methods from their tableaux."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from ..families.stages import ExponentialRungeKutta, Tableau
from ..families.tableaux import read_tableaux
from ..numerics import phi
from ..registry import register, register_family
from ..types import Source
from .adams_exponential import DataEAB

_paper = partial(Source, "zhang2023res", url="https://arxiv.org/abs/2308.02157v1")
_WEAK = (
    "b_2 c_2^2 + b_3 c_3^2 = 2 phi_2 / 3, which is the condition's 2 phi_3 in the "
    "limit of small steps only"
)


@register
@dataclass(frozen=True, kw_only=True)
class RES2S(ExponentialRungeKutta):
    """RES of second order: the second evaluation follows an exponential Euler step of length c2 h.

    h is the step in lam. The second evaluation has the weight b_2 = phi_2(-h) / c2, but in
    DPM-Solver++(2S) it has phi_1(-h) / 2 in place of phi_2(-h). The two agree for small steps only.

    Attributes:
        c2: fraction of the step at the second evaluation, in (0, 1].
    """

    name = "res_2s"
    order = 2
    source = _paper("Alg. 1")
    c2: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.c2 <= 1:
            raise ValueError(f"res_2s: c2 must be in (0, 1], got {self.c2}")

    def tableau(self, h: float) -> Tableau:
        return Tableau((self.c2,), ((),), (phi(2, -h) / self.c2,))


@register
@dataclass(frozen=True, kw_only=True)
class RES3S(ExponentialRungeKutta):
    """RES of third order, with g = (3 c3² - 2 c3) / (c2 (2 - 3 c2)).

    a_32 = g c2 phi_2(-c2 h) + (c3² / c2) phi_2(-c3 h), b_3 = phi_2(-h) / (g c2 + c3), b_2 = g b_3.

    Attributes:
        c2, c3: fractions of the step at the second and third evaluation, in (0, 1] and different;
            c2 must not be 2/3.
    """

    name = "res_3s"
    order = 3
    source = _paper(
        "third-order single step; the family of Hochbruck & Ostermann 2005", deviations=(_WEAK,)
    )
    c2: float = 0.5
    c3: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.c2 <= 1 and 0 < self.c3 <= 1 and self.c2 not in (self.c3, 2 / 3)):
            raise ValueError(
                "res_3s: c2 and c3 must be in (0, 1] and differ, and c2 "
                f"must not be 2/3, got {self.c2} and {self.c3}"
            )

    def tableau(self, h: float) -> Tableau:
        c2, c3 = self.c2, self.c3
        g = (3 * c3**2 - 2 * c3) / (c2 * (2 - 3 * c2))
        b3 = phi(2, -h) / (g * c2 + c3)
        a32 = g * c2 * phi(2, -c2 * h) + c3**2 / c2 * phi(2, -c3 * h)
        return Tableau((c2, c3), ((), (a32,)), (g * b3, b3))


@register
@dataclass(frozen=True, kw_only=True)
class RES2M(DataEAB):
    """RES of second order, multistep: the line through the last two d, integrated exactly.

    It equals ComfyUI's res_multistep, and RES-2S with the previous evaluation as its second node,
    c2 = -h_prev / h.
    """

    name = "res_2m"
    order = 2
    points = 2
    same_as = "xeab_2"
    source = _paper("multistep scheme; authors' code, 2ab")


@register
@dataclass(frozen=True, kw_only=True)
class RES3M(DataEAB):
    """RES of third order, multistep: the parabola through three d, with phi_2 / 3 for phi_3.

    The exact integral has phi_3. The weights are RES-3S's b with the last two evaluations as
    nodes, c2 = -h_1 / h and c3 = -(h_1 + h_2) / h.
    """

    name = "res_3m"
    order = 3
    points = 3
    source = _paper(
        "third-order weights with earlier evaluations as nodes",
        deviations=(
            _WEAK,
            "g has c3^2 as third order demands, where the code in use "
            "(RES4LYF) has c3^3 and is of second order",
        ),
    )

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return the first ``count`` of h phi_1(-h), h² phi_2(-h), h³ phi_2(-h) / 3."""
        h = math.log(cur / nxt)
        return [h * phi(1, -h), h**2 * phi(2, -h), h**3 * phi(2, -h) / 3][:count]


for _name, _declared in read_tableaux("exponential"):
    register_family(ExponentialRungeKutta, _name, **_declared)
