"""Samplers of the code behind published tables, where they differ from this library's.

They repeat the experiments of papers, and are registered by this study only. `diff-sampler` (the
repository of arXiv:2312.00094 and arXiv:2405.11326) thresholds every prediction of the data, and
begins two-stage methods with an analytic first step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from samplerbench.samplers import (
    Denoise,
    Grid,
    Source,
    StepNoise,
    get,
    register_unlisted,
)
from samplerbench.samplers.methods import DPM2, DPMpp3MPublished, Heun

_URL = "https://arxiv.org/abs/2312.00094"
_QUANTILE = 0.995


def _code_source(function: str) -> Source:
    return Source("zhou2024amed", f"authors' code, diff-solvers-main, {function}", _URL)


@dataclass(frozen=True)
class ThresholdedDenoiser:
    """Denoiser with Imagen's dynamic thresholding: images are clamped to [-s, s] and divided by s.

    s is the 0.995 quantile of a sample's magnitudes, at least 1.

    Attributes:
        inner: the denoiser.
    """

    inner: Denoise

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return the thresholded image ``(batch, *event)``."""
        d = self.inner(x, sigma)
        s = torch.quantile(d.flatten(1).abs(), _QUANTILE, dim=1).clamp_(min=1.0)
        s = s.reshape(-1, *[1] * (d.ndim - 1))
        return torch.minimum(torch.maximum(d, -s), s) / s

    def take(self, rows: Tensor, /) -> Self:
        """Return the denoiser for a subset of the samples."""
        return type(self)(self.inner.take(rows))


@dataclass(frozen=True)
class AnalyticAtOneLevel:
    """Denoiser that takes no evaluation at one level, for an analytic first step.

    There it returns x - sigma x / sqrt(1 + sigma²).

    Attributes:
        inner: denoiser at all other levels.
        level: level of the analytic step.
    """

    inner: Denoise
    level: float

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return the denoised image ``(batch, *event)``."""
        if sigma == self.level:
            return x * (1 - self.level / math.hypot(1, self.level))
        return self.inner(x, sigma)

    def take(self, rows: Tensor, /) -> Self:
        """Return the denoiser for a subset of the samples."""
        return type(self)(self.inner.take(rows), self.level)


class AnalyticFirstStep(NamedTuple):
    """Row of an analytic first step.

    Attributes:
        row: row of the method.
        level: level of its first stage.
    """

    row: Any
    level: float


class _AnalyticFirst:
    """Mixin of single-step methods: the first stage of the first step takes no evaluation."""

    def plan(self, grid: Grid) -> list[Any]:
        """Return the method's rows, with the first as :class:`AnalyticFirstStep`."""
        first, *others = super().plan(grid)  # type: ignore[misc]
        return [AnalyticFirstStep(first, grid.sigma[0]), *others]

    def nfe(self, grid: Grid) -> int:
        """Return the method's evaluations less one."""
        return sum(len(getattr(row, "row", row).stages) for row in self.plan(grid)) - 1

    def step(
        self, x: Tensor, row: Any, past: tuple[()], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, None]:
        """Return the result of the method's step."""
        if isinstance(row, AnalyticFirstStep):
            row, denoise = row.row, AnalyticAtOneLevel(denoise, row.level)
        return super().step(x, row, past, denoise, noise)  # type: ignore[misc]


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class HeunAnalyticFirst(_AnalyticFirst, Heun):
    """Heun's method after an analytic first stage."""

    name = "authors_heun_afs"
    order = 2
    translates = False
    source = _code_source("heun_sampler, afs=True")


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class DPM2AnalyticFirst(_AnalyticFirst, DPM2):
    """DPM-Solver-2 after an analytic first stage."""

    name = "authors_dpm_2_afs"
    same_as = ""
    translates = False
    source = _code_source("dpm_2_sampler, afs=True")


class _Thresholding:
    """Mixin that gives a method the denoiser with thresholding."""

    def step(
        self, x: Tensor, row: Any, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Tensor | None]:
        """Return the result of the method's step."""
        return super().step(x, row, past, ThresholdedDenoiser(denoise), noise)  # type: ignore[misc]


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class DPMpp3MThresholded(_Thresholding, DPMpp3MPublished):
    """DPM-Solver++(3M) of lower order at the end, thresholded."""

    name = "authors_dpmpp_3m"
    order = None
    last: tuple[int, ...] = (2, 1)
    translates = False
    source = _code_source("dpm_pp_sampler, predict_x0=True, lower_order_final=True")


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class UniPC3Thresholded(_Thresholding, get("unipc_3_published")):
    """UniPC-3 (bh2) of lower order at the end, thresholded."""

    name = "authors_unipc_3"
    order = None
    translates = False
    source = _code_source("unipc_sampler, predict_x0=True, variant='bh2'")
