"""EDM preconditioning: the network sees unit variance at every noise level and its errors are
scaled back evenly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EDMPrecond(nn.Module):
    """D(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4, label): Karras et al. 2022
    (arXiv:2206.00364), eq. (7), Table 1.

    Args:
        net: the raw network F(x, c_noise, labels).
        sigma_data: standard deviation of the data, in the data's own units.
    """

    def __init__(self, net: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Denoise ``x``.

        Args:
            x: ``(batch, C, h, w)`` = x0 + sigma z.
            sigma: ``(batch,)``, > 0.
            labels: ``(batch,)`` int64.

        Returns:
            The estimate of E[x0 | x], shape and dtype of ``x``. F runs in the dtype of its weights
            (and under autocast), the rest in ``x``'s, so that the error of F is scaled down with
            c_out at small sigma.
        """
        s = sigma[:, None, None, None]
        total = (s**2 + self.sigma_data**2).sqrt()
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels)
        return (self.sigma_data / total) ** 2 * x + (s * self.sigma_data / total) * out.to(x.dtype)


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
