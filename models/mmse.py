"""Curves of a model's minimum mean squared error (MMSE) of denoising, over the noise level.

A curve comes from the posterior of an exact model, or from the denoising loss of a network. Its
states x = x0 + sigma z have the same x0 and z at all levels sigma = 1 / sqrt(gamma). So the
curve is smooth, and differences of its values have little noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .denoiser import Denoiser
from .exact.base import ExactModel
from .reference import FloatArray

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline


class Estimate(NamedTuple):
    """Mean of independent draws, with its standard error.

    Attributes:
        value: the mean.
        error: standard error of the mean.
        bound: upper bound on the absolute bias of the mean, as by quadrature; 0 if it has none.
    """

    value: float
    error: float
    bound: float = 0.0

    def covers(self, truth: float, errors: float = 4.0) -> bool:
        """Return True if |``value`` - ``truth``| <= ``errors`` · ``error`` + ``bound``."""
        return abs(self.value - truth) <= errors * self.error + self.bound


def estimate_mean(draws: FloatArray, bound: float = 0.0) -> Estimate:
    """Return the mean of independent ``draws`` ``(n,)``; its error is infinite for a single draw.

    ``bound`` is copied to the result. Raises a ValueError without draws.
    """
    n = len(draws)
    if n < 1:
        raise ValueError("an estimate needs at least one draw; raise the number of samples")
    error = float(draws.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(float(draws.mean()), error, bound)


@dataclass(frozen=True, eq=False)
class MMSECurve:
    """Table of a denoising error (MMSE) by sample and signal-to-noise ratio gamma = 1 / sigma².

    ``gamma`` ``(M,)`` are the nodes, > 0 and rising. ``draws`` ``(n, M)`` are each sample's errors
    at the nodes: squared, summed over the sample's elements, in squared data units. Between nodes,
    gamma · error is a cubic spline in log gamma. A ValueError is raised for other shapes, for
    fewer than two nodes, and for nodes that do not rise.
    """

    gamma: FloatArray
    draws: FloatArray

    def __post_init__(self) -> None:
        if len(self.gamma) < 2 or not (np.diff(self.gamma) > 0).all() or not self.gamma[0] > 0:
            raise ValueError("an MMSE curve needs at least two nodes gamma > 0, rising")
        if self.draws.ndim != 2 or self.draws.shape[1] != len(self.gamma):
            raise ValueError(
                f"an MMSE curve of {len(self.gamma)} nodes needs draws "
                f"(samples, {len(self.gamma)}), not {self.draws.shape}"
            )

    def at(self, gamma: FloatArray | float) -> FloatArray:
        """Return each sample's error at ``gamma``: ``(n,)`` for a number, ``(n, m)`` for ``(m,)``.

        Raises a ValueError if ``gamma`` is outside the nodes.
        """
        return self._spline(self._checked_log_gamma(gamma)).T / gamma

    def integral(self, start: float, stop: FloatArray | float) -> FloatArray:
        """Return each sample's integral of the error over gamma, from ``start`` to ``stop``.

        The result has the shape of ``at(stop)``. Raises a ValueError outside the nodes.
        """
        first, last = map(self._checked_log_gamma, (start, stop))
        return (self._primitive(last) - self._primitive(first)).T

    def value(self, gamma: float) -> Estimate:
        """Return the mean error at ``gamma`` over the samples, with its standard error."""
        return estimate_mean(self.at(gamma))

    def falling_mean(self) -> FloatArray:
        """Return the mean error at the nodes, ``(M,)``, forced to fall: its running minimum."""
        return np.minimum.accumulate(self.draws.mean(0))

    def halved(self) -> MMSECurve:
        """Return the curve with every second node, and the last, to estimate interpolation errors.

        Raises a ValueError if the curve has fewer than three nodes.
        """
        if len(self.gamma) < 3:
            raise ValueError(
                "an MMSE curve of two nodes does not show how well it is interpolated; give it more"
            )
        keep = sorted({*range(0, len(self.gamma), 2), len(self.gamma) - 1})
        return MMSECurve(self.gamma[keep], self.draws[:, keep])

    def _checked_log_gamma(self, gamma: FloatArray | float) -> FloatArray:
        """Return log ``gamma``; raise a ValueError if ``gamma`` is outside the nodes."""
        low, high = self.gamma[0] * (1 - 1e-9), self.gamma[-1] * (1 + 1e-9)
        if not (np.all(gamma >= low) and np.all(gamma <= high)):
            raise ValueError(
                f"the MMSE curve spans gamma = {self.gamma[0]:g} to "
                f"{self.gamma[-1]:g}; tabulate it over the levels in use"
            )
        return np.log(np.clip(gamma, self.gamma[0], self.gamma[-1]))

    @cached_property
    def _spline(self) -> CubicSpline:
        """Cubic spline of gamma · error in log gamma, for every sample."""
        from scipy.interpolate import CubicSpline  # here: few runs have a use for it

        # gamma mmse is the integrand in log gamma, and of one scale where mmse spans many decades.
        return CubicSpline(np.log(self.gamma), (self.gamma * self.draws).T)

    @cached_property
    def _primitive(self) -> CubicSpline:
        """Antiderivative of :attr:`_spline`."""
        return self._spline.antiderivative()


def gammas(sigma_min: float, sigma_max: float, nodes: int) -> FloatArray:
    """Return ``nodes`` >= 2 ratios gamma, log-spaced from 1 / sigma_max² up to 1 / sigma_min².

    Raises a ValueError if not 0 < ``sigma_min`` < ``sigma_max``.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"need 0 < sigma_min < sigma_max, got sigma_min={sigma_min} and sigma_max={sigma_max}"
        )
    return np.exp(np.linspace(-2 * math.log(sigma_max), -2 * math.log(sigma_min), nodes))


