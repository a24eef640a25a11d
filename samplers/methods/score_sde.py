"""Samplers of the score-SDE paper: Euler-Maruyama, reverse diffusion, predictor-corrector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..base import check_choice
from ..families.linear import LinearMultistep, LinearRow, jump
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import as_column, row_sums_of_squares
from ..registry import register
from ..types import Denoise, Source, StepNoise
from .ancestral import DDPM

_paper = partial(Source, "song2021sde", url="https://arxiv.org/abs/2011.13456v2")


@register
@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(LinearMultistep):
    """Euler-Maruyama on the reverse SDE dx = 2 (x - d) / sigma dsigma + sqrt(2 sigma) dw.

    Steps are explicit in the time variable ``clock``. With v = d(sigma²)/dtau at the start of the
    step and dtau the step's length, x <- x - v dtau (x - d) / cur² + sqrt(v dtau) z. v dtau is 2
    cur (cur - nxt) for "sigma" and cur² - nxt² for "variance". For "lam", the VE SDE's own time, it
    is 2 cur² log(cur / nxt). The step to 0 is x <- d, without noise.

    Attributes:
        clock: the time variable in which the step is explicit.
    """

    name = "euler_maruyama"
    order = 1
    stochastic = True
    strong_order = 1.0
    source = _paper(
        "section 4.1",
        deviations=(
            "the clock is an option, since canonical coordinates have no native time",
            "the last step to 0 adds no noise",
        ),
    )
    clock: Literal["sigma", "lam", "variance"] = "sigma"

    def __post_init__(self) -> None:
        check_choice(self, "clock", "sigma", "lam", "variance")

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [self._row(cur, nxt) if nxt > 0 else jump(cur) for cur, nxt in grid.intervals()]

    def _row(self, cur: float, nxt: float) -> LinearRow:
        variance = cur**2 - nxt**2
        if self.clock == "sigma":
            variance = 2 * cur * (cur - nxt)
        elif self.clock == "lam":
            variance = 2 * cur**2 * math.log(cur / nxt)
        a = 1 - variance / cur**2
        return LinearRow(cur, a=a, b=(1 - a,), c=math.sqrt(variance))


@register
@dataclass(frozen=True, kw_only=True)
class ReverseDiffusion(LinearMultistep):
    """Reverse diffusion: x <- x + (cur² - nxt²) s + sqrt(cur² - nxt²) z.

    s = (d - x) / cur² is the score. With r = nxt / cur, the step is r² x + (1 - r²) d plus noise:
    Euler-Maruyama with the variance as its time. The step to 0 is x <- d, without noise.
    """

    name = "reverse_diffusion"
    order = 1
    stochastic = True
    strong_order = 1.0
    source = _paper(
        "eq. (46) and Alg. 2, predictor",
        deviations=(
            "in the variance-exploding form whatever the process is",
            "the last step to 0 adds no noise",
        ),
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows = []
        for cur, nxt in grid.intervals():
            a, std = (nxt / cur) ** 2, (cur**2 - nxt**2) ** 0.5
            rows.append(LinearRow(cur, a=a, b=(1 - a,), c=std) if nxt > 0 else jump(cur))
        return rows


_PREDICTORS: dict[str, LinearMultistep] = {
    "reverse_diffusion": ReverseDiffusion(),
    "ancestral": DDPM(),
}


class PCRow(NamedTuple):
    """Coefficients of a predictor's step to ``level``, and the number of corrections made there."""

    predictor: LinearRow
    level: float
    corrections: int


