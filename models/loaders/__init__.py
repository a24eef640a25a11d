"""Loaders of models by scheme, for checkpoints, users' files and installed packages.

The loaders are :mod:`.checkpoint`, :mod:`.family`, :mod:`.perturbed` and :mod:`.python_file`. The other modules are
shared with the extractors: the table itself, and the record of a model's files.

``load(rest, **options) -> Denoiser`` gets the text after the colon of ``scheme:rest``. To add a
scheme, write one file of its name in this folder, with heavy imports inside the function::

    @loader("diffusers", usage="diffusers:FOLDER")
    def load(rest: str, *, subfolder: str = "unet") -> Denoiser:
        ...

or install a package with an entry point in the group ``samplerbench.models``
(docs/adding-a-model.md).
"""

from .schemes import Schemes

ENTRY_POINTS = "samplerbench.models"

LOADERS = Schemes("model", ENTRY_POINTS, __name__)
"""Loaders by scheme."""

loader = LOADERS.register

__all__ = ["ENTRY_POINTS", "LOADERS", "loader"]
