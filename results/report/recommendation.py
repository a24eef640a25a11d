"""Sampler to use at each budget: the Pareto front, and a recommendation where verdicts support one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..comparison.findings import Findings
from ..comparison.pareto import FrontPosition, Point, front_positions, point_of, surely_cheaper
from ..comparison.verdicts import Panel
from ..record import Record
from ..text import format_number
from ..values import number, text

COSTS = (("nfe", "evaluations"), ("ms_per_sample", "ms"))
"""Columns that work is counted by, and their units."""


@dataclass(frozen=True)
class Choice:
    """A row of the front: the lowest for every budget from its cost up to the next one's.

    Attributes:
        budget: the range in words.
        row: the row.
        certain: whether it is on the front within the errors.
        alike: how many rows of its cost have its value, but for rounding; in one step methods
            coincide.
        alone: whether no other sampler was run, so that there is nothing to choose.
    """

    budget: str
    row: Record
    certain: bool
    alike: int = 1
    alone: bool = False

    @property
    def curve(self) -> str:
        """Name of its curve, or that it does not matter."""
        return text(self.row, "curve") if self.alike == 1 else f"any of {self.alike} that coincide"

    @property
    def verdict(self) -> str:
        """Recommendation in words."""
        if self.alone:
            return "the only one"
        return ("use it" if self.alike == 1 else "any of them") if self.certain else "open"

    @property
    def recommended(self) -> bool:
        """Return True if the verdict is to use it."""
        return self.verdict == "use it"


@dataclass(frozen=True)
class Front:
    """The front in one unit of work, the cheapest first.

    Attributes:
        unit: of work.
        choices: the rows.
        rest: how many rows off it by their values errors could put on it.
        merged: how many rows of it are left out because a lower one takes a time that cannot be
            distinguished from theirs.
    """

    unit: str
    choices: tuple[Choice, ...]
    rest: int
    merged: int


def fronts_of(found: Findings) -> tuple[Front, ...]:
    """The fronts of one problem: by evaluations, and by time where it was measured."""
    fronts = [(unit, cost, front_positions(found.panel, cost)) for cost, unit in COSTS]
    return tuple(_front(found.panel, unit, cost, place) for unit, cost, place in fronts if place)


def _front(panel: Panel, unit: str, cost: str, places: dict[int, FrontPosition]) -> Front:
    points = {index: point for index in places if (point := _point(panel, index, cost))}
    on = sorted(
        (index for index in places if places[index].on_front),
        key=lambda index: points[index][1::-1],
    )
    first = [
        index
        for index, before in zip(on, [None, *on], strict=False)
        if before is None or points[index].cost != points[before].cost
    ]
    distinct = _distinct_costs(first, points)
    costs = [points[index].cost for index in distinct]
    ranges = [f"{format_number(low)} to {format_number(high)}" for low, high in pairwise(costs)] + [
        f"{format_number(cost)} or more" for cost in costs[-1:]
    ]
    alone = len({entry.record["curve"] for entry in panel.entries.values()}) == 1
    choices = [
        Choice(
            words,
            panel.entries[index].record,
            places[index].front == "on",
            _coinciding(panel, index, cost),
            alone,
        )
        for words, index in zip(ranges, distinct, strict=True)
    ]
    uncertain = sum(place.front == "uncertain" and not place.on_front for place in places.values())
    return Front(unit, tuple(choices), uncertain, len(first) - len(distinct))


def _point(panel: Panel, index: int, cost: str) -> Point | None:
    return point_of(panel.entries[index].record, panel.quantity.name, cost)


def _distinct_costs(front: list[int], points: dict[int, Point]) -> list[int]:
    """Return the rows with distinguishable costs; of indistinguishable ones the dearest, the
    lowest.
    """
    distinct: list[int] = []
    for index in reversed(front):
        if not distinct or surely_cheaper(points[index], points[distinct[-1]]):
            distinct.append(index)
    return distinct[::-1]


def _coinciding(panel: Panel, index: int, cost: str) -> int:
    """Return the number of rows of a row's cost that coincide with it, itself among them."""
    own_cost = number(panel.entries[index].record, cost)
    rows_of_cost = [
        other
        for other, entry in panel.entries.items()
        if other != index and number(entry.record, cost) == own_cost
    ]
    return 1 + sum(
        bool((judgement := panel.judgement(other, index)) and judgement.coincide)
        for other in rows_of_cost
    )
