"""Schedules around another schedule, in a coordinate of its levels."""

from __future__ import annotations

from collections.abc import Callable

from ..grid import Grid
from ..types import Source
from .registry import schedule


def _in_coordinate(
    base: Callable[..., Grid], of_level: Callable[[float], float], inverse: Callable[[float], float]
) -> Callable[[int, float, float, bool], Grid]:
    """Return the schedule ``base`` in the coordinate ``of_level``; the ends stay exact."""

    def make(n: int, low: float, high: float, to_zero: bool) -> Grid:
        grid = base(n, of_level(low), of_level(high), to_zero=to_zero)
        ends = {grid.sigma[0]: high, of_level(low): low, 0.0: 0.0}
        return Grid(tuple(ends[x] if x in ends else inverse(x) for x in grid.sigma))

    return make


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
    """Levels of a schedule ``base`` on the range divided by ``shift``, times ``shift``.

    In flow time t <- shift t / (1 + (shift - 1) t), so that even times become ``flow_shift``. Nothing
    changes where levels scale with the range, as in ``karras``. The harness takes ``base`` as a spec,
    and ``shift`` as a number > 0 or "model": the shift of the model's scheduler, fixed or by the size
    of the image (FLUX, SD3). Other arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: ``shift`` is not positive, or ``base`` has no levels.
    """
    if not shift > 0:
        raise ValueError(f"shift must be positive, got {shift}")
    make = _in_coordinate(base, lambda level: level / shift, lambda level: level * shift)
    return make(n, sigma_min, sigma_max, to_zero)


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
    """Levels whose flow times sigma / (1 + sigma) are spaced as a schedule ``base`` spaces levels.

    ComfyUI and diffusers call these times sigma. ``base`` is as in :func:`shifted`.
    """
    make = _in_coordinate(base, lambda level: level / (1 + level), lambda t: t / (1 - t))
    return make(n, sigma_min, sigma_max, to_zero)
