"""The published tables that are predicted, what is known of them before anything is measured, and
which methods are plainly bad.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from samplerbench.results.published import rows_of_model

from .methods import Method, method_of

CHOOSING = "cifar10"
"""The set on which model, column and number of latents are chosen."""

SETS: Mapping[str, str] = {
    CHOOSING: "edm-cifar10-32x32-uncond-vp",
    "ffhq64": "edm-ffhq-64x64-uncond-vp",
    "imagenet64": "edm-imagenet-64x64-cond-adm",
    "bedroom256": "edm_bedroom256_ema",
    "imagenet256-latent": "ldm-imagenet-256x256-cfg-2.0",
}
"""Sets to the model of the published table. All but the first are for one look."""

PLAINLY_BAD = 3.0
"""A method is plainly bad at a budget if its FID on CIFAR-10 is more than so many times the best one
there; where CIFAR-10's table lacks it, its own set's FIDs decide.
"""

FEWEST = 5
"""Methods that a budget needs for a correlation."""


@dataclass(frozen=True)
class Point:
    """A published number that can be predicted.

    Attributes:
        method: how it was made.
        budget: evaluations per sample.
        fid: the number.
    """

    method: Method
    budget: int
    fid: float


@cache
def points_of_set(name: str) -> tuple[Point, ...]:
    """Return the numbers of a set that can be run here, the first of each (method, budget)."""
    found: dict[tuple[Method, int], Point] = {}
    for row in rows_of_model(SETS[name]):
        method = method_of(row)
        if method is not None:
            found.setdefault((method, int(row.nfe)), Point(method, int(row.nfe), row.value))
    return tuple(found.values())


def points_by_budget(name: str) -> dict[int, list[Point]]:
    """Return a set's points by budget; budgets with too few methods are left out."""
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
    """Return every method of some sets, with the budgets at which it is needed."""
    needed: dict[Method, set[int]] = {}
    for name in names or SETS:
        for budget, found in points_by_budget(name).items():
            for point in found:
                needed.setdefault(point.method, set()).add(budget)
    return needed
