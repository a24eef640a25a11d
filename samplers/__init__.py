"""Samplers for diffusion models: their mathematics, without models, metrics or run logic.

>>> from samplerbench.samplers import DDIM, Heun, karras, make
>>> make("heun") == Heun(), make("ddim(eta=0.5)") == DDIM(eta=0.5)
(True, True)
>>> Heun().nfe(karras(18, 0.002, 80.0))
35
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from ..lazy import lazy
from . import methods
from .base import Declared, Sampler, found_for_model, non_default
from .families.linear import LinearMultistep, LinearRow, jump
from .grid import Grid
from .loop import GridSampler, integrate
from .noise import NoNoise, SampleNoise
from .registry import (
    PluginError,
    get,
    load_file,
    load_plugins,
    make,
    names,
    origin,
    plugin_file,
    plugin_files,
    register,
    register_family,
    register_unlisted,
    seen_at_import,
    spec_of,
)
from .schedules import karras, uniform_lambda, uniform_time
from .types import Denoise, Noise, Source, StepNoise, bibtex

if TYPE_CHECKING:
    from .families.adaptive import AdaptiveSampler, Attempt, Tolerant
    from .families.cfgpp import CFGpp
    from .families.multistep import (
        AdamsBashforth,
        AdamsBashforthToZero,
        Multistep,
        MultistepToZero,
        SelfStarting,
        StartRow,
        Startup,
    )
    from .families.skipping import Skip
    from .families.stages import ExponentialRungeKutta, LinearStages, Tableau
    from .families.tabulated import tabulate

__all__ = [
    "AdamsBashforth",
    "AdamsBashforthToZero",
    "AdaptiveSampler",
    "Attempt",
    "CFGpp",
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
    "Skip",
    "Source",
    "StartRow",
    "Startup",
    "StepNoise",
    "Tableau",
    "Tolerant",
    "bibtex",
    "found_for_model",
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
    "register_unlisted",
    "seen_at_import",
    "spec_of",
    "tabulate",
    "uniform_lambda",
    "uniform_time",
]

_HOMES = {
    "families.adaptive": "AdaptiveSampler Attempt Tolerant",
    "families.cfgpp": "CFGpp",
    "families.multistep": (
        "AdamsBashforth AdamsBashforthToZero Multistep MultistepToZero SelfStarting StartRow Startup"
    ),
    "families.skipping": "Skip",
    "families.stages": "ExponentialRungeKutta LinearStages Tableau",
    "families.tabulated": "tabulate",
}
_get_public, _ = lazy(__name__, _HOMES)


@cache
def _built_in_classes() -> dict[str, Any]:
    """Return built-in samplers by the names of their classes, such as ``Heun`` and ``DPMpp2M``."""
    return {cls.__name__: cls for cls in map(get, names()) if cls.__module__.startswith(__name__)}


def __getattr__(name: str) -> Any:
    """Return a public name, the class of a built-in sampler, or the distribution's version."""
    if name in __all__ or name == "__version__":
        return _get_public(name)
    if name.startswith("_") or name not in _built_in_classes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _built_in_classes()[name]


def __dir__() -> list[str]:
    """Return ``__all__`` and the class names of built-in samplers, for tab completion."""
    return sorted([*__all__, *_built_in_classes(), "__version__"])