ErrorEstimator = Callable[[Tensor, Tensor, float], Tensor]
"""Function of (x0, x, sigma) that estimates E[|x0 - d|² | x] of each row, ``(batch,)``."""


def tabulate_curve(
    estimate: ErrorEstimator, x0: Tensor, z: Tensor, gamma: FloatArray | Sequence[float]
) -> MMSECurve:
    """Return the curve of ``estimate(x0, x, sigma)`` for x = x0 + sigma z, sigma² = 1 / ``gamma``."""
    with torch.no_grad():
        columns = [
            estimate(x0, x0 + z / math.sqrt(g), 1 / math.sqrt(g)).double().cpu().numpy()
            for g in gamma
        ]
    return MMSECurve(np.asarray(gamma, dtype=np.float64), np.stack(columns, 1))


def normal_like(x0: Tensor, seed: int, stream: int = 0) -> Tensor:
    """Return standard normal noise of the shape, dtype and device of ``x0``.

    ``seed`` and ``stream``, both >= 0, select the noise. A longer ``x0`` gets the same first rows.
    """
    rng = np.random.default_rng((seed, 2, stream))
    return torch.from_numpy(rng.standard_normal(tuple(x0.shape))).to(x0)


def exact_mmse(
    model: ExactModel, gamma: FloatArray | Sequence[float], samples: int, seed: int = 0
) -> MMSECurve:
    """Return the MMSE curve of an exact model from its posterior trace on ``samples`` samples.

    The trace has less sampling noise than squared errors.
    """
    x0 = model.sample(samples, seed)
    return tabulate_curve(
        lambda _x0, x, sigma: model.posterior_trace(x, sigma), x0, normal_like(x0, seed), gamma
    )


def denoising_loss(
    model: Denoiser,
    x0: Tensor,
    gamma: FloatArray | Sequence[float],
    *,
    seed: int = 0,
    labels: Tensor | None = None,
) -> MMSECurve:
    """Return the curve of a model's squared error |x0 - d|² on samples ``x0`` ``(n, *event)``.

    ``labels``, one a sample, or None condition the model. If ``x0`` are drawn from the data, the
    mean over samples is the MMSE plus the model's squared error E |d - E[x0 | x]|². So this mean
    bounds the MMSE from above, up to sampling noise.
    """

    def loss(x0: Tensor, x: Tensor, sigma: float) -> Tensor:
        return (x0 - model.denoise(x, sigma, labels)).double().flatten(1).square().sum(1)

    return tabulate_curve(loss, x0, normal_like(x0, seed), gamma)
