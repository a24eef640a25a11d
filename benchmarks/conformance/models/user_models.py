"""Alternative readings of a user's model: denoisers with other settings, times or scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ....models.adapters import NativeDenoiser
from ....models.checkpoints.checkpoint_denoiser import Checkpoint
from ....models.checkpoints.processes import PROCESSES, SCHEDULE_ENDS
from ....models.checkpoints.programs import training_answers
from ....models.checkpoints.specification import Specification
from ....models.denoiser import Denoiser
from ....models.loaders.python_file import ForeignDenoiser
from ....models.process import Discrete, Process
from .alternative_readings import (
    USUAL_STEPS,
    Call,
    ChangedDenoiser,
    alternative_specifications,
    readings_of_specifications,
    steps_of_table,
    with_changes,
)
from .label_and_time_checks import record_network_call
from .reading_comparison import Candidate, Readings, fit_candidate

Change = Callable[[Any], Any]
"""Function that maps a time, or a tensor of times, to changed times."""
TIME_COUNTS = (1, 100, 250, 500, 1000, 2000, 4000)
"""Usual numbers of discrete training times; 1 stands for continuous times in [0, 1]."""
AS_TIME = "given to the network in place of its time t"
SHIFT_RESOLUTION = 1000
"""Resolution of the search for a shift of times: the largest time divided by this number."""


def readings_of_time(stated: Candidate) -> Readings:
    """Yield (settings, denoiser) with reversed, rescaled or shifted network times.

    Shifts are tried only if the stated settings are wrong. A ``NativeDenoiser`` gets only shifts.
    """
    model, levels = stated.model, [float(level) for level in stated.fit.levels]
    if isinstance(model, NativeDenoiser):
        if not stated.may_be_right:
            calls = (record_network_call(stated, level) for level in levels)
            last = _last_usual_time([float(t[0]) for _, _, t, _ in calls])
            yield from _readings_of_shift(stated, partial(_with_changed_time, model), last)
        return
    module, times = _timed_module(stated, levels)
    if module is None:
        for schedule, ends in SCHEDULE_ENDS.items():
            process = PROCESSES["discrete"](schedule=schedule, steps=USUAL_STEPS, **ends)
            reading = ChangedDenoiser(model, partial(_denoise_at_reversed_step, process))
            yield f"steps reversed, {USUAL_STEPS - 1} - n of {schedule} betas,", reading
    elif last := _last_usual_time(times):
        unit = 1000 if last == 1 else 1 / (last + 1)

        def retimed(change: Change) -> Denoiser:
            return ChangedDenoiser(model, partial(_denoise_retimed, module, change))

        yield f"{last} - t {AS_TIME}", retimed(partial(_rescale_time, -1, last, last))
        yield f"{unit:g} t {AS_TIME}", retimed(partial(_rescale_time, unit, 0, math.inf))
        if not stated.may_be_right:
            yield from _readings_of_shift(stated, retimed, last)


def _last_usual_time(times: list[float]) -> int:
    """Return the end of the smallest usual range with all ``times``, such as 999; 0 if none."""
    counts = [n for n in TIME_COUNTS if min(times) >= 0 and max(times) <= n]
    return max(counts[0] - 1, 1) if counts else 0


def _readings_of_shift(
    stated: Candidate, retimed: Callable[[Change], Denoiser], last: int
) -> Readings:
    """Yield (settings, denoiser) with the best shift of times <= ``last``, unless ``last`` is 0."""
    if last:

        def shifted_model(shift: float) -> Denoiser:
            return retimed(partial(_rescale_time, 1, shift, last))

        shift = _best_shift(stated, shifted_model, last)
        sign, size = "+" if shift > 0 else "-", float(f"{abs(shift):.2g}")
        yield f"about t {sign} {size:g} {AS_TIME}", shifted_model(shift)


def _with_changed_time(model: NativeDenoiser, change: Change) -> Denoiser:
    return with_changes(model, network=lambda x_t, t, labels: model.network(x_t, change(t), labels))


def _denoise_retimed(module: nn.Module, change: Change, d: Call, x: Tensor, s: float) -> Tensor:
    """Return ``d(x, s)`` with ``change`` applied to the second argument of ``module``, its time."""
    hook = module.register_forward_pre_hook(lambda _, args: (args[0], change(args[1]), *args[2:]))
    try:
        return d(x, s)
    finally:
        hook.remove()


def _denoise_at_reversed_step(process: Process, d: Call, x: Tensor, s: float) -> Tensor:
    """Return ``x`` denoised at level ``s``, if ``d`` takes the steps of ``process`` in reverse."""
    other = float(process.level(process.t_max - process.t_of(np.array([s])))[0])
    y = x * (math.hypot(1, other) / math.hypot(1, s))
    return x - s / other * (y - d(y, other))


def _rescale_time(scale: float, offset: float, most: float, t: Any) -> Any:
    """Return ``scale * t + offset``, clamped to [0, ``most``], for a time or a tensor of times."""
    changed = scale * t + offset
    return changed.clamp(0, most) if isinstance(t, Tensor) else min(max(changed, 0), most)


def _timed_module(stated: Candidate, levels: list[float]) -> tuple[nn.Module | None, list[float]]:
    """Return the outermost module called with a state and a time, and its times at the ``levels``.

    A module that gets the level itself as its time does not count. The result is
    (None, []) if no module counts.
    """
    times_by_module: dict[nn.Module, list[float]] = {}
    for level in levels:
        x, _ = stated.noisy_samples(level)

        def record(module: nn.Module, args: Any, like: Tensor = x, sigma: float = level) -> None:
            state, time = args[:2] if len(args) > 1 else (None, None)
            is_state = isinstance(state, Tensor) and state.shape[1:] == like.shape[1:]
            if is_state and isinstance(time, int | float | Tensor):
                flat = torch.as_tensor(time).double().reshape(-1)
                if len(flat) in (1, len(like)) and not math.isclose(flat[0], sigma, rel_tol=1e-4):
                    times_by_module.setdefault(module, []).append(float(flat[0]))

        hook = register_module_forward_pre_hook(record)
        try:
            stated.model.denoise(x, level, stated.labels)
        finally:
            hook.remove()
    return next(iter(times_by_module.items()), (None, []))


def _best_shift(stated: Candidate, shifted: Callable[[float], Denoiser], last: int) -> float:
    """Return the shift of times with the smallest error on a few samples.

    The search starts from the best of ± ``last / 2**k``, k from 1 to 9, and halves its step.
    """
    few, labels = stated.few_samples
    rounded = round if last > 1 else float

    @cache
    def error(shift: float) -> float:
        fit = fit_candidate("", shifted(shift), few, labels, stated.fit.levels).fit
        errors = fit.errors.mean(1)
        return float(np.log(errors).mean()) if np.isfinite(errors).all() else math.inf

    sizes = [last / 2**k for k in range(1, 10)]
    best = min((rounded(sign * size) for size in sizes for sign in (1, -1)), key=error)
    step = abs(best) / 2
    while step >= last / SHIFT_RESOLUTION / 2:
        best = min((best, rounded(best - step), rounded(best + step)), key=error)
        step /= 2
    return best


def native_denoiser_in(model: Denoiser) -> Denoiser:
    """Return the ``NativeDenoiser`` inside a user's model, or the model itself if it has none."""
    inner = model.inner if isinstance(model, ForeignDenoiser) else model
    return inner if isinstance(inner, NativeDenoiser) else model


