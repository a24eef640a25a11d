"""Fit of a denoiser to clean samples at each level: its error, and its Pythagorean defect.

If d = E[x0 | x] with x = x0 + sigma z, then d - x0 is orthogonal to every function of x. So no other
function of x has a smaller mean squared error, and this error decides between candidates. By Pythagoras,

    E |sigma z|² = E |x - d|² + E |d - x0|².

The defect is the relative difference of the two sides: right minus left, divided by left. For samples
with D elements the defect is -2 E <x - d, d - x0> / (sigma² D), and 0 for a posterior mean. So the
defect can be measured without another candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....models.denoiser import Denoiser
from ....samplers import SampleNoise

Verdict = Literal["passed", "failed", "not decided"]


@dataclass(frozen=True)
class Check:
    """Result of one check; ``detail`` is a sentence, and ``passed`` is None if undecided."""

    name: str
    passed: bool | None
    detail: str


def verdict_of(checks: Iterable[Check]) -> Verdict:
    """Return "failed" if a check failed, "not decided" if one is undecided, else "passed"."""
    results = {check.passed for check in checks}
    return "failed" if False in results else "not decided" if None in results else "passed"


SEED = 5_000_000
CHANCE = 3.0
"""Largest difference, in standard errors, that is attributed to chance."""
SMALL_DEFECT, LARGE_DEFECT = 0.1, 0.3
"""Largest absolute defect of a trained network, and of a poorly trained one."""
BATCH = 64
CACHED_VALUES = 1 << 16
"""Largest number of values in a batch whose noise is cached."""
LEVELS = 9
LOWEST_LEVEL, HIGHEST_LEVEL = 0.05, 20.0
"""Lowest and highest level to check, in standard deviations of the data.

At other levels right and wrong denoisers differ little.
"""
LOWEST_X0_LEVEL = 0.5
"""Lowest level for networks that predict x0, in standard deviations of the data."""
HIGHEST_MAP_LEVEL = 0.5
"""Highest level for few-step maps, in standard deviations of the data."""
SMALLEST_SHARE = 1e-9
"""Lower bound of the denominator of a relative excess error, as a share of the largest error."""


@dataclass(frozen=True)
class Fit:
    """Fit of a model at falling ``levels`` ``(L,)``.

    ``errors`` and ``defects`` ``(L, n)`` are the mean squared error and the defect of each sample.
    """

    levels: NDArray[np.float64]
    errors: NDArray[np.float64]
    defects: NDArray[np.float64]

    @property
    def defect(self) -> NDArray[np.float64]:
        """Mean defect over samples at each level, ``(L,)``; 0 for a posterior mean."""
        with np.errstate(all="ignore"):  # a wrong map may overflow
            return self.defects.mean(1)

    @property
    def defect_se(self) -> NDArray[np.float64]:
        """Standard errors ``(L,)`` of :attr:`defect`."""
        with np.errstate(all="ignore"):  # a wrong map may overflow
            return self.defects.std(1, ddof=1) / math.sqrt(self.defects.shape[1])

    @property
    def largest_defect(self) -> float:
        """Largest absolute defect over levels."""
        return float(abs(self.defect).max())

    def has_small_defect(self, most: float = SMALL_DEFECT) -> bool:
        """Return True if the defect is at most ``most``, plus sampling error, at every level."""
        return bool((abs(self.defect) <= most + CHANCE * self.defect_se).all())

    @property
    def median_log_error(self) -> float:
        """Median over levels of the logarithm of the error; infinite if an error is not finite."""
        error = self.errors.mean(1)
        return float(np.median(np.log(error))) if np.isfinite(error).all() else math.inf

    def excess(self, best: Fit) -> tuple[float, float]:
        """Return the mean relative excess over the error of ``best``, and its standard error.

        Both fits must have the same samples and levels. The mean leaves out levels beyond the quartiles
        of the excess, since a poorly trained network has large errors at high levels. The excess is inf
        if this fit has an error that is not finite, and -inf if only ``best`` has one.
        """
        for sign, errors in ((1, self.errors), (-1, best.errors)):
            if not np.isfinite(errors).all():
                return sign * math.inf, 0.0
        mean = best.errors.mean(1, keepdims=True)
        share = (self.errors - best.errors) / np.maximum(mean, SMALLEST_SHARE * mean.max())
        order, quarter = np.argsort(share.mean(1)), len(share) // 4
        middle = share[order[quarter : len(share) - quarter]].mean(0)
        return float(middle.mean()), float(middle.std(ddof=1) / math.sqrt(len(middle)))


def usual_levels(model: Denoiser, x0: Tensor) -> NDArray[np.float64]:
    """Return falling levels ``(LEVELS,)`` around the standard deviation of the data ``x0``.

    The levels for a few-step map are at most half of this deviation.
    """
    std = float((x0 - x0.mean(0)).double().square().mean().sqrt())
    narrowest = LOWEST_X0_LEVEL if getattr(model, "prediction", "") == "x0" else LOWEST_LEVEL
    low = max(model.sigma_min, narrowest * std)
    high = min(model.sigma_max, (HIGHEST_LEVEL if model.kind != "map" else HIGHEST_MAP_LEVEL) * std)
    if low >= high:  # the model has no levels around the data
        low, high = model.sigma_min, min(model.sigma_max, 1e4 * model.sigma_min)
    return np.geomspace(high, low, LEVELS)


def noise_of(model: Denoiser, clean: Tensor, start: int = 0) -> Tensor:
    """Return fixed normal noise for clean samples ``(n, *event)`` with ids from ``start`` on."""
    make = _small_noise if clean.numel() <= CACHED_VALUES else _noise
    return make(start, len(clean), model.event, clean.dtype, clean.device)


def _noise(
    start: int, count: int, event: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    ids = torch.arange(start, start + count, device=device)
    return SampleNoise(SEED, ids, event, dtype).initial()


_small_noise = lru_cache(maxsize=16)(_noise)
"""Cached :func:`_noise`: all candidates get the same noise. Do not modify the result."""


@torch.no_grad()
def measure_fit(
    model: Denoiser, x0: Tensor, labels: Tensor | None, levels: NDArray[np.float64]
) -> Fit:
    """Measure a model's errors and defects on clean samples ``(n, *event)`` at levels ``(L,)``."""
    errors, defects = np.empty((2, len(levels), len(x0)))
    for start in range(0, len(x0), BATCH):
        rows = slice(start, start + BATCH)
        clean, own = x0[rows], None if labels is None else labels[rows]
        z = noise_of(model, clean, start)
        for i, level in enumerate(levels.tolist()):
            x = clean + level * z
            d = model.denoise(x, level, own)
            off, moved = (d - clean).flatten(1).double(), (x - d).flatten(1).double()
            errors[i, rows] = off.square().mean(1).cpu().numpy()
            defects[i, rows] = (-2 * (moved * off).mean(1) / level**2).cpu().numpy()
    return Fit(levels, errors, defects)
