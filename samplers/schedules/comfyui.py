"""Schedules in the menus of ComfyUI, RES4LYF and Forge, by their exact rules.

Rules that pick rows of a beta table take ``table``: Stable Diffusion's by default, "flow" for a flow
of 1000 times, "flux" for one of 10,000. On flows ComfyUI's sigma is the time t. Rules without
``table`` then have to be wrapped in ``in_flow_time``. ``shifted`` applies a model's shift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from ..grid import Grid, check_range, spaced
from ..types import Source
from .closed import check_positive, flow_shift
from .discrete import (
    FLOW_ROWS,
    TABLE_CUT_TO_RANGE,
    discrete_linspace,
    grid_at_times,
    levels_in_range,
)
from .registry import schedule

SD = "scaled_linear"
LAST_EVALUATION = "To 0, the last evaluation is above sigma_min, where the rule has it."
SHIFT_TWICE = "ComfyUI ends on a shifted flow at shift * sigma_min: it shifts the last time twice."

_menu = partial(schedule, of_library=True)


def _comfyui(where: str, *deviations: str) -> Source:
    url = "https://github.com/comfyanonymous/ComfyUI/blob/master/comfy"
    return Source("comfyui2023", where, url, deviations)


def _res4lyf(where: str, *deviations: str) -> Source:
    return Source("res4lyf2024", where, "https://github.com/ClownsharkBatwing/RES4LYF", deviations)


@_menu(_comfyui("samplers.py, normal_scheduler; Forge's Normal and Uniform", SHIFT_TWICE))
def normal(
    n: int, sigma_min: float, sigma_max: float, *, table: str = SD, to_zero: bool = True
) -> Grid:
    """Levels at even times from sigma_max to sigma_min, of a beta table or of a flow.

    ``table`` is a name of :func:`~.discrete.table_levels`. "flow" and "flux" give ``flow_shift``
    with shift 1. Others give ``discrete_linspace(interpolate=True)``, with its arguments.
    """
    if table in FLOW_ROWS:
        return flow_shift(n, sigma_min, sigma_max, shift=1.0, to_zero=to_zero)
    return discrete_linspace(
        n, sigma_min, sigma_max, table=table, interpolate=True, to_zero=to_zero
    )


@_menu(_comfyui("samplers.py, normal_scheduler(sgm=True)", LAST_EVALUATION, SHIFT_TWICE))
def sgm_uniform(
    n: int, sigma_min: float, sigma_max: float, *, table: str = SD, to_zero: bool = True
) -> Grid:
    """Levels of ``normal`` with one step more, of which sigma_min is then left out.

    Without ``to_zero`` it equals :func:`normal`, where the arguments and errors are explained.
    """
    grid = normal(n, sigma_min, sigma_max, table=table, to_zero=False)
    return Grid((*grid.sigma[:-1], 0.0)) if to_zero else grid


def _by_rows(
    name: str, summary: str, source: Source, rows_of: Callable[[int, int], Sequence[int]]
) -> Callable[..., Grid]:
    """Register and return a schedule: falling rows ``rows_of(n, T)`` of the T rows in the range."""

    def make(
        n: int, sigma_min: float, sigma_max: float, *, table: str = SD, to_zero: bool = True
    ) -> Grid:
        levels = levels_in_range(n, table, sigma_min, sigma_max)
        total, lowest = len(levels), 0 if to_zero else 1
        # rows that repeat, at either end, take the next free row
        rows = [
            max(min(row, total - 1 - i), min(lowest + n - 1 - i, total - 1))
            for i, row in enumerate(rows_of(n, total))
        ]
        return grid_at_times(n, levels, rows if to_zero else [*rows, 0], False, to_zero)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{summary}\n\nArguments and errors are as in :func:`normal`."
    return _menu(source)(make)


simple = _by_rows(
    "simple",
    "Rows T - 1 - floor(i T / N): ``discrete_trailing``, rounded up.",
    _comfyui("samplers.py, simple_scheduler", TABLE_CUT_TO_RANGE, LAST_EVALUATION),
    lambda n, total: [total - 1 - int(i * (total / n)) for i in range(n)],
)
ddim_uniform = _by_rows(
    "ddim_uniform",
    "Rows 1, 1 + s, 1 + 2 s, … with s = floor(T / N), as DDIM of Stable Diffusion.",
    _comfyui(
        "samplers.py, ddim_scheduler; Forge's DDIM",
        TABLE_CUT_TO_RANGE,
        "The first level is sigma_max, where latents are drawn; the rule starts lower.",
        "N steps: where N does not divide T, ComfyUI takes more; the highest are left out.",
        LAST_EVALUATION,
    ),
    lambda n, total: [1 + i * (total // n) for i in reversed(range(n))],
)
sd_turbo = _by_rows(
    "sd_turbo",
    "First N of ten trailing rows, 999, 899, …, for distilled networks; Forge's Turbo is ``discrete_trailing``.",
    _comfyui(
        "nodes_custom_sampler.py, SDTurboScheduler",
        TABLE_CUT_TO_RANGE,
        LAST_EVALUATION,
        "Above 10 steps, which the node has not, it is discrete_trailing.",
    ),
    lambda n, total: [round(total * (1 - i / max(n, 10))) - 1 for i in range(n)],
)


def _beta_rows(alpha: float, beta: float, n: int, total: int) -> list[int]:
    from scipy.special import betaincinv  # imported here, since few runs use it

    return [round(betaincinv(alpha, beta, 1 - i / n) * (total - 1)) for i in range(n)]


REPEATED_ROWS = (
    "ComfyUI leaves out rows that repeat, and takes fewer steps; here the next one is taken."
)
beta_rows = _by_rows(
    "beta_rows",
    "ComfyUI's beta: quantiles 1, …, 1 / N of Beta(0.6, 0.6), in rows; Forge's is ``beta(process='ve')``.",
    _comfyui("samplers.py, beta_scheduler", TABLE_CUT_TO_RANGE, REPEATED_ROWS, LAST_EVALUATION),
    partial(_beta_rows, 0.6, 0.6),
)
beta57 = _by_rows(
    "beta57",
    "RES4LYF's default: ``beta_rows`` of Beta(0.5, 0.7), near ``beta(alpha=0.5, beta=0.7)``.",
    _res4lyf("__init__.py, beta57", TABLE_CUT_TO_RANGE, REPEATED_ROWS, LAST_EVALUATION),
    partial(_beta_rows, 0.5, 0.7),
)


@_menu(_comfyui("samplers.py, kl_optimal_scheduler; after Align Your Steps, section 3"))
def kl_optimal(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels uniform in atan(sigma), the time t of the path cos(t) x0 + sin(t) z.

    Forge has N + 1 levels to sigma_min, and no step to 0. Arguments as :func:`~.closed.karras`.
    """
    top, bottom = math.atan(sigma_max), math.atan(sigma_min)
    return spaced(n, sigma_min, sigma_max, to_zero, lambda u: math.tan(top + u * (bottom - top)))


