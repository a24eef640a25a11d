"""Processes by their names in a specification, and named schedules of betas."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..process import (
    EDM,
    VE,
    Cosine,
    Discrete,
    FloatArray,
    Process,
    RectifiedFlow,
    SubVP,
    Trigonometric,
    VPLinear,
)

REVERSED = {"of": "t", "scale": -1.0, "offset": 1.0}
"""Time input 1 - t, for networks whose own time is 1 at the data and 0 at the noise."""
ENDS: dict[str, Any] = {"sigma_min": 1e-3, "sigma_max": 1e4}
"""Range of noise levels of paths whose level becomes infinite at the end."""
STRAIGHT = {"process": {"name": "flow"}, "prediction": "flow"}
CIRCLE = {"process": {"name": "trigonometric"}, "prediction": "v"}
"""Fields of the straight path and of the circle, to which trainings add factor and time."""


def range_of_process(process: Process) -> dict[str, Any]:
    """Return the fields ``sigma_min`` and ``sigma_max``, the levels at the ends of a process."""
    return {"sigma_min": process.level(process.t_min), "sigma_max": process.level(process.t_max)}


VP_LINEAR = {"process": {"name": "vp_linear"}, **range_of_process(VPLinear())}
"""VP process with a linear rate in continuous time, and the range of its noise levels."""


def ve_fields(low: float, high: float) -> dict[str, Any]:
    """Return ``Specification`` fields for VE in [low, high]: output minus noise, time ln(sigma)."""
    return {
        "process": {"name": "ve", "t_min": low, "t_max": high},
        "prediction": "eps",
        "factor": -1.0,
        "time": {"of": "log_level"},
        "sigma_min": low,
        "sigma_max": high,
    }


def edm_fields(sigma_data: float) -> dict[str, Any]:
    """Return ``Specification`` fields for EDM's output F, with time input ln(sigma) / 4."""
    return {
        "process": {"name": "edm", "sigma_data": sigma_data},
        "prediction": "edm",
        "time": {"of": "log_level", "scale": 0.25},
    }


def betas_of(schedule: str, steps: int, start: float = 1e-4, end: float = 0.02) -> list[float]:
    """Return the ``steps`` betas of a named schedule; raise a ValueError for an unknown name.

    Args:
        schedule: name of the schedule. In three schedules, betas run from ``start`` to ``end``: ``linear`` (Ho et al.
            2020, arXiv:2006.11239), ``scaled_linear`` (linear in the square root; Rombach et al. 2022,
            arXiv:2112.10752), ``sigmoid`` (Xu et al. 2022, arXiv:2203.02923). In the others, betas follow from the
            signal power, and are at most 0.999: ``cosine`` (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17),
            ``laplace`` (Hang et al. 2024, arXiv:2407.03297) and ``exponential``, as diffusers has them.
        steps: number of times, >= 2.
        start: first beta of the first three schedules, approximately for ``sigmoid``.
        end: last beta of the first three schedules, approximately for ``sigmoid``.
    """
    if schedule in _RATES:
        return _RATES[schedule](steps, start, end).tolist()
    if schedule in _SIGNAL_POWER:
        power = _SIGNAL_POWER[schedule](np.arange(steps + 1) / steps)
        return np.minimum(1 - power[1:] / power[:-1], 0.999).tolist()
    raise ValueError(
        f"there is no schedule of betas {schedule!r}; choose one of {', '.join([*_RATES, *_SIGNAL_POWER])}"
    )


def range_of_betas(betas: Sequence[float]) -> dict[str, Any]:
    """Return the fields ``sigma_min`` and ``sigma_max``, the first and last level of ``betas``."""
    levels = Discrete.of_betas(np.asarray(betas)).levels
    return {"sigma_min": levels[0], "sigma_max": levels[-1]}


SCHEDULE_ENDS = {
    "scaled_linear": {"start": 0.00085, "end": 0.012},
    "linear": {"start": 1e-4, "end": 0.02},
}
"""Usual first and last beta of 1000: Stable Diffusion's, and DDPM's (Ho et al. 2020)."""


def schedule_fields(schedule: str, steps: int, **ends: float) -> dict[str, Any]:
    """Return ``Specification`` fields for a table of ``betas_of(schedule, steps, **ends)``."""
    return {
        "process": {"name": "discrete", "schedule": schedule, "steps": steps, **ends},
        "snap": "nearest",
        **range_of_betas(betas_of(schedule, steps, **ends)),
    }


_RATES: dict[str, Callable[[int, float, float], FloatArray]] = {
    "linear": lambda n, start, end: np.linspace(start, end, n),
    "scaled_linear": lambda n, start, end: np.linspace(start**0.5, end**0.5, n) ** 2,
    "sigmoid": lambda n, start, end: start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, n))),
}


def _laplace(t: FloatArray) -> FloatArray:
    log_snr = 0.5 * np.where(t > 0.5, 1.0, -1.0) * np.log(1 - 2 * np.abs(0.5 - t) + 1e-6)
    return 1 / np.sqrt(1 + np.exp(-log_snr))


_SIGNAL_POWER: dict[str, Callable[[FloatArray], FloatArray]] = {
    "cosine": lambda t: np.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2,
    "laplace": _laplace,
    "exponential": lambda t: np.exp(-12 * t),
}
"""Signal power at times in [0, 1]; for ``laplace`` its square root, as diffusers has it."""


def _discrete(
    *,
    schedule: str = "",
    steps: int = 1000,
    start: float = 1e-4,
    end: float = 0.02,
    betas: list[float] | None = None,
    levels: list[float] | None = None,
    zero_snr: bool = False,
    cap: float = math.inf,
) -> Discrete:
    """Return the process of a table: of given ``levels`` or ``betas``, or of a named ``schedule``.

    With ``zero_snr``, alphas_cumprod are rescaled to end at 0 (Lin et al. 2024, arXiv:2305.08891, algorithm 1). The
    last level, infinite then, becomes ``cap``, or twice the level before it if this is larger.
    """
    if levels is not None:
        return Discrete(levels=tuple(levels))
    rates = np.asarray(betas if betas is not None else betas_of(schedule, steps, start, end))
    if not zero_snr or len(rates) < 2:  # a table of one level is refused
        return Discrete.of_betas(rates)
    root = np.sqrt(np.cumprod(1 - rates))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    with np.errstate(divide="ignore"):
        rescaled = np.sqrt(np.maximum(1 / root**2 - 1, 0))
    # levels must rise, and the last but one of 1000 linear betas is above 10,000 already
    return Discrete(levels=(*rescaled[:-1].tolist(), max(cap, 2 * float(rescaled[-2]))))


PROCESSES: dict[str, Callable[..., Process]] = {
    "ve": VE,
    "edm": EDM,
    "vp_linear": VPLinear,
    "sub_vp": SubVP,
    "vp_cosine": Cosine,
    "discrete": _discrete,
    "flow": RectifiedFlow,
    "trigonometric": Trigonometric,
}
"""Processes by name, with the arguments that the field ``process`` of a specification gives."""


def arguments_of_process(name: str) -> dict[str, str]:
    """Return the type annotations, as text, of a process's arguments; {} for an unknown process."""
    if name not in PROCESSES:
        return {}
    parameters = inspect.signature(PROCESSES[name]).parameters.values()
    return {parameter.name: parameter.annotation for parameter in parameters}
