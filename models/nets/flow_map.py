"""Preconditioning of a few-step map, which is the identity at the lowest noise level."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MapPrecond(nn.Module):
    """Preconditioned map f(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4, label), f(x, sigma_min) = x
    for any F: Song et al. 2023 (arXiv:2303.01469), appendix C.

    c_skip = s² / ((sigma - sigma_min)² + s²), c_out = s (sigma - sigma_min) / sqrt(sigma² + s²),
    c_in = 1 / sqrt(sigma² + s²), with s = sigma_data. Away from sigma_min they agree with
    :class:`.edm.EDMPrecond`, so a map can begin with the weights of a denoiser.

    Args:
        net: the raw network F(x, c_noise, labels).
        sigma_data: standard deviation of the data, in the data's own units.
        sigma_min: the level at which the map is the identity, > 0.
    """

    def __init__(self, net: nn.Module, sigma_data: float, sigma_min: float) -> None:
        super().__init__()
        self.net = net
        self.sigma_data, self.sigma_min = sigma_data, sigma_min

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return the end of the path through ``x``.

        Args:
            x: ``(batch, C, h, w)``, states at ``sigma``.
            sigma: ``(batch,)``, >= ``sigma_min``.
            labels: ``(batch,)`` int64.

        Returns:
            Shape and dtype of ``x``. F runs in the dtype of its weights (and under autocast), the
            rest in ``x``'s.
        """
        s = sigma[:, None, None, None]
        total, above = (s**2 + self.sigma_data**2).sqrt(), s - self.sigma_min
        dtype = next(self.net.parameters()).dtype
        out = self.net((x / total).to(dtype), (sigma.log() / 4).to(dtype), labels).to(x.dtype)
        skip = self.sigma_data**2 / (above**2 + self.sigma_data**2)
        return torch.addcmul(skip * x, self.sigma_data * above / total, out)
