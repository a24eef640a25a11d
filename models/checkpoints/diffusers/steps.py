"""Levels and times at which a scheduler of diffusers calls the network.

Most schedulers choose times in the training's table of levels, in one of three spacings, and look up the levels there.
Others choose levels, such as by Karras's formula, and call the network at the levels' times, perhaps rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta

from ...process import Discrete, Process
from ..specification import USER, Specification, process_of
from .scheduler import Settings, scheduler_class_stem

TABLE_STEPS = ("DDIM", "DDPM", "PNDM")
"""Schedulers, named without "Scheduler", that use whole times of the table."""
SIGMA_STEPS = ("EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete", "HeunDiscrete")
SIGMA_STEPS += ("KDPM2Discrete",)
"""Schedulers that step in noise levels, with fractional times."""
LOG_STEPS = ("DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep")
"""Schedulers that space one more point than evaluations: the end of their last step."""

FLOW_STEPS = ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete")
"""Schedulers of flows, whose times are shifted."""

LEVEL_KEYS = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
    "use_flow_sigmas": "flow",
}
"""Spacings of levels by the setting that chooses them, in the library's order of precedence."""
GIVES_TIMES = ("FluxPipeline", "ChromaPipeline", "LTXPipeline", "Lumina2Pipeline")
GIVES_TIMES += ("QwenImagePipeline", "ZImagePipeline")
"""Pipelines that give the scheduler times of the flow, from 1 to 1 / steps, before the shift."""

LevelsAndTimes = tuple[Sequence[float], Sequence[float]]
_SPACING: dict[str, str] = dict.fromkeys(TABLE_STEPS, "leading")


class SchedulerSteps(NamedTuple):
    """Evaluations in a run of a scheduler, and the end of its last step.

    Attributes:
        levels: noise levels of the evaluations, which fall with most settings of a scheduler.
        times: native times of the network at these levels.
        end: level at which the last step ends; ``levels[-1]`` if that step does not change the
            state.
        begin: level at which the scheduler begins; ``levels[0]`` unless that is cut to ``sigma_max``.
    """

    levels: tuple[float, ...]
    times: tuple[float, ...]
    end: float
    begin: float

    @property
    def levels_to_end(self) -> tuple[float, ...]:
        """The ``levels``, followed by ``end`` if that is lower than the last level."""
        return (*self.levels, self.end) if self.levels[-1] > self.end else self.levels


def spacing_of(scheduler: Settings, kind: str) -> str:
    """Return the spacing of a scheduler's steps in one word, such as ``leading`` or ``karras``."""
    if kind.startswith("EDM"):
        return str(scheduler.get("sigma_schedule", "karras"))
    if kind in FLOW_STEPS:
        return "shifted"
    if kind == "LCM":  # LCM ignores timestep_spacing
        return "distilled"
    for key, word in LEVEL_KEYS.items():
        if scheduler.get(key) and kind in (*SIGMA_STEPS, *LOG_STEPS):
            return word
    return str(scheduler.get("timestep_spacing", _SPACING.get(kind, "linspace")))


def steps_of(spec: Specification, count: int) -> SchedulerSteps:
    """Return levels and times of the folder's scheduler in ``count`` steps (num_inference_steps).

    Raises a ValueError for an impossible ``count``, an unknown shift, unknown levels, or an infinite
    ``sigma_max`` if the scheduler begins at a finite level of its table.
    """
    kind, process = scheduler_class_stem(spec.preset["scheduler"]), process_of(spec)
    by_formula = kind.startswith("EDM") or spec.time.get("of") == "log_level"
    if by_formula and {"t_min", "t_max"} <= spec.process.keys():
        levels, times = _formula_levels(spec, process.t_max, process.t_min, count), None
    elif kind in FLOW_STEPS:
        levels, times = _flow_levels(spec, process, count), None
    elif spec.preset["spacing"] == "flow":
        levels, times = _steps_on_flow(spec, kind, process, count)
    elif not isinstance(process, Discrete):
        raise ValueError(f"{spec.preset['scheduler']}: its levels are not known here")
    elif kind == "LCM":
        levels, times = _steps_of_distillation(spec, process, count)
    else:
        levels, times = _steps_in_table(spec, kind, process, count)
    begin = float(levels[0])
    levels = [min(float(level), spec.sigma_max) for level in levels]
    network_times = process.t_of(np.asarray(levels)) if times is None else times
    end = _end_level(spec, process, levels[-1])
    return SchedulerSteps(tuple(levels), tuple(map(float, network_times)), end, begin)


def native_levels(spec: Specification, count: int) -> tuple[float, ...]:
    """Return the falling levels of the network's calls in ``count`` steps of the scheduler.

    Raises a ValueError if :func:`steps_of` does, or the levels do not fall.
    """
    levels = steps_of(spec, count).levels
    if any(nxt >= cur for cur, nxt in pairwise(levels)):
        raise ValueError(f"{spec.preset['scheduler']}: its levels in {count} steps do not fall")
    return levels


