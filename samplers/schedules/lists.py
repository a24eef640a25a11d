"""Published lists of levels for flows and for Stable Diffusion; ``lists.json`` has the numbers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..grid import Grid, check_range
from ..types import Source
from .registry import schedule


@cache
def read_lists() -> dict[str, Any]:
    """Return ``lists.json``: lists by schedule, and the levels to which the lists of GITS refer."""
    return json.loads((Path(__file__).parent / "lists.json").read_text(encoding="utf-8"))


def choose_list(name: str, key: str) -> Any:
    """Return the list ``key`` of the schedule ``name``; raise a ValueError if there is none."""
    lists = read_lists()[name]
    if key not in lists:
        raise ValueError(f"{name} has no list {key!r}; choose one of {', '.join(lists)}")
    return lists[key]


def _inner_levels(known: list[float], n: int, low: float, high: float) -> list[float]:
    """Return ``n`` - 1 levels between a list's ends, log-linear in the index, in (low, high)."""
    logs, ends = np.log(known), np.log([low, high])
    inner = np.interp(np.arange(1, n) * (len(known) - 1) / n, np.arange(len(known)), logs)
    if n > 1 and not (ends[0] < inner[-1] and inner[0] < ends[1]):
        inner = np.interp(inner, logs[[-1, 0]], ends)
    return np.exp(inner).tolist()


_DEVIATIONS = (
    "To 0, 0 takes the place of the list's last level: the last evaluation is above sigma_min.",
    "The first level is sigma_max. If another lies outside the model's range, the list is stretched "
    "in its logarithm, end to end.",
)


@schedule(
    Source(
        "pei2025oss",
        "lists in ComfyUI's nodes_optimalsteps.py",
        "https://github.com/bebebe666/OptimalSteps",
        _DEVIATIONS,
    ),
    of_library=True,
)
def optimal_steps(
    n: int, sigma_min: float, sigma_max: float, *, model: str = "flux", to_zero: bool = True
) -> Grid:
    """Levels at flow times that OptimalSteps found; other lengths interpolate the list.

    ``model`` is "flux" (10 steps), "wan" (20) or "chroma" (40); interpolation is log-linear in the
    index. ``oss`` runs the search. Other arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: ``model`` has no list, or ``n`` or the range is invalid.
    """
    check_range(n, sigma_min, sigma_max)
    low, high = (level / (1 + level) for level in (sigma_min, sigma_max))
    times = _inner_levels(choose_list("optimal_steps", model), n, low, high)
    return Grid((sigma_max, *(t / (1 - t) for t in times), 0.0 if to_zero else sigma_min))


@schedule(
    Source(
        "chen2024gits",
        "lists in ComfyUI's nodes_gits.py",
        "https://github.com/zju-pi/diff-sampler/tree/main/gits-main",
        (*_DEVIATIONS, "One step, which has no list, is (sigma_max, 0)."),
    ),
    of_library=True,
)
def gits_lists(
    n: int, sigma_min: float, sigma_max: float, *, coefficient: float = 1.2, to_zero: bool = True
) -> Grid:
    """Lists of 2 to 20 steps from GITS on Stable Diffusion; longer ones interpolate the last list.

    ``coefficient`` is 0.8, 0.85, … or 1.5; larger puts more steps at low noise. ``gits`` runs the
    search. Other arguments are as in :func:`~.closed.karras`, errors as in :func:`optimal_steps`.
    """
    check_range(n, sigma_min, sigma_max)
    chosen, nodes = choose_list("gits", f"{coefficient:.2f}"), read_lists()["gits_levels"]
    places = [0, *map(int, chosen[min(max(n, 2), 20) - 2].split()), -1]
    inner = _inner_levels([nodes[place] for place in places], n, sigma_min, sigma_max)
    return Grid((sigma_max, *inner, 0.0 if to_zero else sigma_min))
