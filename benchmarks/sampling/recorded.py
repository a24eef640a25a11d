"""Calls of the model during a run, stored with their inputs, to be repeated without the sampler.

The cost of an evaluation can depend on the level (guidance at some levels only, experts by level),
on the rows, and on a GPU on the numbers themselves, since their power moves the clocks. So a run's
network is timed on all of the run's own states, and not on one call times their number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...samplers.types import Denoise

ROOM = 2**30
"""Bytes of states that are stored on a CPU; on a GPU a quarter of the free memory, if that is
less.
"""


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
    """Calls of a run, in order.

    When their states outgrow the room, every second stored call is dropped. The others stay evenly
    spread over the run, and stand for all.

    Args:
        room: most bytes of states; at least one call is stored.

    Attributes:
        kept: stored calls, in order.
        count: how many calls there were.
    """

    def __init__(self, room: float) -> None:
        self.kept: list[Call] = []
        self.count = 0
        self._room, self._stride = room, 1

    def add(self, denoise: Denoise, x: Tensor, sigma: float | Tensor) -> None:
        """Add one more call."""
        if self.count % self._stride == 0:
            levels = sigma.clone() if isinstance(sigma, Tensor) else sigma
            self.kept.append(Call(denoise, x.clone(), levels))
            while len(self.kept) > 1 and self.held > self._room:
                self.kept, self._stride = self.kept[::2], 2 * self._stride
        self.count += 1

    @property
    def held(self) -> int:
        """Bytes of the stored states."""
        return sum(map(_bytes, self.kept))

    @property
    def share(self) -> float:
        """Ratio of calls to stored calls, the factor for the time of the latter."""
        return self.count / len(self.kept) if self.kept else 0.0

    def again(self) -> Tensor:
        """Repeat the stored calls; return the result of the last.

        Raises:
            IndexError: no call is stored.
        """
        *others, last = self.kept
        for call in others:
            call.denoise(call.x, call.sigma)
        return last.denoise(last.x, last.sigma)


class Recorded:
    """Bound denoiser that stores its calls.

    Args:
        denoise: the denoiser.
        calls: their store.
    """

    def __init__(self, denoise: Denoise, calls: Calls) -> None:
        self._denoise, self._calls = denoise, calls

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Store the call, and denoise."""
        self._calls.add(self._denoise, x, sigma)
        return self._denoise(x, sigma)

    def take(self, rows: Tensor) -> Recorded:
        """Return the recorder for a subset or repeats of the batch."""
        return Recorded(self._denoise.take(rows), self._calls)


def room_on(device: torch.device) -> float:
    """Return the most bytes of states to store on a device."""
    if device.type != "cuda":
        return ROOM
    free, _ = torch.cuda.mem_get_info(device)
    return min(ROOM, free / 4)


def _bytes(call: Call) -> int:
    return call.x.numel() * call.x.element_size()