def readings_of_user_model(model: Denoiser) -> Readings:
    """Yield (settings, denoiser) with other settings or a corrected output, for a model of a user.

    A model with a noising process of the user's own yields none.
    """
    if not isinstance(model, NativeDenoiser):
        for words, change in _CORRECTIONS.items():
            yield words, ChangedDenoiser(model, change)
        spec = _specification_of(model, {"name": "ve"}, "x0")
        raw = {
            f"an adapter of training={name}": replace(
                spec, **{**fields, "sigma_min": spec.sigma_min}
            )
            for name, fields in training_answers().items()
            if name != "denoiser"
        }
        yield from readings_of_specifications(
            raw.items(), lambda other: Checkpoint(other, model.denoise, "model", "")
        )
        return
    names = {kind: name for name, kind in PROCESSES.items() if isinstance(kind, type)}
    if type(model.process) is Discrete:
        process = {"name": "discrete", "levels": list(model.process.levels)}
    elif name := names.get(type(model.process)):
        process = {"name": name, **asdict(model.process)}
    else:
        return
    spec = _specification_of(
        model,
        process,
        model.prediction,
        factor=model.factor,
        half=model.half or "",
        time=asdict(model.time),
        boundary=asdict(model.boundary) if model.boundary else {},
    )
    others = alternative_specifications(spec)
    yield from readings_of_specifications(others, partial(_adapter_for, model, spec))


