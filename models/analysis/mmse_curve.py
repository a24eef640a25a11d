"""MMSE curve: error of the best guess of clean samples at each signal-to-noise ratio gamma = 1 /
sigma².

mmse(gamma) = E |x0 - E[x0 | x]|² = E tr Cov[x0 | x] at x = x0 + z / sqrt(gamma). It falls in gamma,
from the total variance of the data to 0. Each sample has a curve of its own, so a
linear functional of the curve, such as an integral, has an honest standard error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .estimate import Estimate, FloatArray, estimate_mean

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline


@dataclass(frozen=True, eq=False)
class MMSECurve:
    """A tabulated MMSE curve; between the nodes, gamma mmse is a cubic spline in log gamma.

    Attributes:
        gamma: ``(M,)`` > 0, rising; M >= 2.
        draws: ``(n, M)``, each sample's part, in squared data units.
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
        """Each sample's curve at ``gamma`` (a number or ``(m,)``): ``(n,)`` or ``(n, m)``.

        Raises:
            ValueError: outside the nodes.
        """
        return self._spline(self._place(gamma)).T / gamma

    def integral(self, start: float, stop: FloatArray | float) -> FloatArray:
        """Each sample's integral of mmse dgamma from ``start`` to ``stop``.

        Shapes and errors as in :meth:`at`.
        """
        return (self._primitive(self._place(stop)) - self._primitive(self._place(start))).T

    def value(self, gamma: float) -> Estimate:
        """mmse(gamma)."""
        return estimate_mean(self.at(gamma))

    def mean(self) -> FloatArray:
        """Return the curve at its nodes, ``(M,)``, with the rises that sampling noise leaves taken out: the
        true one falls.
        """
        return np.minimum.accumulate(self.draws.mean(0))

    def halved(self) -> MMSECurve:
        """Return the curve from every other node and the last, to bound the interpolation error.

        Raises:
            ValueError: fewer than three nodes.
        """
        if len(self.gamma) < 3:
            raise ValueError(
                "an MMSE curve of two nodes does not show how well it is interpolated; give it more"
            )
        keep = sorted({*range(0, len(self.gamma), 2), len(self.gamma) - 1})
        return MMSECurve(self.gamma[keep], self.draws[:, keep])

    def _place(self, gamma: FloatArray | float) -> FloatArray:
        low, high = self.gamma[0] * (1 - 1e-9), self.gamma[-1] * (1 + 1e-9)
        if not (np.all(gamma >= low) and np.all(gamma <= high)):
            raise ValueError(
                f"the MMSE curve spans gamma = {self.gamma[0]:g} to "
                f"{self.gamma[-1]:g}; tabulate it over the levels in use"
            )
        return np.log(np.clip(gamma, self.gamma[0], self.gamma[-1]))

    @cached_property
    def _spline(self) -> CubicSpline:
        from scipy.interpolate import CubicSpline  # here: few runs have a use for it

        # gamma mmse is the integrand in log gamma, and of one scale where mmse spans many decades.
        return CubicSpline(np.log(self.gamma), (self.gamma * self.draws).T)

    @cached_property
    def _primitive(self) -> CubicSpline:
        return self._spline.antiderivative()


def gammas(sigma_min: float, sigma_max: float, nodes: int) -> FloatArray:
    """``nodes`` signal-to-noise ratios from 1 / sigma_max² to 1 / sigma_min², even in logarithm.

    Raises:
        ValueError: not 0 < ``sigma_min`` < ``sigma_max``.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"need 0 < sigma_min < sigma_max, got sigma_min={sigma_min} and sigma_max={sigma_max}"
        )
    return np.exp(np.linspace(-2 * math.log(sigma_max), -2 * math.log(sigma_min), nodes))
