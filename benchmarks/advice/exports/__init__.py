"""Lines to paste into other libraries, and into Python with this one: a sampler on given noise levels.

>>> from samplerbench.models import make_model
>>> from samplerbench.samplers import karras, make
>>> model, grid = make_model("gmm-2d"), karras(4, 0.03, 14.6)
>>> print(export("comfyui", make("dpmpp_2m"), grid, model, "gmm-2d").code)
KSamplerSelect: sampler_name = dpmpp_2m
ManualSigmas: the text of the next lines
14.6, 3.18124205, 0.452392385, 0.03, 0.0
SamplerCustomAdvanced (or SamplerCustom): takes both, as sampler and sigmas
"""

from __future__ import annotations

from dataclasses import dataclass

from ....models import Denoiser
from ....samplers import Grid, Sampler
from . import comfyui, diffusers, k_diffusion, python

__all__ = ["LIBRARIES", "Export", "export", "is_written_as_numbers", "missing"]

LIBRARIES: tuple[str, ...] = ("python", "diffusers", "k-diffusion", "comfyui")


@dataclass(frozen=True)
class Export:
    """Lines for a library.

    Attributes:
        library: one of :data:`LIBRARIES`.
        code: complete lines to paste, imports included, without a newline at the end.
        remark: what the library does otherwise all the same, in one sentence; "" where images are the
            same to rounding.
    """

    library: str
    code: str
    remark: str


def missing(library: str, sampler: Sampler, model: Denoiser) -> str:
    """Why a library cannot take a sampler's steps on a model, in a short sentence; "" if it can.

    Nothing is evaluated, and the library is not imported.

    Raises:
        ValueError: unknown library.
    """
    if _known(library) == "python":
        return ""
    if library == "diffusers":
        return diffusers.missing(sampler, model)
    if library == "k-diffusion":
        return k_diffusion.missing(sampler)
    return comfyui.missing(sampler, model)


def export(library: str, sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> Export:
    """The lines with which a library takes a sampler's steps.

    Args:
        library: one of :data:`LIBRARIES`.
        sampler: configured, and fitted where it is one that is found for a model.
        grid: levels of x = x0 + sigma z.
        model: the model.
        spec: the model as ``--model`` takes it.

    Raises:
        ValueError: unknown library; :func:`missing` has a reason; or the library cannot be told this grid.
    """
    if reason := missing(library, sampler, model):
        raise ValueError(f"cannot export {sampler.name} to {library}: {reason}")
    if library == "python":
        code, remark = python.lines(sampler, grid, spec), ""
    elif library == "diffusers":
        code, remark = diffusers.lines(sampler, grid, model)
    elif library == "k-diffusion":
        code, remark = k_diffusion.lines(sampler, grid)
    else:
        code, remark = comfyui.lines(sampler, grid, model)
    return Export(library, code, remark)


def is_written_as_numbers(library: str, sampler: Sampler, grid: Grid, model: Denoiser) -> bool:
    """Whether a library has no solver for these steps, so that the lines write them out as numbers.

    Args:
        library: one of :data:`LIBRARIES`.
        sampler: as of :func:`export`, which has lines for it.
        grid: likewise.
        model: likewise.
    """
    if _known(library) == "diffusers":
        return diffusers.written_out(sampler, grid, model)
    return library == "k-diffusion" and k_diffusion.written_out(sampler, grid)


def _known(library: str) -> str:
    if library not in LIBRARIES:
        raise ValueError(
            f"there are no lines for {library!r}; choose one of {', '.join(LIBRARIES)}"
        )
    return library