def _specification_of(
    model: Denoiser, process: dict[str, Any], prediction: str, **more: Any
) -> Specification:
    rows = {"rows": model.conditions} if model.conditions else {}
    return Specification(
        family="python",
        network={},
        weights={"file": ""},
        event=model.event,
        process=process,
        prediction=prediction,
        sigma_min=model.sigma_min,
        sigma_max=model.sigma_max,
        limits=model.limits,
        classes=model.classes,
        null_label=model.null_label,
        labels="balanced" if model.classes or rows else "none",
        embeddings=rows,
        kind=model.kind,
        **more,
    )


def _adapter_for(model: NativeDenoiser, stated: Specification, spec: Specification) -> Denoiser:
    """Return a denoiser with the network of ``model`` and the settings ``spec``, not ``stated``."""
    twin = Checkpoint(spec, model.network, model.name, "")
    twin.network_dtype, twin.dtype = model.network_dtype, model.dtype
    if steps_of_table(spec.process) == steps_of_table(stated.process):
        twin.times, twin.nearest = model.times, model.nearest
    return twin


def _alpha_at(s: float) -> float:
    return 1 / math.hypot(1, s)


def _denoise_unswapped(d: Call, x: Tensor, s: float) -> Tensor:
    data = 0.5  # EDM's sigma_data
    total = math.hypot(s, data)
    skip, out = (data / total) ** 2, data * s / total
    return skip * x + out / skip * (d(x, s) - out * x)


_CORRECTIONS: dict[str, Callable[[Call, Tensor, float], Tensor]] = {
    "the opposite sign": lambda d, x, s: -d(x, s),
    "the opposite sign of the noise": lambda d, x, s: 2 * x - d(x, s),
    "the output as the noise": lambda d, x, s: x - s * d(x, s),
    "the output as the noise, of x / sqrt(1 + sigma²)": lambda d, x, s: (
        x - s * d(_alpha_at(s) * x, s)
    ),
    "the output as the score": lambda d, x, s: x + s**2 * d(x, s),
    "the output as v": lambda d, x, s: _alpha_at(s) ** 2 * x - s * _alpha_at(s) * d(x, s),
    "the output as v, of x / sqrt(1 + sigma²)": lambda d, x, s: (
        _alpha_at(s) ** 2 * x - s * _alpha_at(s) * d(_alpha_at(s) * x, s)
    ),
    "the output as the velocity, of x / (1 + sigma)": lambda d, x, s: (
        (x - s * d(x / (1 + s), s)) / (1 + s)
    ),
    "its noise times sqrt(1 + sigma²)": lambda d, x, s: x + (d(x, s) - x) / _alpha_at(s),
    "its noise times sigma": lambda d, x, s: x + (d(x, s) - x) * s,
    "the output times sqrt(1 + sigma²)": lambda d, x, s: d(x, s) / _alpha_at(s),
    "x / sqrt(1 + sigma²) given to the network": lambda d, x, s: (
        x + d(_alpha_at(s) * x, s) - _alpha_at(s) * x
    ),
    "x / sqrt(1 + sigma²) given in place of x": lambda d, x, s: d(_alpha_at(s) * x, s),
    "x sqrt(1 + sigma²) given to the network (a root is missing)": lambda d, x, s: (
        x + d(x / _alpha_at(s), s) - x / _alpha_at(s)
    ),
    "c_skip and c_out swapped": _denoise_unswapped,
    "a quarter of the logarithm of the level": lambda d, x, s: d(x, math.log(s) / 4),
    "half the level": lambda d, x, s: d(x, s / 2),
    "twice the level": lambda d, x, s: d(x, 2 * s),
    "the square root of the level": lambda d, x, s: d(x, math.sqrt(s)),
    "the square of the level": lambda d, x, s: d(x, s * s),
    "1000 times the level": lambda d, x, s: d(x, 1000 * s),
    "a thousandth of the level": lambda d, x, s: d(x, s / 1000),
    "exp of the level": lambda d, x, s: d(x, math.exp(min(s, 80.0))),
}
"""Changes of a user's model that undo usual mistakes. Keys continue a message after "with"."""
