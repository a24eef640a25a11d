"""DDIM, DDPM and ancestral Euler: steps from q(x_nxt | x_cur, x0 = d), or with less noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from ..families.exponential import draws_noise, strong_order_by_eta
from ..families.linear import LinearMultistep, LinearRow
from ..families.noisy_stages import AncestralStages
from ..grid import Grid
from ..registry import register, register_unlisted
from ..types import Source
from .edm import EulerChurn

_ddim = partial(Source, "song2021ddim", url="https://arxiv.org/abs/2010.02502v4")
_ddpm = partial(Source, "ho2020ddpm", url="https://arxiv.org/abs/2006.11239v2")


def ancestral_row(cur: float, nxt: float, eta: float) -> LinearRow:
    """Return the coefficients of DDIM's step x <- d + sqrt(nxt² - up²) eps + up z.

    eps = (x - d) / cur and up = eta nxt sqrt(1 - (nxt / cur)²); the step ends at level nxt for any
    eta. In variance-preserving coordinates, scaled by alpha, DDIM's sigma_tau of eq. (16) is alpha
    up. eta = 1 is the posterior of DDPM, eq. (7), with its smaller variance.
    """
    up = eta * nxt * math.sqrt(1 - (nxt / cur) ** 2)
    a = math.sqrt(nxt**2 - up**2) / cur
    return LinearRow(cur, a=a, b=(1 - a,), c=up)


@register
@dataclass(frozen=True, kw_only=True)
class DDIM(LinearMultistep):
    """Denoising diffusion implicit model: see :func:`ancestral_row`.

    At eta = 0 it is deterministic and equals Euler.

    Attributes:
        eta: factor of the ancestral noise's standard deviation, in [0, 1]; 1 is DDPM.
    """

    name = "ddim"
    order = 1
    same_as = "euler"
    source = _ddim("eq. (12) and (16)")
    eta: float = 0.0
    stochastic = draws_noise  # type: ignore[assignment]
    strong_order = strong_order_by_eta  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"ddim: eta must be in [0, 1], got {self.eta}")

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [ancestral_row(cur, nxt, self.eta) for cur, nxt in grid.intervals()]


@register
@dataclass(frozen=True, kw_only=True)
class DDPM(LinearMultistep):
    """Ancestral sampling: x ~ q(x_nxt | x_cur, x0 = d), DDIM with eta = 1."""

    name = "ddpm"
    order = 1
    stochastic = True
    strong_order = 1.0
    source = _ddpm(
        "Alg. 2, with the posterior variance of eq. (7)",
        deviations=("the variance is the smaller of the paper's two choices",),
    )

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [ancestral_row(cur, nxt, 1.0) for cur, nxt in grid.intervals()]


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class DDPMLarge(LinearMultistep):
    """Ancestral sampling with the larger variance of the DDPM paper: forward noise from nxt to cur.

    In a variance-preserving process, let alpha and alpha' be the signal's factors at cur and nxt.
    The variance there is 1 - alpha² / alpha'². For states x0 + sigma z it is divided by alpha'²: (1
    + nxt²) (cur² - nxt²) / (1 + cur²). The step to 0 is x <- d, without noise, as in the paper. The
    sampler reproduces schedulers of checkpoints with such a process (``pipeline``).
    """

    name = "ddpm_large"
    order = 1
    stochastic = True
    source = _ddpm("Alg. 2, with sigma_t² = beta_t (section 3.2)")

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows = []
        for cur, nxt in grid.intervals():
            share = (nxt / cur) ** 2
            noise = (1 + nxt**2) * (cur**2 - nxt**2) / (1 + cur**2) if nxt else 0.0
            rows.append(LinearRow(cur, a=share, b=(1 - share,), c=math.sqrt(noise)))
        return rows


@register
@dataclass(frozen=True, kw_only=True)
class EulerAncestral(AncestralStages):
    """Ancestral Euler: x <- r x + (1 - r) d + s_noise up z, r = down / cur.

    See :class:`.AncestralStages`. With eta <= 1, s_noise = 1 and no ``flow`` it equals DDIM.
    """

    name = "euler_ancestral"
    same_as = "ddpm"
    source = _ddim("eq. (12) and (16); k-diffusion, sample_euler_ancestral")
    solver = EulerChurn(churn=0.0)
