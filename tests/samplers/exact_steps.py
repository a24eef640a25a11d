"""What the tests of single steps share: states, grids from given steps, and how far two results
are apart.
"""

import math

import torch

from samplerbench.samplers import Grid, SampleNoise


def latents(sigma, n=5):
    """States ``(n, 2)`` at ``sigma``, float64."""
    return SampleNoise(1, torch.arange(n), (2,), torch.float64).initial() * sigma


def apart(a, b):
    """The largest difference."""
    return float((a - b).abs().max())


def grid_of(steps, first=20.0):
    """The grid with these steps in lam."""
    levels = [first]
    for h in steps:
        levels.append(levels[-1] * math.exp(-h))
    return Grid(tuple(levels))
