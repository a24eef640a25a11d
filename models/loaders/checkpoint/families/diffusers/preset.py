"""How a folder's own scheduler would sample it, in terms of our samplers and levels.

A scheduler's file holds two things: what the network was trained on (:mod:`.scheduler`) and how to
sample it. The second is no part of the model: any sampler may be run on it. It is kept as a preset,
to sample as the library would: the levels are those of :mod:`.steps`, and the sampler that of
:mod:`.methods`.
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
from .....own_sampling import OwnSampling
from .methods import START_IN_UNITS, refused, sampler_of, with_orders
from .scheduler import kind_of, trained
from .steps import Steps, check_strides, spacing_of, steps_of

_MODEL = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr", "sigma_data"),
)
FAR = 1e6
"""The level at which a flow's own scheduler begins, for no signal at all: nearer to it than the range of
the model.
"""


def preset_of(scheduler: Mapping[str, Any], pipeline: str = "", tokens: int = 1) -> dict[str, Any]:
    """How a scheduler samples.

    >>> preset_of({"_class_name": "DDIMScheduler", "clip_sample": False})["sampler"]
    'ddim'

    Args:
        scheduler: its settings.
        pipeline: class of the pipeline, which may ask for times of its own.
        tokens: side of the squares of the state that the network sees as one, which shifts that depend
            on the size of the state count; 0 where nobody knows.

    Returns:
        ``scheduler``, its class; ``sampler``, ours that is the same on its levels, "" where none is
        known; ``spacing``, how its levels are spaced; ``end``, ``zero``, ``sigma_min``, or ``last`` for
        that of its last evaluation; ``start``, ``unit`` where it begins at sqrt(1 + sigma²) z, or
        ``noise`` where at sigma z; ``clip``, the bound that it clamps d to, but not the noise that it
        goes on with, None for no clamping; ``settings``, all that it has set beside those of the
        model; ``trained``, these; ``pipeline`` and ``tokens``, as given; ``differs``, sentences that say why none of ours
        does what it does.
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
    """A scheduler's settings with those that Stable Diffusion's pipeline puts in their place, where they
    are older than the pipeline.
    """
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


def _in_place(spec: Specification, scheduler: str) -> Specification:
    """Return a folder's specification with another scheduler, as its class's ``from_config`` makes it.

    Raises:
        ValueError: it samples no networks that were trained as this one, or is not known.
    """
    preset = spec.preset
    said = {**preset["settings"], **preset.get("trained", {}), "_class_name": scheduler}
    try:
        same = trained(said)["process"] == spec.process
    except ValueError as error:
        raise ValueError(f"scheduler {scheduler}: {error}") from None
    if not same:
        raise ValueError(
            f"scheduler {scheduler} samples no network that was trained for {preset['scheduler']}"
        )
    return replace(spec, preset=preset_of(said, preset["pipeline"], preset["tokens"]))


def own_sampling(spec: Specification, steps: int, scheduler: str = "") -> OwnSampling:
    """What the folder's own scheduler does in ``steps`` steps, the library's ``num_inference_steps``.

    Args:
        spec: with a preset.
        steps: of the scheduler.
        scheduler: class that takes the place of the folder's own; "" for that.

    Raises:
        ValueError: nothing of ours does what it does.
    """
    spec = _in_place(spec, scheduler) if scheduler else spec
    preset = spec.preset
    if not preset.get("sampler"):
        raise ValueError(f"{preset.get('scheduler')}: {'; '.join(preset.get('differs', ()))}")
    kind, taken = kind_of({"_class_name": preset["scheduler"]}), steps_of(spec, steps)
    check_strides(spec, kind, taken.times)
    dropped = taken.levels[-1] <= taken.end
    levels = taken.levels if dropped else (*taken.levels, taken.end)
    if len(levels) < 2:
        raise ValueError(f"{preset['scheduler']}: its only step goes nowhere; take more steps")
    if any(nxt >= cur for cur, nxt in pairwise(levels)):
        raise ValueError(f"{preset['scheduler']}: its levels in {steps} steps do not fall")
    if preset["sampler"] == "ddpm_large" and taken.times[-1] > 0:
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
        times=tuple(_told(spec, kind, taken)),
    )


def _scale(level: float, *, flow: bool) -> float:
    """What a state of the process is multiplied by, for x0 + level z: 1 / alpha."""
    return 1 + level if flow else math.hypot(1, level)


def _told(spec: Specification, kind: str, steps: Steps) -> Iterator[tuple[float, float]]:
    """Levels, and the native times that the network is told there, where the level's own is another."""
    process = process_of(spec)
    own = np.asarray(process.t_of(np.asarray(steps.levels)))
    if kind == "KDPM2Discrete" and spec.process["name"] == "discrete":
        # evaluations between the levels, which are told times between the whole ones
        for cur, nxt in pairwise(steps.levels):
            middle = math.sqrt(cur * nxt)
            yield middle, float(process.t_of(middle))
    near = 1e-8 * max(1.0, process.t_max)
    for level, time, its in zip(steps.levels, steps.times, own.tolist(), strict=True):
        between = (
            spec.snap and abs(time - round(time)) > 1e-6
        )  # of which it would be told the nearest
        if between or abs(time - its) > near:
            yield level, time
