"""The calls that a run makes of its model, kept with what they were shown, so that they can be made
again without the sampler.

What an evaluation costs can hang on the level (guidance at some levels only, experts by level), on the
rows that are asked for, and on a GPU on the numbers themselves, since the power that they draw moves the
clocks. So a run's network is timed on the run's own states, all of them, and not on one call times their
number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...samplers.types import Denoise

ROOM = 2**30
"""Bytes of states that are kept on a CPU; on a GPU a quarter of what is free, if that is less."""


class Call(NamedTuple):
    """One call of a bound denoiser.

    Attributes:
        denoise: with the labels of these rows.
        x: states ``(n, *event)``, a copy.
        sigma: their level, or levels ``(n,)``.
    """

    denoise: Denoise
    x: Tensor
    sigma: float | Tensor


class Calls:
    """The calls of a run, in order.

    Where their states outgrow the room, every second one of those that are kept is dropped, again
    and again: those that are left are spread evenly over the run, and stand for the others.

    Args:
        room: bytes of states that may be kept; at least one call is.

    Attributes:
        kept: in order.
        count: how many calls there were.
    """

    def __init__(self, room: float) -> None:
        self.kept: list[Call] = []
        self.count = 0
        self._room, self._stride = room, 1

    def add(self, denoise: Denoise, x: Tensor, sigma: float | Tensor) -> None:
        """One more call."""
        if self.count % self._stride == 0:
            levels = sigma.clone() if isinstance(sigma, Tensor) else sigma
            self.kept.append(Call(denoise, x.clone(), levels))
            while len(self.kept) > 1 and self.held > self._room:
                self.kept, self._stride = self.kept[::2], 2 * self._stride
        self.count += 1

    @property
    def held(self) -> int:
        """Bytes of the states that are kept."""
        return sum(map(_bytes, self.kept))

    @property
    def share(self) -> float:
        """Calls for each one that is kept: by this, the time of those is to be multiplied."""
        return self.count / len(self.kept) if self.kept else 0.0

    def again(self) -> Tensor:
        """Make the calls that were kept; the answer to the last.

        Raises:
            IndexError: there was none.
        """
        *others, last = self.kept
        for call in others:
            call.denoise(call.x, call.sigma)
        return last.denoise(last.x, last.sigma)


class Recorded:
    """A bound denoiser whose calls are kept.

    Args:
        denoise: what answers.
        calls: where they are kept.
    """

    def __init__(self, denoise: Denoise, calls: Calls) -> None:
        self._denoise, self._calls = denoise, calls

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The answer."""
        self._calls.add(self._denoise, x, sigma)
        return self._denoise(x, sigma)

    def take(self, rows: Tensor) -> Recorded:
        """The same for a subset or repeats of the batch."""
        return Recorded(self._denoise.take(rows), self._calls)


def room_on(device: torch.device) -> float:
    """Bytes of states that may be kept on a device."""
    if device.type != "cuda":
        return ROOM
    free, _ = torch.cuda.mem_get_info(device)
    return min(ROOM, free / 4)


def _bytes(call: Call) -> int:
    return call.x.numel() * call.x.element_size()
