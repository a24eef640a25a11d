"""A network that undoes a degradation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .unet import UNet


class Restorer(nn.Module):
    """R(x, s) = x + F(x, s): Bansal et al. 2022 (arXiv:2208.09392), eq. (1).

    Starts as the identity, which is right at severity 0.

    Args:
        net: as of :class:`UNet`, for pictures without classes.
    """

    def __init__(self, **net: object) -> None:
        super().__init__()
        self.net = UNet(**net, labels=0)  # type: ignore[arg-type]

    def forward(self, x: Tensor, severity: Tensor) -> Tensor:
        """Restore pictures.

        Args:
            x: ``(n, C, side, side)``, degraded.
            severity: ``(n,)``, in [0, 1].

        Returns:
            The estimate of E[x0 | x], like ``x``.
        """
        return x + self.net(x, severity, torch.zeros(len(x), dtype=torch.long)).to(x.dtype)
