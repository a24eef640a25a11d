"""Ancestral sampling around a deterministic step: down past the next level, then noise up to it.

The distribution after a step has no error but the deterministic method's: at ``down`` it is p_down
if that method is exact, and independent noise of standard deviation ``up`` makes that p_nxt. The
weak order is therefore the method's order, for any eta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .noisy_stages import Mix, NoisyRow, NoisyStages
from .stages import LinearStages


@dataclass(frozen=True, kw_only=True)
class AncestralStages(NoisyStages):
    """A step of a deterministic method from cur to ``down``, then s_noise ``up`` z, with down² +
    up² = nxt².

    up = min(nxt, eta nxt sqrt(1 - (nxt / cur)²)).

    Attributes:
        eta: share of the ancestral noise, >= 0; 0 is the deterministic method, 1 the variance of
            DDPM's posterior.
        s_noise: inflation of the noise, > 0; with a value other than 1 the method converges to a
            slightly wrong distribution.

    Class attributes:
        solver: the deterministic method.
    """

    solver: ClassVar[LinearStages]
    eta: float = 1.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"{self.name}: eta must be >= 0 and finite, got {self.eta}")
        if not 0 < self.s_noise < math.inf:
            raise ValueError(
                f"{self.name}: s_noise must be > 0 and finite, got "
                f"{self.s_noise}; for the deterministic method set eta = 0"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Return True if noise is drawn: eta > 0."""
        return self.eta > 0

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """Order of the method, weak where there is noise; None if s_noise changes the noise."""
        return self.solver.order if self.s_noise == 1 or not self.stochastic else None

    @property
    def strong_order(self) -> float | None:  # type: ignore[override]
        """1 at eta = 1, as for every consistent scheme whose noise is additive.

        With other noise the limit is the path of another SDE.
        """
        return 1.0 if self.eta == self.s_noise == 1 else None

    def row(self, cur: float, nxt: float) -> NoisyRow:
        """The method's coefficients to ``down``, and the noise of the whole step."""
        up = min(nxt, self.eta * nxt * math.sqrt(1 - (nxt / cur) ** 2))
        step = self.solver.row(cur, math.sqrt(nxt**2 - up**2))
        noise, spans = ((self.s_noise * up,), ((cur, nxt),)) if up else ((), ())
        return NoisyRow(
            tuple(Mix(*stage) for stage in step.stages), Mix(nxt, step.a, step.b, noise), spans
        )
