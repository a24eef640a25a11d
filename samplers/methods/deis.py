"""DEIS: Adams-Bashforth and Runge-Kutta methods on dx/dsigma = eps, eps = (x - d) / sigma."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ..families.multistep import ChangeOfVariables, Multistep, Startup, adams_row
from ..families.tableaux import SigmaRungeKutta, read_tableaux
from ..numerics import integrate_panels
from ..registry import register_family
from ..types import Source

_paper = partial(Source, "zhang2023deis", url="https://arxiv.org/abs/2204.13902v4")


@dataclass(frozen=True, kw_only=True)
class SigmaAB(Multistep):
    """rhoAB-DEIS, Adams-Bashforth in sigma: x <- x + sum_j eps_{i-j} int_cur^nxt l_j(s) ds.

    l_j are Lagrange polynomials. Also: LMS of k-diffusion, zAB of azula.
    """

    source: ClassVar[Source] = _paper("rhoAB-DEIS")
    through_zero: bool = False
    startup: Startup = "ramp"

    entry_coefficients, decay = ChangeOfVariables.entry_coefficients, ChangeOfVariables.decay
    row = adams_row  # type: ignore[assignment]

    def variable(self, sigma: float) -> float:
        return sigma

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        return [(nxt - cur) ** (k + 1) / math.factorial(k + 1) for k in range(count)]


@dataclass(frozen=True, kw_only=True)
class TimeAB(Multistep):
    """tAB-DEIS, Adams-Bashforth in the time t of the linear VP process: eps is a polynomial in t.

    sigma² = exp(beta_d t² / 2 + beta_min t) - 1.

    Attributes:
        beta_d, beta_min: growth of the process's rate, and the rate at t = 0. They need not be the
            model's: they only choose the variable.
    """

    source: ClassVar[Source] = _paper(
        "tAB-DEIS", deviations=("the integrals are computed to rounding",)
    )
    through_zero: bool = False
    startup: Startup = "ramp"
    beta_d: float = 19.9
    beta_min: float = 0.1

    entry_coefficients, decay = ChangeOfVariables.entry_coefficients, ChangeOfVariables.decay
    row = adams_row  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.beta_d < math.inf and 0 < self.beta_min < math.inf):
            raise ValueError(
                f"{self.name}: need beta_d >= 0 and beta_min > 0, got "
                f"{self.beta_d} and {self.beta_min}"
            )

    def variable(self, sigma: float) -> float:
        """Return the time t >= 0 at which the class's process has the level ``sigma``."""
        total = math.log1p(sigma**2)
        return 2 * total / (self.beta_min + math.sqrt(self.beta_min**2 + 2 * self.beta_d * total))

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return int_cur^nxt (t - t(cur))^k / k! dsigma, k = 0 … count - 1, by quadrature.

        t(sigma) has branch points at sigma = ±i c, which sigma = c sinh(v) moves to v = ±i pi / 2.
        """
        decay = self.beta_min**2 / (2 * self.beta_d) if self.beta_d else math.inf
        origin, c = self.variable(cur), math.sqrt(-math.expm1(-decay))
        ends = math.asinh(cur / c), math.asinh(nxt / c)

        def moment(k: int) -> float:
            def kernel(v: float) -> float:
                power = (self.variable(c * math.sinh(v)) - origin) ** k
                return power / math.factorial(k) * c * math.cosh(v)

            return integrate_panels(kernel, *ends)

        return [nxt - cur, *(moment(k) for k in range(1, count))]


register_family(SigmaAB, "zab_1", points=1, order=1, same_as="euler")
for _k in (2, 3, 4):
    register_family(SigmaAB, f"zab_{_k}", points=_k, order=_k)
    register_family(SigmaAB, f"deis_rhoab_{_k}", points=_k, order=_k, same_as=f"zab_{_k}")
    register_family(TimeAB, f"deis_tab_{_k}", points=_k, order=_k)
register_family(SigmaAB, "lms", points=4, order=4, same_as="zab_4")
for _name, _declared in read_tableaux("sigma"):
    register_family(SigmaRungeKutta, _name, **_declared)
