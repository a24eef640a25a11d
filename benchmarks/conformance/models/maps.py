"""Checks of few-step maps: boundary, distribution, and the same end for all states of a path.

A map f takes a state along the probability flow to the flow's end at sigma_min. So f does not change a
state at sigma_min (the boundary condition of Song et al. 2023, arXiv:2303.01469, section 3). At
every level f(x0 + sigma z) has the distribution of the data, while E[x0 | x] has less variance.

The flow has the velocity E[z | x], and f(x(s), s) is constant on each of its paths. The line x0 + s z
has the velocity z, whose mean given x is the flow's velocity. So along such lines the rate of change of
f is 0 on average given x, and orthogonal to every function g of x:

    E <d/d(ln s) f(x0 + s z, s), g(x)> = 0.

Consistency training uses this identity (theorem 2). The identity needs no denoiser to follow paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....models.denoiser import Denoiser
from ....samplers import Grid, karras, make
from .fit import CHANCE, HIGHEST_LEVEL, LEVELS, LOWEST_LEVEL, SEED, Check, Fit, noise_of

BOUNDARY_MOVE = 0.02
"""Largest move of a state at sigma_min, less 2 sigma_min, in standard deviations of the data."""
LEAST_VARIANCE, MOST_VARIANCE = 0.5, 2.0
"""Lowest and highest ratio of the outputs' variance to the data's, for a trained map."""

FAR_LEVEL = 4.0
"""Level, in standard deviations of the data, above which a state says little about its sample."""
TWICE_VARIANCE = (1.4, 2.3)
"""Range of the error, in variances of the data, that counts as twice the variance."""


def looks_like_a_map(fit: Fit, clean: Tensor) -> bool:
    """Return True if the error at high levels is about twice the data's variance.

    Two independent samples have this squared distance on average, and a map's output is a sample. A
    posterior mean has half the error.
    """
    variance = variance_of(clean)
    share = fit.errors.mean(1)[fit.levels > FAR_LEVEL * variance**0.5] / variance
    low, high = TWICE_VARIANCE
    return len(share) > 1 and bool(((share > low) & (share < high)).all())


@torch.no_grad()
def check_map(model: Denoiser, clean: Tensor, labels: Tensor | None) -> list[Check]:
    """Check boundary and outputs' variance of a few-step map on clean samples ``(n, *event)``."""
    z, variance = noise_of(model, clean), variance_of(clean)
    detail = (
        "the model is a map: it gives one of the samples that a state can become and not their "
        "mean, so the defect is not judged"
    )
    return [
        Check("Pythagoras", True, detail),
        _check_boundary(model, clean + model.sigma_min * z, labels, variance**0.5),
        _check_distribution(model, clean, z, labels, variance),
    ]


def is_a_map(model: Denoiser, clean: Tensor, labels: Tensor | None) -> bool:
    """Return True if all of :func:`check_map` passes."""
    return all(check.passed for check in check_map(model, clean, labels))


def _check_boundary(model: Denoiser, x: Tensor, labels: Tensor | None, std: float) -> Check:
    """Check that a map hardly moves states ``x`` at sigma_min, compared with the data's ``std``."""
    moved = float((model.denoise(x, model.sigma_min, labels) - x).double().square().mean().sqrt())
    text = (
        f"at sigma_min = {model.sigma_min:g} a state moves by {moved:.2g} (root mean square; the data "
        f"have a standard deviation of {std:.2g})"
    )
    stays = moved <= 2 * model.sigma_min + BOUNDARY_MOVE * std
    if not stays:
        text += ", and must stay where it is; the map's prediction, time or sigma_min is wrong"
    return Check("boundary", stays, text)


