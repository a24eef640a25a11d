"""ER-SDE-Solver: the extended reverse SDE, whose noise is set by a function phi(sigma).

With R = phi(nxt) / phi(cur), a step is x <- R x + int d(s) w(s) ds + sqrt(nxt² - cur² R²) z, the
integral over s from nxt to cur and w(s) = phi(nxt) phi'(s) / phi(s)². phi = sigma is the
probability flow, phi = sigma² the reverse SDE. The methods replace d by a polynomial in s - cur.
Partial integration removes phi' from the moments of (s - cur)^j / j!. They are 1 - R for j = 0, and
int (phi(nxt) / phi(s) - 1) (s - cur)^{j-1} / (j-1)! ds for j > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..base import check_choice
from ..families.linear import LinearRow
from ..families.multistep import Multistep
from ..numerics import integrate_panels, monomial_weights
from ..registry import register
from ..types import Source

_paper = partial(Source, "cui2025ersde", url="https://arxiv.org/abs/2309.06169v3")
_PHI_BY_NAME = (
    "phi is an option by name; its integrals are exact to rounding (the published "
    "code: Riemann sums of 100 terms)"
)

LOG_SCALE: dict[str, Callable[[float], float]] = {
    "ode": lambda v: 0.0,  # noqa: ARG005
    "sde": lambda v: v,
    "sde_1": lambda v: math.log(math.exp(-math.exp(-v)) + 10),
    "sde_2": lambda v: 0.5 * v,
    "sde_3": lambda v: 1.5 * v,
    "sde_4": lambda v: -0.1 * v + math.log(math.log1p(100 * math.exp(1.5 * v)) / math.log(10)),
    "sde_5": lambda v: math.log(math.exp(math.exp(0.3 * v)) + 10),
}
"""log(phi(sigma) / sigma) as a function of log(sigma), by the names of the paper (v1, A.8).

A step on which this function falls as sigma rises has no SDE, and raises a ValueError.
"""


@dataclass(frozen=True, kw_only=True)
class ERSDE(Multistep):
    """Base class of ER-SDE-Solvers, multistep in sigma; subclasses may override :meth:`weights`.

    Attributes:
        scale: the noise scale function phi: "ode" sigma, "sde" sigma², "sde_1" sigma (e^{-1 /
            sigma} + 10), "sde_2" sigma^1.5, "sde_3" sigma^2.5, "sde_4" sigma^0.9 log10(1 + 100
            sigma^1.5), "sde_5" sigma (exp(sigma^0.3) + 10).
    """

    scale: str = "sde_5"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "scale", *LOG_SCALE)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.scale != "ode"

    @property
    def strong_order(self) -> float | None:  # type: ignore[override]
        return 1.0 if self.scale == "sde" else None

    def weights(self, nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
        """Return weights of d at levels cur + ``nodes``, from the moments in the module's text."""
        return monomial_weights(nodes, moments)

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        cur, log_scale = levels[0], LOG_SCALE[self.scale]
        # the fall of log(phi / sigma) from cur to nxt
        excess = log_scale(math.log(cur)) - log_scale(math.log(nxt))
        if excess < 0:
            raise ValueError(
                f"{self.name}: scale {self.scale!r} is not valid at sigma = "
                f"{cur:.6g}; use another, such as 'sde_5'"
            )
        ratio = nxt / cur * math.exp(-excess)
        moments = [1 - ratio, *(self._moment(cur, nxt, j) for j in range(1, len(levels)))]
        b = self.weights([level - cur for level in levels], moments)
        return LinearRow(cur, a=ratio, b=tuple(b), c=nxt * math.sqrt(-math.expm1(-2 * excess)))

    def _moment(self, cur: float, nxt: float, j: int) -> float:
        """Return int_nxt^cur (phi(nxt) / phi(s) - 1) (s - cur)^{j-1} / (j - 1)! ds for j > 0."""
        log_scale = LOG_SCALE[self.scale]
        end = math.log(nxt) + log_scale(math.log(nxt))

        def integrand(v: float) -> float:
            s = math.exp(v)
            power = (s - cur) ** (j - 1)
            return math.expm1(end - v - log_scale(v)) * power / math.factorial(j - 1) * s

        return integrate_panels(integrand, math.log(nxt), math.log(cur))


@register
@dataclass(frozen=True, kw_only=True)
class ERSDE1(ERSDE):
    """ER-SDE of order 1: x <- R x + (1 - R) d + sqrt(nxt² - cur² R²) z, R = phi(nxt) / phi(cur)."""

    name = "er_sde_1"
    order = 1
    points = 1
    source = _paper("ER-SDE-Solver-1, VE form", deviations=(_PHI_BY_NAME,))


@register
@dataclass(frozen=True, kw_only=True)
class ERSDE2(ERSDE):
    """ER-SDE-Solver of second order: the line in sigma through the last two denoised images."""

    name = "er_sde_2"
    order = 2
    points = 2
    source = _paper("ER-SDE-Solver-2, VE form", deviations=(_PHI_BY_NAME,))


@register
@dataclass(frozen=True, kw_only=True)
class ERSDE3(ERSDE):
    """ER-SDE-Solver with the parabola in sigma through the last three denoised images."""

    name = "er_sde_3"
    points = 3
    source = _paper(
        "ER-SDE-Solver-3, VE form",
        deviations=(
            _PHI_BY_NAME,
            "the slope is that of the parabola at the newest d; the published one is the "
            "secant's, which leaves second order",
            "declared at the measured weak order, 2, where there is noise; 3 with scale ode",
        ),
    )

    @property
    def order(self) -> int:  # type: ignore[override]
        return 2 if self.stochastic else 3


@register
@dataclass(frozen=True, kw_only=True)
class ERSDE3Published(ERSDE):
    """ER-SDE-Solver-3 as published: the slope from the last two d, the curvature from three."""

    name = "er_sde_3_published"
    order = 2
    points = 3
    source = _paper(
        "ER-SDE-Solver-3, VE form", deviations=(_PHI_BY_NAME, "declared at its measured order, 2")
    )

    def weights(self, nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
        """Return weights as in ERSDE, by the slope of the last two d and the curvature of three."""
        line = monomial_weights(nodes[:2], moments[:2])
        if len(nodes) < 3:
            return line
        curvature = monomial_weights(nodes, (0.0, 0.0, moments[2]))
        return [w + v for w, v in zip((*line, 0.0), curvature, strict=True)]
