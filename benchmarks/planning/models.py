"""Models by their specs, loaded for a command, and what runs on those that are few-step maps."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from ...models import Denoiser, make_model
from ...models.denoiser import innermost
from ...samplers import Sampler
from ..suites.spec import format_spec, parse_spec
from .native import NATIVE
from .schedules import Schedule

SAMPLER = "consistency"
"""Sampler that messages suggest for maps."""


def mismatch(model: Denoiser, sampler: Sampler) -> str:
    """Return the reason why a sampler does not run on a model of this kind; "" if it does, or if it is the model's
    own scheduler's, which is checked once it is known.
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
    """Raise ValueError if a schedule is searched along the probability flow for a model that is a map: it has the end
    of the path alone.
    """
    for schedule in schedules:
        if model.kind == "map" and schedule.needs_model and schedule.name != NATIVE:
            raise ValueError(
                f"schedule {schedule.label} is searched with a denoiser, and model {model.name} is a "
                "few-step map to the end of the path; take one that is not, such as --schedule karras"
            )


log = logging.getLogger("samplerbench")


class NamedModel(NamedTuple):
    """Model with its spec."""

    name: str
    model: Denoiser


def load_model(spec: Any, device: str = "cpu") -> NamedModel:
    """Load a model onto a device, and log its choice among several sets of weights; raise ValueError if it is
    unknown.
    """
    options = parse_spec(spec)
    name = format_spec(options)
    model = make_model(options.pop("name"), **options)
    checkpoint = getattr(innermost(model), "spec", None)
    if checkpoint is not None:
        from ...models.checkpoints.entries import weights_taken  # not at every start

        if weights := weights_taken(checkpoint):
            log.info(
                "model %s: %s; samplerbench check-model says how to take another.", name, weights
            )
    return NamedModel(name, model.to(device) if device != "cpu" else model)


def load_denoiser(spec: Any, device: str = "cpu") -> NamedModel:
    """Load a model for the choice of a solver or of levels; raise ValueError if it is unknown, or a few-step map."""
    name, model = load_model(spec, device)
    if model.kind == "map":
        raise ValueError(
            f"model {name} is a few-step map: it jumps to the end of the path, and there is no solver to "
            "choose and no level to tune; give the denoiser that it was distilled from, or see how many "
            f"jumps are worth it: samplerbench run quick --model {name} --sampler consistency --nfe 1,2,4"
        )
    return NamedModel(name, model)