def _check_distribution(
    model: Denoiser, clean: Tensor, z: Tensor, labels: Tensor | None, variance: float
) -> Check:
    """Check that a map's outputs have about the variance of the data at every level."""
    std = variance**0.5
    high = max(min(model.sigma_max, HIGHEST_LEVEL * std), 2 * model.sigma_min)
    levels = np.geomspace(high, max(model.sigma_min, LOWEST_LEVEL * std), LEVELS).tolist()
    share = [
        variance_of(model.denoise(clean + level * z, level, labels)) / variance for level in levels
    ]
    least, most = int(np.argmin(share)), int(np.argmax(share))
    passed, times = False, "times the variance of the data"
    if share[least] < LEAST_VARIANCE:
        detail = (
            f"at sigma {levels[least]:.3g} the outputs have {share[least]:.2g} {times}, and those of "
            "a map have all of it; if the model is a denoiser, leave out kind=map"
        )
    elif not share[most] <= MOST_VARIANCE:
        detail = (
            f"at sigma {levels[most]:.3g} the outputs have {share[most]:.2g} {times}; the map's "
            "process, prediction, sign or time is wrong"
        )
    else:
        passed = True
        detail = (
            f"the outputs have {share[least]:.2g} to {share[most]:.2g} {times}, from sigma "
            f"{levels[0]:.3g} down to {levels[-1]:.3g}"
        )
    return Check("distribution", passed, detail)


def variance_of(x: Tensor) -> float:
    """Return the variance over samples ``(n, *event)``, averaged over the event."""
    return float((x - x.mean(0)).double().square().mean())


LOG_LEVEL_STEP = 0.1
"""Step in ln sigma of the central differences that estimate the output's rate of change."""
RATE_LEVELS = 7
MOST_MOVEMENT = 0.15
"""Largest ``worst`` of the :class:`Movement` of a trained map."""
MOVEMENT_RATIO, MOVEMENT_SLACK = 2.0, 0.03
"""Largest ratio of a right map's movement to that with other settings, and an added slack."""
PATH_STATES, PATH_STEPS = 5, 30
"""Number of states to check on each path, and number of steps of Heun's method along the path."""
LARGEST_END_DISTANCE = 0.5
"""Largest squared distance between the ends that a map gives for states of one path.

The unit is the variance of the data; independent samples have distance 2.
"""


class Movement(NamedTuple):
    """Mean products of a map's rate of change along the level with functions g of the state.

    All means are 0 for an exact map. The rate is in standard deviations of the data per unit of ln
    sigma. ``size`` is the root mean square of the means over levels and functions. ``worst`` is the
    largest |mean| minus 3 standard errors, at ``level``, with the g named ``along``. ``varied`` is
    True if outputs have about the data's variance at every level.
    """

    size: float
    worst: float
    level: float
    along: str
    varied: bool = True


@torch.no_grad()
def measure_movement(model: Denoiser, clean: Tensor, labels: Tensor | None, std: float) -> Movement:
    """Measure a map's :class:`Movement` on samples ``clean`` with standard deviation ``std``."""
    z, ratio = noise_of(model, clean), math.exp(LOG_LEVEL_STEP)
    low = max(model.sigma_min, LOWEST_LEVEL * std) * ratio
    high = max(min(model.sigma_max, HIGHEST_LEVEL * std) / ratio, 2 * low)
    worst, squares, shares = Movement(0.0, 0.0, high, "any"), [], []
    for level in np.geomspace(high, low, RATE_LEVELS).tolist():
        above, below = (
            model.denoise(clean + s * z, s, labels) for s in (level * ratio, level / ratio)
        )
        rate = (above - below).flatten(1).double() / (2 * LOG_LEVEL_STEP * std)
        x = clean + level * z
        output = model.denoise(x, level, labels)
        shares.append(variance_of(output) / std**2)
        for along, values in _test_functions(x, output):
            products = (rate * values).mean(1)
            mean, se = float(products.mean()), float(products.std()) / len(products) ** 0.5
            if not math.isfinite(mean):
                return Movement(math.inf, math.inf, level, along, varied=False)
            squares.append(mean**2)
            if abs(mean) - CHANCE * se > worst.worst:
                worst = Movement(0.0, abs(mean) - CHANCE * se, level, along)
    varied = min(shares) >= LEAST_VARIANCE and max(shares) <= MOST_VARIANCE
    return worst._replace(size=float(np.sqrt(np.mean(squares))), varied=varied)


