"""Presets: a folder's own scheduler in terms of samplers and levels here.

A scheduler's file holds two things: the training of the network (:mod:`.scheduler`) and its sampling.
The second is no part of the model: any sampler may run on it. It becomes a preset, to sample as the
library would, with levels by :mod:`.steps` and a sampler by :mod:`.methods`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from .....checkpoints.mapping import process_of
from .....checkpoints.specification import Specification
from .....denoiser import OwnSampling
from .methods import START_IN_UNITS, refused, sampler_of, with_orders
from .scheduler import kind_of, trained
from .steps import Steps, check_strides, spacing_of, steps_of

_MODEL = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr", "sigma_data"),
)
FAR = 1e6
"""First level of a flow's own scheduler, for no signal at all: above the range of the model."""


def preset_of(scheduler: Mapping[str, Any], pipeline: str = "", tokens: int = 1) -> dict[str, Any]:
    """Return the preset of a scheduler.

    >>> preset_of({"_class_name": "DDIMScheduler", "clip_sample": False})["sampler"]
    'ddim'

    Args:
        scheduler: its settings.
        pipeline: class of the pipeline, which may ask for times of its own.
        tokens: side of the state's squares that are one token, for shifts that depend on the size of
            the state; 0 if unknown.

    Returns:
        ``scheduler``, its class; ``sampler``, the equivalent one on its levels, "" for none;
        ``spacing`` of its levels; ``end``, ``zero``, ``sigma_min``, or ``last`` for the level of its
        last evaluation; ``start``, ``unit`` for sqrt(1 + sigma²) z or ``noise`` for sigma z; ``clip``,
        the bound of d, but not of the noise that it goes on with, None for no clamping; ``settings``,
        its settings except the model's; ``trained``, the model's; ``pipeline`` and ``tokens``, as
        given; ``differs``, sentences on its differences from all samplers.
    """
    scheduler, kind = _as_changed(scheduler, pipeline), kind_of(scheduler)
    settings = {k: v for k, v in scheduler.items() if k not in _MODEL and not k.startswith("_")}
    why = list(refused(scheduler, kind, tokens))
    clips = scheduler.get("clip_sample", True) and kind in ("DDIM", "DDPM")
    return {
        "scheduler": scheduler.get("_class_name"),
        "sampler": "" if why else sampler_of(scheduler, kind),
        "spacing": spacing_of(scheduler, kind),
        "end": _end(scheduler, kind),
        "start": _start(scheduler, kind),
        "clip": float(scheduler.get("clip_sample_range", 1.0)) if clips else None,
        "settings": settings,
        "trained": {k: v for k, v in scheduler.items() if k in _MODEL},
        "pipeline": pipeline,
        "tokens": tokens,
        "differs": why,
    }


def _as_changed(scheduler: Mapping[str, Any], pipeline: str) -> Mapping[str, Any]:
    """Return a scheduler's settings as Stable Diffusion's pipeline changes outdated ones."""
    if pipeline != "StableDiffusionPipeline":
        return scheduler
    offset = {"steps_offset": 1} if kind_of(scheduler) not in _NO_OFFSET else {}
    return {**scheduler, **offset, "clip_sample": False}


_NO_OFFSET = ("DPMSolverSinglestep", "FlowMatchEulerDiscrete", "EDMEuler", "EDMDPMSolverMultistep")


def _start(scheduler: Mapping[str, Any], kind: str) -> str:
    leading = scheduler.get("timestep_spacing") == "leading"
    unit = kind in (*START_IN_UNITS, "LCM") or kind.startswith("EDM") or leading
    return "unit" if unit else "noise"


def _end(scheduler: Mapping[str, Any], kind: str) -> str:
    if kind in ("DDIM", "PNDM"):
        return "zero" if scheduler.get("set_alpha_to_one", kind == "DDIM") else "sigma_min"
    if kind == "LCM":
        return "sigma_min"
    if kind == "DEISMultistep":
        table = spacing_of(scheduler, kind) in ("linspace", "leading", "trailing")
        return "sigma_min" if table else "last"
    return str(scheduler.get("final_sigmas_type", "zero"))


