"""Presets: a folder's own scheduler, translated to a sampler and levels of this project.

A scheduler's file describes the training of the network (:mod:`.scheduler`), and how to sample.
The preset holds the second part. It is no part of the model, on which any sampler may run.
:mod:`.steps` computes its levels, between which its sampler steps as the scheduler does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...denoiser import OwnSampling
from ..specification import Specification, process_of
from .scheduler import Settings, scheduler_class_stem, specification_fields
from .steps import (
    LEVEL_KEYS,
    LOG_STEPS,
    SIGMA_STEPS,
    TABLE_STEPS,
    SchedulerSteps,
    check_start,
    check_strides,
    spacing_of,
    steps_of,
)

SAMPLERS = {
    "DDIM": "ddim",
    "PNDM": "plms",
    "EulerDiscrete": "euler",
    "EulerAncestralDiscrete": "euler_ancestral",
    "LMSDiscrete": "lms(through_zero=True)",
    "HeunDiscrete": "heun",
    "KDPM2Discrete": "dpm_2",
    "EDMEuler": "euler",
    "FlowMatchEulerDiscrete": "euler",
    "LCM": "consistency",
}
"""Samplers by scheduler class (without "Scheduler"), if no setting changes the sampler."""
DPM = {
    ("dpmsolver++", 1): "euler",
    ("dpmsolver++", 2, "midpoint"): "dpmpp_2m",
    ("dpmsolver++", 2, "heun"): "xeab_2",
    ("dpmsolver++", 3, "midpoint"): "dpmpp_3m_published",
    ("dpmsolver", 1): "euler",
    ("dpmsolver", 2, "midpoint"): "dpm_solver_2m",
    ("dpmsolver", 2, "heun"): "zeab_2",
    ("dpmsolver", 3, "midpoint"): "dpm_solver_3m_published",
    ("sde-dpmsolver++", 1): "ddpm",
    ("sde-dpmsolver++", 2, "midpoint"): "dpmpp_2m_sde",
    ("sde-dpmsolver++", 2, "heun"): "dpmpp_2m_sde(solver_type='heun')",
}
"""Samplers of multistep DPM schedulers by algorithm, order and, if it matters, solver type."""
DEIS = {1: "euler", 2: "zeab_2", 3: "zeab_3"}
"""Samplers of DEIS by ``solver_order``."""
VARIANCES = {"fixed_small": "ddpm", "fixed_small_log": "ddpm", "fixed_large": "ddpm_large"}
"""Samplers of DDPM by ``variance_type``."""
DPM_KINDS = ("DPMSolverMultistep", "EDMDPMSolverMultistep")
KNOWN = (*SAMPLERS, *DPM_KINDS, "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep", "DDPM")
SHORT = 15
"""Number of steps below which ``lower_order_final`` lowers the orders of the last steps."""

_UNSUPPORTED_EFFECTS = {
    ("", "thresholding"): "it clamps d by quantiles",
    ("", "stochastic_sampling"): "it adds noise in every step of a flow",
    ("HeunDiscrete", "clip_sample"): "it clamps d within Heun's step",
    ("LCM", "clip_sample"): "it clamps the clean image before the state is added to it",
    ("PNDM", "set_alpha_to_one"): "its formula goes on to the level 0, where ours ends with d",
    ("UniPCMultistep", "disable_corrector"): "it leaves single steps uncorrected",
    ("UniPCMultistep", "solver_p"): "another scheduler predicts",
}
"""Effects that no sampler has, by scheduler class ("" for all) and the setting that causes them."""
START_IN_UNITS = (*TABLE_STEPS, *LOG_STEPS)
"""Schedulers whose states are x_t of the process, so that their initial noise has variance 1."""
_MODEL = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr", "sigma_data"),
)
FLOW_START = 1e6
"""First level of a flow's scheduler in place of infinity, above every model's finite range."""
_NO_OFFSET = ("DPMSolverSinglestep", "FlowMatchEulerDiscrete", "EDMEuler", "EDMDPMSolverMultistep")


def sampler_of(scheduler: Settings, kind: str) -> str:
    """Return the spec of the sampler that makes the same steps as a scheduler; "" if none does.

    ``kind`` is the scheduler's class without "Scheduler". :func:`sampler_with_orders` adds orders.
    """
    if kind in SAMPLERS:
        return SAMPLERS[kind]
    order = int(scheduler.get("solver_order", 2))
    algorithm, solver = _algorithm_and_solver(scheduler)
    if kind in DPM_KINDS:
        return DPM.get((algorithm, order), DPM.get((algorithm, order, solver), ""))
    if kind == "DPMSolverSinglestep":
        if algorithm not in ("dpmsolver++", "dpmsolver") or not 1 <= order <= 3:
            return ""
        prediction = "data" if algorithm == "dpmsolver++" else "noise"
        return f"singlestep_on_grid(prediction='{prediction}', solver_type='{solver}')"
    if kind == "DEISMultistep":
        return DEIS.get(order, "")
    if kind == "UniPCMultistep":
        options = "" if scheduler.get("predict_x0", True) else "prediction='noise', "
        options += f"variant='{'bh1' if scheduler.get('solver_type') == 'bh1' else 'bh2'}'"
        return f"unipc_{order}({options})" if 1 <= order <= 3 else ""
    return VARIANCES.get(str(scheduler.get("variance_type", "fixed_small")), "")


def _algorithm_and_solver(scheduler: Settings) -> tuple[str, str]:
    """Return ``algorithm_type`` and ``solver_type``, with DPM's defaults for DEIS and UniPC."""
    algorithm = str(scheduler.get("algorithm_type", "dpmsolver++"))
    solver = str(scheduler.get("solver_type", "midpoint"))
    return (
        "dpmsolver++" if algorithm == "deis" else algorithm,
        "midpoint" if solver in ("logrho", "bh1", "bh2") else solver,
    )


