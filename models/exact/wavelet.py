"""Images whose probability flow has a closed form: independent mixtures of Haar coefficients."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..reference import Reference
from .base import ExactModel, FloatArray, exact_fingerprint

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
EPS = float(np.finfo(np.float64).eps)
MAX_STEPS = 200
"""Most Newton steps; 60 bisections already narrow a bracket to the spacing of floats."""


def transport_mixture(
    x: FloatArray, weights: FloatArray, means: FloatArray, source: FloatArray, target: FloatArray
) -> FloatArray:
    """Return G^{-1}(F(x)), for the distribution functions F and G of two mixtures.

    ``x`` is ``(n, d)``. F and G share ``weights`` and ``means``, and have the standard deviations
    ``source`` and ``target``, all ``(K, d)``. The smaller tail at x, F or 1 - F, is matched by its
    logarithm. So no digit is lost at any x: the error of the result is the rounding error times the
    condition number of G^{-1}.

    Raises:
        ArithmeticError: a point is not finite, or :func:`quantile_of_log_cdf` does not converge.
    """
    if not np.isfinite(x).all():
        raise ArithmeticError("the probability flow needs finite states")
    log_weights = np.log(weights)[:, None]
    below = log_cdf(x, log_weights, means[:, None], source[:, None])
    above = log_cdf(-x, log_weights, -means[:, None], source[:, None])
    sign = np.where(below <= above, 1.0, -1.0)
    return sign * quantile_of_log_cdf(
        np.minimum(below, above), log_weights, sign * means[:, None], target[:, None]
    )


def log_cdf(
    x: FloatArray, log_weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return the log of a mixture's distribution function at ``x``; components are along axis 0."""
    from scipy.special import log_ndtr  # imported here: reading finished runs needs no scipy

    return np.logaddexp.reduce(log_weights + log_ndtr((x - means) / stds), axis=0)


def quantile_of_log_cdf(
    level: FloatArray, log_weights: FloatArray, means: FloatArray, stds: FloatArray
) -> FloatArray:
    """Return the y at which :func:`log_cdf` equals ``level`` <= log(1/2), by Newton steps.

    A mixture's quantile lies between its components' quantiles. A step that leaves this bracket, or
    is not smaller than half the step before last, becomes a bisection (Brent's safeguard). Raises
    an ArithmeticError without convergence.
    """
    from scipy.special import ndtri_exp  # imported here for the same reason

    z = ndtri_exp(level)
    margin = 1e-9 * (1 + np.abs(z))  # far out, ndtri_exp is good to about 1e-13 of z
    low, high = (means + stds * (z - margin)).min(0), (means + stds * (z + margin)).max(0)
    y = 0.5 * (low + high)
    before_last = last = high - low
    done = np.zeros(level.shape, dtype=bool)
    for _ in range(MAX_STEPS):
        value = log_cdf(y, log_weights, means, stds)
        log_density = np.logaddexp.reduce(
            log_weights - np.log(stds) - 0.5 * ((y - means) / stds) ** 2 - HALF_LOG_2PI, axis=0
        )
        low, high = np.where(value < level, y, low), np.where(value > level, y, high)
        # Where the density vanishes, between two modes, a huge step leads to a bisection.
        step = (level - value) * np.exp(np.minimum(value - log_density, 500))
        newton = y + step
        safe = (low <= newton) & (newton <= high) & (np.abs(step) < 0.5 * before_last)
        proposal = np.where(safe, newton, 0.5 * (low + high))
        before_last, last = last, np.abs(proposal - y)
        # Converged elements stay: each follows its own path, independent of the others.
        done |= np.abs(value - level) <= 2 * EPS * np.abs(level)
        y = np.where(done, y, proposal)
        done |= last <= EPS * (np.abs(y) + stds.min(0))
        if done.all():
            return y
    raise ArithmeticError("the quantile of a mixture did not converge; are its weights positive?")


