"""Measurements of row 16: pixels on which the denoised centre pixel depends, by noise level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from samplerbench.models import Denoiser, normal_like
from samplerbench.models.exact import ExactModel

from ...analysis.locality import receptive_radius, sensitivity
from ...arrays import FloatArray
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import generate, unlabelled

LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
LOW, HIGH = 0.2, 5.0
"""Levels between which the claim is judged."""
MODELS = {"exact": "fashion-mppca", "network": "fashion"}


class LocalityResult(NamedTuple):
    """Measurements of row 16, for each denoiser in :data:`MODELS`.

    Attributes:
        radii: receptive radius at every level, in pixels.
        growth: radius at the high level over the radius at the low one.
        pictures: mean sensitivity at every level, ``(H, W)``.
    """

    radii: Mapping[str, Sequence[Interval]]
    growth: Mapping[str, Interval]
    pictures: Mapping[str, Sequence[FloatArray]]


def measure(effort: Effort) -> LocalityResult:
    """Measure row 16: sensitivity of the centre pixel at seven levels, for each denoiser."""
    n = effort.samples(64, 16)
    rows = {
        kind: [pixel_rows(effort.model(name), sigma, n) for sigma in LEVELS]
        for kind, name in MODELS.items()
    }
    low, high = LEVELS.index(LOW), LEVELS.index(HIGH)
    return LocalityResult(
        {kind: [radius(part) for part in parts] for kind, parts in rows.items()},
        {kind: ratio(parts[low], parts[high]) for kind, parts in rows.items()},
        {kind: [picture(part) for part in parts] for kind, parts in rows.items()},
    )


def pixel_rows(model: Denoiser, sigma: float, n: int) -> Tensor:
    """Return dd_i / dx for the centre pixel i at n noisy states, ``(n, C, H, W)``."""
    x0 = model.sample(n, 0) if isinstance(model, ExactModel) else generate(model, "dpmpp_2m", 16, n)
    labels = unlabelled(model, n)
    return torch.cat(
        [sensitivity(model, part, sigma, labels=None if labels is None else labels[: len(part)])
         for part in (x0 + sigma * normal_like(x0, 0)).split(32)]
    )  # fmt: skip


def radius(rows: Tensor) -> Interval:
    """Return the receptive radius with its interval over the states."""
    return bootstrap(lambda chosen: field(rows, chosen), len(rows), draws=200)


def ratio(low: Tensor, high: Tensor) -> Interval:
    """Return the ratio of the radii at the high and the low level, on the same states.

    It is NaN if the radius at the low level is 0.
    """
    return bootstrap(
        lambda chosen: divided(field(high, chosen), field(low, chosen)), len(low), draws=200
    )


def field(rows: Tensor, chosen: Sequence[int] | np.ndarray) -> float:
    """Return the receptive radius over the chosen states.

    A radius below 1e-6 pixels, which is rounding, is set to 0.
    """
    found = float(receptive_radius(rows[torch.as_tensor(chosen)]))
    return found if found > 1e-6 else 0.0


def divided(a: float, b: float) -> float:
    """Return a / b; NaN if ``b`` is 0."""
    return a / b if b else float("nan")


def picture(rows: Tensor) -> FloatArray:
    """Return the mean sensitivity over states and channels, ``(H, W)``, scaled to a maximum of
    1.
    """
    mean = rows.double().mean((0, 1)).numpy()
    return mean / np.abs(mean).max()
