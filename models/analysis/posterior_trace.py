"""The trace of the posterior covariance of exact models, without its d × d matrix.

``ExactModel.posterior`` has the whole covariance, for small d;
``samplerbench_studies.analysis.tweedie`` its products with vectors.
"""

from __future__ import annotations

from functools import singledispatch

from torch import Tensor

from ..denoiser import per_row
from ..exact.base import ExactModel, product
from ..exact.cloud import PointCloud
from ..exact.kde import KernelDensity
from ..exact.mixture import GaussianMixture
from ..exact.wavelet import Wavelet


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