def haar_transform(image: Tensor) -> Tensor:
    """Return the orthonormal Haar coefficients of images ``(…, n, n)``, n a power of two.

    A 2 × 2 block p q / r s becomes its scaled mean (p + q + r + s) / 2 and the details (p - q + r -
    s) / 2 across columns, (p + q - r - s) / 2 across rows and (p - q - r + s) / 2 across the
    diagonal. The n/2 × n/2 means are transformed again, until one mean is left. At each scale, the
    means fill the quarter ``[:n/2, :n/2]``, and the details fill the other three quarters.
    """
    out = image.clone()
    n = image.shape[-1]
    while n > 1:
        block = out[..., :n, :n]
        for quarter, values in zip(_quarters(block), _butterfly(*_corners(block)), strict=True):
            quarter.copy_(values)
        n //= 2
    return out


def inverse_haar_transform(coefficients: Tensor) -> Tensor:
    """Return the images of Haar coefficients: the inverse of :func:`haar_transform`."""
    out = coefficients.clone()
    n = 2
    while n <= coefficients.shape[-1]:
        block = out[..., :n, :n]
        for corner, values in zip(_corners(block), _butterfly(*_quarters(block)), strict=True):
            corner.copy_(values)
        n *= 2
    return out


def coefficient_octaves(side: int) -> NDArray[np.int64]:
    """Return each Haar coefficient's octave, ``(side, side)``; the four coarsest have octave 0."""
    index = np.arange(side)
    larger = np.maximum(np.maximum(index[:, None], index[None, :]), 1)
    return np.frexp(larger)[1].astype(np.int64) - 1  # floor(log2), exactly


