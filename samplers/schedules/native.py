"""Schedules by formulas in the native time of a noising process."""

from __future__ import annotations

import math
from functools import partial
from typing import Protocol

from ..grid import Grid, spaced
from ..types import Source
from .closed import ENDS, check_positive, edm
from .registry import schedule


class Process(Protocol):
    """Noising process, as far as a schedule needs it (see ``models.process``)."""

    def level(self, t: float, /) -> float:
        """Return the noise level sigma(t) / alpha(t) at native time ``t``."""
        ...

    def t_of(self, level: float, /) -> float:
        """Return the native time at which the process has the noise level ``level``."""
        ...


CONTINUOUS = (
    "In continuous time between the ends of the model's range, not rounded to trained steps."
)
_ddim = partial(
    Source,
    "song2021ddim",
    url="https://arxiv.org/abs/2010.02502v4",
    deviations=(CONTINUOUS,),
)


@schedule(_ddim("appendix D.2, linear"))
def uniform_time(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    process: Process,
    power: float = 1.0,
    to_zero: bool = True,
) -> Grid:
    """Levels uniform in t^(1/power), t being the native time of a process.

    The harness takes ``process`` by name: "vp_linear", "vp_cosine", "flow" or "ve". ``power`` > 0;
    1 is uniform, 2 quadratic. The other arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: ``n`` or the range is invalid, or power not positive.
    """
    check_positive("power", power)
    first, last = process.t_of(sigma_max) ** (1 / power), process.t_of(sigma_min) ** (1 / power)

    def level_at(u: float) -> float:
        return process.level((first + u * (last - first)) ** power)

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)


@schedule(_ddim("appendix D.2, quadratic"), same_as="uniform_time(power=2.0)")
def quadratic_time(
    n: int, sigma_min: float, sigma_max: float, *, process: Process, to_zero: bool = True
) -> Grid:
    """Levels uniform in the square root of native time.

        t_i = (sqrt(t_max) + u_i (sqrt(t_min) - sqrt(t_max)))²

    Arguments as :func:`uniform_time`.
    """
    return uniform_time(n, sigma_min, sigma_max, process=process, power=2.0, to_zero=to_zero)


@schedule(edm("Table 1, column VP, time steps", deviations=(ENDS,)), same_as="uniform_time")
def edm_vp(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    beta_d: float = 19.9,
    beta_min: float = 0.1,
    to_zero: bool = True,
) -> Grid:
    """Levels of column VP in EDM's Table 1: uniform in t.

        sigma(t)² = exp(beta_d t² / 2 + beta_min t) - 1

    ``beta_d`` > 0 is the growth of the rate, ``beta_min`` > 0 the rate at t = 0. The other
    arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: ``n`` or the range is invalid, or a rate is not positive.
    """
    if not (beta_d > 0 and beta_min > 0):
        raise ValueError(f"beta_d and beta_min must be positive, got {beta_d} and {beta_min}")
    first, last = (
        (math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(s**2)) - beta_min) / beta_d
        for s in (sigma_max, sigma_min)
    )

    def level_at(u: float) -> float:
        t = first + u * (last - first)
        return math.sqrt(math.expm1(beta_d * t**2 / 2 + beta_min * t))

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)


@schedule(
    Source(
        "lee2024beta",
        "Beta sampling, alpha = beta = 0.6",
        "https://arxiv.org/abs/2407.12173v1",
        (CONTINUOUS,),
    )
)
def beta(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    process: Process,
    alpha: float = 0.6,
    beta: float = 0.6,
    to_zero: bool = True,
) -> Grid:
    """Noise levels at native times that are quantiles of a Beta(alpha, beta) distribution.

        t_i = t_min + q(1 - u_i) (t_max - t_min),   q the inverse of the regularised incomplete beta function

    ``alpha`` > 0 shapes the end at sigma_min, ``beta`` > 0 the end at sigma_max. A shape below 1
    gathers steps at its end. Both 1 give :func:`uniform_time`, which has the other arguments.

    Raises:
        ValueError: ``n`` or the range is invalid, or a shape is not positive.
    """
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha and beta must be positive, got {alpha} and {beta}")
    from scipy.special import betaincinv  # imported here, since few runs use it

    first, last = process.t_of(sigma_max), process.t_of(sigma_min)

    def level_at(u: float) -> float:
        return process.level(last + float(betaincinv(alpha, beta, 1 - u)) * (first - last))

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)
