"""Tweedie's second-order formula: the posterior covariance as sigma² times the denoiser's Jacobian.

With p_sigma the density of x = x0 + sigma z, d = x + sigma² grad log p_sigma and

    Cov[x0 | x] = sigma² (I + sigma² Hess log p_sigma) = sigma² dd/dx

(Efron, JASA 106:1602, 2011, section 2, in one dimension). For a network, which is not exactly a
gradient field, this *defines* its covariance; its antisymmetric part is a measure of the network's
error.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from samplerbench.models import Denoiser, Estimate, estimate_mean

SMALL = 128
"""Largest number of dimensions for an exact trace, with one product per dimension."""


def jacobian_product(
    model: Denoiser, x: Tensor, sigma: float | Tensor, v: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the denoised image and the product of the denoiser's Jacobian with a direction.

    It differentiates backwards twice: the transpose of the linear map u -> J^T u is v -> J v.
    (Forward differentiation is cheaper, but not every kernel of a network supports it.)

    Args:
        model: a differentiable denoiser, whose rows do not depend on each other.
        x: ``(batch, *event)``.
        sigma: level > 0, one or ``(batch,)``.
        v: directions, like ``x``.
        labels: ``(batch,)`` or None, as in :meth:`Denoiser.denoise`.

    Returns:
        d and (dd/dx) v, like ``x``.
    """
    with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        leaf = x.detach().clone().requires_grad_()
        d = model.denoise(leaf, sigma, labels)
        u = torch.zeros_like(d, requires_grad=True)
        (back,) = torch.autograd.grad(d, leaf, u, create_graph=True)
        return d.detach(), torch.autograd.grad(back, u, v.to(d.dtype))[0]


def covariance_product(
    model: Denoiser, x: Tensor, sigma: float | Tensor, v: Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return Cov[x0 | x] v for each row, like ``x``; arguments as in :func:`jacobian_product`."""
    return _column(sigma, x) ** 2 * jacobian_product(model, x, sigma, v, labels)[1]


def covariance(model: Denoiser, x: Tensor, sigma: float, labels: Tensor | None = None) -> Tensor:
    """Return the whole Cov[x0 | x], ``(batch, d, d)``, by one product per dimension.

    Column j is Cov e_j.
    """
    columns = [
        covariance_product(model, x, sigma, _unit(x, j), labels).flatten(1)
        for j in range(x[0].numel())
    ]
    return torch.stack(columns, 2)


def covariance_trace(
    model: Denoiser,
    x: Tensor,
    sigma: float,
    labels: Tensor | None = None,
    *,
    probes: int | None = None,
    seed: int = 0,
) -> list[Estimate]:
    """Estimate tr Cov[x0 | x] of each row.

    It is exact, with one product a dimension, if ``probes`` is None and d <= :data:`SMALL`.
    Otherwise it is Hutchinson's estimator v^T Cov v with random signs v (Communications in
    Statistics 19:433, 1990), with variance 2 sum_{i != j} Cov_ij² per probe.

    Args:
        model: as in :func:`jacobian_product`.
        x: ``(batch, *event)``.
        sigma: level > 0.
        labels: ``(batch,)`` or None.
        probes: number of random directions, >= 2; None means 32 if d > :data:`SMALL`.
        seed: seed of the directions, which all rows share.

    Returns:
        One :class:`~samplerbench.models.Estimate` a row, with error 0 if it is exact.

    Raises:
        ValueError: fewer than two probes, which give no error.
    """
    d = x[0].numel()
    if probes is None and d <= SMALL:
        exact = covariance(model, x, sigma, labels).diagonal(dim1=1, dim2=2).sum(1)
        return [Estimate(value, 0.0) for value in exact.tolist()]
    probes = 32 if probes is None else probes
    if probes < 2:
        raise ValueError(f"a trace by random probes needs at least 2 of them, got {probes}")
    rng = np.random.default_rng((seed, d))
    draws = []
    for _ in range(probes):
        v = torch.from_numpy(rng.choice([-1.0, 1.0], d)).to(x).reshape(1, *x.shape[1:]).expand_as(x)
        draws.append(
            (v * covariance_product(model, x, sigma, v, labels)).flatten(1).sum(1).double()
        )
    return [estimate_mean(row.cpu().numpy()) for row in torch.stack(draws, 1)]


def asymmetry(
    model: Denoiser,
    x: Tensor,
    sigma: float,
    labels: Tensor | None = None,
    *,
    probes: int = 16,
    seed: int = 0,
) -> float:
    """Return the norm of the Jacobian's antisymmetric part over the norm of its symmetric part.

    They are Frobenius norms over all rows. An exact model has 0. With random signs v, E|J v - J^T
    v|² = |J - J^T|², and likewise for the sum.
    """
    rng = np.random.default_rng((seed, x[0].numel()))
    apart = together = 0.0
    for _ in range(probes):
        v = torch.from_numpy(rng.choice([-1.0, 1.0], x.shape)).to(x)
        forward, backward = (
            jacobian_product(model, x, sigma, v, labels)[1],
            transposed_product(model, x, sigma, v, labels),
        )
        apart += float((forward - backward).double().square().sum())
        together += float((forward + backward).double().square().sum())
    return math.sqrt(apart / together)


def transposed_product(
    model: Denoiser, x: Tensor, sigma: float | Tensor, v: Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return (dd/dx)^T v by backward differentiation, like ``x``.

    For a unit vector v it is one row of the Jacobian.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        d = model.denoise(leaf, sigma, labels)
        return torch.autograd.grad(d, leaf, v.to(d.dtype))[0]


def _unit(x: Tensor, j: int) -> Tensor:
    """Return the j-th unit vector in each row, like ``x``."""
    v = torch.zeros_like(x).flatten(1)
    v[:, j] = 1
    return v.reshape(x.shape)


def _column(sigma: float | Tensor, x: Tensor) -> float | Tensor:
    """Return levels that broadcast against ``x``: a number, or ``(batch, 1, …)``."""
    if isinstance(sigma, Tensor):
        return sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return sigma
