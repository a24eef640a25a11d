"""Where models come from: a table of loaders by scheme, for checkpoints, files of the user's and
installed packages.

The loaders that are here are :mod:`.perturbed` and :mod:`.python_file`; the other modules are what
they, and the extractors, are made of: the table itself, and which files something was made from.

``load(rest, **options) -> Denoiser`` gets what stands behind the colon of ``scheme:rest``. To add
a scheme, write one file in this folder, called like the scheme, that imports what is heavy inside
the function::

    @loader("diffusers", usage="diffusers:FOLDER")
    def load(rest: str, *, subfolder: str = "unet") -> Denoiser:
        ...

or install a package with an entry point in the group ``samplerbench.models``
(docs/adding-a-model.md).
"""

from .schemes import Schemes

ENTRY_POINTS = "samplerbench.models"

LOADERS = Schemes("model", ENTRY_POINTS, __name__)
"""Scheme to loader."""

loader = LOADERS.register

__all__ = ["ENTRY_POINTS", "LOADERS", "loader"]
