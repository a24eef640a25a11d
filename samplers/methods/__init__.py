"""The samplers, one method or family a file.

To add a sampler, write a file here (docs/how-to/adding-a-sampler.md). :mod:`..registry` imports the
file of a sampler at its first use.
"""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dpm_solver import DPM2
    from .dpm_solver_multistep import DPMpp3MPublished
    from .edm import Heun

__all__ = ["DPM2", "DPMpp3MPublished", "Heun"]

_HOMES = {"dpm_solver": "DPM2", "dpm_solver_multistep": "DPMpp3MPublished", "edm": "Heun"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
