"""How a folder's own scheduler would sample it, in terms of our samplers and levels.

A scheduler's file holds two things: what the network was trained on (:mod:`.scheduler`) and how to
sample it. The second is no part of the model: any sampler may be run on it. It is kept as a preset,
to sample as the library would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .....checkpoints.mapping import process_of
from .....checkpoints.specification import Specification
from .....own_sampling import OwnSampling
from .....process import Process
from .scheduler import kind_of

SAMPLERS = {
    "DDIM": "ddim",
    "DDPM": "ddpm",
    "EulerDiscrete": "euler",
    "EulerAncestralDiscrete": "euler_ancestral",
    "EDMEuler": "euler",
    "FlowMatchEulerDiscrete": "euler",
    "LCM": "consistency",
}
"""Schedulers, without "Scheduler", whose samples ours are on :func:`levels_of`."""

_MODEL = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr", "sigma_data"),
)
_SPACING = {
    "DDIM": "leading", "DDPM": "leading", "EulerDiscrete": "linspace",
    "EulerAncestralDiscrete": "linspace", "EDMEuler": "karras", "FlowMatchEulerDiscrete": "shifted",
    "LCM": "distilled",
}  # fmt: skip
_OTHER_LEVELS = (
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "shift_terminal"),
    "invert_sigmas",
)
FAR = 1e6
"""The level at which a flow's own scheduler begins, for no signal at all: nearer to it than the range of
the model.
"""
GIVES_TIMES = ("FluxPipeline",)
"""Pipelines that ask a flow's scheduler for times from 1 to 1 / steps, which it then shifts."""


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
        ``scheduler``, its class; ``sampler``, ours that is the same on :func:`levels_of`, "" where
        none is known; ``spacing``, how its levels are spaced; ``end``, ``zero`` or ``sigma_min``;
        ``start``, ``unit`` where it begins at sqrt(1 + sigma²) z, or ``noise`` where at sigma z;
        ``clip``, the bound that it clamps d to, but not the noise that it goes on with, None for no
        clamping; ``settings``, all that it has set beside those of the model; ``pipeline`` and
        ``tokens``, as given; ``differs``, sentences that say where ours is not the same.
    """
    kind = kind_of(scheduler)
    settings = {k: v for k, v in scheduler.items() if k not in _MODEL and not k.startswith("_")}
    unknown = list(_unknown(scheduler, kind, tokens))
    clips = scheduler.get("clip_sample", True) and kind in ("DDIM", "DDPM")
    preset = {
        "scheduler": scheduler.get("_class_name"),
        "sampler": "" if unknown else SAMPLERS[kind],
        "spacing": _spacing(scheduler, kind),
        "end": _end(scheduler, kind),
        "start": "noise",
        "clip": float(scheduler.get("clip_sample_range", 1.0)) if clips else None,
        "settings": settings,
        "pipeline": pipeline,
        "tokens": tokens,
    }
    if kind in ("DDIM", "DDPM", "EDMEuler", "LCM") or preset["spacing"] == "leading":
        preset["start"] = "unit"
    return preset | {"differs": unknown or list(_differences(scheduler, kind, preset))}


def _spacing(scheduler: Mapping[str, Any], kind: str) -> str:
    default = _SPACING.get(kind, "")
    if kind == "LCM":  # whatever timestep_spacing says
        return default
    return str(
        scheduler.get("sigma_schedule" if kind == "EDMEuler" else "timestep_spacing", default)
    )


def _end(scheduler: Mapping[str, Any], kind: str) -> str:
    if kind == "DDIM":
        return "zero" if scheduler.get("set_alpha_to_one", True) else "sigma_min"
    return "sigma_min" if kind == "LCM" else str(scheduler.get("final_sigmas_type", "zero"))


def _unknown(scheduler: Mapping[str, Any], kind: str, tokens: int) -> Iterator[str]:
    """Why nothing of ours does what the scheduler does."""
    if kind not in SAMPLERS:
        yield f"nobody wrote down which sampler of ours is {scheduler.get('_class_name')}"
    for key in _OTHER_LEVELS:
        if scheduler.get(key):
            yield f"its levels with {key} are not known here"
    if scheduler.get("use_dynamic_shifting") and not tokens:
        yield "how large its state is to a shift that depends on the size is not known here"
    if (between := scheduler.get("interpolation_type", "linear")) != "linear":
        yield f"its levels with {between} interpolation are not known here"


def _differences(
    scheduler: Mapping[str, Any], kind: str, preset: Mapping[str, Any]
) -> Iterator[str]:
    """Where our sampler on our levels is not what the scheduler does."""
    if scheduler.get("thresholding"):
        yield "it thresholds d by quantiles"
    variance = str(scheduler.get("variance_type", "fixed_small"))
    if kind == "DDPM" and not variance.startswith("fixed_small"):
        yield f"its noise has the variance {variance}; ours has the smaller, fixed_small"
    if kind.startswith("Euler") and preset["spacing"] == "linspace":
        yield "it calls the network between the times of the table, and ours at the nearest"
    if kind == "LCM" and scheduler.get("clip_sample"):
        yield "it clamps the clean image before the state is added to it"
    if scheduler.get("stochastic_sampling"):
        yield "it adds noise in every step"


def levels_of(spec: Specification, steps: int) -> tuple[float, ...]:
    """The levels at which the folder's own scheduler calls the network, and its last.

    Args:
        spec: with a preset.
        steps: the scheduler's ``num_inference_steps``.

    Returns:
        Falling levels. There may be one step less, where the scheduler's last step goes nowhere.

    Raises:
        ValueError: the preset has no sampler of ours, or the scheduler's steps are no path of one.
    """
    preset = spec.preset
    kind = kind_of({"_class_name": preset.get("scheduler")})
    if not preset.get("sampler"):
        raise ValueError(f"{preset.get('scheduler')}: {'; '.join(preset.get('differs', ()))}")
    process = process_of(spec)
    levels = _LEVELS[kind](spec, process, steps)
    last = 0.0 if preset["end"] == "zero" else process.level(process.t_min)
    levels = [min(level, spec.sigma_max) for level in levels]
    return (*levels, last) if levels[-1] > last else tuple(levels)


def _table(spec: Specification, process: Process, steps: int) -> list[float]:
    """Of a scheduler that steps through the table of training times."""
    total, kind = int(process.t_max) + 1, spec.preset["scheduler"]
    times = _times(spec.preset, total, steps)
    if kind == "DDIMScheduler":  # it takes each step as long as the table over the steps
        stride = total // steps
        if any(now - stride != then for now, then in pairwise(times)) or times[-1] >= stride:
            raise ValueError(
                f"DDIMScheduler with {spec.preset['spacing']} spacing and {steps} steps does not "
                f"step to the times that it evaluates next; take a number that divides {total}"
                + (", or leading spacing" if spec.preset["spacing"] != "leading" else "")
            )
    at = np.arange(total, dtype=np.float64)
    return np.interp(times, at, np.asarray(process.level(at))).tolist()


def _times(preset: Mapping[str, Any], total: int, steps: int) -> list[float]:
    """Falling times, as Lin et al. 2024 (arXiv:2305.08891, Table 2) name their spacings.

    Raises:
        ValueError: more steps than times, or another spacing.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"need 1 to {total} steps, the times of the table, got {steps}")
    spacing, offset = preset["spacing"], int(preset["settings"].get("steps_offset", 0))
    if spacing == "leading":
        return [float(i * (total // steps) + offset) for i in reversed(range(steps))]
    if spacing == "trailing":
        return [float(np.round(total - i * total / steps) - 1) for i in range(steps)]
    if spacing != "linspace":
        raise ValueError(f"timestep_spacing {spacing!r} is none of leading, trailing, linspace")
    times = np.linspace(total - 1, 0, steps) if steps > 1 else np.zeros(1)
    whole = preset["scheduler"] in ("DDIMScheduler", "DDPMScheduler")
    return (times.round() if whole else times).tolist()


def _distilled(spec: Specification, process: Process, steps: int) -> list[float]:
    """Of a latent consistency model: some of the times that it was distilled at, from the highest.

    Raises:
        ValueError: more steps than such times.
    """
    total = int(process.t_max) + 1
    count = int(spec.preset["settings"].get("original_inference_steps", 50))
    if not 1 <= steps <= count:
        raise ValueError(f"need 1 to {count} steps, the times of its distillation, got {steps}")
    stride = total // count
    falling = [(count - i * count // steps) * stride - 1 for i in range(steps)]
    return np.asarray(process.level(np.asarray(falling, dtype=np.float64))).tolist()


def _edm(spec: Specification, process: Process, steps: int) -> list[float]:
    """Karras et al. 2022 (arXiv:2206.00364, eq. 5), or evenly in log sigma."""
    u = np.linspace(0, 1, steps)
    top, bottom = process.t_max, process.t_min
    if spec.preset["spacing"] == "exponential":
        return np.exp(math.log(top) + u * math.log(bottom / top)).tolist()
    rho = float(spec.preset["settings"].get("rho", 7.0))
    return ((top ** (1 / rho) + u * (bottom ** (1 / rho) - top ** (1 / rho))) ** rho).tolist()


def _flow(spec: Specification, process: Process, steps: int) -> list[float]:
    """Times from 1 down, shifted; the library shifts the last twice, where the pipeline gives none and
    the shift does not depend on the size of the state.

    No signal at all, at 1, is the level ``sigma_max``.
    """
    preset, settings = spec.preset, spec.preset["settings"]
    dynamic = settings.get("use_dynamic_shifting")
    shift = _shift_of_size(spec) if dynamic else float(settings.get("shift", 1.0))

    def shifted(t: Any) -> Any:
        return shift * t / (1 + (shift - 1) * t)

    last = process.t_min if dynamic else shifted(process.t_min)
    if preset["pipeline"] in GIVES_TIMES:
        last = 1 / steps
    times = shifted(np.linspace(1, last, steps))
    return [spec.sigma_max if t >= 1 else float(process.level(float(t))) for t in times]


def _shift_of_size(spec: Specification) -> float:
    """A shift that grows with the number of the network's tokens (Esser et al. 2024, arXiv:2403.03206,
    section 5.3.2, in the exponential form of the library's pipelines).
    """
    settings = spec.preset["settings"]
    few, many = (
        float(settings.get(f"{which}_image_seq_len", usual))
        for which, usual in (("base", 256), ("max", 4096))
    )
    low, high = (
        float(settings.get(f"{which}_shift", usual))
        for which, usual in (("base", 0.5), ("max", 1.15))
    )
    tokens = math.prod(side // spec.preset["tokens"] for side in spec.event[1:])
    mu = low + (high - low) * (tokens - few) / (many - few)
    return mu if settings.get("time_shift_type") == "linear" else math.exp(mu)


def own_sampling(spec: Specification, steps: int) -> OwnSampling:
    """What the folder's own scheduler does in ``steps`` steps, the library's ``num_inference_steps``.

    Raises:
        ValueError: nothing of ours does what it does.
    """
    preset, levels = spec.preset, levels_of(spec, steps)
    if preset["spacing"] == "shifted" and levels[0] == spec.sigma_max:
        levels = (max(levels[0], FAR), *levels[1:])
    first, last = levels[0], levels[-1]
    # a table's states are those of the process: without noise their scale is 1
    end = 1 / math.sqrt(1 + last**2) if preset["scheduler"] == "DDIMScheduler" else 1.0
    return OwnSampling(
        preset["sampler"],
        levels,
        math.sqrt(1 + first**2) if preset["start"] == "unit" else first,
        end,
        preset["clip"],
        f"{preset['scheduler']}, {preset['spacing']}",
        tuple(preset["differs"]),
    )


_LEVELS: dict[str, Callable[[Specification, Process, int], Sequence[float]]] = {
    "DDIM": _table,
    "DDPM": _table,
    "EulerDiscrete": _table,
    "EulerAncestralDiscrete": _table,
    "EDMEuler": _edm,
    "FlowMatchEulerDiscrete": _flow,
    "LCM": _distilled,
}