def _test_functions(x: Tensor, output: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, values) of test functions of the state; ``(n, d)`` values have mean square 1."""
    state = _standardised(x)
    yield "the state", state
    yield "a curve of the state", _standardised(state - state**3 / 3)
    yield "the output", _standardised(output)


def _standardised(x: Tensor) -> Tensor:
    """Return samples as float64 rows ``(n, d)``, centred and scaled to mean square 1."""
    flat = (x - x.mean(0)).flatten(1).double()
    return flat / flat.square().mean().sqrt().clamp_min(1e-12)


def check_renoised(stated: Movement, others: Mapping[str, Movement]) -> Check:
    """Check that a map's output hardly moves when the level of its input's noise changes.

    The check fails if ``stated.worst`` exceeds :data:`MOST_MOVEMENT`. It also fails if the outputs
    move far less with other settings; ``others`` has their movements by settings.
    """
    text = (
        f"where noise is put back, the outputs move by {stated.size:.2g} standard deviations of the "
        f"data a unit of ln sigma, {stated.worst:.2g} at most (beyond chance, along {stated.along}, at "
        f"sigma {stated.level:.3g}), and not at all on the paths of a map"
    )
    maps = {key: m.size for key, m in others.items() if m.varied and m.worst <= MOST_MOVEMENT}
    settings = min(maps, key=maps.__getitem__, default="")
    passed = False
    if settings and stated.size > MOVEMENT_RATIO * maps[settings] + MOVEMENT_SLACK:
        text += f"; the map is wrong: with {settings} it is {maps[settings]:.2g}"
    elif stated.worst <= MOST_MOVEMENT:
        passed, text = True, f"{text}; {MOST_MOVEMENT:g} is little"
    else:
        text += (
            ": it is no map along the flow of these data; its prediction, sign, time or process is "
            "wrong, it is a denoiser, or it was trained on other data"
        )
    return Check("consistency", passed, text)


@torch.no_grad()
def check_one_path(
    model: Denoiser, teacher: Denoiser, clean: Tensor, labels: Tensor | None, std: float
) -> Check:
    """Check that a map takes states on a path of ``teacher`` to its end; ``std`` is the data's."""
    z = noise_of(model, clean)
    high = min(model.sigma_max, teacher.sigma_max, HIGHEST_LEVEL * std)
    low = max(model.sigma_min, teacher.sigma_min, 1e-3 * std)
    grid = karras(PATH_STEPS, low, high, to_zero=False)
    bound = teacher.bind(torch.arange(len(clean), device=clean.device), SEED, labels)
    solver = make("heun")
    x, states = clean + high * z, []
    stops = np.linspace(0, PATH_STEPS, PATH_STATES + 1).round().astype(int)
    for start, end in pairwise(stops):
        states.append((grid.sigma[start], x))
        x = solver.sample(bound, x, Grid(grid.sigma[start : end + 1]))
    distances = [
        float((model.denoise(state, s, labels) - x).double().square().mean()) / std**2
        for s, state in states
    ]
    worst = int(np.argmax(distances))
    text = (
        f"of states on one path, which {teacher.name} was followed along, the ends are up to "
        f"{distances[worst]:.2g} variances of the data apart (from sigma {states[worst][0]:.3g})"
    )
    passed = distances[worst] <= LARGEST_END_DISTANCE
    if not passed:
        text += (
            "; two samples are 2 apart: the map's prediction, sign or time is wrong, it is a "
            "denoiser, or it was distilled from another"
        )
    return Check("one path", passed, text)
