"""MMSE curves of models: exact ones by their posterior, networks by their denoising loss.

Every level of a curve uses the same x0 and z (x = x0 + z / sqrt(gamma)), so that it is smooth, and
differences of its values have little noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from ..denoiser import Denoiser, per_row
from ..exact.base import ExactModel, product
from ..exact.cloud import PointCloud
from ..exact.kde import KernelDensity
from ..exact.mixture import GaussianMixture
from ..exact.wavelet import Wavelet
from .estimate import FloatArray
from .mmse_curve import MMSECurve


@singledispatch
def posterior_trace(
    model: ExactModel, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return E[|x0 - d|² | x] = tr Cov[x0 | x], the remaining variance of x0, in squared data units.

    Args:
        model: an exact model; for one without a shorter way here, the diagonal of its ``posterior``
            is added up.
        x: states ``(batch, *event)``.
        sigma: level > 0, one or ``(batch,)``.
        labels: ``(batch,)`` classes to condition on, or None.

    Returns:
        ``(batch,)`` float64.

    Raises:
        ValueError: labels for a model that has only its unconditional ``posterior``.
    """
    if labels is not None:
        raise ValueError(
            f"model {model.name} knows its posterior covariance without labels only; leave them out"
        )
    return model.posterior(x, sigma)[1].diagonal(dim1=1, dim2=2).sum(1)


@posterior_trace.register
def _(
    model: GaussianMixture, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
) -> Tensor:
    """E[|x0|² | x] - |d|² about the mixture's mean, which is also where the components' means m_k
    are expanded.

    m_k = g_k u + (1 - g_k) mu_k + U_k gain c with u = x - mean and c = U_k^T u - U_k^T mu_k, so
    that

        |m_k|² = g_k² |u|² + (1 - g_k)² |mu_k|² + 2 g_k (1 - g_k) u·mu_k + sum_j gain_j c_j [gain_j c_j + 2 (g_k c_j + (U_k^T mu_k)_j)].
    """
    basis, offsets, norms = model._basis, model._offsets, model._norms

    def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        terms = model._terms(x, sigma, labels)
        chosen = terms.log_joint.softmax(1)
        keep, gain = model._gains(terms.square)
        u = x - model._centre
        across = product(u, basis.T).reshape(*keep.shape, -1)[:, :, -1]
        along = gain * terms.coords
        bent = (along * (along + 2 * (keep[:, :, None] * terms.coords + offsets))).sum(2)
        size = (
            keep.square() * u.square().sum(1, keepdim=True)
            + (1 - keep).square() * norms
            + 2 * keep * (1 - keep) * across
            + bent
        )
        within = terms.square * (gain.sum(2) + model.dim * keep)
        d = model.denoise_rows(x, sigma, labels) - model._centre
        return (chosen * (size + within)).sum(1) - d.square().sum(1)

    return model.chunked(rows, x, sigma, labels)


@posterior_trace.register
def _(model: PointCloud, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
    """Return moments about the likeliest point c: sum_j p(j | x) |y_j - c|² - |d - c|².

    Both vanish where one point is left.
    """

    def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        chosen = model._log_joint(x, sigma, labels).softmax(1)
        likeliest = chosen.argmax(1)
        offset = product(chosen, model._points) - model._points[likeliest]
        return ((chosen * model._apart[likeliest]).sum(1) - offset.square().sum(1)).clamp(min=0)

    return model.chunked(rows, x, sigma, labels)


@posterior_trace.register
def _(
    model: KernelDensity, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
) -> Tensor:
    """Law of total variance: given the point, the variance is g sigma² in each direction."""
    square = per_row(sigma, x).square()
    level, keep = model._level(square.sqrt())
    between = posterior_trace(model._cloud, x, level, labels)
    return (1 - keep[:, 0]).square() * between + model.dim * keep[:, 0] * square


@posterior_trace.register
def _(model: Wavelet, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
    """Return the sum over the coefficients, which are independent."""

    def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
        return model._posterior_coefficients(model._forward(x), sigma)[1].sum(1)

    return model.chunked(rows, x, sigma, labels)


Spread = Callable[[Tensor, Tensor, float], Tensor]
"""Integrand at (x0, x, sigma): ``(batch,)``, of conditional mean |x0 - d|² given x."""


def tabulate(
    spread: Spread, x0: Tensor, z: Tensor, gamma: FloatArray | Sequence[float]
) -> MMSECurve:
    """Return the curve of any ``spread``, at x = x0 + z / sqrt(gamma) for the given clean samples and noise
    ``(n, *event)``.
    """
    with torch.no_grad():
        columns = [
            spread(x0, x0 + z / math.sqrt(g), 1 / math.sqrt(g)).double().cpu().numpy()
            for g in gamma
        ]
    return MMSECurve(np.asarray(gamma, dtype=np.float64), np.stack(columns, 1))


def normal_like(x0: Tensor, seed: int, stream: int = 0) -> Tensor:
    """Standard normal noise like ``x0``, a function of ``seed`` and ``stream`` >= 0.

    The first rows do not depend on their number.
    """
    rng = np.random.default_rng((seed, 2, stream))
    return torch.from_numpy(rng.standard_normal(tuple(x0.shape))).to(x0)


def exact_mmse(
    model: ExactModel, gamma: FloatArray | Sequence[float], samples: int, seed: int = 0
) -> MMSECurve:
    """Return the curve of an exact model, by its posterior trace: less noisy than squared errors, and with
    the same mean.

    Args:
        model: its ``sample`` gives the clean samples.
        gamma: nodes.
        samples: n >= 1.
        seed: >= 0.
    """
    x0 = model.sample(samples, seed)
    return tabulate(
        lambda _x0, x, sigma: posterior_trace(model, x, sigma), x0, normal_like(x0, seed), gamma
    )


def denoising_loss(
    model: Denoiser,
    x0: Tensor,
    gamma: FloatArray | Sequence[float],
    *,
    seed: int = 0,
    labels: Tensor | None = None,
) -> MMSECurve:
    """Return the mean squared error E |x0 - d|² of any denoiser on given clean samples.

    It is the mmse plus E |d - E[x0 | x]|², the squared error of the network itself: an upper bound,
    up to sampling noise.

    Args:
        model: any denoiser.
        x0: ``(n, *event)`` samples of the data.
        gamma: nodes.
        seed: of the noise, >= 0.
        labels: ``(n,)`` or None.
    """

    def loss(x0: Tensor, x: Tensor, sigma: float) -> Tensor:
        return (x0 - model.denoise(x, sigma, labels)).double().flatten(1).square().sum(1)

    return tabulate(loss, x0, normal_like(x0, seed), gamma)


def gaussian_mmse(variances: FloatArray, gamma: FloatArray | float) -> FloatArray:
    """sum_j v_j / (1 + gamma v_j): the mmse of a Gaussian with these variances in its principal
    directions ``(d,)``.

    No distribution with the same covariance has a larger one.
    """
    v = np.asarray(variances)[:, None]
    return (v / (1 + np.atleast_1d(gamma) * v)).sum(0)
