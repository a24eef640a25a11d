"""Loaders of models by scheme, for checkpoints, users' files and installed packages.

The loaders are :mod:`.checkpoint`, :mod:`.family`, :mod:`.perturbed` and :mod:`.python_file`. The
other modules, which the extractors use too, hold the table of schemes and record a model's files.

A loader ``load(rest, **options) -> Denoiser`` takes the text after the colon of ``scheme:rest``. To add a scheme, write
a file of its name in this folder ("_" for "-"), with heavy imports inside the function::

    @loader("diffusers", usage="diffusers:FOLDER")
    def load(rest: str, *, subfolder: str = "unet") -> Denoiser:
        ...

Or install a package with an entry point in the group ``samplerbench.models`` (docs/how-to/adding-a-model.md).
"""

from .schemes import Schemes

ENTRY_POINTS = "samplerbench.models"

LOADERS = Schemes("model", ENTRY_POINTS, __name__)

loader = LOADERS.register

__all__ = ["ENTRY_POINTS", "LOADERS", "loader"]
