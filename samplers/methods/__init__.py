"""The samplers, one method or family a file.

Importing this package imports every file in it, which registers the samplers. To add one, write a
file here (docs/how-to/adding-a-sampler.md).
"""

import importlib
import pkgutil

from .dpm_solver import DPM2
from .dpm_solver_multistep import DPMpp3MPublished
from .edm import Heun

__all__ = ["DPM2", "DPMpp3MPublished", "Heun"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
