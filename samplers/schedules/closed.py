"""Schedules in closed form in sigma, which need no noising process."""

from __future__ import annotations

import math
from functools import partial

from ..grid import Grid, check_range, spaced
from ..types import Source
from .registry import schedule

edm = partial(Source, "karras2022edm", url="https://arxiv.org/abs/2206.00364v2")
ENDS = "The ends are the range of the model, not that of the paper."


@schedule(edm("eq. (5)"))
def karras(
    n: int, sigma_min: float, sigma_max: float, *, rho: float = 7.0, to_zero: bool = True
) -> Grid:
    """Levels uniform in sigma^(1/rho).

        sigma_i = (sigma_max^(1/rho) + u_i (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,   u_i = i / (N - 1)

    Args:
        n: number of steps.
        sigma_min: last positive level.
        sigma_max: first level.
        rho: > 0; larger puts more steps at low noise. The limit of large rho is
            :func:`uniform_lambda`, and 1 is uniform in sigma.
        to_zero: True makes the last step from ``sigma_min`` to 0; the other ``n - 1`` span the
            range, and with ``n = 1`` the grid is (sigma_max, 0). False ends at ``sigma_min``.

    Raises:
        ValueError: ``n`` < 1, not 0 < sigma_min < sigma_max, or rho not positive.

    >>> karras(1, 0.002, 80.0).sigma
    (80.0, 0.0)
    """
    check_positive("rho", rho)
    lo, hi = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return spaced(n, sigma_min, sigma_max, to_zero, lambda u: (hi + u * (lo - hi)) ** rho)


@schedule(
    Source(
        "lu2022dpmsolver", "section 3.3, uniform in lambda", "https://arxiv.org/abs/2206.00927v3"
    )
)
def uniform_lambda(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels uniform in lam = -log(sigma).

    Also called "logSNR" or "exponential". Arguments as :func:`karras`.
    """
    return spaced(
        n, sigma_min, sigma_max, to_zero, lambda u: sigma_max * (sigma_min / sigma_max) ** u
    )


@schedule(
    Source(
        "crowson2022kdiffusion",
        "get_sigmas_polyexponential",
        "https://github.com/crowsonkb/k-diffusion",
    ),
    same_as="uniform_lambda",
)
def polyexponential(
    n: int, sigma_min: float, sigma_max: float, *, rho: float = 1.0, to_zero: bool = True
) -> Grid:
    """Levels with log(sigma) linear in a power of the fraction of steps that remain.

        log(sigma_i) = log(sigma_min) + (1 - u_i)^rho log(sigma_max / sigma_min)

    ``rho`` > 0; above 1 it puts more steps at low noise, and 1 is :func:`uniform_lambda`. Other
    arguments and errors are as in :func:`karras`.
    """
    check_positive("rho", rho)
    check_range(n, sigma_min, sigma_max)
    ratio = sigma_max / sigma_min
    return spaced(n, sigma_min, sigma_max, to_zero, lambda u: sigma_min * ratio ** ((1 - u) ** rho))


@schedule(edm("Table 1, column VE, time steps", deviations=(ENDS,)), same_as="uniform_lambda")
def edm_ve(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels of column VE in EDM's Table 1: t = sigma² is geometric.

        t_i = sigma_max² (sigma_min² / sigma_max²)^u_i

    Arguments as :func:`karras`.
    """
    high, low = sigma_max**2, sigma_min**2
    return spaced(n, sigma_min, sigma_max, to_zero, lambda u: math.sqrt(high * (low / high) ** u))


@schedule(
    Source(
        "sohldickstein2015",
        "section 2.4.1",
        "https://arxiv.org/abs/1503.03585v8",
        (
            "The paper gives the rate for binomial diffusion alone, and learns those of Gaussian "
            "diffusion by gradient on its bound; here it is that of x_t = "
            "sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) z, which the paper never used.",
            "The chain is read in continuous t / T, between the ends of the model's "
            "range: at t = T it has no signal, an infinite level.",
        ),
    )
)
def sohl_dickstein_1503(
    n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True
) -> Grid:
    """Levels sqrt((1 - abar) / abar), with abar linear in time between the model's ends.

    The paper's schedule of binomial diffusion, moved to Gaussian noise: beta_t = 1 / (T - t + 1), so
    abar_t = 1 - t / T, and every step loses 1 / T of the first signal. Arguments as :func:`karras`.
    """

    def level_at(u: float) -> float:
        signal = (1 - u) / (1 + sigma_max**2) + u / (1 + sigma_min**2)
        # 1 - signal, without cancellation
        noise = (1 - u) / (1 + sigma_max**-2) + u / (1 + sigma_min**-2)
        return math.sqrt(noise / signal)

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)


@schedule(
    Source(
        "esser2024sd3",
        "eq. (23)",
        "https://arxiv.org/abs/2403.03206v1",
        (
            "Between the ends of the model's range: a flow model starts at t = 1, where the "
            "level is infinite.",
        ),
    )
)
def flow_shift(
    n: int, sigma_min: float, sigma_max: float, *, shift: float = 3.0, to_zero: bool = True
) -> Grid:
    """Levels uniform in the time of a rectified flow, then shifted.

        t <- shift t / (1 + (shift - 1) t), or sigma <- shift sigma with sigma = t / (1 - t)

    ``shift`` > 0; above 1 it puts more steps at high noise, and 1 is uniform in flow time. Other
    arguments and errors are as in :func:`karras`.
    """
    check_positive("shift", shift)
    check_range(n, sigma_min, sigma_max)
    # the times that are shifted to the ends
    first, last = (s / (shift + s) for s in (sigma_max, sigma_min))

    def level_at(u: float) -> float:
        t = first + u * (last - first)
        return shift * t / (1 - t)

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)


def check_positive(name: str, value: float) -> None:
    """Raise a ValueError if ``value``, of a schedule's option ``name``, is not positive."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
