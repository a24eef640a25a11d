"""Trained reverse model of binomial diffusion."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from samplerbench.models import load_card
from samplerbench.models.nets import UNet
from samplerbench_studies import CARDS

CARD = "fashion-binomial"
LARGEST = 30.0
"""Bound to which log-odds are clipped, so that an error costs at most 30 nats."""


class Predictor(Protocol):
    """Predictor of the first state from a later one, exact or learned."""

    def __call__(self, x: Tensor, signal: Tensor) -> Tensor:
        """Return the probability that each first pixel differs from the later one, float64.

        Args:
            x: ``(batch, *event)`` states of 0 and 1, float32.
            signal: ``(batch,)`` signals in [0, 1), float64.
        """
        ...


class ReverseNetwork(nn.Module):
    """Network that predicts the first pixels, p(x_0 | x_t), and not the step's p(x_{t-1} | x_t).

    A step's probabilities follow exactly (:func:`.binomial.reverse_flip`), so one network serves
    every number of steps. By Bayes' rule the log-odds that a pixel has not changed are

        log((1 + alpha) / (1 - alpha)) + contribution of all other pixels.

    The network learns the second part, which has a moderate size at all signals.

    Args:
        channels, embedding, patch, group: as in :class:`~samplerbench.models.nets.UNet`.
    """

    def __init__(
        self, channels: tuple[int, int], embedding: int, patch: int = 2, group: int = 8
    ) -> None:
        super().__init__()
        self.net = UNet(1, channels, embedding, patch, 0, group)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """See :class:`Predictor`; ``x`` is ``(batch, 1, side, side)``."""
        own = ((1 + signal) / (1 - signal)).log()
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        told = self.net(2 * x - 1, (own / 4).float(), none).double()
        same = (2 * x - 1) * told + own[:, None, None, None]
        return torch.sigmoid(-same.clamp(-LARGEST, LARGEST))


def binomial_network() -> ReverseNetwork:
    """Return the network of the card ``fashion-binomial``, in eval mode.

    Its data are Fashion-MNIST with pixels 1 where brighter than middle grey.

    Raises:
        CardError: the weights do not match the card.
    """
    card = load_card(CARD, CARDS)
    net = ReverseNetwork(**card.architecture["net"])
    weights = card.tensors()
    net.load_state_dict({name: weights[name].float() for name in net.state_dict()})
    return net.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
