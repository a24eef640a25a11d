"""Noise from Brownian paths: a path that is drawn where it is asked for (``tree``), and its
increments as a sampler's noise.
"""

from .noise import BrownianNoise
from .tree import BrownianTree

__all__ = ["BrownianNoise", "BrownianTree"]
