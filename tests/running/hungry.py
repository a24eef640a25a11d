"""Samplers that need more memory the larger the batch is, for tests of what becomes of it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from samplerbench.samplers import LinearMultistep, LinearRow, Source

FITS = 32
"""Samples for which there is memory."""


@dataclass(frozen=True, kw_only=True)
class Ample(LinearMultistep):
    """Needs nothing."""

    name = "ample"
    source = Source("test", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]

    def step(self, x, row, past, denoise, noise):
        self.need(len(x))
        return super().step(x, row, past, denoise, noise)

    def need(self, count):
        """What a batch of ``count`` allocates."""


@dataclass(frozen=True, kw_only=True)
class Hungry(Ample):
    name = "hungry"

    def need(self, count):
        if count > FITS:
            torch.empty(count, 2**44)


@dataclass(frozen=True, kw_only=True)
class HungryCoupled(Hungry):
    name = "hungry_coupled"
    batch_coupled = True


@dataclass(frozen=True, kw_only=True)
class HungryPython(Ample):
    name = "hungry_python"

    def need(self, count):
        if count > FITS:
            np.empty((count, 2**50))


@dataclass(frozen=True, kw_only=True)
class HungryGpu(Ample):
    name = "hungry_gpu"

    def need(self, count):
        if count > FITS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@dataclass(frozen=True, kw_only=True)
class HungryAlways(Ample):
    name = "hungry_always"

    def need(self, count):
        if count != 3:  # not where it is looked at, on three points
            np.empty((count, 2**50))


@dataclass(frozen=True, kw_only=True)
class Holds(Ample):
    """Really has the memory, which the worker's limit ends."""

    name = "holds"

    def need(self, count):
        if count > 16:
            kept = np.ones(1_000_000_000, dtype=np.uint8)
            time.sleep(0.5)
            del kept


@dataclass(frozen=True, kw_only=True)
class Killed(Ample):
    """Ends as the kernel would end it, whose counter it moves where there is one."""

    name = "killed"

    def need(self, count):
        if count > 16:
            path = os.environ.get("SAMPLERBENCH_TEST_COUNTER")
            if path:
                Path(path).write_text("pgfault 7\noom_kill 4\n")
            os.kill(os.getpid(), signal.SIGKILL)
