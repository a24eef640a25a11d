"""DPM-Solver++, single-step, for the reverse SDE."""

from __future__ import annotations

from dataclasses import dataclass

from ..families.exponential_sde import strong_order
from ..families.noisy_stages import Mix, NoisyRow, NoisyStages
from ..registry import register
from ..types import Source
from .ancestral import ancestral_row


@register
@dataclass(frozen=True, kw_only=True)
class DPMppSDE(NoisyStages):
    """Single step with an intermediate level s = cur^{1-r} nxt^r and ancestral noise on both.

    y = a_s x + (1 - a_s) d + c_s z_0 and x <- a x + (1 - a) [(1 - w) d + w d_s] + c z_1 with w = 1
    / (2 r), where (a_s, c_s) and (a, c) belong to the ancestral steps to s and to nxt. z_0 drives
    (cur, s) and z_1 drives (cur, nxt), as increments of one path: with f = (cur - s) / (cur - nxt),
    z_1 = sqrt(f) z_0 + sqrt(1 - f) times the noise of (s, nxt).

    Attributes:
        eta: share of the ancestral noise, in [0, 1]; 0 is the deterministic DPM-Solver++(2S).
        r: where the intermediate level lies in lam, in (0, 1).
    """

    name = "dpmpp_sde"
    order = 2
    source = Source(
        "lu2022dpmpp",
        "Alg. 1 for the SDE; k-diffusion, sample_dpmpp_sde",
        "https://arxiv.org/abs/2211.01095v2",
        deviations=(
            "the paper has this method for the ODE only; the SDE form is k-diffusion's",
            "z_0 and z_1 are correlated as on a Brownian path in sigma, which k-diffusion has by "
            "default, from any source of noise; independent ones leave weak order 1, and a path "
            "in 1 / sigma² makes it seeds_2",
        ),
    )
    eta: float = 1.0
    r: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"dpmpp_sde: eta must be in [0, 1], got {self.eta}")
        if not 0 < self.r < 1:
            raise ValueError(f"dpmpp_sde: r must be in (0, 1), got {self.r}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Return True if noise is drawn: eta > 0."""
        return self.eta > 0

    @property
    def strong_order(self) -> float | None:  # type: ignore[override]
        """1 at eta = 1."""
        return strong_order(self.eta)

    def row(self, cur: float, nxt: float) -> NoisyRow:
        """Return the row of the class's formula."""
        s, w = cur ** (1 - self.r) * nxt**self.r, 1 / (2 * self.r)
        to_s, to_nxt = ancestral_row(cur, s, self.eta), ancestral_row(cur, nxt, self.eta)
        total = 1 - to_nxt.a
        stages = (Mix(cur, 1.0), Mix(s, to_s.a, (1 - to_s.a,), (to_s.c,)))
        end = Mix(nxt, to_nxt.a, (total * (1 - w), total * w), (0.0, to_nxt.c))
        return NoisyRow(stages, end, ((cur, s), (cur, nxt)) if self.eta else ())
