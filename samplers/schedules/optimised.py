"""Align Your Steps: published lists, interpolated to any number of steps."""

from __future__ import annotations

import math

from ..grid import Grid, spaced
from ..types import Source
from .registry import schedule
from .tables import levels

# Trained steps of the 10-step lists; their levels are rows of the scaled-linear beta table.
_TIMES = {
    "sd15": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
}
_LEVELS = {"svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)}
LISTS = (*_TIMES, *_LEVELS)


def published(model: str) -> tuple[float, ...]:
    """The eleven levels of a published list, falling.

    Args:
        model: "sd15", "sdxl" (trained steps on the Stable Diffusion table) or "svd" (levels).

    Raises:
        ValueError: no such list.
    """
    if model in _TIMES:
        return tuple(levels("scaled_linear")[t] for t in _TIMES[model])
    if model in _LEVELS:
        return _LEVELS[model]
    raise ValueError(f"unknown Align-Your-Steps list {model!r}; choose one of {', '.join(LISTS)}")


@schedule(
    Source(
        "sabour2024ays",
        "quick-start guide, 10-step lists and their log-linear interpolation",
        "https://arxiv.org/abs/2404.14507v1",
        (
            "The list is stretched to the model's range: log(sigma) is mapped affinely, end to end.",
            "To 0, the list is spread over N - 1 steps and a step from sigma_min to 0 "
            "follows; the guide replaces the last level by 0.",
        ),
    )
)
def align_your_steps(
    n: int, sigma_min: float, sigma_max: float, *, model: str = "sd15", to_zero: bool = True
) -> Grid:
    """A list that was optimised for a model at 10 steps, log-linearly interpolated in the index of
    the step.

    Over the range of the list, 10 steps that do not go to 0 are the list itself.

    Args:
        n: number of steps.
        sigma_min: last positive level.
        sigma_max: first level.
        model: whose list: "sd15", "sdxl" or "svd".
        to_zero: end at 0, as in :func:`~.closed.karras`.

    Raises:
        ValueError: no such list, no step or no range.
    """
    lam = [-math.log(s) for s in published(model)]
    stretch = math.log(sigma_max / sigma_min) / (lam[-1] - lam[0])

    def at(u: float) -> float:
        place = u * (len(lam) - 1)
        i = min(int(place), len(lam) - 2)
        value = lam[i] + (place - i) * (lam[i + 1] - lam[i])
        return sigma_max * math.exp(stretch * (lam[0] - value))

    return spaced(n, sigma_min, sigma_max, to_zero, at)