def sampler_with_orders(preset: Mapping[str, Any], kind: str, count: int, *, dropped: bool) -> str:
    """Return a preset's sampler spec for ``count`` steps, with the steps' orders if they differ.

    ``dropped`` is True if the last step is omitted, because it does not change the state.
    """
    settings, sampler = preset["settings"], str(preset["sampler"])
    order = int(settings.get("solver_order", 2))
    if kind == "PNDM":
        return "euler" if count == 1 else sampler
    if kind == "DPMSolverSinglestep":
        orders = _singlestep_orders(settings, order, count, to_zero=preset["end"] == "zero")
        return _with_option(sampler, f"orders={orders}")
    lowered = settings.get("lower_order_final", True)
    if kind == "UniPCMultistep":
        last = [2, 1] if lowered else []
    elif kind in (*DPM_KINDS, "DEISMultistep"):
        last = [2, 1] if lowered and count < SHORT else [1] * bool(settings.get("euler_at_final"))
    else:
        return sampler
    last = last[:-1] if dropped else last
    single = sampler in ("euler", "ddpm")
    return sampler if single or not last else _with_option(sampler, f"last={last}")


def _with_option(sampler: str, option: str) -> str:
    return f"{sampler[:-1]}, {option})" if "(" in sampler else f"{sampler}({option})"


