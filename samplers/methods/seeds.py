"""SEEDS: stochastic exponential Runge-Kutta methods for the data prediction, in lam = -log(sigma).

Increments of one Brownian path, with their exact decay, drive each stage and the end of the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

from ..base import check_choice
from ..families.exponential import (
    check_eta,
    data_weights,
    decay,
    draws_noise,
    noise_std,
    strong_order_by_eta,
)
from ..families.noisy_stages import NoisyRow, NoisyStages, NoisyStageState
from ..registry import register
from ..types import Source

_paper = partial(Source, "gonzalez2023seeds", url="https://arxiv.org/abs/2305.14267v2")
_ETA = "eta scales the noise; the paper has eta = 1"


@dataclass(frozen=True, kw_only=True)
class SEEDS(NoisyStages):
    """Base class of SEEDS methods, with stages at cur and at cur^{1-c} nxt^c for c in ``nodes``.

    Attributes:
        eta: amount of noise, >= 0; 0 is the probability flow, 1 the reverse SDE.
    """

    nodes: ClassVar[tuple[float, ...]] = ()
    eta: float = 1.0
    stochastic = draws_noise  # type: ignore[assignment]
    strong_order = strong_order_by_eta  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_eta(self.name, self.eta)

    def weights(self, levels: tuple[float, ...], to: float) -> tuple[float, ...]:
        """Return the weight of the image at ``levels[0]``, the only one, in the state at ``to``."""
        return (1 - decay(levels[0], to, self.eta),)

    def row(self, cur: float, nxt: float) -> NoisyRow:
        levels = (cur, *(cur ** (1 - c) * nxt**c for c in self.nodes))
        spans = tuple(pairwise((*levels, nxt))) if self.eta else ()
        points = []
        for k, to in enumerate((*levels[1:], nxt), 1):
            # standard deviation of each increment, decayed to the level `to`
            noise = tuple(noise_std(a, b, self.eta) * decay(b, to, self.eta) for a, b in spans[:k])
            points.append(
                NoisyStageState(to, decay(cur, to, self.eta), self.weights(levels[:k], to), noise)
            )
        return NoisyRow((NoisyStageState(cur, 1.0), *points[:-1]), points[-1], spans)


@register
@dataclass(frozen=True, kw_only=True)
class SEEDS1(SEEDS):
    """SEEDS-1: x <- q x + (1 - q) d + nxt sqrt(1 - r^{2 eta}) z, r = nxt / cur, q = r^{1 + eta}."""

    name = "seeds_1"
    order = 1
    same_as = "ddpm"
    source = _paper("SEEDS-1, data prediction", deviations=(_ETA,))


@register
@dataclass(frozen=True, kw_only=True)
class SEEDS2(SEEDS):
    """SEEDS-2: stages at 0 and c2 h of a step h in lam; weights sum to W = 1 - e^{-(1 + eta) h}.

    Attributes:
        weighting: "phi_1" weighs d_2 by W / (2 c2), which for c2 = 1/2 is the exponential midpoint
            rule; "phi_2" integrates the line through both d exactly.
        c2: fraction of the step at the second evaluation, in (0, 1].
    """

    name = "seeds_2"
    order = 2
    source = _paper("SEEDS-2, data prediction", deviations=(_ETA,))
    weighting: Literal["phi_1", "phi_2"] = "phi_1"
    c2: float = 0.5

    @property
    def nodes(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.c2,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.c2 <= 1:
            raise ValueError(f"{self.name}: c2 must be in (0, 1], got {self.c2}")
        check_choice(self, "weighting", "phi_1", "phi_2")

    def weights(self, levels: tuple[float, ...], to: float) -> tuple[float, ...]:
        """Return weights of the images at one or two ``levels`` in the state at level ``to``."""
        if len(levels) == 2 and self.weighting == "phi_1":
            total, share = 1 - decay(levels[0], to, self.eta), 1 / (2 * self.c2)
            return (total * (1 - share), total * share)
        return tuple(data_weights(levels[0], to, levels, self.eta))


@register
@dataclass(frozen=True, kw_only=True)
class SEEDS3(SEEDS):
    """SEEDS-3: stages at 0, h / 3, 2 h / 3; the result integrates the line through d_1 and d_3."""

    name = "seeds_3"
    nodes = (1 / 3, 2 / 3)
    source = _paper(
        "SEEDS-3, data prediction, c2 = 1/3 and c3 = 2/3",
        deviations=(
            _ETA,
            "the third stage has the weight of the exponential Runge-Kutta tableau; the "
            "authors' code has another, of weak order 1",
            "declared at the measured weak order, 2, where there is noise; 3 at eta = 0",
        ),
    )

    @property
    def order(self) -> int:  # type: ignore[override]
        """3 without noise; weak order 2 with noise, as increments do not give a path's integral."""
        return 2 if self.eta else 3

    def weights(self, levels: tuple[float, ...], to: float) -> tuple[float, ...]:
        """Return weights of images at 1 to 3 ``levels`` in the state at ``to``; of 3, d_2 has 0."""
        if len(levels) == 3:
            first, third = data_weights(levels[0], to, (levels[0], levels[2]), self.eta)
            return (first, 0.0, third)
        return tuple(data_weights(levels[0], to, levels, self.eta))
