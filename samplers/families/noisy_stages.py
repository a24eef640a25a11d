"""Single-step methods with noise before each evaluation, as rows of coefficients."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from torch import Tensor

from ..buffers import take_buffer
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import blend
from ..types import Denoise, StepNoise
from .exponential import draws_noise
from .stages import LinearStages, StagesRow


class NoisyStageState(NamedTuple):
    """State at level ``sigma`` inside a step: a x + sum_j b_j d_j + sum_m c_m z_m.

    x is the state before the step, d_j and z_m are the step's denoised images and standard normals.
    """

    sigma: float
    a: float
    b: tuple[float, ...] = ()
    c: tuple[float, ...] = ()


class NoisyRow(NamedTuple):
    """Coefficients of a step: d_k = denoise(stage_k) for each stage, then x <- end.

    Attributes:
        stages: the states at which the denoiser is evaluated, as sums of x, d_k and normals z_m.
        end: the next state, as such a sum.
        spans: for each normal z_m, its interval (cur, nxt) of levels. Normals of intervals that
            overlap are increments of one Brownian path.
    """

    stages: tuple[NoisyStageState, ...]
    end: NoisyStageState
    spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class NoisyStages(GridSampler):
    """Base class of single-step methods linear in state, images and noise; define :meth:`row`."""

    @abstractmethod
    def row(self, cur: float, nxt: float) -> NoisyRow:
        """Return the coefficients of the step from ``cur`` to ``nxt`` > 0."""

    def plan(self, grid: Grid) -> list[NoisyRow]:
        """Return the coefficients of each step; the step to 0 is x <- d, without noise."""
        return [
            with_disjoint_noise(self.row(cur, nxt))
            if nxt > 0
            else NoisyRow((NoisyStageState(cur, 1.0),), NoisyStageState(0.0, 0.0, (1.0,)))
            for cur, nxt in grid.intervals()
        ]

    nfe = LinearStages.nfe  # type: ignore[assignment]

    def step(
        self,
        x: Tensor,
        row: NoisyRow,
        past: tuple[()],  # noqa: ARG002
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, None]:
        """Return the states after the step ``row``, and no history entry for later steps."""
        draws = [noise(m, cur=cur, nxt=nxt) for m, (cur, nxt) in enumerate(row.spans)]
        images: list[Tensor] = []
        for stage in row.stages:
            y = _apply_mix(x, stage, images, draws, take_buffer(x)) if stage.b else x
            images.append(denoise(y, stage.sigma))
        return _apply_mix(x, row.end, images, draws, x), None


def with_disjoint_noise(row: NoisyRow) -> NoisyRow:
    """Return the coefficients of the same step, with normals for intervals that do not overlap.

    White noise ignores intervals, and would draw the old z_m independently. Here each old z_m is a
    sum of new normals: (W(b) - W(a)) / sqrt|b - a| of one Brownian path W over its interval (a, b).
    The path's time is sigma, as in k-diffusion's BrownianTreeNoiseSampler. Let a stage cover the
    share r of a step of length h in lam. Its noise and the step's noise have the correlation
    sqrt(r) + O(h), as weak order 2 requires. Another time of the path changes only the term O(h).
    """
    levels = sorted({level for span in row.spans for level in span}, reverse=True)
    parts = list(pairwise(levels))
    shares = [
        [
            math.sqrt((cur - nxt) / (start - end)) if start >= cur > end else 0.0
            for cur, nxt in parts
        ]
        for start, end in row.spans
    ]

    def combine_draws(c: Sequence[float]) -> tuple[float, ...]:
        weights = [
            math.fsum(weight * share[k] for weight, share in zip(c, shares, strict=False))
            for k in range(len(parts))
        ]
        while weights and weights[-1] == 0:
            weights.pop()
        return tuple(weights)

    return NoisyRow(
        tuple(stage._replace(c=combine_draws(stage.c)) for stage in row.stages),
        row.end._replace(c=combine_draws(row.end.c)),
        tuple(parts),
    )


def _apply_mix(
    x: Tensor,
    mix: NoisyStageState,
    images: Sequence[Tensor],
    draws: Sequence[Tensor],
    out: Tensor | None,
) -> Tensor:
    """Return the state that ``mix`` describes, in ``out`` if given; if a = 0, ``x`` is not read."""
    y = blend(x, mix.a, mix.b, images, out)
    for weight, z in zip(mix.c, draws, strict=False):
        y = y.add_(z, alpha=weight)
    return y


@dataclass(frozen=True, kw_only=True)
class AncestralStages(NoisyStages):
    """Base class of ancestral methods: a deterministic step down to a level ``down``, then noise.

    The noise is s_noise up z, with down² + up² = nxt². Without ``flow``, up is the smaller of nxt
    and eta nxt sqrt(1 - (nxt / cur)²). An exact step gives the distribution at level ``down``.
    Noise with s_noise = 1 turns it into the distribution at nxt. For any eta, the weak order is
    therefore the order of the deterministic method.

    With ``flow``, ``down`` is the level of ComfyUI's samplers ``…_RF`` and of diffusers'
    LTXEulerAncestralRF. In the time t = sigma / (1 + sigma) of a flow, a step from t to t' puts
    ``down`` at t' (1 - eta (1 - t' / t)), at least 0. At eta = 1 the noise is less than DDPM's, but
    tends to it in small steps. Its variance there grows like eta; without ``flow``, like eta².

    Attributes:
        eta: share of the ancestral noise, >= 0; 0 is the deterministic method. Without ``flow``, 1
            is the variance of DDPM's posterior.
        s_noise: factor of the noise, > 0; with a value other than 1 the method converges to a
            slightly wrong distribution.
        flow: True takes the level ``down`` that is usual on flows.

    Class attributes:
        solver: the deterministic method.
    """

    solver: ClassVar[LinearStages]
    eta: float = 1.0
    s_noise: float = 1.0
    flow: bool = False
    stochastic = draws_noise  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"{self.name}: eta must be >= 0 and finite, got {self.eta}")
        if not 0 < self.s_noise < math.inf:
            raise ValueError(
                f"{self.name}: s_noise must be > 0 and finite, got "
                f"{self.s_noise}; for the deterministic method set eta = 0"
            )

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """Order of ``solver``, as weak order if eta > 0; None if eta > 0 and s_noise is not 1."""
        return self.solver.order if self.s_noise == 1 or not self.stochastic else None

    @property
    def strong_order(self) -> float | None:  # type: ignore[override]
        """Strong order 1.0 if eta = s_noise = 1, else None, as the limit solves another SDE."""
        return 1.0 if self.eta == self.s_noise == 1 else None

    def deterministic_row(self, cur: float, down: float) -> StagesRow:
        """Return the coefficients of the step from ``cur`` to ``down``, by ``solver``."""
        return self.solver.row(cur, down)

    def row(self, cur: float, nxt: float) -> NoisyRow:
        """Return the coefficients of a ``solver`` step to ``down`` and of the noise after it."""
        if self.flow:
            # the flow time of `down` is 1 - loss times the time of `nxt`
            loss = min(1.0, self.eta * (1 - nxt / cur) / (1 + nxt))
            down = nxt * (1 - loss) / (1 + nxt * loss)
            up = math.sqrt(nxt**2 - down**2)
        else:
            up = min(nxt, self.eta * nxt * math.sqrt(1 - (nxt / cur) ** 2))
            down = math.sqrt(nxt**2 - up**2)
        step = self.deterministic_row(cur, down)
        noise, spans = ((self.s_noise * up,), ((cur, nxt),)) if up else ((), ())
        return NoisyRow(
            tuple(NoisyStageState(*stage) for stage in step.stages),
            NoisyStageState(nxt, step.a, step.b, noise),
            spans,
        )
