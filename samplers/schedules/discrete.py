"""Schedules on the trained steps of a discrete-time model, the rows of its beta table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from ..grid import Grid, check_range
from ..types import Source
from .closed import edm
from .registry import schedule

STEPS = 1000
FLOW_ROWS = {"flow": 1000, "flux": 10_000}
"""Numbers of even times j / T, j = 1 … T, in ComfyUI's tables of flows and of FLUX."""
_OFFSET = 0.008
NEAR = 1e-4
"""Relative distance outside the range within which a row counts: a model's table may be float32."""


@cache
def table_levels(table: str) -> tuple[float, ...]:
    """Return the noise levels sqrt((1 - abar) / abar) of a table, rising, at t = 0 … T - 1.

    Args:
        table: rates beta_t of 1000 steps: "linear" (DDPM, arXiv:2006.11239, section 4: 1e-4 to
            0.02), "scaled_linear" (Stable Diffusion's configuration: sqrt(beta) linear, beta from
            0.00085 to 0.012) or "cosine" (iDDPM, arXiv:2102.09672, eq. 17, beta at most 0.999). Or
            a key of :data:`FLOW_ROWS`, whose last level is inf.

    Raises:
        ValueError: ``table`` is another name.
    """
    if total := FLOW_ROWS.get(table):
        return (*(j / (total - j) for j in range(1, total)), math.inf)
    if table == "linear":
        beta = np.linspace(1e-4, 0.02, STEPS)
    elif table == "scaled_linear":
        beta = np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2
    elif table == "cosine":
        signal = np.cos((np.arange(STEPS + 1) / STEPS + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
        beta = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    else:
        raise ValueError(
            f"unknown beta table {table!r}; choose one of linear, scaled_linear, cosine, "
            f"{', '.join(FLOW_ROWS)}"
        )
    log_signal = np.cumsum(np.log1p(-beta))
    return tuple(np.sqrt(np.expm1(-log_signal)).tolist())


TABLE_CUT_TO_RANGE = (
    "The table is cut to the model's range and its ends are moved to the ends of "
    "that range; where rows remain it has its own levels."
)
_paper = partial(Source, "lin2024flawed", url="https://arxiv.org/abs/2305.08891v4")


@schedule(
    _paper(
        "Table 2, leading",
        deviations=(
            TABLE_CUT_TO_RANGE,
            "The first level is sigma_max, where latents are drawn; the paper's leading "
            "steps start below the last trained step.",
            "Without a steps_offset: the last positive level is sigma_min.",
        ),
    )
)
def discrete_leading(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    table: str = "linear",
    interpolate: bool = False,
    to_zero: bool = True,
) -> Grid:
    """Rows 0, s, 2s, … of a beta table, s = floor(T / N): the steps of DDIM and iDDPM respacing.

    T is the number of rows in the range, N <= T the number of levels above 0. With ``interpolate``,
    s = T / N is not rounded, log(sigma) is linear between rows, and N may be up to 2 T - 1.
    ``table`` is a name of :func:`table_levels`, the other arguments as in :func:`~.closed.karras`.

    Raises:
        ValueError: the table is unknown, the range is invalid, or N is too large.
    """
    rows = levels_in_range(n, table, sigma_min, sigma_max)
    count = n if to_zero else n + 1
    stride = len(rows) / count if interpolate else len(rows) // count
    times = [i * stride for i in reversed(range(count))]
    return grid_at_times(n, rows, times, interpolate, to_zero)


@schedule(
    _paper(
        "Table 2, trailing",
        deviations=(
            TABLE_CUT_TO_RANGE,
            "To 0, the last positive level is that of row T / N - 1, not "
            "sigma_min: that row is the last evaluation.",
        ),
    )
)
def discrete_trailing(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    table: str = "linear",
    interpolate: bool = False,
    to_zero: bool = True,
) -> Grid:
    """Rows T - 1, T - 1 - T / N, … of a beta table, rounded; the first is the last trained step.

    N is ``n``, and T the number of rows in the range. The last level is 0 or ``sigma_min``. Other
    arguments and errors are as in :func:`discrete_leading`.
    """
    rows = levels_in_range(n, table, sigma_min, sigma_max)
    ends = [len(rows) * (n - i) / n for i in range(n)]
    # rows are counted from 1 where they are rounded, as halves go to the even number
    times = [max((end if interpolate else round(end)) - 1, 0) for end in ends]
    return grid_at_times(n, rows, times if to_zero else [*times, 0], interpolate, to_zero)


@schedule(_paper("Table 2, linspace", deviations=(TABLE_CUT_TO_RANGE,)))
def discrete_linspace(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    table: str = "linear",
    interpolate: bool = False,
    to_zero: bool = True,
) -> Grid:
    """Rows spread evenly from T - 1 to 0 over a beta table of T rows, rounded.

    Arguments and errors as :func:`discrete_leading`.
    """
    rows = levels_in_range(n, table, sigma_min, sigma_max)
    last = max(1, n - 1 if to_zero else n)
    times = [(len(rows) - 1) * (1 - i / last) for i in range(n if to_zero else n + 1)]
    return grid_at_times(n, rows, times, interpolate, to_zero)


@schedule(
    edm("Table 1, column iDDPM, time steps", deviations=(TABLE_CUT_TO_RANGE,)),
    same_as="discrete_linspace(table='cosine')",
)
def edm_iddpm(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels of column iDDPM in EDM's Table 1: evenly spaced in the trained step j, rounded.

        u_(j-1) = sqrt((u_j² + 1) / max(abar_(j-1) / abar_j, 0.001) - 1),   u_1000 = 0,   abar_j = sin²(pi / 2 · j / (1000 · 1.008))

    These are the levels of the cosine table, where abar_(j-1) / abar_j is 1 - beta. Arguments and
    errors as in :func:`discrete_leading`.
    """
    return discrete_linspace(n, sigma_min, sigma_max, table="cosine", to_zero=to_zero)


def levels_in_range(n: int, table: str, sigma_min: float, sigma_max: float) -> list[float]:
    """Return a table's levels in the range, rising; the range's ends replace the outer two.

    A level counts if it is in the range, outside by at most the fraction NEAR, or infinite.
    Raises a ValueError for fewer than two such levels, a bad range, or ``n`` < 1.
    """
    check_range(n, sigma_min, sigma_max)
    low, high = sigma_min * (1 - NEAR), sigma_max * (1 + NEAR)
    inside = [x for x in table_levels(table) if low <= x <= high or x == math.inf]
    if len(inside) < 2:
        raise ValueError(
            f"the beta table {table!r} has no two levels between "
            f"{sigma_min:g} and {sigma_max:g}; choose another table"
        )
    return [sigma_min, *inside[1:-1], sigma_max]


def grid_at_times(
    n: int, rows: Sequence[float], times: Sequence[float], interpolate: bool, to_zero: bool
) -> Grid:
    """Return the grid at falling ``times``: indices into levels ``rows``, interpolated or rounded.

    The first level is ``rows[-1]`` for any ``times[0]``. Levels that do not fall raise a ValueError.
    """
    inner = (level_between_rows(rows, t) if interpolate else rows[round(t)] for t in times[1:])
    sigma = [rows[-1], *inner]
    if sigma != sorted(set(sigma), reverse=True):
        raise ValueError(
            f"{n} steps are too many for a beta table with {len(rows)} levels between "
            f"{rows[0]:g} and {rows[-1]:g}; take fewer, or "
            "discrete_linspace(interpolate=True), which has levels between them"
        )
    return Grid((*sigma, 0.0) if to_zero else tuple(sigma))


def level_between_rows(rows: Sequence[float], t: float) -> float:
    """Return the level at row number ``t``, interpolated geometrically between ``rows``."""
    low = min(max(math.floor(t), 0), len(rows) - 2)
    return rows[low] ** (1 - (t - low)) * rows[low + 1] ** (t - low)
