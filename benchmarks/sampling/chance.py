"""Draws from global generators: they depend on what ran before, and no seed of ours reaches
them.
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
    """Snapshot of the global generators, to be compared with their present states."""

    def __init__(self) -> None:
        self._before = _states()

    @property
    def sources(self) -> list[str]:
        """Generators that have moved since the snapshot, in words.

        Generators of devices that came into use meanwhile are unknown.
        """
        return [
            name
            for name, state in _states().items()
            if name in self._before and state != self._before[name]
        ]

    @property
    def sentence(self) -> str:
        """Sentence with the generators that were drawn from, and the remedy; "" for none."""
        return f"draws from {' and '.join(sources)}; {REMEDY}" if (sources := self.sources) else ""


@contextmanager
def unseeded_draws() -> Iterator[Draws]:
    """Detect draws of the block from the global generators of torch, numpy and Python.

    >>> with unseeded_draws() as draws:
    ...     _ = torch.randn(1)
    >>> draws.sentence
    "draws from torch's global generator; use the noise that it is handed, noise()"

    Nothing is restored: another part of the program may be using these generators.
    """
    yield Draws()


def _states() -> dict[str, bytes]:
    """Return the state of each generator. Reading them waits for no device."""
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
