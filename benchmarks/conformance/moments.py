"""Exact moments of a stochastic sampler's samples on Gaussian data.

The noise is white, or consists of increments of a Brownian path.

If the denoiser is affine in x, the sample y is affine in the latent and the noise tensors z_k: y =
y_0 + sum_k R_k z_k. Then the mean is y_0 and the covariance is sum_k R_k R_k^T, exactly. One run
gives all R_k: each row of its batch has a unit impulse in one coordinate of one z_k.

For draws over overlapping intervals a Brownian path gives correlated increments, and white noise
gives independent draws. So a sampler with such draws is a different method for each kind of noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...samplers import Grid, SampleNoise, Sampler, StepNoise
from .check import Check
from .order import MARGIN, order_with_options, slope
from .problems import GRIDS, INTERIOR, SEED, AnisotropicGaussian, GaussianMap

STEPS = (16, 32, 64, 128)
CLOSE, ROUNDING = 0.05, 1e-11
WRONG = 0.5
"""Error of a covariance or mean, at the most steps, that no sampler may have, whatever it declares."""
AFFINE = 1e-4
"""Largest error of superposition of a sampler that is affine in its noise, in float32 too."""
MOST_MISS = 0.25
"""Largest distance of the extrapolated covariance from the exact one, over its last change."""
SAMPLE_COUNT = 1 << 14
"""Samples of a sampler that is not affine; their covariance scatters by a hundredth."""

Interval = tuple[float, float]
Key = tuple[int, int, Interval | None]
"""Identity of a draw: step, number within the step, and its interval of levels, or None."""
Units = Callable[[Collection[Key]], dict[Key, dict[Hashable, float]]]
"""Function that writes each draw as a weighted sum of independent standard normals.

