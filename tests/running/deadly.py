"""Samplers that end their process, never end, or eat the memory, for tests of what is left."""

import ctypes
import os
import sys
import time
from dataclasses import dataclass

from samplerbench.samplers import LinearMultistep, LinearRow, Source

SOURCE = Source("test", "nowhere", "https://example.org")


@dataclass(frozen=True, kw_only=True)
class Good(LinearMultistep):
    name = "good"
    source = SOURCE
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]


@dataclass(frozen=True, kw_only=True)
class Hangs(Good):
    name = "hangs"

    def step(self, x, row, past, denoise, noise):
        while len(x) > 16:  # not where it is looked at, on fewer samples
            time.sleep(0.01)
        return super().step(x, row, past, denoise, noise)


@dataclass(frozen=True, kw_only=True)
class Segfaults(Good):
    name = "segfaults"

    def step(self, x, row, past, denoise, noise):
        return ctypes.string_at(0)


@dataclass(frozen=True, kw_only=True)
class SysExits(Good):
    name = "sys_exits"

    def step(self, x, row, past, denoise, noise):
        sys.exit("enough")


@dataclass(frozen=True, kw_only=True)
class Leaks(Good):
    name = "leaks"

    def step(self, x, row, past, denoise, noise):
        kept = []
        while True:
            kept.append(b"1" * 2**26)
            time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Raises(Good):
    name = "raises"

    def step(self, x, row, past, denoise, noise):
        raise ZeroDivisionError("a step\nwent wrong")


@dataclass(frozen=True, kw_only=True)
class Spawns(Good):
    """Leaves a process behind that holds on to everything, and then hangs."""

    name = "spawns"

    def step(self, x, row, past, denoise, noise):
        if os.fork() == 0:
            time.sleep(600)
        os._exit(5)