CURVE_SCALING = (
    "A curve is scaled so as to end at sigma_min if that were above its last evaluation."
)


def _along(fractions: Sequence[float], sigma_min: float, sigma_max: float, to_zero: bool) -> Grid:
    """Return the grid sigma_max × ``fractions`` (1 to 0), scaled if a level > 0 is below sigma_min."""
    *inner, low = fractions[1:-1] if to_zero else fractions[1:]
    if low * sigma_max < sigma_min:
        scale = (1 - sigma_min / sigma_max) / (1 - low)
        inner, low = [1 - (1 - x) * scale for x in inner], sigma_min / sigma_max
    levels = (sigma_max, *(sigma_max * x for x in inner), max(sigma_max * low, sigma_min))
    return Grid((*levels, 0.0) if to_zero else levels)


@_menu(_comfyui("samplers.py, linear_quadratic_schedule; Mochi's", LAST_EVALUATION, CURVE_SCALING))
def linear_quadratic(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels that fall linearly to 0.975 sigma_max in half of the steps, then quadratically to 0.

    Mochi and LTX use it in flow time. Arguments as :func:`~.closed.karras`.
    """
    check_range(n, sigma_min, sigma_max)
    if n == 1:
        return Grid((sigma_max, 0.0 if to_zero else sigma_min))
    first, share = n // 2, 0.025
    slope = share / first
    # the curve begins with the slope of the line, and ends at 1
    bend = (1 - share - slope * (n - first)) / (n - first) ** 2
    shape = [1 - i * slope - bend * max(i - first, 0) ** 2 for i in range(n)]
    return _along([*shape, 0.0], sigma_min, sigma_max, to_zero)


@_menu(
    _res4lyf(
        "sigmas.py, bong_tangent_scheduler",
        "RES4LYF starts at 1, the time of a flow, whatever the model.",
        LAST_EVALUATION,
        CURVE_SCALING,
    )
)
def bong_tangent(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels on two arctangents, steepest where they meet: sigma_max / 2, after 60 % of the steps.

    It is meant for flow time. Arguments as :func:`~.closed.karras`.
    """
    check_range(n, sigma_min, sigma_max)
    if n == 1:
        return Grid((sigma_max, 0.0 if to_zero else sigma_min))
    first = int(0.6 * (n + 2))

    def piece(count: int, pivot: int) -> list[float]:
        curve = [math.atan(8 / (n + 2) * (pivot - x)) for x in range(count)]
        return [(value - curve[-1]) / (curve[0] - curve[-1]) / 2 for value in curve]

    upper = [0.5 + value for value in piece(first, first)[:-1]]
    return _along([*upper, *piece(n + 2 - first, 0)], sigma_min, sigma_max, to_zero)


@_menu(
    Source(
        "hang2024laplace",
        "Laplace; k_diffusion/sampling.py of ComfyUI, get_sigmas_laplace",
        "https://arxiv.org/abs/2407.03297",
        (
            "A proposal for training, which ComfyUI samples on.",
            "ComfyUI clamps levels to the range; if it clamps an inner one, the quantiles here run "
            "from sigma_max to sigma_min.",
            "ComfyUI's node has no step to 0.",
        ),
    )
)
def laplace(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    mu: float = 0.0,
    beta: float = 0.5,
    to_zero: bool = True,
) -> Grid:
    """Levels at quantiles of a Laplace distribution of log(sigma): most steps near its mean ``mu``.

    ``beta`` > 0 is its scale. Other arguments and errors are as in :func:`~.closed.karras`.
    """
    check_range(n, sigma_min, sigma_max)
    check_positive("beta", beta)
    tiny = 1e-5

    def level_at(x: float) -> float:
        tail = beta * math.log(min(1.0, 2 * min(x, 1 - x) + tiny))
        return math.exp(mu - tail if x < 0.5 else mu + tail)

    def place_of(level: float) -> float:
        distance = (math.log(level) - mu) / beta
        tail = max(math.exp(-abs(distance)) - tiny, 0.0) / 2
        return tail if distance > 0 else 1 - tail

    steps = n - 1 if to_zero else n
    inside = all(sigma_min < level_at(i / steps) < sigma_max for i in range(1, steps))
    first, last = (0.0, 1.0) if inside else (place_of(sigma_max), place_of(sigma_min))
    return spaced(n, sigma_min, sigma_max, to_zero, lambda u: level_at(first + u * (last - first)))
