"""A shipped few-step map, distilled from a shipped score network, as a model of kind ``map``."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ..nets.unet import UNet
from ..reference import Moments, Reference
from .card import CONVERGED, Card, load_card
from .moments import card_moments
from .network import NetworkDenoiser
from .reference import card_reference


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


class NetworkMap(NetworkDenoiser):
    """A few-step map from its card: ``denoise(x, sigma, labels)`` is the end of the teacher's path
    through x, at the card's ``sigma_min``, where the map is the identity.

    Data, classes and reference come from its teacher. Distillation used labels only: the map has no
    guidance, and its answer to "no label" means nothing.

    Args:
        card: a card of architecture ``MapPrecond(UNet)``, whose ``training`` names the ``teacher``.

    Raises:
        CardError: the weights do not match the card.
    """

    kind = "map"
    null_label = False

    @staticmethod
    def network(card: Card) -> nn.Module:
        """See :meth:`NetworkDenoiser.network`."""
        about = card.architecture
        return MapPrecond(UNet(**about["net"]), about["sigma_data"], card.sigma_min)

    @cached_property
    def _teacher(self) -> Card:
        return load_card(self.card.training["teacher"])

    @cached_property
    def _reference(self) -> Reference | None:
        teacher = self._teacher
        files = {name: file for name, file in teacher.files.items() if name != CONVERGED}
        return card_reference(replace(teacher, files=files))

    def reference(self) -> Reference | None:
        """Return the teacher's reference without its converged samples, which are another model's."""
        return self._reference

    def moments(self) -> Moments | None:
        """Return the moments of the data, from its teacher's card."""
        return card_moments(self._teacher)


def fashion_map() -> NetworkMap:
    """``fashion-map``: one to four jumps, distilled from ``fashion``."""
    return NetworkMap(load_card("fashion-map"))