def _singlestep_orders(settings: Settings, order: int, count: int, *, to_zero: bool) -> list[int]:
    """Return the orders of ``count`` single steps: 1 to ``order``, again and again."""
    lowered = settings.get("lower_order_final", False) or count % order != 0 or to_zero
    full = [*range(1, order + 1)]
    if not lowered or order == 1:
        orders = full * (count // order)
    else:
        remaining = count % order or order
        # a complete last group loses its highest order, and a step of first order replaces it
        end = [*range(1, remaining), 1] if remaining == order else [*range(1, remaining + 1)]
        orders = full * ((count - remaining) // order) + end
    return [*orders[:-1], 1] if to_zero else orders


def reasons_against_preset(scheduler: Settings, kind: str, tokens: int) -> Iterator[str]:
    """Yield each reason why no sampler makes a scheduler's steps; see :func:`preset_of`."""
    if kind not in KNOWN:
        yield f"no sampler is known to step as {scheduler.get('_class_name')}"
        return
    if not sampler_of(scheduler, kind):
        keys = ("algorithm_type", "solver_order", "solver_type")
        keys = ("variance_type",) if kind == "DDPM" else keys
        options = ", ".join(f"{key} {scheduler[key]}" for key in keys if key in scheduler)
        yield f"no sampler makes its steps with {options}"
    yield from _unsupported_steps(scheduler, kind)
    yield from _unsupported_levels(scheduler, kind, tokens)


def _unsupported_steps(scheduler: Settings, kind: str) -> Iterator[str]:
    for (of, setting), effect in _UNSUPPORTED_EFFECTS.items():
        if of in ("", kind) and scheduler.get(setting):
            yield f"with {setting} {effect}"
    if kind == "PNDM" and not scheduler.get("skip_prk_steps"):
        yield (
            "without skip_prk_steps it begins with Runge-Kutta steps at midpoints of times, while ours "
            "are at midpoints of levels"
        )
    if kind == "PNDM" and scheduler.get("prediction_type") == "v_prediction":
        yield (
            "with prediction_type v_prediction its formula combines values of v, while ours combines "
            "noises"
        )
    if kind == "UniPCMultistep" and _ends_at_zero(scheduler):
        if not scheduler.get("lower_order_final", True):
            yield "without lower_order_final its last step, to 0, is not a number"
        if scheduler.get("solver_type") == "bh1" and scheduler.get("predict_x0", True):
            yield "with solver_type bh1 its last step, to 0, is not a number"
    of_noise = kind in LOG_STEPS and (
        not scheduler.get("predict_x0", True) or _algorithm_and_solver(scheduler)[0] == "dpmsolver"
    )
    if of_noise and kind != "DEISMultistep" and _ends_at_zero(scheduler):
        yield "with final_sigmas_type zero its last step of the noise is not a number"


def _ends_at_zero(scheduler: Settings) -> bool:
    return scheduler.get("final_sigmas_type", "zero") == "zero"


def _unsupported_levels(scheduler: Settings, kind: str, tokens: int) -> Iterator[str]:
    spacing_keys = [key for key in LEVEL_KEYS if key != "use_flow_sigmas" and scheduler.get(key)]
    if kind not in (*SIGMA_STEPS, *LOG_STEPS):
        yield from (f"its levels with {key} are not known here" for key in spacing_keys)
    elif kind in LOG_STEPS:
        cosine = scheduler.get("beta_schedule") == "squaredcos_cap_v2" and kind in DPM_KINDS
        for key in spacing_keys:
            if cosine or key not in ("use_karras_sigmas", "use_lu_lambdas"):
                yield (
                    f"with {key}{' and squaredcos_cap_v2' * cosine} it cuts times off, so that some "
                    "depend on how its floats round"
                )
    for key in ("shift_terminal", "invert_sigmas"):
        if scheduler.get(key) and (key, kind) != ("shift_terminal", "FlowMatchEulerDiscrete"):
            yield f"its levels with {key} are not known here"
    between = scheduler.get("interpolation_type", "linear")
    if between != "linear":
        yield f"its levels with {between} as interpolation_type are not known here"
    if scheduler.get("use_dynamic_shifting") and (kind in LOG_STEPS or not tokens):
        yield (
            "with use_dynamic_shifting its shift depends on the size of the state in a way that is not "
            "known here"
        )
    spaced = spacing_keys or scheduler.get("use_flow_sigmas")
    if kind == "UniPCMultistep" and not _ends_at_zero(scheduler) and spaced:
        spacing = spacing_keys[0] if spacing_keys else "use_flow_sigmas"
        yield f"with {spacing} and final_sigmas_type sigma_min its last step is not a number"
    if kind in LOG_STEPS:
        yield from _unsupported_flows(scheduler, kind, spacing_keys)
    training = (scheduler.get("timestep_type"), scheduler.get("prediction_type"))
    is_ramp = all(scheduler.get(key) for key in ("use_karras_sigmas", "sigma_min", "sigma_max"))
    if training == ("continuous", "v_prediction") and not is_ramp:
        yield (
            "with timestep_type continuous its levels are known here with use_karras_sigmas, sigma_min "
            "and sigma_max alone"
        )


def _unsupported_flows(scheduler: Settings, kind: str, spacing_keys: list[str]) -> Iterator[str]:
    predicts = scheduler.get("prediction_type", "epsilon")
    is_flow = bool(scheduler.get("use_flow_sigmas"))
    if is_flow != (predicts == "flow_prediction"):
        what = "with" if is_flow else "without"
        yield f"prediction_type {predicts} {what} use_flow_sigmas is no process that is known here"
    if is_flow and spacing_keys:
        yield f"its levels with {spacing_keys[0]} and use_flow_sigmas are not known here"
    if is_flow and not _ends_at_zero(scheduler) and kind != "UniPCMultistep":
        yield "with use_flow_sigmas and final_sigmas_type sigma_min it ends at a level of the table"


def preset_of(scheduler: Settings, pipeline: str = "", tokens: int = 1) -> dict[str, Any]:
    """Return the preset for a scheduler's settings, which give its class as ``_class_name``.

    >>> preset_of({"_class_name": "DDIMScheduler", "clip_sample": False})["sampler"]
    'ddim'

    ``pipeline`` is the class of the pipeline, which may change settings or times. ``tokens`` is the side of the square
    of the state that is one token, 0 if unknown. Some shifts depend on the number of tokens.

    Returns:
        ``scheduler``: its class. ``sampler``: the equivalent sampler, "" for none. ``spacing``: spacing of the levels.
            ``end``: end of the last step, ``zero``, ``sigma_min``, or ``last`` for the level of the last evaluation.
            ``start``: initial state, ``unit`` for sqrt(1 + sigma²) z (flow: (1 + sigma) z), ``noise`` for sigma z.
            ``clip``: c if denoised images are clamped to [-c, c]; None for no clamping. DDIM adds back the noise
            predicted before clamping. ``trained``: settings of the network's training.
            ``settings``: the scheduler's other settings. ``pipeline``, ``tokens``: as given.
            ``differs``: reasons why no sampler is equivalent.
    """
    kind = scheduler_class_stem(scheduler.get("_class_name"))
    if pipeline == "StableDiffusionPipeline":
        offset = {} if kind in _NO_OFFSET else {"steps_offset": 1}
        scheduler = {**scheduler, **offset, "clip_sample": False}
    settings = {k: v for k, v in scheduler.items() if k not in _MODEL and not k.startswith("_")}
    why = list(reasons_against_preset(scheduler, kind, tokens))
    clips = scheduler.get("clip_sample", True) and kind in ("DDIM", "DDPM")
    leading = scheduler.get("timestep_spacing") == "leading"
    in_units = kind in (*START_IN_UNITS, "LCM") or kind.startswith("EDM") or leading
    return {
        "scheduler": scheduler.get("_class_name"),
        "sampler": "" if why else sampler_of(scheduler, kind),
        "spacing": spacing_of(scheduler, kind),
        "end": _end_of_last_step(scheduler, kind),
        "start": "unit" if in_units else "noise",
        "clip": float(scheduler.get("clip_sample_range", 1.0)) if clips else None,
        "settings": settings,
        "trained": {k: v for k, v in scheduler.items() if k in _MODEL},
        "pipeline": pipeline,
        "tokens": tokens,
        "differs": why,
    }


def _end_of_last_step(scheduler: Settings, kind: str) -> str:
    if kind in ("DDIM", "PNDM"):
        return "zero" if scheduler.get("set_alpha_to_one", kind == "DDIM") else "sigma_min"
    if kind == "LCM":
        return "sigma_min"
    if kind == "DEISMultistep":
        table = spacing_of(scheduler, kind) in ("linspace", "leading", "trailing")
        return "sigma_min" if table else "last"
    return str(scheduler.get("final_sigmas_type", "zero"))


def _with_scheduler(spec: Specification, scheduler: str) -> Specification:
    """Return ``spec`` with another class of scheduler, as diffusers' ``from_config`` makes it."""
    preset = spec.preset
    settings = {**preset["settings"], **preset["trained"], "_class_name": scheduler}
    try:
        same = specification_fields(settings)["process"] == spec.process
    except ValueError as error:
        raise ValueError(f"scheduler {scheduler}: {error}") from None
    if not same:
        raise ValueError(
            f"scheduler {scheduler} samples no network that was trained for {preset['scheduler']}"
        )
    return replace(spec, preset=preset_of(settings, preset["pipeline"], preset["tokens"]))


def own_sampling(spec: Specification, steps: int, scheduler: str = "") -> OwnSampling:
    """Return the sampling of the folder's scheduler in ``steps`` steps (``num_inference_steps``).

    If ``scheduler`` is not "", this class replaces the folder's scheduler and keeps its settings.
    Raises a ValueError if no sampler steps as the scheduler does in ``steps`` steps.
    """
    spec = _with_scheduler(spec, scheduler) if scheduler else spec
    preset = spec.preset
    if preset["differs"]:
        raise ValueError(f"{preset['scheduler']}: {'; '.join(preset['differs'])}")
    kind, scheduler_steps = scheduler_class_stem(preset["scheduler"]), steps_of(spec, steps)
    check_strides(spec, kind, scheduler_steps.times)
    check_start(spec, scheduler_steps)
    levels = scheduler_steps.levels_to_end
    dropped = len(levels) == len(scheduler_steps.levels)
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
        levels = (FLOW_START, *levels[1:])
    flow = spec.process["name"] == "flow"
    # 1 / alpha, which turns a state of the process into x0 + level z
    first, end = (1 + of if flow else math.hypot(1, of) for of in (levels[0], levels[-1]))
    return OwnSampling(
        sampler_with_orders(preset, kind, steps, dropped=dropped),
        levels,
        first if preset["start"] == "unit" else levels[0],
        1 / end if kind in START_IN_UNITS else 1.0,
        preset["clip"],
        f"{preset['scheduler']}, {preset['spacing']}",
        times=tuple(_network_times(spec, kind, scheduler_steps)),
    )


def _network_times(
    spec: Specification, kind: str, steps: SchedulerSteps
) -> Iterator[tuple[float, float]]:
    """Yield (level, time) for levels at which the scheduler's time differs from the model's."""
    process = process_of(spec)
    own = np.asarray(process.t_of(np.asarray(steps.levels)))
    if kind == "KDPM2Discrete" and spec.process["name"] == "discrete":
        # KDPM2 also evaluates between two levels, at fractional times
        for cur, nxt in pairwise(steps.levels):
            middle = cur**0.5 * nxt**0.5  # as dpm_2 rounds it: a level is looked up as it is
            yield middle, float(process.t_of(middle))
    near = 1e-8 * max(1.0, process.t_max)
    for level, time, own_time in zip(steps.levels, steps.times, own.tolist(), strict=True):
        between = spec.snap and abs(time - round(time)) > 1e-6  # else snapped to the table
        if between or abs(time - own_time) > near:
            yield level, time
