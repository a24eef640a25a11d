"""Noising processes x_t = alpha(t) x0 + sigma(t) z in their native time.

Samplers never see one: they work in canonical coordinates x = x_t / alpha(t), with the noise level
sigma(t) / alpha(t). A process is needed to call a network in the coordinates it was trained in
(:mod:`samplerbench.models.adapters`), and to place a grid evenly in native time.
"""

from .continuous import (
    EDM,
    VE,
    Cosine,
    FloatArray,
    Process,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPLinear,
)
from .discrete import Discrete

__all__ = [
    "EDM",
    "VE",
    "Cosine",
    "Discrete",
    "FloatArray",
    "Process",
    "RectifiedFlow",
    "SubVP",
    "Trigonometric",
    "VPLinear",
]
