"""Brownian paths: their values at any noise level (``tree``), and their increments as a sampler's
noise (``noise``).
"""

from .noise import BrownianNoise
from .tree import BrownianTree

__all__ = ["BrownianNoise", "BrownianTree"]
