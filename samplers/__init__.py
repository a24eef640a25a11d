"""Samplers for diffusion models: the mathematics, and nothing else.

>>> from samplerbench.samplers import karras, make
>>> make("heun").nfe(karras(18, 0.002, 80.0))
35
"""

from . import methods
from .adams import AdamsBashforth, AdamsBashforthToZero
from .adaptive import AdaptiveSampler, Attempt
from .base import Declared, GridSampler, LinearMultistep, LinearRow, Sampler, Tolerant, jump, non_default
from .citations import bibtex
from .exponential_rk import ExponentialRungeKutta, Tableau
from .grid import Grid
from .loop import integrate
from .multistep import Multistep, MultistepToZero
from .noise import NoNoise, SampleNoise
from .registry import PluginError, get, load_file, load_plugins, make, names, origin, plugin_file, plugin_files, register, register_family
from .schedules import karras, uniform_lambda, uniform_time
from .stages import LinearStages
from .startup import SelfStarting, StartRow
from .types import Denoise, Noise, Source, StepNoise

__all__ = [
    "AdamsBashforth",
    "AdamsBashforthToZero",
    "AdaptiveSampler",
    "Attempt",
    "Declared",
    "Denoise",
    "ExponentialRungeKutta",
    "Grid",
    "GridSampler",
    "LinearMultistep",
    "LinearRow",
    "LinearStages",
    "Multistep",
    "MultistepToZero",
    "NoNoise",
    "Noise",
    "PluginError",
    "SampleNoise",
    "Sampler",
    "SelfStarting",
    "Source",
    "StartRow",
    "StepNoise",
    "Tableau",
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
    "plugin_file",
    "plugin_files",
    "register",
    "register_family",
    "uniform_lambda",
    "uniform_time",
]


def __getattr__(name: str) -> str:
    """``__version__``, that of the distribution, read when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("samplerbench")