def _butterfly(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the Haar mean and three details of corners p q / r s; the map is its own inverse."""
    top, bottom, left_difference, right_difference = p + q, r + s, p - q, r - s
    return (
        (top + bottom) / 2,
        (left_difference + right_difference) / 2,
        (top - bottom) / 2,
        (left_difference - right_difference) / 2,
    )


def _corners(image: Tensor) -> list[Tensor]:
    """Return views of all corners p, q, r and s of the 2 × 2 blocks of an image."""
    return [image[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _quarters(image: Tensor) -> list[Tensor]:
    """Return views of the four quarters of an image, row by row."""
    m = image.shape[-1] // 2
    return [image[..., i : i + m, j : j + m] for i in (0, m) for j in (0, m)]


SPREAD = 0.25
"""Mean square of a pixel. The standard deviation is about 1/2, so most pixels lie in [-1, 1]."""
WEIGHTS = (0.75, 0.25)
RATIO = 6.0
"""Ratio of a detail's two deviations; with :data:`WEIGHTS` the kurtosis is about 10, as in photos."""
BALANCE = (0.6, 0.4)
"""Probabilities of the two modes of the mean brightness; other bimodal coefficients: 1/2 each."""
SEPARATION = 4.0
"""Distance of a coarse coefficient's mode from 0, over the mode's standard deviation."""
LARGEST = 4096
"""Most dimensions of a model whose covariance serves as a reference (128 MB)."""


class Wavelet(ExactModel):
    r"""Images whose orthonormal Haar coefficients are independent mixtures of two Gaussians.

    The mean square of a coefficient falls as 4^-octave, so that the images' power spectrum falls as
    1/f^2. The four coarsest coefficients of a channel have two separated modes. Each of the others
    is a mixture of a narrow and a wide Gaussian of mean 0.

    The transform of white noise is white noise, so coefficients decouple. For one coefficient c of
    x, of weights w_k, means m_k, deviations s_k and v_k = s_k^2 + sigma^2,

        E[c0 | c] = sum_k p(k | c) [m_k + s_k^2 / v_k (c - m_k)],     p(k | c) ∝ w_k N(c; m_k, v_k).

    The probability flow of one coefficient is a monotone map that carries its distribution along.
    There is only one such map from level a to b: F_b^{-1}(F_a(c)), with F_sigma the distribution
    function of the noisy coefficient.

    Args:
        channels: C >= 1.
        side: n, a power of two >= 2.

    Raises:
        ValueError: ``channels`` or ``side`` is invalid.
    """

    closed_form = True

    def __init__(self, channels: int = 1, side: int = 32) -> None:
        if channels < 1 or side < 2 or side & (side - 1):
            raise ValueError(
                "wavelet needs channels >= 1 and a side that is a power of "
                f"two >= 2, got {channels} and {side}"
            )
        options = "" if (channels, side) == (1, 32) else f"(channels={channels}, side={side})"
        self.name = f"wavelet{options}"
        self._set_mixtures((channels, side, side), *coefficient_mixtures(side))

    @classmethod
    def of_mixtures(
        cls, event: tuple[int, int, int], weights: FloatArray, means: FloatArray, stds: FloatArray
    ) -> Wavelet:
        """Return a model of images (C, n, n), with these mixtures (2, n, n) in each channel."""
        model = cls.__new__(cls)
        model.name = "wavelet-of-mixtures"
        model._set_mixtures(event, weights, means, stds)
        return model

    def _set_mixtures(
        self, event: tuple[int, int, int], weights: FloatArray, means: FloatArray, stds: FloatArray
    ) -> None:
        channels, side, _ = self.event = event
        shape = (2, channels * side * side)
        # (component, coefficient), so that a sum over components does not depend on the batch.
        self._weights, self._means, self._stds = (
            torch.from_numpy(values).expand(channels, 2, side, side).transpose(0, 1).reshape(shape)
            for values in (weights, means, stds)
        )
        self.scale = float(self._stds.min())
        self.identity = exact_fingerprint(self.name, 1, self._weights, self._means, self._stds)

    @property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and deviations ``(2, d)`` of the components of each coefficient."""
        weights, means, stds = (t.cpu().numpy() for t in (self._weights, self._means, self._stds))
        return weights, means, stds

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return E[x0 | x] of rows by the formula in :class:`Wavelet`."""
        return self._to_pixels(self._posterior_coefficients(x, sigma)[0])

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG002
        """Return the sum of the coefficients' log-densities: the transform has determinant ±1."""
        return torch.logsumexp(self._log_joint(self._to_coefficients(x), sigma), 0).sum(1)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` images of random coefficients; the first m images do not depend on ``n``."""
        for_component, for_position = rng.spawn(2)
        weights, means, stds = self.mixtures
        second = for_component.random((n, self.dim)) >= weights[0]
        coefficients = np.where(second, means[1], means[0])
        normal = for_position.standard_normal((n, self.dim))
        coefficients += np.where(second, stds[1], stds[0]) * normal
        return self._to_pixels(torch.from_numpy(coefficients)).numpy()

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return mean ``(d,)`` and dense covariance ``(d, d)`` of the data in pixels."""
        mean = (self._weights * self._means).sum(0)
        variance = (self._weights * (self._stds.square() + (self._means - mean).square())).sum(0)
        cov = self._pixel_covariance(variance[None])[0]
        return self._to_pixels(mean[None])[0].cpu().numpy(), cov.cpu().numpy()

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``(batch, d)`` and dense covariance ``(batch, d, d)`` of x0 given ``x``."""
        mean = self.evaluate_in_chunks(self.denoise_rows, x, sigma, None)
        variances = self.evaluate_in_chunks(
            lambda x, sigma, _: self._posterior_coefficients(x, sigma)[1], x, sigma, None
        )
        return mean, self._pixel_covariance(variances)

    def posterior_trace(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return the sum of the variances of the independent Haar coefficients."""
        return self.evaluate_in_chunks(
            lambda x, sigma, _: self._posterior_coefficients(x, sigma)[1].sum(1), x, sigma, labels
        )

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Return the state at ``sigma_to`` in closed form (see :func:`transport_mixture`)."""
        weights, means, stds = self.mixtures
        source, target = np.hypot(stds, sigma_from), np.hypot(stds, sigma_to)

        def flow_of_rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
            transported = transport_mixture(
                self._to_coefficients(x).cpu().numpy(), weights, means, source, target
            )
            return self._to_pixels(torch.from_numpy(transported).to(x.device))

        return self.map_states(flow_of_rows, x, sigma_from, labels)

    def reference(self) -> Reference | None:
        """Return a reference of exact moments; None above :data:`LARGEST` dimensions."""
        return super().reference() if self.dim <= LARGEST else None

    def mode_of(self, x: Tensor) -> Tensor:
        """Return int64 modes ``(batch,)``; bit k < 60 is 1 if coarse coefficient k is positive."""
        coarse = haar_transform(x.double())[:, :15, :2, :2].flatten(1)
        return ((coarse > 0).long() << torch.arange(coarse.shape[1], device=x.device)).sum(1)

    def _to_coefficients(self, rows: Tensor) -> Tensor:
        return haar_transform(rows.reshape(-1, *self.event)).reshape(rows.shape)

    def _to_pixels(self, rows: Tensor) -> Tensor:
        return inverse_haar_transform(rows.reshape(-1, *self.event)).reshape(rows.shape)

    def _log_joint(self, c: Tensor, sigma: Tensor) -> Tensor:
        """Return the logarithms of w_k N(c; m_k, v_k) at coefficients ``(n, d)``: ``(2, n, d)``."""
        v = self._stds.square()[:, None] + sigma.square()[:, None]
        offset = c - self._means[:, None]
        return self._weights.log()[:, None] - 0.5 * (
            offset.square() / v + v.log() + math.log(2 * math.pi)
        )

    def _posterior_coefficients(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance ``(n, d)`` of the clean coefficients given noisy rows ``x``."""
        c = self._to_coefficients(x)
        chosen = self._log_joint(c, sigma).softmax(0)
        square = self._stds.square()[:, None]
        gain = square / (square + sigma.square()[:, None])
        centre = self._means[:, None] + gain * (c - self._means[:, None])
        mean = (chosen * centre).sum(0)
        within = gain * sigma.square()[:, None]
        return mean, (chosen * (within + (centre - mean).square())).sum(0)

    def _pixel_covariance(self, variances: Tensor) -> Tensor:
        """Return covariances ``(n, d, d)`` of pixels, by coefficients' ``variances`` ``(n, d)``."""
        half = self._to_pixels(torch.diag_embed(variances))
        return self._to_pixels(half.transpose(1, 2))


def coefficient_mixtures(
    side: int,
    decay: float = 1.0,
    ratio: float = RATIO,
    separation: float = SEPARATION,
    narrow_share: float = WEIGHTS[0],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and deviations ``(2, side, side)`` of each coefficient's components.

    Octave 0 has 4 coefficients of mean square m, octave j > 0 has 3 · 4^j of mean square 4^(-j decay) m.
    All mean squares sum to SPREAD n^2, with n = ``side``. For decay 1, every octave j > 0 adds 3 m.

    Args:
        side: n, a power of two >= 2.
        decay: half the exponent of the images' power spectrum 1 / f^(2 decay).
        ratio: ratio of a detail's wide deviation to its narrow one.
        separation: distance of a coarse mode from 0, over the mode's standard deviation.
        narrow_share: weight of a detail's narrow component.
    """
    octave = coefficient_octaves(side)
    falling = 2.0 ** (-decay * octave)
    size = np.sqrt(SPREAD * side**2 / np.square(falling).sum()) * falling
    coarse, details = octave == 0, np.array([narrow_share, 1 - narrow_share])
    narrow = size / math.sqrt(narrow_share + (1 - narrow_share) * ratio**2)
    width = size / math.sqrt(1 + separation**2)
    weights = np.where(coarse, 0.5, details[:, None, None])
    weights[:, 0, 0] = BALANCE
    means = np.where(coarse, separation * width, 0.0) * np.array([1.0, -1.0])[:, None, None]
    stds = np.where(coarse, width, narrow * np.array([1.0, ratio])[:, None, None])
    return weights, means, stds
