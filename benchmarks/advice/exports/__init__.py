"""Lines that run a sampler on given noise levels, to paste into Python or another library.

>>> from samplerbench.models import make_model
>>> from samplerbench.samplers import karras, make
>>> model, grid = make_model("gmm-2d"), karras(4, 0.03, 14.6)
>>> print(export("comfyui", make("dpmpp_2m"), grid, model, "gmm-2d").code)
KSamplerSelect: sampler_name = dpmpp_2m
ManualSigmas: the text of the next lines
14.6, 3.18124205, 0.452392385, 0.03, 0.0
SamplerCustomAdvanced (or SamplerCustom): takes both, as sampler and sigmas

Each library has a module here. ``TITLE`` is the library's name for readers.
``SOLVERS`` names samplers of ours that equal the library's usual solvers, to compare on karras; () for "python" and
"diffusers". Functions are ``missing(sampler, model)`` and ``lines(sampler, grid, model, spec)``. A library whose lines
can have steps as numbers also has ``is_written_as_numbers(sampler, grid, model)``, and ``named_solver(code)``, which returns the
name of a solver in lines. A library that takes a folder with a table has ``folder(sampler, grid, model, path)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....models.denoiser import Denoiser
from ....samplers import Grid, Sampler
from . import comfyui, comfyui_node, diffusers, k_diffusion, python
from .diffusers_schedulers import SCHEDULERS
from .tables import Folder

__all__ = [
    "BY_NUMBERS",
    "LIBRARIES",
    "SCHEDULERS",
    "Export",
    "export",
    "export_folder",
    "is_written_as_numbers",
    "missing",
    "named_solver",
    "solver_title",
    "target",
    "title",
]

_TARGETS: dict[str, Any] = {
    "python": python,
    "diffusers": diffusers,
    "k-diffusion": k_diffusion,
    "comfyui": comfyui,
    "comfyui-node": comfyui_node,
}
LIBRARIES: tuple[str, ...] = tuple(_TARGETS)
BY_NUMBERS = tuple(
    name for name, target in _TARGETS.items() if hasattr(target, "is_written_as_numbers")
)
"""Libraries that take steps as numbers, and so also run samplers that they do not implement."""


@dataclass(frozen=True)
class Export:
    """Lines for a library.

    Attributes:
        library: one of :data:`LIBRARIES`.
        code: complete lines to paste, imports included, without a newline at the end; "" if there are none.
        remark: conditions, differences from our images, or the reason why there are no lines; ""
            if the library's images equal ours to rounding.
    """

    library: str
    code: str
    remark: str


def title(library: str) -> str:
    """Return a library's name for readers, or the argument itself if there is no such library."""
    return _TARGETS[library].TITLE if library in _TARGETS else library


def solver_title(library: str) -> str:
    """Return the title of the library from which users of ``library`` take their usual solvers."""
    return title({"python": "diffusers", "comfyui-node": "comfyui"}.get(library, library))


def named_solver(library: str, code: str) -> str:
    """Return the name of the library's solver in the lines ``code``; "" if they name none."""
    return target(library).named_solver(code) if library in BY_NUMBERS else ""


def missing(library: str, sampler: Sampler, model: Denoiser) -> str:
    """Return the reason why a library cannot take a sampler's steps on a model; "" if it can.

    The model is not evaluated, and the library is not imported. Raises a ValueError if there is no such library.
    """
    module = target(library)
    if getattr(sampler, "event", None) is not None:
        return "its statistics of a model are too many numbers for lines to paste"
    return module.missing(sampler, model)


def export(library: str, sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> Export:
    """Return the lines with which a library takes a sampler's steps on a grid.

    Levels are sigma in x = x0 + sigma z. Settings that are searched for a model must be in the sampler already.
    ``spec`` is a value of ``--model``. Raises a ValueError if there is no such library, if :func:`missing` gives a
    reason, or if the library cannot use this grid.
    """
    if reason := missing(library, sampler, model):
        raise ValueError(f"cannot export {sampler.name} to {library}: {reason}")
    return Export(library, *target(library).lines(sampler, grid, model, spec))


def export_folder(library: str, sampler: Sampler, grid: Grid, model: Denoiser, path: str) -> Folder:
    """Return files, and lines that load them from ``path``, to run a sampler as a table of weights.

    Raises a ValueError if the library takes no folder, :func:`missing` gives a reason, or the steps are no table.
    """
    module = target(library)
    if not hasattr(module, "folder"):
        able = [name for name, other in _TARGETS.items() if hasattr(other, "folder")]
        raise ValueError(f"--out: {library} takes no folder; choose {' or '.join(able)}")
    if reason := missing(library, sampler, model):
        raise ValueError(f"cannot export {sampler.name} to {library}: {reason}")
    return module.folder(sampler, grid, model, path)


def is_written_as_numbers(library: str, sampler: Sampler, grid: Grid, model: Denoiser) -> bool:
    """Return True if a library's lines write these steps out as numbers, for lack of a solver."""
    module = target(library)
    return library in BY_NUMBERS and module.is_written_as_numbers(sampler, grid, model)


def target(library: str) -> Any:
    """Return the module that writes a library's lines; raise ValueError if there is none."""
    if library not in _TARGETS:
        raise ValueError(
            f"there are no lines for {library!r}; choose one of {', '.join(LIBRARIES)}"
        )
    return _TARGETS[library]
