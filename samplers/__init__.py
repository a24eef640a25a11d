"""Samplers for diffusion models: the mathematics, and nothing else.

>>> from samplerbench.samplers import karras, make
>>> make("heun").nfe(karras(18, 0.002, 80.0))
35
"""

from . import methods
from .base import Declared, GridSampler, LinearMultistep, LinearRow, Sampler, Tolerant, jump, non_default
from .citations import bibtex
from .grid import Grid, karras, uniform_lambda, uniform_time
from .loop import integrate
from .noise import NoNoise, SampleNoise
from .registry import PluginError, get, load_file, load_plugins, make, names, origin, register
from .stages import LinearStages
from .types import Denoise, Noise, Source, StepNoise

__all__ = [
    "Declared",
    "Denoise",
    "Grid",
    "GridSampler",
    "LinearMultistep",
    "LinearRow",
    "LinearStages",
    "NoNoise",
    "Noise",
    "PluginError",
    "SampleNoise",
    "Sampler",
    "Source",
    "StepNoise",
    "Tolerant",
    "bibtex",
    "get",
    "integrate",
    "jump",
    "karras",
    "load_file",
    "load_plugins",
    "make",
    "methods",
    "names",
    "non_default",
    "origin",
    "register",
    "uniform_lambda",
    "uniform_time",
]
