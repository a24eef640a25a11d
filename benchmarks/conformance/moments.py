"""Exact moments of what a stochastic sampler draws on a Gaussian, under white noise and on a path.

With a denoiser that is affine in x, the sample is affine in the latent and in every noise tensor: y
= y_0 + sum_k R_k z_k. A batch whose rows have one unit impulse each, in one coordinate of one z_k,
gives y_0 and the columns of all R_k in one run; the mean is y_0 and the covariance is sum_k R_k
R_k^T, exactly.

A Brownian path answers two draws over intervals that overlap with correlated increments, white
noise with independent ones. A sampler that asks for such draws is two methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...samplers import Grid, Sampler, StepNoise
from .check import Check
from .order import MARGIN, slope
from .problems import GRIDS, INTERIOR, AnisotropicGaussian, GaussianMap

STEPS = (16, 32, 64, 128)
CLOSE, SAME = 0.05, 1e-11

Interval = tuple[float, float]
Key = tuple[int, int, Interval | None]
"""A draw: its step, its number in the step, and the interval of levels that it drives, if any."""
Units = Callable[[Iterable[Key]], dict[Key, dict[Hashable, float]]]
"""Source of draws: the weights of each draw over independent standard normals."""


def white_noise_units(draws: Iterable[Key]) -> dict[Key, dict[Hashable, float]]:
    """Return the weights of white noise: one standard normal for each step and draw, for any interval."""
    return {key: {key[:2]: 1.0} for key in draws}


@dataclass(frozen=True)
class ImpulseNoise:
    """Noise from a table; ``asked`` has each draw once, in order."""

    answer: Callable[[Key], Tensor]
    asked: dict[Key, None] = field(default_factory=dict)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return the draws of one step; as on a Brownian path, draw 0 drives all of it by default."""
        whole = cur, nxt

        def draw(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:
            interval = None if cur is None or nxt is None else (cur, nxt)
            key = step, draw, interval or (whole if draw == 0 else None)
            self.asked[key] = None
            return self.answer(key)

        return draw


@dataclass(frozen=True)
class Moments:
    """Exact mean ``(d,)`` and covariance ``(d, d)``, and the violation of superposition."""

    mean: Tensor
    cov: Tensor
    affine: float


def exact_moments(
    sampler: Sampler, problem: AnisotropicGaussian, grid: Grid, units: Units = white_noise_units
) -> Moments:
    """Return the moments at the end of ``grid``, from exact noisy data and ``units``."""
    d = len(problem.mean)
    eye = torch.eye(d, dtype=torch.float64)
    root = torch.linalg.cholesky(problem.covariance + grid.sigma[0] ** 2 * eye)
    probe = ImpulseNoise(lambda _: torch.zeros(1, d, dtype=torch.float64))
    sampler.sample(problem, problem.mean[None].clone(), grid, probe)
    weights_of = units(probe.asked)
    independent = dict.fromkeys(unit for weights in weights_of.values() for unit in weights)
    place = {unit: 1 + d * (k + 1) for k, unit in enumerate(independent)}
    rows = 1 + d * (1 + len(place))
    mixed = torch.from_numpy(np.random.default_rng(1).standard_normal(rows - 1))

    def impulse(first: int) -> Tensor:
        """Return units in each coordinate from row ``first`` on, and a random combination in the last row."""
        z = torch.zeros(rows + 1, d, dtype=torch.float64)
        z[first : first + d] = eye
        z[-1] = mixed[first - 1 : first - 1 + d]
        return z

    def answer(key: Key) -> Tensor:
        parts = (weight * impulse(place[unit]) for unit, weight in weights_of[key].items())
        return sum(parts, torch.zeros(rows + 1, d, dtype=torch.float64))

    latents = problem.mean + impulse(1) @ root.T
    y = sampler.sample(problem, latents, grid, ImpulseNoise(answer))
    responses = y[1:-1] - y[0]
    bent = float((y[-1] - y[0] - mixed @ responses).abs().max())
    return Moments(y[0], responses.T @ responses, bent)


def gaussian_for(sampler: Sampler) -> AnisotropicGaussian:
    """Return the Gaussian problem: its denoiser, or its exact map for samplers of few-step maps."""
    return GaussianMap() if sampler.for_maps else AnisotropicGaussian()


def check_moments(sampler: Sampler) -> Iterator[Check]:
    """Check exact mean and covariance at the largest N, and their weak order if one is declared."""
    problem = gaussian_for(sampler)
    truth = problem.covariance + INTERIOR[0] ** 2 * torch.eye(3, dtype=torch.float64)
    scale = float(truth.diagonal().max())
    data: dict[str, Any] = {}
    for name, make in GRIDS.items():
        results = [exact_moments(sampler, problem, make(n)) for n in STEPS]
        bent = max(moments.affine for moments in results)
        if bent > 1e-9:
            detail = (
                f"not affine in its noise (superposition fails by {bent:.0e}): no exact moments"
            )
            yield Check("moments", True, detail, asserted=False)
            return
        cov = [float((moments.cov - truth).abs().max()) / scale for moments in results]
        mean = [float((moments.mean - problem.mean).abs().max()) for moments in results]
        variance, order = float(results[-1].cov.trace() / truth.trace()), slope(STEPS, cov)
        errors = {"cov_error": cov, "mean_error": mean}
        data[name] = {"N": STEPS, **errors, "weak_order": order, "variance": variance}
    mean = max(entry["mean_error"][-1] for entry in data.values())
    cov = max(entry["cov_error"][-1] for entry in data.values())
    orders = [entry["weak_order"] for entry in data.values()]
    off = f"the exact covariance is off by {cov:.1e}, the mean by {mean:.1e}"
    yield Check("moments", cov < CLOSE and mean < CLOSE, f"at {STEPS[-1]} steps {off}", data)
    least, order = min(orders), sampler.order
    detail = f"{least:.2f}, " + ("none declared" if order is None else f"declared {order}")
    enough, weak = order is None or least > order - MARGIN, {"weak_order": orders}
    yield Check("weak order", enough, detail, weak, asserted=order is not None)


def check_noise(sampler: Sampler) -> list[Check]:
    """Compare the exact mean and covariance of one step and of eight under both kinds of noise."""
    problem, grids = gaussian_for(sampler), [make(n) for n in (1, 8) for make in GRIDS.values()]
    worst, overlaps, drawn = 0.0, [], False

    def path(draws: Iterable[Key]) -> dict[Key, dict[Hashable, float]]:
        nonlocal drawn
        keys = list(draws)
        drawn = drawn or bool(keys)
        overlaps.extend(overlapping_intervals(keys))
        return path_noise_units(keys)

    for grid in grids:
        white, along = (
            exact_moments(sampler, problem, grid, of) for of in (white_noise_units, path)
        )
        if max(white.affine, along.affine) > 1e-9:
            worst = math.nan
            break
        distances = (white.mean - along.mean).abs().max(), (white.cov - along.cov).abs().max()
        worst = max(worst, *(float(error) for error in distances))
    data = {"error": worst, "overlapping": overlaps[:1]}
    if not drawn:
        passed = False
        detail = (
            "stochastic = True, and it never draws: call noise() in the step, or declare "
            "stochastic = False"
        )
    elif overlaps:
        (a, b), (c, d) = overlaps[0]
        passed = False
        detail = (
            f"draws over {a:.4g} to {b:.4g} and over {c:.4g} to {d:.4g}, which overlap, are "
            "correlated on a path and independent as white noise: moments differ by "
            f"{worst:.1e}; draw over disjoint intervals and combine (on_one_path)"
        )
    elif math.isnan(worst):
        passed, detail = True, "draws over disjoint intervals"
    else:
        passed = worst < SAME
        detail = f"the same moments from white noise and from a path, to {worst:.0e}"
    return [Check("noise", passed, detail, data)]


def path_noise_units(draws: Iterable[Key]) -> dict[Key, dict[Hashable, float]]:
    """Return the weights of draws from a Brownian path in 1 / sigma²: sums of its increments."""
    keys = list(draws)
    levels = sorted({level for key in keys for level in _interval_on_path(key) or ()}, reverse=True)
    return {
        key: {
            (high, low): math.sqrt((low**-2 - high**-2) / (span[1] ** -2 - span[0] ** -2))
            for high, low in pairwise(levels)
            if span[0] >= high and low >= span[1]
        }
        if (span := _interval_on_path(key))
        else {key[:2]: 1.0}
        for key in keys
    }


def overlapping_intervals(draws: Iterable[Key]) -> list[tuple[Interval, Interval]]:
    """Return the pairs of intervals of different draws that have more than an end in common."""
    spans = [span for key in draws if (span := _interval_on_path(key))]
    return [
        (first, other)
        for first, other in combinations(spans, 2)
        if min(first[0], other[0]) > max(first[1], other[1]) * (1 + 1e-9)
    ]


def _interval_on_path(key: Key) -> Interval | None:
    """Return the interval of a draw if it falls to a positive level, else None."""
    span = key[2]
    return span if span and span[0] > span[1] > 0 else None