@register
@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(GridSampler):
    """A predictor's step to sigma = nxt, then ``corrections`` times x <- x + w (d - x) + c z.

    d = denoise(x, sigma). In terms of a Langevin step of size e along the score s = (d - x) /
    sigma², w = e / sigma² and c = sqrt(2 e). "annealed" takes e = 2 (snr sigma)². "langevin" takes
    e = 2 (snr |z| / |s|)², with the norms of each sample by itself. Both are equal where |x - d| =
    sigma |z|, as in many dimensions. In few, this e depends on x and z, so that the law is wrong:
    of N(0, I) samples have variance 56 in 2 dimensions, 1.3 in 16, and 1.09 in 64. "exponential"
    has c = 2 snr sigma too and w = 1 - sqrt(1 - 4 snr²), which is exact for constant d. The step to
    0 is x <- d, without corrections. Evaluations: 1 + corrections a step, 1 in the step to 0.

    Attributes:
        corrections: Langevin steps at each level, >= 0; 0 is the predictor alone.
        snr: signal-to-noise ratio of a correction, > 0, at most 1/2 for "exponential".
        predictor: "reverse_diffusion" or "ancestral", which are the samplers reverse_diffusion and
            ddpm.
        corrector: "annealed", "langevin" (for 100 dimensions and more) or "exponential".
    """

    name = "predictor_corrector"
    stochastic = True
    source = _paper(
        "Alg. 2, 4 and 5 and appendix G",
        deviations=(
            'the snr rule has the norms\' expectations where |x - d| = sigma |z| ("annealed"), or those of '
            'each sample ("langevin"), not their means over the batch',
            "in the variance-exploding form whatever the process is, without the factor "
            "alpha of Alg. 5",
            "corrections come after each predictor's step, as in the paper; the authors' "
            "code has them before it",
            'the corrector "exponential" is not in the paper; it is that of the azula '
            "library, whose delta is 4 snr²",
            "of no order with corrections: their size does not shrink with the number of steps",
        ),
    )
    corrections: int = 1
    snr: float = 0.16
    predictor: Literal["reverse_diffusion", "ancestral"] = "reverse_diffusion"
    corrector: Literal["langevin", "annealed", "exponential"] = "annealed"

    def __post_init__(self) -> None:
        check_choice(self, "predictor", *_PREDICTORS)
        check_choice(self, "corrector", "langevin", "annealed", "exponential")
        if self.corrections < 0:
            raise ValueError(f"{self.name}: corrections must be >= 0, got {self.corrections}")
        if not 0 < self.snr < math.inf or (self.corrector == "exponential" and self.snr > 0.5):
            raise ValueError(
                f"{self.name}: snr must be > 0, and at most 1/2 with "
                f'corrector = "exponential", got {self.snr}'
            )

    @property
    def order(self) -> int | None:  # type: ignore[override]
        return None if self.corrections else 1

    @property
    def strong_order(self) -> float | None:  # type: ignore[override]
        """Strong order of the predictor; None with corrections, whose noise is not the path's."""
        return None if self.corrections else 1.0

    def plan(self, grid: Grid) -> list[PCRow]:
        rows = _PREDICTORS[self.predictor].plan(grid)
        return [
            PCRow(row, nxt, self.corrections if nxt > 0 else 0)
            for row, nxt in zip(rows, grid.sigma[1:], strict=True)
        ]

    def nfe(self, grid: Grid) -> int:
        return len(grid) + self.corrections * (len(grid) - int(grid.to_zero))

    def step(
        self, x: Tensor, row: PCRow, past: tuple[()], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, None]:
        """Return the states after the predictor's step (draw 0) and corrections (draws 1, 2, …)."""
        x, _ = _PREDICTORS[self.predictor].step(x, row.predictor, past, denoise, noise)
        for k in range(1, row.corrections + 1):
            x = self._correct(x, row.level, denoise(x, row.level), noise(k))
        return x, None

    def _correct(self, x: Tensor, sigma: float, d: Tensor, z: Tensor) -> Tensor:
        if self.corrector == "langevin":
            size = row_sums_of_squares(x - d)
            share = row_sums_of_squares(z) / size
            w = torch.where(size > 0, 2 * (self.snr * sigma) ** 2 * share, 0.0)
            return x.lerp_(d, as_column(w, x)).addcmul_(as_column(sigma * (2 * w).sqrt(), x), z)
        w = 2 * self.snr**2 if self.corrector == "annealed" else 1 - math.sqrt(1 - 4 * self.snr**2)
        return x.lerp_(d, w).add_(z, alpha=2 * self.snr * sigma)
