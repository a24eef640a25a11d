"""torchsde on the reverse SDE dx = 2 (d - x) / sigma ds + sqrt(2 sigma) dW, on the grid's steps.

The time is s = -sigma. In this clock, an explicit step of any length scales the state by a factor
between -1 and 1; in lam the state would blow up at few steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..types import Source
from .base import Peer, PeerBatch, define_peer
from .locate import import_installed, version_of_package

LIBRARY = "torchsde"


@dataclass(frozen=True, kw_only=True)
class TorchSDE(Peer):
    """Solver of torchsde on the reverse SDE of the variance-exploding process."""

    stochastic = True
    source = Source(
        "li2020torchsde",
        "sdeint",
        "https://github.com/google-research/torchsde",
        deviations=(
            "the increments, and the space-time Lévy areas of srk, are drawn from our noise, "
            "not from a BrownianInterval",
            "the evaluation by which sdeint checks shapes is answered with zeros and not counted",
            "the step to 0 is x <- d",
        ),
    )

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        sdeint = import_installed(self.name, "torchsde").sdeint
        shape, y = x.shape, x.flatten(1)
        # sdeint draws numbers to check shapes with
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            for cur, nxt in pairwise(levels.tolist()):
                span = torch.tensor([-cur, -nxt], dtype=torch.float64, device=x.device)
                sde, increments = _ReverseSDE(batch, shape), _BrownianIncrements(batch, y, cur, nxt)
                # the solver cuts it off at the end of the span: one step, for any rounding
                step = 2 * (cur - nxt)
                y = sdeint(sde, y, span, bm=increments, method=self.target, dt=step)[-1]
        return y.reshape(shape)


class _ReverseSDE:
    """Reverse SDE for torchsde: the drift, and the diffusion as its product with a vector."""

    noise_type, sde_type = "additive", "ito"

    def __init__(self, batch: PeerBatch, shape: torch.Size) -> None:
        self._batch, self._shape, self._checked = batch, shape, False

    def f(self, time: Tensor, y: Tensor) -> Tensor:
        if not self._checked:
            self._checked = True
            return torch.zeros_like(y)
        sigma = -float(time)
        return (self._batch.denoised(y.reshape(self._shape), sigma).flatten(1) - y) * (2 / sigma)

    def g_prod(self, time: Tensor, y: Tensor, v: Tensor) -> Tensor:  # noqa: ARG002
        return math.sqrt(-2 * float(time)) * v


class _BrownianIncrements:
    """Brownian increment of one interval, with its space-time Lévy area on request."""

    levy_area_approximation = "space-time"

    def __init__(self, batch: PeerBatch, y: Tensor, cur: float, nxt: float) -> None:
        self.shape, self.dtype, self.device = y.shape, y.dtype, y.device
        self._interval, self._batch = (cur, nxt), batch

    def __call__(
        self,
        ta: Any,
        tb: Any = None,
        return_U: bool = False,
        return_A: bool = False,  # noqa: ARG002
    ) -> Any:
        h = float(tb) - float(ta)
        w = self._batch.draw(*self._interval).flatten(1) * math.sqrt(h)
        if not return_U:
            return w
        area = self._batch.draw().flatten(1) * math.sqrt(h / 12)
        return w, h * (w / 2 + area)


def names() -> list[str]:
    """Return the names of torchsde's Itô solvers; raise a ValueError if it is not installed."""
    import_installed(LIBRARY, "torchsde")
    return ["euler", "milstein", "srk"]


def make_class(name: str) -> type[Peer]:
    """Return the :class:`Peer` subclass ``torchsde:METHOD``, with its options as fields."""
    return define_peer(TorchSDE, name, {}, origin=version_of_package(LIBRARY))