It returns {draw: {name of the normal: weight}}.
"""


def white_noise_units(draws: Collection[Key]) -> dict[Key, dict[Hashable, float]]:
    """Return {draw: {name: 1.0}}: each draw is a standard normal of its own (:data:`Units`)."""
    return {key: {key[:2]: 1.0} for key in draws}


@dataclass(frozen=True)
class ImpulseNoise:
    """Noise source that returns ``answer(key)`` for a draw; ``keys`` has all keys in order."""

    answer: Callable[[Key], Tensor]
    keys: dict[Key, None] = field(default_factory=dict)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return a step's draw function; draw 0 without an interval is over (``cur``, ``nxt``)."""
        whole = cur, nxt

        def draw(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:
            interval = None if cur is None or nxt is None else (cur, nxt)
            key = step, draw, interval or (whole if draw == 0 else None)
            self.keys[key] = None
            return self.answer(key)

        return draw


class Moments(NamedTuple):
    """Mean ``(d,)`` and covariance ``(d, d)``; exact if ``superposition_error`` is about 0."""

    mean: Tensor
    cov: Tensor
    superposition_error: float


def exact_moments(
    sampler: Sampler, problem: AnisotropicGaussian, grid: Grid, units: Units = white_noise_units
) -> Moments:
    """Return exact moments of samples at the end of ``grid``, started from noisy Gaussian data.

    ``units`` sets the distribution of the draws: white noise by default, and increments of a Brownian
    path with :func:`path_noise_units`.
    """
    d = len(problem.mean)
    eye = torch.eye(d, dtype=torch.float64)
    probe = ImpulseNoise(lambda _: torch.zeros(1, d, dtype=torch.float64))
    sampler.sample(problem, problem.mean[None].clone(), grid, probe)
    weights_of = units(probe.keys)
    independent = dict.fromkeys(unit for weights in weights_of.values() for unit in weights)
    place = {unit: 1 + d * (k + 1) for k, unit in enumerate(independent)}
    rows = 1 + d * (1 + len(place))
    mixed = torch.from_numpy(np.random.default_rng(1).standard_normal(rows - 1))

    def impulse(first: int) -> Tensor:
        """Return ``(rows + 1, d)``: identity from row ``first``, mixed numbers last, else 0."""
        z = torch.zeros(rows + 1, d, dtype=torch.float64)
        z[first : first + d] = eye
        z[-1] = mixed[first - 1 : first - 1 + d]
        return z

    def answer(key: Key) -> Tensor:
        parts = (weight * impulse(place[unit]) for unit, weight in weights_of[key].items())
        return sum(parts, torch.zeros(rows + 1, d, dtype=torch.float64))

    latents = _noisy_data(problem, impulse(1), grid)
    y = sampler.sample(problem, latents, grid, ImpulseNoise(answer))
    responses = y[1:-1] - y[0]
    bent = float((y[-1] - y[0] - mixed @ responses).abs().max())
    return Moments(y[0], responses.T @ responses, bent)


def _noisy_data(problem: AnisotropicGaussian, normals: Tensor, grid: Grid) -> Tensor:
    covariance = problem.covariance + grid.sigma[0] ** 2 * torch.eye(3, dtype=torch.float64)
    return problem.mean + normals @ torch.linalg.cholesky(covariance).T


def gaussian_for(sampler: Sampler) -> AnisotropicGaussian:
    """Return the Gaussian problem; for samplers of few-step maps its denoiser is the exact map."""
    return GaussianMap() if sampler.for_maps else AnisotropicGaussian()


def check_moments(sampler: Sampler) -> Iterator[Check]:
    """Yield checks of the exact mean and covariance, and of the covariance's (weak) order.

    The covariance must also tend to the exact one: from its last two changes it is extrapolated to
    infinitely many steps, with the declared order or 1, or a measured one above. Without a declared
    order, the order is reported and cannot fail. Of a sampler that is not affine in its noise, only
    moments of samples are checked, against :data:`WRONG` if it declares no order.
    """
    problem = gaussian_for(sampler)
    truth = problem.covariance + INTERIOR[0] ** 2 * torch.eye(3, dtype=torch.float64)
    scale = float(truth.diagonal().max())
    data: dict[str, Any] = {}
    missed = []
    for name, make in GRIDS.items():
        results = [exact_moments(sampler, problem, make(n)) for n in STEPS]
        bent = max(moments.superposition_error for moments in results)
        if bent > AFFINE:
            yield _check_sample_moments(sampler, problem, make(STEPS[-1]), truth)
            return
        cov = [float((moments.cov - truth).abs().max()) / scale for moments in results]
        mean = [float((moments.mean - problem.mean).abs().max()) for moments in results]
        variance, order = float(results[-1].cov.trace() / truth.trace()), slope(STEPS, cov)
        errors = {"cov_error": cov, "mean_error": mean}
        data[name] = {"N": STEPS, **errors, "weak_order": order, "variance": variance}
        moves = [b.cov - a.cov for a, b in pairwise(results)][-2:]
        rate = slope(STEPS[-2:], [float(move.abs().max()) for move in moves], floor=0.0)
        limit = results[-1].cov + moves[-1] / (2 ** max(sampler.order or 1, rate) - 1)
        far = float((limit - truth).abs().max()) / scale
        if not far <= max(MOST_MISS * float(moves[-1].abs().max()) / scale, ROUNDING):
            missed.append(far)
    mean = float(np.max([entry["mean_error"][-1] for entry in data.values()]))  # max drops a NaN
    cov = float(np.max([entry["cov_error"][-1] for entry in data.values()]))
    orders = [entry["weak_order"] for entry in data.values()]
    off = f"the exact covariance is off by {cov:.1e}, the mean by {mean:.1e}"
    yield Check("moments", cov < CLOSE and mean < CLOSE, f"at {STEPS[-1]} steps {off}", data)
    least, order = min(orders), order_with_options(sampler)
    detail = f"{least:.2f}, " + ("none declared" if order is None else f"declared {order}")
    if missed:
        unless = "" if sampler.order else "unless its order is below 1, "
        detail += f", but {unless}with more steps the covariance tends to one that is off by {max(missed):.1e}"
    enough = order is None or (least > order - MARGIN and not missed)
    yield Check("weak order", enough, detail, {"weak_order": orders}, asserted=order is not None)


def _check_sample_moments(
    sampler: Sampler, problem: AnisotropicGaussian, grid: Grid, truth: Tensor
) -> Check:
    noise = SampleNoise(SEED, torch.arange(SAMPLE_COUNT), (3,), torch.float64)
    y = sampler.sample(problem, _noisy_data(problem, noise.initial(), grid), grid, noise)
    cov = float((y.T.cov() - truth).abs().max() / truth.max())
    mean = float((y.mean(0) - problem.mean).abs().max())
    detail = (
        f"not affine in its noise, so of {SAMPLE_COUNT:,} samples: at {len(grid)} steps the "
        f"covariance is off by {cov:.1e}, the mean by {mean:.1e}"
    )
    free = sampler.order is None and cov < WRONG and mean < WRONG
    return Check("moments", free or (cov < CLOSE and mean < CLOSE), detail, asserted=not free)


def check_noise(sampler: Sampler) -> list[Check]:
    """Check that a sampler has the same exact moments with white noise as with a Brownian path.

    The check uses one and eight steps. It fails if the sampler never draws, or draws over
    overlapping intervals. Moments are not compared for a sampler that is not affine in its noise.
    """
    problem, worst = gaussian_for(sampler), 0.0
    draws: list[Key] = []
    overlaps: list[tuple[Interval, Interval]] = []

    def path(keys: Collection[Key]) -> dict[Key, dict[Hashable, float]]:
        draws.extend(keys)
        overlaps.extend(overlapping_intervals(keys))
        return path_noise_units(keys)

    for n, make in product((1, 8), GRIDS.values()):
        white, along = (
            exact_moments(sampler, problem, make(n), of) for of in (white_noise_units, path)
        )
        if max(white.superposition_error, along.superposition_error) > 1e-9:
            worst = math.nan
            break
        for off in (white.mean - along.mean, white.cov - along.cov):
            worst = max(worst, float(off.abs().nan_to_num(nan=math.inf).max()))
    passed = False
    if not draws:
        detail = (
            "stochastic = True, and it never draws: call noise() in the step, or declare "
            "stochastic = False"
        )
    elif overlaps:
        (a, b), (c, d) = overlaps[0]
        detail = (
            f"draws over {a:.4g} to {b:.4g} and over {c:.4g} to {d:.4g}, which overlap, are "
            "correlated on a path and independent as white noise: moments differ by "
            f"{worst:.1e}; draw over disjoint intervals and combine (NoisyStages does)"
        )
    elif math.isnan(worst):
        passed, detail = True, "draws over disjoint intervals"
    else:
        passed = worst < ROUNDING
        detail = f"the same moments from white noise and from a path, to {worst:.0e}"
    return [Check("noise", passed, detail, {"error": worst, "overlapping": overlaps[:1]})]


def path_noise_units(draws: Collection[Key]) -> dict[Key, dict[Hashable, float]]:
    """Return each draw as a weighted sum of increments of a Brownian path in 1 / sigma².

    The increments lie between neighbouring end levels of the draws, and are scaled to variance 1. A
    draw without an interval, or with an interval down to 0, is an independent standard normal.
    """
    levels = sorted({s for key in draws for s in _interval_on_path(key) or ()}, reverse=True)
    return {
        key: {
            (high, low): math.sqrt((low**-2 - high**-2) / (span[1] ** -2 - span[0] ** -2))
            for high, low in pairwise(levels)
            if span[0] >= high and low >= span[1]
        }
        if (span := _interval_on_path(key))
        else {key[:2]: 1.0}
        for key in draws
    }


def overlapping_intervals(draws: Iterable[Key]) -> list[tuple[Interval, Interval]]:
    """Return pairs of intervals of different draws that overlap in more than an end point."""
    spans = [span for key in draws if (span := _interval_on_path(key))]
    return [
        (first, other)
        for first, other in combinations(spans, 2)
        if min(first[0], other[0]) > max(first[1], other[1]) * (1 + 1e-9)
    ]


def _interval_on_path(key: Key) -> Interval | None:
    """Return the interval of a draw on the Brownian path; None without one or if it ends at 0."""
    span = key[2]
    return span if span and span[0] > span[1] > 0 else None
