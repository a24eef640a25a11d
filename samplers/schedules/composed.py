"""Schedules that apply another schedule to transformed levels: scaled ones, or flow times."""

from __future__ import annotations

from collections.abc import Callable

from ..grid import Grid
from ..types import Source
from .closed import check_positive
from .registry import schedule


def _back_to_levels(
    grid: Grid, low: float, inverse: Callable[[float], float], sigma_min: float, sigma_max: float
) -> Grid:
    """Return levels ``inverse(value)`` for a grid of values; ``low`` becomes sigma_min exactly."""
    ends = {grid.sigma[0]: sigma_max, low: sigma_min}
    return Grid(tuple(ends[x] if x in ends else inverse(x) for x in grid.sigma))


@schedule(
    Source(
        "esser2024sd3",
        "eq. (23) and section 5.3.2",
        "https://arxiv.org/abs/2403.03206v1",
        ("Any schedule is shifted, between the ends of the model's range, which stay.",),
    ),
    of_library=True,
)
def shifted(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    base: Callable[..., Grid],
    shift: float = 3.0,
    to_zero: bool = True,
) -> Grid:
    """Levels of a schedule ``base`` on the range divided by ``shift``, multiplied by ``shift``.

    In flow time t <- shift t / (1 + (shift - 1) t), so that even times become ``flow_shift``. A
    base whose levels scale with the range, such as ``karras``, is unchanged. The harness takes
    ``base`` as a spec, and ``shift`` > 0 or "model": the shift of the model's scheduler, fixed or
    by the size of the image (FLUX, SD3). Other arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: ``shift`` is not positive, or ``base`` refuses ``n`` or the divided range.
    """
    check_positive("shift", shift)
    low, high = sigma_min / shift, sigma_max / shift
    grid = base(n, low, high, to_zero=to_zero)
    return _back_to_levels(grid, low, lambda level: level * shift, sigma_min, sigma_max)


@schedule(
    Source(
        "comfyui2023",
        "the formulas in its menu on a flow, as with use_karras_sigmas in diffusers",
        "https://github.com/comfyanonymous/ComfyUI/blob/master/comfy/samplers.py",
    ),
    of_library=True,
)
def in_flow_time(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    base: Callable[..., Grid],
    to_zero: bool = True,
) -> Grid:
    """Noise levels whose flow times t = sigma / (1 + sigma) are the output of a schedule ``base``.

    ``base`` gets the ends' times as its range (ComfyUI and diffusers call t sigma), and the result
    is levels again. Other arguments and errors are as in :func:`shifted`.
    """
    first, last = (level / (1 + level) for level in (sigma_max, sigma_min))
    grid = base(n, last, first, to_zero=to_zero)
    return _back_to_levels(grid, last, lambda t: t / (1 - t), sigma_min, sigma_max)
