"""Pairs of a noise and an image, and networks that were fitted on them to go from one to the other
in one step.

The noise of a pair is a function of its number alone, so pairs need not be kept to be met again.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from samplerbench.models import load_card
from samplerbench_studies import CARDS

from ..models.one_shot import OneShot

BLOCK = 100
"""Noises of a generator."""
APART = 1_000_003
"""Seeds between two streams; the CPU's generator knows the lower 32 bits of a seed only."""
COUPLINGS = {"coupled": 0, "independent": 1}
"""The stream of noises that are paired with the images: those from which the images' paths began,
or others.
"""
FRESH = 2
"""The stream of noises that no network was fitted on."""
NUMBERS = (100, 1_000, 10_000, 100_000)
"""Of pairs; the first ones are the same in each."""
CARD, TEACHER = "one-shot", "fashion-mppca"


def keys(stream: int, n: int, event: tuple[int, ...], *, start: int = 0) -> Tensor:
    """Noises ``start`` … ``start + n - 1`` of a stream, ``(n, *event)`` float32 of standard
    deviation 1; each the same whatever n is. ``start`` is a multiple of :data:`BLOCK`.
    """
    first = start // BLOCK
    blocks = [
        torch.randn(BLOCK, *event, generator=torch.Generator().manual_seed(stream * APART + k))
        for k in range(first, first - (-n // BLOCK))
    ]
    return torch.cat(blocks)[:n]


def name_of(coupling: str, n: int) -> str:
    """What the card calls the network of so many pairs."""
    return f"{coupling}-{n}"


@cache
def one_shot(coupling: str, n: int) -> OneShot:
    """A shipped network, from noise ``(batch, *event)`` of standard deviation 1 to images.

    Args:
        coupling: of :data:`COUPLINGS`.
        n: of :data:`NUMBERS`.

    Raises:
        CardError: the weights do not match their card.
    """
    card = load_card(CARD, CARDS)
    prefix = f"{name_of(coupling, n)}."
    net = OneShot(**card.architecture["net"])
    net.load_state_dict(
        {
            key.removeprefix(prefix): value
            for key, value in card.tensors().items()
            if key.startswith(prefix)
        }
    )
    return net.eval().requires_grad_(requires_grad=False)
