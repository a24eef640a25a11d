"""DPM-Solver++, single step: exponential Runge-Kutta methods for the data prediction."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.ancestral_stages import AncestralStages
from ..families.exponential_rk import ExponentialRungeKutta, Tableau
from ..numerics import phi
from ..registry import register
from ..types import Source

_URL = "https://arxiv.org/abs/2211.01095v2"


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2S(ExponentialRungeKutta):
    """Second order: x <- r x + (1 - r) [(1 - 1 / (2 r1)) d + d_s / (2 r1)], r = nxt / cur, d_s
    after a first-order step to s.

    Attributes:
        r1: where the second evaluation is, in (0, 1); at 1/2 its level is sqrt(cur nxt) and only
            d_s counts.
    """

    name = "dpmpp_2s"
    order = 2
    source = Source("lu2022dpmpp", "Alg. 1", _URL)
    r1: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 1:
            raise ValueError(f"dpmpp_2s: r1 must be in (0, 1), got {self.r1}")

    def tableau(self, h: float) -> Tableau:
        """The weight of the second evaluation is phi_1(-h) / (2 r1)."""
        return Tableau((self.r1,), ((),), (phi(1, -h) / (2 * self.r1),))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp3S(ExponentialRungeKutta):
    """Third order: evaluations at fractions 0, r1 and r2 = 2/3 of the step in lam; D_k = d_k - d.

    u2 = … + (r2 / r1) r2 h phi_2(-r2 h) D_1; x <- r x + (1 - r) d + (h / r2) phi_2(-h) D_2.

    Attributes:
        r1: where the second evaluation is, in (0, 2/3). The third is at 2/3, the only place that
            gives third order.
    """

    name = "dpmpp_3s"
    order = 3
    source = Source(
        "lu2022dpmpp",
        "authors' code, singlestep_dpm_solver_third_update, algorithm_type dpmsolver++",
        _URL,
        deviations=(
            "r2 is fixed at 2/3, the only place at which the published weights "
            "are of third order on every grid",
        ),
    )
    r1: float = 1 / 3

    def __post_init__(self) -> None:
        if not 0 < self.r1 < 2 / 3:
            raise ValueError(f"dpmpp_3s: r1 must be in (0, 2/3), got {self.r1}")

    def tableau(self, h: float) -> Tableau:
        """The weights of the class's formulas."""
        r1, r2 = self.r1, 2 / 3
        return Tableau((r1, r2), ((), (r2 / r1 * r2 * phi(2, -r2 * h),)), (0.0, phi(2, -h) / r2))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2SAncestral(AncestralStages):
    """A DPM-Solver++(2S) step from cur to ``down``, then noise: see :class:`.AncestralStages`."""

    name = "dpmpp_2s_ancestral"
    source = Source(
        "lu2022dpmpp",
        "Alg. 1; k-diffusion, sample_dpmpp_2s_ancestral",
        "https://arxiv.org/abs/2211.01095v2",
        deviations=(
            "the paper has this method for the ODE only; the ancestral form is k-diffusion's",
        ),
    )
    solver = DPMpp2S()
