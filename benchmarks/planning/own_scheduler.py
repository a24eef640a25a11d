"""Sampler ``pipeline``, which follows a model's own scheduler; checks if samplers can run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ...models import Denoiser
from ...samplers import Grid, Sampler, make
from ..suites.cell import Start
from .native import NATIVE
from .schedules import Schedule


def why_sampler_cannot_run(model: Denoiser, sampler: Sampler) -> str:
    """Return the reason why a sampler cannot run on a denoiser or few-step map; "" if it can."""
    if getattr(sampler, "of_checkpoint", False):
        return ""
    if model.kind == "map" and not sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a denoiser E[x0 | x], and model {model.name} is a few-step "
            f"map to the end of the path; take --sampler consistency"
        )
    if model.kind != "map" and sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a few-step map, and model {model.name} is a denoiser "
            "E[x0 | x]; take another sampler, or say kind=map if the model is a map"
        )
    return ""


def check_schedules(model: Denoiser, schedules: list[Schedule]) -> None:
    """Raise a ValueError if the model is a map, and a schedule other than native needs it."""
    for schedule in schedules:
        if model.kind == "map" and schedule.needs_model and schedule.name != NATIVE:
            raise ValueError(
                f"schedule {schedule.label} is searched with a denoiser, and model {model.name} is a "
                "few-step map to the end of the path; take one that is not, such as --schedule karras"
            )


def configure_pipeline(
    sampler: Any, model: Denoiser, grid: Grid, start: Start
) -> tuple[Sampler, str]:
    """Return ``pipeline`` with the settings of the model's own scheduler on a grid, and "".

    If this is impossible, return the sampler unchanged, and the reason to skip it.
    """
    if start.name != "noise":
        return sampler, f"a model's own scheduler begins with noise, not with start {start.name}"
    try:
        own = model.own_sampling(len(grid), sampler.scheduler)
    except ValueError as error:
        return sampler, f"pipeline: {error}"
    if own is None:
        return sampler, (
            f"no scheduler came with model {model.name}: pipeline is for folders of diffusers"
        )
    if reason := why_sampler_cannot_run(model, make(own.sampler)):
        return sampler, reason
    ends = (own.start, own.end, own.clip, own.told, own.times, model.map_end)
    from ...samplers.methods.pipeline import Preset

    return sampler.fitted(Preset(own.sampler, own.levels, *ends)), ""


def pipeline_evaluations_by_steps(sampler: Any, model: Denoiser) -> Callable[[int], int]:
    """Return a function from steps to ``pipeline``'s evaluations per sample, one a step or more."""

    @cache
    def cost(n: int) -> int:
        try:
            own = model.own_sampling(n, sampler.scheduler)
        except ValueError:  # the cell gives the reason
            own = None
        says = None if own is None else make(own.sampler).nfe(Grid(own.levels))
        return model.passes * max(n, says or n)

    return cost
