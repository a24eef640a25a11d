"""Pairs of a noise and an image, and one-step networks fitted on them.

The noise of a pair is a function of its number alone, so it can be drawn again instead of stored.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from samplerbench.models import load_card
from samplerbench_studies import CARDS

from ..models.one_shot import OneShot

BLOCK = 100
"""Number of noises drawn from one generator."""
APART = 1_000_003
"""Distance between the seeds of two streams; torch's CPU generator uses only 32 bits of a seed."""
COUPLINGS = {"coupled": 0, "independent": 1}
"""Streams of the noises paired with images: starts of the images' paths, or other noises."""
FRESH = 2
"""Stream of noises on which no network was fitted."""
NUMBERS = (100, 1_000, 10_000, 100_000)
"""Numbers of pairs of the networks; a larger set contains the smaller ones."""
CARD, TEACHER = "one-shot", "fashion-mppca"


def keys(stream: int, n: int, event: tuple[int, ...], *, start: int = 0) -> Tensor:
    """Return noises ``start`` … ``start + n - 1`` of a stream, ``(n, *event)`` standard normal
    float32.

    Each noise is independent of ``n``. ``start`` is a multiple of :data:`BLOCK`.
    """
    first = start // BLOCK
    blocks = [
        torch.randn(BLOCK, *event, generator=torch.Generator().manual_seed(stream * APART + k))
        for k in range(first, first - (-n // BLOCK))
    ]
    return torch.cat(blocks)[:n]


def name_of(coupling: str, n: int) -> str:
    """Return the card's name of the network fitted on ``n`` pairs of a coupling."""
    return f"{coupling}-{n}"


@cache
def one_shot(coupling: str, n: int) -> OneShot:
    """Return a shipped network from standard normal noise ``(batch, *event)`` to images.

    Args:
        coupling: a key of :data:`COUPLINGS`.
        n: number of pairs, of :data:`NUMBERS`.

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
