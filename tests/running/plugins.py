"""Samplers with faults, for tests of what the harness makes of them."""

from dataclasses import dataclass

import torch

from samplerbench.samplers import LinearMultistep, LinearRow, Source

SOURCE = Source("test", "nowhere", "https://example.org")


@dataclass(frozen=True, kw_only=True)
class Honest(LinearMultistep):
    name = "honest"
    source = SOURCE
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]


@dataclass(frozen=True, kw_only=True)
class Liar(Honest):
    """Says that it takes one evaluation less than it does."""

    name = "liar"

    def nfe(self, grid):
        return max(1, len(grid) - 1)


@dataclass(frozen=True, kw_only=True)
class Exploder(Honest):
    """Yields a NaN in one sample."""

    name = "exploder"

    def step(self, x, row, past, denoise, noise):
        x, entry = super().step(x, row, past, denoise, noise)
        x[0] = torch.nan
        return x, entry


@dataclass(frozen=True, kw_only=True)
class Raiser(Honest):
    """Raises in its step, with a message over two lines."""

    name = "raiser"

    def step(self, x, row, past, denoise, noise):
        raise ZeroDivisionError("a step\nwent wrong")


@dataclass(frozen=True, kw_only=True)
class Shrinker(Honest):
    """Returns half of the batch."""

    name = "shrinker"

    def sample(self, denoise, x, grid, noise):
        return super().sample(denoise, x, grid, noise)[: len(x) // 2]
