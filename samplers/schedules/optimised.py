"""Optimised schedules: published lists of levels, and dynamic programming on a fine grid.

The numbers of published lists are in ``lists.json``.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..grid import Grid, check_range, spaced
from ..types import Source
from .discrete import table_levels
from .registry import schedule

Matrix = NDArray[np.float64]


@cache
def read_lists() -> dict[str, Any]:
    """Return ``lists.json``: lists by schedule, and the levels to which GITS's indices refer."""
    return json.loads((Path(__file__).parent / "lists.json").read_text(encoding="utf-8"))


def choose_list(name: str, key: str) -> Any:
    """Return the list ``key`` of the schedule ``name``; raise a ValueError if there is none."""
    lists = read_lists()[name]
    if key not in lists:
        raise ValueError(f"{name} has no list {key!r}; choose one of {', '.join(lists)}")
    return lists[key]


def _inner_levels(known: list[float], n: int, low: float, high: float) -> list[float]:
    """Return ``n`` - 1 inner levels of ``known``, log-interpolated, stretched if too wide."""
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
    key = f"{coefficient:.2f}"
    chosen = choose_list("gits_lists", key if float(key) == coefficient else str(coefficient))
    nodes = read_lists()["gits_levels"]
    places = [0, *map(int, chosen[min(max(n, 2), 20) - 2].split()), -1]
    inner = _inner_levels([nodes[place] for place in places], n, sigma_min, sigma_max)
    return Grid((sigma_max, *inner, 0.0 if to_zero else sigma_min))


def euler_costs(
    states: Sequence[Tensor], slopes: Sequence[Tensor], levels: Sequence[float]
) -> Matrix:
    """Return the mean error of an Euler step from each node of a trajectory to each later one.

        c_ij = mean |x_i + (sigma_j - sigma_i) eps_i - x_j|₂   for i < j, 0 elsewhere

    Args:
        states: x_i ``(batch, *event)`` at each level, falling.
        slopes: eps_i = (x_i - d_i) / sigma_i, ``(batch, *event)``; the last level's are not read.
        levels: sigma_i.

    Returns:
        ``(len(levels), len(levels))``, in data units.
    """
    size = len(levels)
    cost = np.zeros((size, size))
    for i in range(size - 1):
        for j in range(i + 1, size):
            missed = torch.add(states[i], slopes[i], alpha=levels[j] - levels[i]).sub_(states[j])
            cost[i, j] = float(missed.flatten(1).double().norm(dim=1).mean())
    return cost


def staircase_costs(
    levels: Sequence[float], mmse: NDArray[np.float64], integral: NDArray[np.float64]
) -> Matrix:
    """Return, for each possible step of ``ddpm``, its part of the paths' KL divergence, in nats.

        c_ij = 1/2 int_{gamma_i}^{gamma_j} [mmse(gamma_i) - mmse(gamma)] dgamma   for i < j, 0 elsewhere,   gamma = 1 / sigma²

    This is the area between the MMSE curve and a stair above it
    (``samplerbench_studies.analysis.path_kl`` derives it).

    Args:
        levels: sigma_i > 0, falling, ``(m,)``.
        mmse: mmse(gamma_i), ``(m,)``, falling; squares are summed over a sample's values.
        integral: int mmse dgamma from gamma_0 to gamma_i, ``(m,)``.

    Returns:
        ``(m, m)``.

    Raises:
        ValueError: the lengths differ.
    """
    if not len(levels) == len(mmse) == len(integral):
        raise ValueError(
            "one mmse and one integral a level are needed, got "
            f"{len(levels)}, {len(mmse)} and {len(integral)}"
        )
    gamma = np.asarray(levels, dtype=np.float64) ** -2
    stair = np.asarray(mmse)[:, None] * (gamma[None, :] - gamma[:, None])
    cost = 0.5 * (stair - (np.asarray(integral)[None, :] - np.asarray(integral)[:, None]))
    return np.triu(cost.clip(min=0), k=1)  # rounding makes some tiny areas negative


