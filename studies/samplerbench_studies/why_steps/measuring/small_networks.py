"""Small networks that only this page needs, and held-out real images."""

from __future__ import annotations

import torch
from torch import Tensor

from samplerbench.models import Denoiser, load_card
from samplerbench.models.cards import LatentNetwork, NetworkDenoiser
from samplerbench_studies import CARDS

from .effort import Effort

ALL_LEVELS = "all-levels"
HELD_OUT = "held_out.safetensors"
"""File of the card of :data:`ALL_LEVELS`, with grey levels and labels of real images."""


def small_network(effort: Effort, name: str) -> Denoiser:
    """Return the network of a card of the page, or its replacement."""
    return effort.models.get(name) or NetworkDenoiser(load_card(name, CARDS))


def network_on_latents(name: str) -> Denoiser:
    """Return the network of a card on latents of ``fashion-latent``, with that model's decoder."""
    network = NetworkDenoiser(load_card(name, CARDS))
    network.decoder, network.limits = LatentNetwork(load_card("fashion-latent")).decoder, None
    return network


def real_images() -> tuple[Tensor, Tensor]:
    """Return 512 images ``(512, 1, 28, 28)`` in [-1, 1] of Fashion-MNIST's test set, and labels."""
    found = load_card(ALL_LEVELS, CARDS).tensors(HELD_OUT)
    return found["images"].float() / 127.5 - 1, found["labels"].to(torch.int64)