def check_strides(spec: Specification, kind: str, times: Sequence[float]) -> None:
    """Check that each step of DDIM or PNDM ends at the time of the next evaluation.

    With n times in the table, DDIM and PNDM always take n // (number of steps) times in a step. Raises a ValueError
    if the ``times`` of their evaluations have another spacing. For other schedulers, nothing is checked.
    """
    if kind not in ("DDIM", "PNDM"):
        return
    total, count = len(process_of(spec).levels), len(times)  # type: ignore[attr-defined]
    stride = total // count
    if any(now - stride != then for now, then in pairwise(times)) or times[-1] >= stride:
        spacing = spec.preset["spacing"]
        raise ValueError(
            f"{spec.preset['scheduler']} with {spacing} spacing and {count} steps does not "
            f"step to the times that it evaluates next; take a number that divides {total}"
            + (", or leading spacing" if spacing != "leading" else "")
        )
    if spec.preset["clip"] and spec.preset["end"] == "sigma_min" and times[-1] == 0:
        raise ValueError(
            f"{spec.preset['scheduler']}: its last step stays at its level and only clamps the image, "
            "which no sampler of ours does; write clip_sample false, set_alpha_to_one true or "
            "steps_offset 1 into its file"
        )


def check_start(spec: Specification, steps: SchedulerSteps) -> None:
    """Raise a ValueError if the scheduler begins at a level above ``sigma_max``.

    An infinite level is none to refuse, if the prediction has a limit there and the user gave no ``sigma_max``.
    On a flow it counts as the level of the last time, which is pure noise.
    """
    process = process_of(spec)
    first = min(steps.begin, float(process.level(process.t_max)))
    by_user = spec.source("sigma_max") == USER
    limit = spec.prediction != "eps" and math.isinf(first) and not by_user
    if steps.levels[0] == spec.sigma_max < first / 1.001 and not limit:
        why = "leave that out" if by_user else "its prediction of the noise has no limit there"
        raise ValueError(
            f"{spec.preset['scheduler']}: it begins at a noise level above sigma_max="
            f"{spec.sigma_max:g}; {why}"
        )


def _end_level(spec: Specification, process: Process, last: float) -> float:
    """Return the level at which the last step ends; ``last`` is the level at which it begins."""
    end = spec.preset["end"]
    if end == "zero":
        return 0.0
    lowest = float(process.level(process.t_min))
    # rounding may make a formula's last level differ slightly from the lowest one
    return last if end == "last" or math.isclose(lowest, last, rel_tol=1e-6) else lowest


def _steps_in_table(spec: Specification, kind: str, process: Process, count: int) -> LevelsAndTimes:
    settings = spec.preset["settings"]
    table = np.asarray(process.levels, dtype=np.float64)  # type: ignore[attr-defined]
    if math.isinf(spec.sigma_max):
        raise ValueError(
            f"{spec.preset['scheduler']} begins at a finite level of its table: leave out sigma_max=inf"
        )
    if spec.process.get("zero_snr") and kind not in TABLE_STEPS:
        table[-1] = math.sqrt(2.0**24 - 1)  # the library's finite level without signal
    # lowest ln(alpha / sigma) of a first evaluation
    lowest = float(settings.get("lambda_min_clipped", -math.inf))
    last = len(table) - int((-np.log(table) < lowest).sum())
    times = np.asarray(_training_times(settings, kind, len(table), last, count))
    levels = np.interp(times, np.arange(len(table)), table)
    if spec.preset["spacing"] not in LEVEL_KEYS.values():
        return levels.tolist(), times.tolist()
    top, bottom = (table[-1], table[0]) if kind in LOG_STEPS else (levels[0], levels[-1])
    if kind in ("EulerDiscrete", "UniPCMultistep"):
        top, bottom = settings.get("sigma_max") or top, settings.get("sigma_min") or bottom
    levels = np.asarray(_formula_levels(spec, float(top), float(bottom), count))
    times = np.interp(np.log(levels), np.log(table), np.arange(float(len(table))))
    # some schedulers round the times that they give to the network
    whole = kind in LOG_STEPS or (kind == "KDPM2Discrete" and spec.preset["spacing"] == "karras")
    return levels.tolist(), (times.round() if whole else times).tolist()


