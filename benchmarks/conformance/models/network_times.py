"""Readings of a network that is called with another time: shifted, reversed, or in other units.

A ``model(x, sigma)`` that is written by hand hides the time from its caller. Where an ``nn.Module`` is
called inside, its arguments can be seen and replaced. Else only levels can: called at the level of the
reversed step, a network of the noise gets the right one. A shift or another unit cannot be undone so,
since no level makes the call reach the steps beyond its ends.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ....models import Denoiser
from ....models.adapters import NativeDenoiser
from ....models.checkpoints.processes import PROCESSES
from ....models.denoiser import Wrapper
from ....models.process import Process
from .alternatives import ENDS, USUAL_STEPS
from .judging import FEW, Candidate, Readings, judge
from .readings import Call, Read
from .seen import network_call, noisy

Change = Callable[[Any], Any]
"""Another time, or tensor of times."""
COUNTS = (1, 100, 250, 500, 1000, 2000, 4000)
"""Usual numbers of steps; 1 stands for times in [0, 1]."""
INSTEAD = "given to the network in place of its time t"
FINEST = 1000
"""Part of the largest time to which a shift is searched."""


class Retimed(Wrapper):
    """A model with one module called at another time.

    Args:
        inner: the model.
        module: takes a state and a time, by position.
        change: gives the other time.
    """

    def __init__(self, inner: Denoiser, module: nn.Module, change: Change) -> None:
        super().__init__(inner)
        self.module, self.change = module, change

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """See :meth:`Denoiser.denoise`."""
        hook = self.module.register_forward_pre_hook(
            lambda _, args: (args[0], self.change(args[1]), *args[2:])
        )
        try:
            return self.inner.denoise(x, sigma, labels)
        finally:
            hook.remove()


def readings_of_time(stated: Candidate) -> Readings:
    """Yield readings of a model with its network at other times, as far as its calls can be seen.

    Settings choose the direction and the units of an adapter. A shift is searched where the model is wrong
    without one: the best of many would be better than a right map by chance.
    """
    model, levels = stated.model, [float(level) for level in stated.fit.levels]
    if isinstance(model, NativeDenoiser):
        if not stated.passes:
            calls = [network_call(model, noisy(stated, s)[0], s, stated.labels) for s in levels]
            times = [float(t[0]) for _, _, t, _ in calls]
            yield from _yield_shift(stated, partial(_native, model), _last_of(times))
        return
    module, times = _timed_module(stated, levels)
    if module is None:
        for schedule, ends in ENDS.items():
            process = PROCESSES["discrete"](schedule=schedule, steps=USUAL_STEPS, **ends)
            reading = partial(Read, model, partial(_at_reversed_step, process))
            yield f"steps reversed, {USUAL_STEPS - 1} - n of {schedule} betas,", reading
    elif last := _last_of(times):
        unit = 1000 if last == 1 else 1 / (last + 1)
        retimed = partial(Retimed, model, module)
        yield f"{last} - t {INSTEAD}", partial(retimed, partial(_affine, -1, last, last))
        yield f"{unit:g} t {INSTEAD}", partial(retimed, partial(_affine, unit, 0, math.inf))
        if not stated.passes:
            yield from _yield_shift(stated, retimed, last)


def _last_of(times: list[float]) -> int:
    """Return the last of the usual times that these are among; 0 if they are none."""
    counts = [n for n in COUNTS if min(times) >= 0 and max(times) <= n]
    return max(counts[0] - 1, 1) if counts else 0


def _yield_shift(stated: Candidate, retimed: Callable[[Change], Denoiser], last: int) -> Readings:
    """Yield the best shift of times from 0 to ``last``, if these are known."""
    if last:

        def shifted_model(shift: float) -> Denoiser:
            return retimed(partial(_affine, 1, shift, last))

        shift = _best_shift(stated, shifted_model, last)
        sign, size = "+" if shift > 0 else "-", float(f"{abs(shift):.2g}")
        yield f"about t {sign} {size:g} {INSTEAD}", partial(shifted_model, shift)


def _native(model: NativeDenoiser, change: Change) -> Denoiser:
    twin = copy.copy(model)
    twin.network = lambda x_t, t, labels: model.network(x_t, change(t), labels)
    return twin


def _at_reversed_step(process: Process, d: Call, x: Tensor, s: float) -> Tensor:
    """Return E[x0 | x] by the noise that a call gives at the level of the reversed step."""
    other = float(process.level(process.t_max - process.t_of(np.array([s])))[0])
    y = x * (math.hypot(1, other) / math.hypot(1, s))
    return x - s / other * (y - d(y, other))


def _affine(scale: float, offset: float, most: float, t: Any) -> Any:
    """Return a changed time, or tensor of times, between 0 and ``most``."""
    changed = scale * t + offset
    return changed.clamp(0, most) if isinstance(t, Tensor) else min(max(changed, 0), most)


def _timed_module(of: Candidate, levels: list[float]) -> tuple[nn.Module | None, list[float]]:
    """Return the outermost module that gets states and a time other than the level, with its times."""
    times_by_module: dict[nn.Module, list[float]] = {}
    for level in levels:
        x, _ = noisy(of, level)

        def record(module: nn.Module, args: Any, like: Tensor = x, sigma: float = level) -> None:
            state, time = args[:2] if len(args) > 1 else (None, None)
            is_state = isinstance(state, Tensor) and state.shape[1:] == like.shape[1:]
            if is_state and isinstance(time, int | float | Tensor):
                flat = torch.as_tensor(time).double().reshape(-1)
                if len(flat) in (1, len(like)) and not math.isclose(flat[0], sigma, rel_tol=1e-4):
                    times_by_module.setdefault(module, []).append(float(flat[0]))

        hook = register_module_forward_pre_hook(record)
        try:
            of.model.denoise(x, level, of.labels)
        finally:
            hook.remove()
    return next(iter(times_by_module.items()), (None, [math.nan]))


def _best_shift(stated: Candidate, shifted: Callable[[float], Denoiser], last: int) -> float:
    """Return the shift with the smallest error on a few samples: first among powers of two, then halved."""
    rows = torch.linspace(0, len(stated.clean) - 1, min(FEW, len(stated.clean))).long()
    few, labels = stated.clean[rows], None if stated.labels is None else stated.labels[rows]
    rounded = round if last > 1 else float

    @cache
    def error(shift: float) -> float:
        errors = judge("", shifted(shift), few, labels, stated.fit.levels).fit.errors.mean(1)
        return float(np.log(errors).mean()) if np.isfinite(errors).all() else math.inf

    sizes = [last / 2**k for k in range(1, 10)]
    best = min((rounded(sign * size) for size in sizes for sign in (1, -1)), key=error)
    step = abs(best) / 2
    while step >= last / FINEST / 2:
        best = min((best, rounded(best - step), rounded(best + step)), key=error)
        step /= 2
    return best
