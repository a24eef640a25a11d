"""Published tables that are predicted, and the methods that are plainly bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from samplerbench.results.published import rows_of_model

from .methods import Method, method_of

CHOOSING = "cifar10"
"""Set on which model, column and number of latents are chosen."""

SETS: Mapping[str, str] = {
    CHOOSING: "edm-cifar10-32x32-uncond-vp",
    "ffhq64": "edm-ffhq-64x64-uncond-vp",
    "imagenet64": "edm-imagenet-64x64-cond-adm",
    "bedroom256": "edm_bedroom256_ema",
    "imagenet256-latent": "ldm-imagenet-256x256-cfg-2.0",
}
"""Model of the published table by set. All sets but the first are predicted once."""

PLAINLY_BAD = 3.0
"""Ratio to the best FID on CIFAR-10 at the same budget above which a method is plainly bad. If
CIFAR-10's table lacks the method, the FIDs of its own set decide.
"""

FEWEST = 5
"""Smallest number of methods at a budget for a correlation."""


@dataclass(frozen=True)
class Point:
    """Published FID that can be predicted.

    Attributes:
        method: sampling method.
        budget: evaluations per sample.
        fid: the FID.
    """

    method: Method
    budget: int
    fid: float


@cache
def points_of_set(name: str) -> tuple[Point, ...]:
    """Return a set's FIDs whose methods can be run here, the first of each (method, budget)."""
    found: dict[tuple[Method, int], Point] = {}
    for row in rows_of_model(SETS[name]):
        method = method_of(row)
        if method is not None:
            found.setdefault((method, int(row.nfe)), Point(method, int(row.nfe), row.value))
    return tuple(found.values())


def points_by_budget(name: str) -> dict[int, list[Point]]:
    """Return a set's points by budget, without budgets of too few methods."""
    by: dict[int, list[Point]] = {}
    for point in sorted(points_of_set(name), key=lambda point: point.budget):
        by.setdefault(point.budget, []).append(point)
    return {budget: found for budget, found in by.items() if len(found) >= FEWEST}


def is_plainly_bad(name: str, point: Point) -> bool:
    """Return True if the method of a point is plainly bad at its budget."""
    for where in (CHOOSING, name):
        here = {p.method: p.fid for p in points_of_set(where) if p.budget == point.budget}
        if point.method in here:
            return here[point.method] > PLAINLY_BAD * min(here.values())
    raise KeyError(point.method.name)


def budgets_by_method(names: list[str] | None = None) -> dict[Method, set[int]]:
    """Return the budgets of each method in some sets (default: all)."""
    needed: dict[Method, set[int]] = {}
    for name in names or SETS:
        for budget, found in points_by_budget(name).items():
            for point in found:
                needed.setdefault(point.method, set()).add(budget)
    return needed
