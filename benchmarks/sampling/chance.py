"""Whether code draws from a generator that everybody shares: such a draw depends on what ran
before, and no seed of ours reaches it.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

REMEDY = "use the noise that it is handed, noise()"


class Draws:
    """The global generators as they were when this was made, to be compared with what they are."""

    def __init__(self) -> None:
        self._before = _states()

    @property
    def sources(self) -> list[str]:
        """The generators that have moved since, in words.

        Those of devices that came into use meanwhile are not known.
        """
        return [
            name
            for name, state in _states().items()
            if name in self._before and state != self._before[name]
        ]

    @property
    def sentence(self) -> str:
        """What was drawn from, and what to do; "" if nothing was."""
        return f"draws from {' and '.join(found)}; {REMEDY}" if (found := self.sources) else ""


@contextmanager
def unseeded_draws() -> Iterator[Draws]:
    """What the block draws from the global generators of torch, numpy and Python.

    >>> with unseeded_draws() as draws:
    ...     _ = torch.randn(1)
    >>> draws.sentence
    "draws from torch's global generator; use the noise that it is handed, noise()"

    Nothing is restored: a program whose results do not depend on these generators does not mind,
    and another may be using them.
    """
    yield Draws()


def _states() -> dict[str, bytes]:
    """Generator to state. Reading them waits for no device."""
    read: dict[str, Callable[[], bytes]] = {
        "torch's global generator": lambda: torch.get_rng_state().numpy().tobytes(),
        "numpy's global generator": lambda: pickle.dumps(np.random.get_state()),  # noqa: NPY002 - it is what must stay still
        "Python's global generator": lambda: pickle.dumps(random.getstate()),
    }
    states = {name: state() for name, state in read.items()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            states[f"torch's global generator of cuda:{device}"] = (
                torch.cuda.get_rng_state(device).numpy().tobytes()
            )
    return states