def _steps_of_distillation(spec: Specification, process: Process, count: int) -> LevelsAndTimes:
    """Return ``count`` falling levels and times, spread evenly over an LCM's distilled times."""
    total = int(process.t_max) + 1
    most = int(spec.preset["settings"].get("original_inference_steps", 50))
    if not 1 <= count <= most:
        raise ValueError(f"need 1 to {most} steps, the times of its distillation, got {count}")
    stride = total // most
    times = [float((most - i * most // count) * stride - 1) for i in range(count)]
    return np.asarray(process.level(np.asarray(times))).tolist(), times


def _training_times(
    settings: Settings, kind: str, total: int, last: int, count: int
) -> list[float]:
    """Return ``count`` of ``total`` times, falling from ``last`` (arXiv:2305.08891, Table 2)."""
    if not 1 <= count <= total:
        raise ValueError(f"need 1 to {total} steps, the times of the table, got {count}")
    spacing = str(settings.get("timestep_spacing", _SPACING.get(kind, "linspace")))
    offset = int(settings.get("steps_offset", 0))
    points = count + 1 if kind in LOG_STEPS else count  # one more for the last step's end
    if spacing == "leading":
        return [float(i * (last // points) + offset) for i in reversed(range(points))][:count]
    if spacing == "trailing":
        return [float(np.round(last - i * total / count) - 1) for i in range(count)]
    if spacing != "linspace":
        raise ValueError(f"timestep_spacing {spacing!r} is none of leading, trailing, linspace")
    times = np.linspace(0, last - 1, points)[::-1][:count]
    return (times if kind in SIGMA_STEPS else times.round()).tolist()


def _formula_levels(spec: Specification, top: float, bottom: float, count: int) -> list[float]:
    """Return ``count`` levels from ``top`` to ``bottom`` by the formula of the preset's spacing."""
    u = np.linspace(0, 1, count)
    spacing = spec.preset["spacing"]
    if spacing == "beta":  # arXiv:2407.12173
        return (bottom + beta.ppf(1 - u, 0.6, 0.6) * (top - bottom)).tolist()
    if spacing in ("exponential", "lu"):
        return np.exp(math.log(top) + u * math.log(bottom / top)).tolist()
    rho = float(spec.preset["settings"].get("rho", 7.0))  # Karras et al. 2022, eq. 5
    return ((top ** (1 / rho) + u * (bottom ** (1 / rho) - top ** (1 / rho))) ** rho).tolist()


def _shift_times(t: Any, shift: float) -> Any:
    return shift * t / (1 + (shift - 1) * t)


def _steps_on_flow(spec: Specification, kind: str, process: Process, count: int) -> LevelsAndTimes:
    """Return ``count`` levels of a flow, and times rounded down to multiples of its ``t_min``."""
    # same order of operations as in the library, since truncation depends on the last digit
    shift = _shift_of(spec, "flow_shift")
    t = np.linspace(1, process.t_min, count + 1)
    t = _shift_times(t[:-1] if kind == "UniPCMultistep" else (1 - t)[::-1][:-1], shift)
    if abs(t[0] - 1) < 1e-6:
        t[0] -= 1e-6
    total = round(1 / process.t_min)
    levels = [float(process.level(time)) for time in t.tolist()]
    return levels, (np.floor(t * total) / total).tolist()


def _flow_levels(spec: Specification, process: Process, count: int) -> list[float]:
    """Return ``count`` falling levels at shifted times of a flow; time 1 has an infinite level."""
    preset, settings = spec.preset, spec.preset["settings"]
    shift = _shift_of(spec, "shift")
    last = process.t_min
    if not settings.get("use_dynamic_shifting"):  # the library shifts it twice
        last = _shift_times(last, shift)
    if preset["pipeline"] in GIVES_TIMES:
        last = 1 / count
    times = _shift_times(np.linspace(1, last, count), shift)
    if (terminal := settings.get("shift_terminal")) and times[-1] < 1:
        times = 1 - (1 - times) * (1 - terminal) / (1 - times[-1])
    return [math.inf if t >= 1 else float(process.level(float(t))) for t in times]


def own_shift(spec: Specification) -> float | None:
    """Return the shift of flow times by the folder's scheduler; None for none or an unknown one."""
    key = {"shifted": "shift", "flow": "flow_shift"}.get(spec.preset["spacing"])
    with suppress(ValueError):
        return None if key is None else _shift_of(spec, key)
    return None


def _shift_of(spec: Specification, key: str) -> float:
    """Return the dynamic shift if the scheduler uses one, else the fixed shift, setting ``key``."""
    settings = spec.preset["settings"]
    if not settings.get("use_dynamic_shifting"):
        return float(settings.get(key, 1.0))
    if key == "flow_shift" or not spec.preset["tokens"]:
        raise ValueError(f"{spec.preset['scheduler']}: its shift depends on an unknown size")
    # from the number of tokens, after arXiv:2403.03206, section 5.3.2
    few = float(settings.get("base_image_seq_len", 256))
    many = float(settings.get("max_image_seq_len", 4096))
    low, high = float(settings.get("base_shift", 0.5)), float(settings.get("max_shift", 1.15))
    tokens = math.prod(side // spec.preset["tokens"] for side in spec.event[1:])
    mu = low + (high - low) * (tokens - few) / (many - few)
    return mu if settings.get("time_shift_type") == "linear" else math.exp(mu)
