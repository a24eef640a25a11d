"""Training loss of EDM."""

from __future__ import annotations

import torch
from torch import Tensor

from samplerbench.models.nets import EDMPrecond


def edm_loss(
    model: EDMPrecond,
    x0: Tensor,
    labels: Tensor,
    *,
    p_mean: float,
    p_std: float,
    generator: torch.Generator,
) -> Tensor:
    """EDM's training loss, eq. (8): weighted squared denoising error at ln(sigma) ~ N(p_mean,
    p_std²); a scalar.

    The levels are stratified over the batch, which keeps the density and cuts the variance of the
    gradient.
    """
    n = len(x0)
    u = (torch.rand(n, generator=generator) + torch.arange(n)) / n
    sigma = (p_mean + p_std * 2**0.5 * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))).exp()
    noise = torch.randn(x0.shape, generator=generator)
    weight = (sigma**2 + model.sigma_data**2) / (sigma * model.sigma_data) ** 2
    error = model(x0 + sigma[:, None, None, None] * noise, sigma, labels) - x0
    return (weight * error.square().mean(dim=(1, 2, 3))).mean()