def _with_scheduler(spec: Specification, scheduler: str) -> Specification:
    """Return a folder's specification with another scheduler, as its class's ``from_config`` makes it.

    Raises:
        ValueError: it is for networks of another training, or unknown.
    """
    preset = spec.preset
    settings = {**preset["settings"], **preset.get("trained", {}), "_class_name": scheduler}
    try:
        same = trained(settings)["process"] == spec.process
    except ValueError as error:
        raise ValueError(f"scheduler {scheduler}: {error}") from None
    if not same:
        raise ValueError(
            f"scheduler {scheduler} samples no network that was trained for {preset['scheduler']}"
        )
    return replace(spec, preset=preset_of(settings, preset["pipeline"], preset["tokens"]))


def own_sampling(spec: Specification, steps: int, scheduler: str = "") -> OwnSampling:
    """Return the steps of the folder's own scheduler in ``steps`` steps, the library's
    ``num_inference_steps``.

    Args:
        spec: with a preset.
        steps: of the scheduler.
        scheduler: class that replaces the folder's own; "" for its own.

    Raises:
        ValueError: no sampler here takes such steps.
    """
    spec = _with_scheduler(spec, scheduler) if scheduler else spec
    preset = spec.preset
    if not preset.get("sampler"):
        raise ValueError(f"{preset.get('scheduler')}: {'; '.join(preset.get('differs', ()))}")
    kind, scheduler_steps = kind_of({"_class_name": preset["scheduler"]}), steps_of(spec, steps)
    check_strides(spec, kind, scheduler_steps.times)
    dropped = scheduler_steps.levels[-1] <= scheduler_steps.end
    levels = scheduler_steps.levels if dropped else (*scheduler_steps.levels, scheduler_steps.end)
    if len(levels) < 2:
        raise ValueError(f"{preset['scheduler']}: its only step goes nowhere; take more steps")
    if any(nxt >= cur for cur, nxt in pairwise(levels)):
        raise ValueError(f"{preset['scheduler']}: its levels in {steps} steps do not fall")
    if preset["sampler"] == "ddpm_large" and scheduler_steps.times[-1] > 0:
        raise ValueError(
            f"{preset['scheduler']}: with variance_type fixed_large its last step, from another time than "
            "0, ends with noise; take leading spacing without steps_offset"
        )
    if preset["spacing"] == "shifted" and levels[0] == spec.sigma_max:
        levels = (FAR, *levels[1:])
    flow = spec.process["name"] == "flow"
    first, end = _scale(levels[0], flow=flow), _scale(levels[-1], flow=flow)
    return OwnSampling(
        with_orders(preset, kind, steps, dropped=dropped),
        levels,
        first if preset["start"] == "unit" else levels[0],
        1 / end if kind in START_IN_UNITS else 1.0,
        preset["clip"],
        f"{preset['scheduler']}, {preset['spacing']}",
        times=tuple(_network_times(spec, kind, scheduler_steps)),
    )


def _scale(level: float, *, flow: bool) -> float:
    """Return the factor 1 / alpha of a state of the process, for x0 + level z."""
    return 1 + level if flow else math.hypot(1, level)


def _network_times(spec: Specification, kind: str, steps: Steps) -> Iterator[tuple[float, float]]:
    """Yield levels and native times of the network, where they are not the levels' own."""
    process = process_of(spec)
    own = np.asarray(process.t_of(np.asarray(steps.levels)))
    if kind == "KDPM2Discrete" and spec.process["name"] == "discrete":
        # evaluations between the levels have times between the whole ones
        for cur, nxt in pairwise(steps.levels):
            middle = math.sqrt(cur * nxt)
            yield middle, float(process.t_of(middle))
    near = 1e-8 * max(1.0, process.t_max)
    for level, time, own_time in zip(steps.levels, steps.times, own.tolist(), strict=True):
        between = spec.snap and abs(time - round(time)) > 1e-6  # else it would get the nearest
        if between or abs(time - own_time) > near:
            yield level, time
