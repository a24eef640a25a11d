"""A shipped few-step map, distilled from a shipped score network, as a model of kind ``map``."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from torch import nn

from ..nets.unet import MapPrecond, UNet
from ..reference import Moments, Reference
from .card import CONVERGED, Card, load_card
from .moments import card_moments
from .network import NetworkDenoiser
from .reference import card_reference


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