def cheapest_path(cost: Matrix, steps: int, weight: float = 1.0) -> list[int]:
    """Return the path from the first node to the last whose sum of weighted step costs is least.

    The cost of step k (from 0) is multiplied by weight^k. Dynamic programming runs backwards:
    V_k(i) = min over j > i of c_ij + weight V_(k-1)(j), and V_1(i) is the cost of the jump from i
    to the last node. Of equally cheap paths, the path with the earlier nodes is taken.

    Args:
        cost: ``(m, m)``, c_ij for i < j; the rest is not read.
        steps: 1 … m - 1.
        weight: > 0; above 1 errors late in the path count more.

    Returns:
        ``steps + 1`` indices of nodes, rising from 0 to m - 1.

    Raises:
        ValueError: there are more steps than the nodes allow, or none.
    """
    last = len(cost) - 1
    if not 1 <= steps <= last:
        raise ValueError(f"a path over {last + 1} nodes has 1 to {last} steps, not {steps}")
    # no jump leaves the last node
    jumps = np.where(np.triu(np.ones_like(cost, dtype=bool), k=1), cost, np.inf)
    value, choices = jumps[:, last], []
    for _ in range(steps - 1):
        total = jumps + weight * value[None, :]
        choices.append(total.argmin(axis=1))
        value = total.min(axis=1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return [*path, last]


def minimax_path(cost: Matrix, steps: int) -> list[int]:
    """Return the path whose largest step cost is least; ties go to the least sum of squared costs.

    Where costs vary smoothly and the nodes are dense, all steps then cost the same. The
    arguments, result and errors are those of :func:`cheapest_path` (without ``weight``).
    """

    def mask_costs_above(most: float) -> Matrix:
        return np.where(cost <= most, cost**2, np.inf)

    def has_path_within(most: float) -> bool:
        path = cheapest_path(mask_costs_above(most), steps)
        return all(i < j and cost[i, j] <= most for i, j in pairwise(path))

    costs = np.unique(cost[np.triu_indices(len(cost), k=1)])
    if not len(costs):
        return cheapest_path(cost, steps)  # which refuses a single node
    least = bisect_left(costs[:-1], True, key=has_path_within)
    return cheapest_path(mask_costs_above(costs[least]), steps)


class FineGridSearch:
    """Base class of schedules that select levels of a fine grid; define :meth:`path`.

    Attributes:
        levels: the fine grid, from the model's sigma_max to its sigma_min.
        name: registry name of the schedule, for messages.
        size: name of the schedule's option that sets the largest number of steps.
    """

    levels: tuple[float, ...]
    name: str
    size: str

    @property
    def max_steps(self) -> int:
        """Largest number of steps from sigma_max to sigma_min."""
        return len(self.levels) - 1

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """Return the grid of ``n`` steps.

        Raises:
            ValueError: ``n`` is below 1 or more than the search allows, or the range is not the
                model's.
        """
        check_range(n, sigma_min, sigma_max)
        if (sigma_max, sigma_min) != (self.levels[0], self.levels[-1]):
            raise ValueError(
                f"{self.name} was searched from {self.levels[0]:g} to {self.levels[-1]:g}, not from "
                f"{sigma_max:g} to {sigma_min:g}"
            )
        end = (0.0,) if to_zero else ()
        jumps = n - len(end)
        if jumps > self.max_steps:
            raise ValueError(
                f"{self.name} searched {self.max_steps} steps, too few for {n}; "
                f"give it {self.size}={jumps} or more"
            )
        path = self.path(jumps) if jumps else [0]
        return Grid((*(self.levels[i] for i in path), *end))

    @abstractmethod
    def path(self, jumps: int) -> Sequence[int]:
        """Return indices in ``levels`` for ``jumps`` steps from the first level to the last."""


@dataclass(frozen=True, eq=False)
class CheapestPathSearch(FineGridSearch):
    """Schedule found on one model: the cheapest path through a fine grid of levels.

    Attributes:
        cost: ``(m, m)`` costs of jumps between two levels (:func:`euler_costs`).
        weight: as in :func:`cheapest_path`.
        evaluations: network evaluations that the costs took, all trajectories together.
    """

    levels: tuple[float, ...]
    cost: Matrix
    weight: float
    evaluations: int
    name: str = "gits"
    size: str = "teacher_steps"

    def path(self, jumps: int) -> list[int]:
        """Return indices in ``levels``: the :func:`cheapest_path` of ``jumps`` steps."""
        return cheapest_path(self.cost, jumps, self.weight)


class MinimaxPathSearch(CheapestPathSearch):
    """Schedule found on one model, whose steps have about equal costs (:func:`minimax_path`)."""

    def path(self, jumps: int) -> list[int]:
        """Return indices in ``levels``: the :func:`minimax_path` of ``jumps`` steps."""
        return minimax_path(self.cost, jumps)


# Trained steps of the 10-step lists; their levels are rows of the scaled-linear beta table.
_TIMES = {
    "sd15": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
}
_LEVELS = {"svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)}
LISTS = (*_TIMES, *_LEVELS, *read_lists()["align_your_steps"])


def published_levels(model: str) -> tuple[float, ...]:
    """Return the noise levels of a published Align-Your-Steps list: falling, the last above 0.

    ``model`` is a name in :data:`LISTS`, such as "sd15" (see :func:`align_your_steps`).

    Raises:
        ValueError: there is no list of this name.
    """
    if model in _TIMES:
        return tuple(table_levels("scaled_linear")[t] for t in _TIMES[model])
    if model in LISTS:
        return tuple((_LEVELS | read_lists()["align_your_steps"])[model])
    raise ValueError(f"unknown Align-Your-Steps list {model!r}; choose one of {', '.join(LISTS)}")


@schedule(
    Source(
        "sabour2024ays",
        "quick-start guide, 10-step lists and their log-linear interpolation",
        "https://arxiv.org/abs/2404.14507v1",
        (
            "The list is stretched to the model's range: log(sigma) is mapped affinely, end to end.",
            "To 0, the list is spread over N - 1 steps and a step from sigma_min to 0 "
            "follows, as in Forge; with replace_last, 0 takes the place of the last level, as in "
            "the guide and in ComfyUI.",
        ),
    )
)
def align_your_steps(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    model: str = "sd15",
    replace_last: bool = False,
    to_zero: bool = True,
) -> Grid:
    """Levels of a published Align-Your-Steps list, log-linearly interpolated for other step counts.

    ``model`` names the list: "sd15", "sdxl" or "svd", of 10 steps. Without ``to_zero``, 10 steps
    over the range of such a list are the list itself. Forge's lists are "sd15_32" and "sdxl_32", of
    32 levels, and "sd15_gits" and "sdxl_gits", from GITS. With ``replace_last`` and ``to_zero``,
    0 replaces the list's last level. The other arguments are as in :func:`~.closed.karras`.

    Raises:
        ValueError: the list is unknown, or ``n`` or the range is invalid.
    """
    if replace_last and to_zero:
        grid = align_your_steps(n, sigma_min, sigma_max, model=model, to_zero=False)
        return Grid((*grid.sigma[:-1], 0.0))
    check_range(n, sigma_min, sigma_max)
    lam = [-math.log(s) for s in published_levels(model)]
    stretch = math.log(sigma_max / sigma_min) / (lam[-1] - lam[0])

    def level_at(u: float) -> float:
        value = float(np.interp(u * (len(lam) - 1), range(len(lam)), lam))
        return sigma_max * math.exp(stretch * (lam[0] - value))

    return spaced(n, sigma_min, sigma_max, to_zero, level_at)
