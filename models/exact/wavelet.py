"""Images of any size whose probability flow has a closed form: independent mixtures, one a Haar
coefficient.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..reference import Reference
from .base import ExactModel, FloatArray, fingerprint
from .haar import haar, inverse_haar, octaves
from .quantile import transport

SPREAD = 0.25
"""Mean square of a pixel: standard deviation about 1/2, so that most pixels lie in [-1, 1]."""
WEIGHTS = (0.75, 0.25)
RATIO = 6.0
"""A detail is narrow or wide, RATIO apart, with these probabilities: kurtosis 10, like the
details of photographs.
"""
BALANCE = (0.6, 0.4)
"""Probabilities of the two modes of the mean brightness.

Every other bimodal coefficient is even.
"""
SEPARATION = 4.0
"""Distance of a mode from 0 over its standard deviation."""
LARGEST = 4096
"""Dimensions of the largest model whose covariance serves as a reference (128 MB)."""


class Wavelet(ExactModel):
    r"""Images whose orthonormal Haar coefficients are independent mixtures of two Gaussians.

    The mean square of a coefficient falls as 4^-octave, which makes the power spectrum of the
    images fall as 1/f^2. The four coarsest coefficients of a channel have two separated modes; the
    others are zero-mean scale mixtures, narrow or wide.

    The transform of white noise is white noise, so coefficients decouple: with c one coefficient of
    x, w_k, m_k, s_k its mixture and v_k = s_k^2 + sigma^2,

        E[c0 | c] = sum_k p(k | c) [m_k + s_k^2 / v_k (c - m_k)],     p(k | c) ∝ w_k N(c; m_k, v_k),

    and the probability flow of one coefficient is a monotone map of the line that carries its
    distribution along. There is only one: F_b^{-1}(F_a(c)), with F_sigma the distribution function
    of the noisy coefficient. Truth without a solver, in any dimension.

    Args:
        channels: C >= 1.
        side: n, a power of two >= 2.

    Raises:
        ValueError: no such image.
    """

    def __init__(self, channels: int = 1, side: int = 32) -> None:
        if channels < 1 or side < 2 or side & (side - 1):
            raise ValueError(
                "wavelet needs channels >= 1 and a side that is a power of "
                f"two >= 2, got {channels} and {side}"
            )
        self.name = (
            "wavelet"
            if (channels, side) == (1, 32)
            else f"wavelet(channels={channels}, side={side})"
        )
        self.event = (channels, side, side)
        weights, means, stds = mixtures(side)
        shape = (2, channels * side * side)
        # (component, coefficient): sums over components are sums of two rows, and nothing depends
        # on the batch.
        self._weights, self._means, self._stds = (
            torch.from_numpy(values).expand(channels, 2, side, side).transpose(0, 1).reshape(shape)
            for values in (weights, means, stds)
        )
        self.scale = float(self._stds.min())
        self.identity = fingerprint(self.name, 1, self._weights, self._means, self._stds)

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Evaluate the formula of the class."""
        mean, _ = self._posterior_coefficients(self._forward(x), sigma)
        return self._inverse(mean)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the sum of the coefficients' log-densities: the transform has determinant ±1."""
        return torch.logsumexp(self._log_joint(self._forward(x), sigma), 0).sum(1)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw component and position of each coefficient, and transform back to pixels.

        The first m of n samples do not depend on n.
        """
        for_component, for_position = rng.spawn(2)
        weights, means, stds = (
            values.cpu().numpy() for values in (self._weights, self._means, self._stds)
        )
        second = for_component.random((n, self.dim)) >= weights[0]
        coefficients = np.where(second, means[1], means[0])
        coefficients += np.where(second, stds[1], stds[0]) * for_position.standard_normal(
            (n, self.dim)
        )
        return self._inverse(torch.from_numpy(coefficients)).numpy()

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return moments of the coefficients, carried to pixels; the covariance is dense, d² numbers."""
        mean = (self._weights * self._means).sum(0)
        variance = (self._weights * (self._stds.square() + (self._means - mean).square())).sum(0)
        return self._inverse(mean[None])[0].cpu().numpy(), self._pixel_covariance(variance[None])[
            0
        ].cpu().numpy()

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Law of total variance for every coefficient, carried to pixels.

        The covariance is dense, d² numbers a sample.
        """

        def variances(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
            return self._posterior_coefficients(self._forward(x), sigma)[1]

        mean = self.chunked(self.denoise_rows, x, sigma, None)
        return mean, self._pixel_covariance(self.chunked(variances, x, sigma, None))

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Evaluate the closed form of the class, to rounding error (see :func:`~.quantile.transport`)."""
        weights, means, stds = (
            values.cpu().numpy() for values in (self._weights, self._means, self._stds)
        )
        source, target = np.hypot(stds, sigma_from), np.hypot(stds, sigma_to)

        def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
            transported = transport(self._forward(x).cpu().numpy(), weights, means, source, target)
            return self._inverse(torch.from_numpy(transported).to(x.device))

        return self.chunked(rows, x, sigma_from, labels).reshape(x.shape).to(x.dtype)

    def reference(self) -> Reference | None:
        """Return exact moments, or None above :data:`LARGEST` dimensions, for want of a dense covariance."""
        return super().reference() if self.dim <= LARGEST else None

    def mode_of(self, x: Tensor) -> Tensor:
        """Return signs of the coarsest four coefficients, from the first channel on, as the bits of an
        integer; of at most 15 channels.
        """
        coarse = haar(x.double())[:, :15, :2, :2].flatten(1)
        return ((coarse > 0).long() << torch.arange(coarse.shape[1], device=x.device)).sum(1)

    def _forward(self, rows: Tensor) -> Tensor:
        return haar(rows.reshape(-1, *self.event)).reshape(rows.shape)

    def _inverse(self, rows: Tensor) -> Tensor:
        return inverse_haar(rows.reshape(-1, *self.event)).reshape(rows.shape)

    def _log_joint(self, c: Tensor, sigma: Tensor) -> Tensor:
        """Return the logarithms of w_k N(c; m_k, v_k) at coefficients ``(n, d)``: ``(2, n, d)``."""
        v = self._stds.square()[:, None] + sigma.square()[:, None]
        offset = c - self._means[:, None]
        return self._weights.log()[:, None] - 0.5 * (
            offset.square() / v + v.log() + math.log(2 * math.pi)
        )

    def _posterior_coefficients(self, c: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and variance ``(n, d)`` of the clean coefficients given the noisy ones."""
        chosen = self._log_joint(c, sigma).softmax(0)
        square = self._stds.square()[:, None]
        gain = square / (square + sigma.square()[:, None])
        centre = self._means[:, None] + gain * (c - self._means[:, None])
        mean = (chosen * centre).sum(0)
        within = gain * sigma.square()[:, None]
        return mean, (chosen * (within + (centre - mean).square())).sum(0)

    def _pixel_covariance(self, variances: Tensor) -> Tensor:
        """W^T diag(v) W ``(n, d, d)`` of coefficient variances ``(n, d)``: the inverse
        transform of the rows, then of the columns.
        """
        half = self._inverse(torch.diag_embed(variances).reshape(-1, self.dim)).reshape(
            -1, self.dim, self.dim
        )
        return self._inverse(half.transpose(1, 2).reshape(-1, self.dim)).reshape(
            -1, self.dim, self.dim
        )


def wavelet(channels: int = 1, side: int = 32) -> Wavelet:
    """``wavelet``: see :class:`Wavelet`."""
    return Wavelet(channels, side)


def mixtures(side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and standard deviations ``(2, side, side)`` of the two components of each
    coefficient.

    A bimodal coefficient has the same mean square as a detail of its octave would have. There are 4
    coefficients in octave 0 and 3 · 4^j in octave j, so each octave after the first adds 3 times
    the mean square of one in octave 0, which is therefore SPREAD n^2 / (4 + 3 (octaves - 1)).
    """
    octave = octaves(side)
    size = np.sqrt(SPREAD * side**2 / (1 + 3 * math.log2(side))) * 2.0**-octave
    coarse = octave == 0
    narrow = size / math.sqrt(WEIGHTS[0] + WEIGHTS[1] * RATIO**2)
    width = size / math.sqrt(1 + SEPARATION**2)
    weights = np.where(coarse, 0.5, np.array(WEIGHTS)[:, None, None])
    weights[:, 0, 0] = BALANCE
    means = np.where(coarse, SEPARATION * width, 0.0) * np.array([1.0, -1.0])[:, None, None]
    stds = np.where(coarse, width, narrow * np.array([1.0, RATIO])[:, None, None])
    return weights, means, stds
