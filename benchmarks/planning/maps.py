"""Compatibility of samplers and schedules with few-step maps, which jump to the end of the path."""

from __future__ import annotations

from ...models import Denoiser
from ...samplers import Sampler
from .native import NATIVE
from .schedules import Schedule

SAMPLER = "consistency"
"""Sampler that messages suggest for maps."""


def mismatch(model: Denoiser, sampler: Sampler) -> str:
    """Return the reason why a sampler does not run on a model of this kind; "" if it does.

    The sampler in a model's own scheduler is checked once it is known.
    """
    if getattr(sampler, "of_checkpoint", False):
        return ""
    if model.kind == "map" and not sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a denoiser E[x0 | x], and model {model.name} is a few-step "
            f"map to the end of the path; take --sampler {SAMPLER}"
        )
    if model.kind != "map" and sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a few-step map, and model {model.name} is a denoiser "
            "E[x0 | x]; take another sampler, or say kind=map if the model is a map"
        )
    return ""


def check_schedules(model: Denoiser, schedules: list[Schedule]) -> None:
    """Refuse schedules that are searched along the probability flow: a map has its end alone.

    Raises:
        ValueError: one of them is searched for the model.
    """
    for schedule in schedules:
        if model.kind == "map" and schedule.needs_model and schedule.name != NATIVE:
            raise ValueError(
                f"schedule {schedule.label} is searched with a denoiser, and model {model.name} is a "
                "few-step map to the end of the path; take one that is not, such as --schedule karras"
            )
