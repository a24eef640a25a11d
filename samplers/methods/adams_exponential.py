"""Exponential Adams-Bashforth in lam = -log(sigma): for eps, for d, and between the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..families.exponential import data_moments, data_weights, noise_moments
from ..families.multistep import ChangeOfVariables, Multistep, Startup, adams_row
from ..families.stages import LinearStages, Stage, StagesRow, run_stages
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import integrate_panels
from ..registry import register_family
from ..types import Denoise, Source, StepNoise


def _lam(_: object, sigma: float) -> float:
    return -math.log(sigma)


@dataclass(frozen=True, kw_only=True)
class NoiseEAB(Multistep):
    """Multistep DPM-Solver: x <- x - nxt int_0^h e^{h-s} eps(lam + s) ds, eps a polynomial."""

    source: ClassVar[Source] = Source(
        "lu2022dpmsolver", "eq. (3.4), multistep", "https://arxiv.org/abs/2206.00927v3"
    )
    startup: Startup = "ramp"

    entry_coefficients, decay = ChangeOfVariables.entry_coefficients, ChangeOfVariables.decay
    row = adams_row  # type: ignore[assignment]
    variable, moments = _lam, staticmethod(noise_moments)


@dataclass(frozen=True, kw_only=True)
class DataEAB(Multistep):
    """Multistep DPM-Solver++: x <- e^{-h} x + int_0^h e^{-(h-s)} d(lam + s) ds, d a polynomial."""

    source: ClassVar[Source] = Source(
        "lu2022dpmpp",
        "the exact solution for the data prediction, multistep",
        "https://arxiv.org/abs/2211.01095v2",
    )
    startup: Startup = "ramp"
    row = adams_row  # type: ignore[assignment]
    variable = _lam

    def entry_coefficients(self, sigma: float) -> None:  # noqa: ARG002
        return

    def decay(self, cur: float, nxt: float) -> float:
        return nxt / cur

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        return data_moments(cur, nxt, count)


@dataclass(frozen=True, kw_only=True)
class RosenbrockEAB(Multistep):
    """Multistep method that is exact on N(0, s²): DPM-Solver-v3 without statistics of the model.

    The linear part is the denoiser of N(0, s²). With a = s² / (s² + sigma²), dx/dlam = -(1 - a) x +
    (d - a x). The history entry, left for later steps, is f = (a x - d) sqrt(s² + sigma²) / sigma,
    a polynomial in lam. So x(nxt) = sqrt((s² + nxt²) / (s² + cur²)) x - sqrt(s² + nxt²)
    int_0^h f sigma / (s² + sigma²) dlam.

    Attributes:
        scale: s > 0, the standard deviation of the data.
    """

    translates = False  # type: ignore[assignment]
    source: ClassVar[Source] = Source(
        "zheng2023dpmsolverv3",
        "eq. (9), as azula's REABSampler",
        "https://arxiv.org/abs/2310.13268v3",
        deviations=(
            "no empirical model statistics: they are those of N(0, s²), l = sigma² / (s² "
            "+ sigma²), s_lambda = l - 1 and b = 0",
            "azula 0.11.1 has another factor before the integral: docs/explanation/findings.md",
        ),
    )
    startup: Startup = "ramp"
    scale: float = 1.0
    row = adams_row  # type: ignore[assignment]
    variable = _lam

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.scale < math.inf:
            raise ValueError(f"{self.name}: scale must be positive, got {self.scale}")

    def entry_coefficients(self, sigma: float) -> tuple[float, float]:
        """Return (c, scale) at ``sigma``, where f of the class docstring is scale (x - c d)."""
        scale = self.scale
        return 1 + (sigma / scale) ** 2, scale**2 / (sigma * math.hypot(scale, sigma))

    def decay(self, cur: float, nxt: float) -> float:
        return math.hypot(self.scale, nxt) / math.hypot(self.scale, cur)

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        h, outer = math.log(cur / nxt), -math.hypot(self.scale, nxt)

        def moment(k: int) -> float:
            def kernel(s: float) -> float:
                sigma = cur * math.exp(-s)
                return s**k / math.factorial(k) * sigma / (self.scale**2 + sigma**2)

            return outer * integrate_panels(kernel, 0.0, h)

        return [moment(k) for k in range(count)]


@dataclass(frozen=True, kw_only=True)
class ExponentialPEC(GridSampler):
    """Exponential Adams predictor and correctors in lam, each corrector with an evaluation.

    The predictor integrates the polynomial through the last k values of d. A corrector evaluates d
    at the end of the step, in the newest state there, and interpolates it together with those k
    values; its order is k + 1. UniPC's corrector, in contrast, uses the next step's evaluation.

    Class attributes:
        points: k; the first steps have fewer values.
        corrections: number of correctors in each step.
    """

    source: ClassVar[Source] = Source(
        "montanelli2020exponential", "pec423, pecec433", "https://arxiv.org/abs/1604.08900"
    )
    points: ClassVar[int]
    corrections: ClassVar[int]

    @property
    def history(self) -> int:  # type: ignore[override]
        return self.points - 1

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Return the coefficients of each step; its weights begin with images of earlier steps."""
        rows = []
        for i, (cur, nxt) in enumerate(grid.intervals()):
            past = grid.sigma[max(0, i - self.history) : i][::-1]
            stages, weights = [Stage(cur, 1.0, ())], [*(0.0 for _ in past), 1.0]
            if nxt > 0:
                weights = data_weights(cur, nxt, (*past, cur), 0.0)
                for k in range(self.corrections):
                    stages.append(Stage(nxt, nxt / cur, tuple(weights)))
                    *old, new = data_weights(cur, nxt, (*past, cur, nxt), 0.0)
                    weights = [*old, *(0.0,) * k, new]
            rows.append(StagesRow(tuple(stages), nxt / cur, tuple(weights)))
        return rows

    nfe = LinearStages.nfe  # type: ignore[assignment]

    def step(
        self,
        x: Tensor,
        row: StagesRow,
        past: tuple[Tensor, ...],
        denoise: Denoise,
        noise: StepNoise,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Return the states after the step, and the denoised image at its beginning."""
        x, images = run_stages(x, row, denoise, past)
        return x, images[len(past)]


register_family(ExponentialPEC, "pec_4", points=3, corrections=1, order=4)
register_family(ExponentialPEC, "pecec_4", points=3, corrections=2, order=4)

_EQUAL = {"zeab_1": "euler", "xeab_1": "euler", "zeab_3": "dpm_solver_3m", "xeab_3": "dpmpp_3m"}
for _points in (1, 2, 3, 4):
    for _base, _name in (
        (NoiseEAB, f"zeab_{_points}"),
        (DataEAB, f"xeab_{_points}"),
        (RosenbrockEAB, f"reab_{_points}"),
    ):
        register_family(_base, _name, points=_points, order=_points, same_as=_EQUAL.get(_name, ""))
