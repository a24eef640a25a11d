"""Lines to paste into other libraries, and into Python with this one: a sampler on given noise levels.

>>> from samplerbench.models import make_model
>>> from samplerbench.samplers import karras, make
>>> model, grid = make_model("gmm-2d"), karras(4, 0.03, 14.6)
>>> print(export("comfyui", make("dpmpp_2m"), grid, model, "gmm-2d").code)
KSamplerSelect: sampler_name = dpmpp_2m
ManualSigmas: the text of the next lines
14.6, 3.18124205, 0.452392385, 0.03, 0.0
SamplerCustomAdvanced (or SamplerCustom): takes both, as sampler and sigmas

A library is a module with ``TITLE`` (its name for readers), ``LANGUAGE`` (of its lines), ``SOLVERS`` (of its own
that its users would try next, by our names, on karras), ``missing(sampler, model)`` and
``lines(sampler, grid, model, spec)``; if it takes steps as numbers, with ``written_out(sampler, grid, model)`` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....models.denoiser import Denoiser
from ....samplers import Grid, Sampler
from . import comfyui, diffusers, k_diffusion, python
from .diffusers_schedulers import SCHEDULERS

__all__ = [
    "BY_NUMBERS",
    "LIBRARIES",
    "SCHEDULERS",
    "Export",
    "export",
    "is_written_as_numbers",
    "language",
    "missing",
    "solvers",
    "title",
]

_TARGETS: dict[str, Any] = {
    "python": python,
    "diffusers": diffusers,
    "k-diffusion": k_diffusion,
    "comfyui": comfyui,
}
LIBRARIES: tuple[str, ...] = tuple(_TARGETS)
BY_NUMBERS = tuple(name for name, target in _TARGETS.items() if hasattr(target, "written_out"))
"""Libraries that take the steps of a sampler that they do not have as numbers."""


@dataclass(frozen=True)
class Export:
    """Lines for a library.

    Attributes:
        library: one of :data:`LIBRARIES`.
        code: complete lines to paste, imports included, without a newline at the end; "" in an answer
            where there are none.
        remark: what the library does otherwise all the same, or why there are no lines; "" where images
            are the same to rounding.
    """

    library: str
    code: str
    remark: str


def title(library: str) -> str:
    """Return a library's name for readers."""
    return _TARGETS[library].TITLE if library in _TARGETS else library


def language(library: str) -> str:
    """Return the language of a library's lines, for a Markdown fence."""
    return _target(library).LANGUAGE


def solvers(library: str) -> tuple[str, ...]:
    """Return a library's own solvers by our names; none for pipelines, which have :data:`SCHEDULERS`."""
    return _target(library).SOLVERS


def missing(library: str, sampler: Sampler, model: Denoiser) -> str:
    """Return why a library cannot take a sampler's steps on a model, "" if it can; raise ValueError for none of
    :data:`LIBRARIES`. Nothing is evaluated, and the library is not imported.
    """
    return _target(library).missing(sampler, model)


def export(library: str, sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> Export:
    """Return the lines with which a library takes a sampler's steps on levels of x = x0 + sigma z.

    The sampler is fitted where it is one that is found for a model, and ``spec`` is as ``--model`` takes it.

    Raises:
        ValueError: unknown library; :func:`missing` has a reason; or the library cannot be given this grid.
    """
    if reason := missing(library, sampler, model):
        raise ValueError(f"cannot export {sampler.name} to {library}: {reason}")
    return Export(library, *_target(library).lines(sampler, grid, model, spec))


def is_written_as_numbers(library: str, sampler: Sampler, grid: Grid, model: Denoiser) -> bool:
    """Return True if a library has no solver for these steps, so that the lines write them out as numbers."""
    target = _target(library)
    return library in BY_NUMBERS and target.written_out(sampler, grid, model)


def _target(library: str) -> Any:
    if library not in _TARGETS:
        raise ValueError(
            f"there are no lines for {library!r}; choose one of {', '.join(LIBRARIES)}"
        )
    return _TARGETS[library]
