"""The quantities that metrics measure: each with what tables, plots, verdicts and help say of it.

A metric (``benchmarks.metrics``) computes numbers; what they are called, which columns hold them,
how their errors are given and what may be claimed from them is said here, once. Nothing else keeps
a list of metrics. Those that are built in are in :mod:`.built_in`; a plugin brings its own with its metric (entry
points ``samplerbench.metrics``), which is asked for them when a table is read.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from ..record import AROUND, ROW, Column, Kind
from .built_in import BUILT_IN, ENDPOINTS
from .quantity import Floor, Quantity, Summary, To

__all__ = [
    "BUILT_IN",
    "ENDPOINTS",
    "ENTRY_POINTS",
    "Floor",
    "Installed",
    "Quantity",
    "Summary",
    "To",
    "column_kinds",
    "column_names",
    "columns",
    "distances",
    "find",
    "flags",
    "installed",
    "judged",
    "named",
    "panels",
    "quantities",
    "register",
]

log = logging.getLogger("samplerbench")

ENTRY_POINTS = "samplerbench.metrics"

_OWNED: dict[str, tuple[Quantity, ...]] = {}
"""By the name of the metric that measures them, for as long as the process lives."""


def register(metric: str, measured: tuple[Quantity, ...]) -> None:
    """Make the quantities of a metric known; those that it had before are forgotten.

    Raises:
        ValueError: a column or an array of influence values is another's already, or a quantity
            speaks of a column that is nobody's.
    """
    rest = [
        q for q in BUILT_IN if q not in measured and not any(q in own for own in _OWNED.values())
    ]
    taken = {name: "a built-in metric" for q in rest for name in _names_of(q)}
    for other, own in _OWNED.items():
        if other != metric:
            taken |= {name: f"metric {other}" for q in own for name in _names_of(q)}
    taken |= {column.name: "every row" for column in (*ROW, *AROUND)}
    for quantity in measured:
        for name in sorted(_names_of(quantity)):
            if not (name.isascii() and name.isidentifier()):
                raise ValueError(
                    f"metric {metric} has a column {name!r}; name it with a-z, 0-9 and _"
                )
            if name in taken:
                clash = (
                    f"metric {metric} wants the column or array {name!r}, which {taken[name]} has"
                )
                raise ValueError(f"{clash}; give it another name")
        # quantities of one metric may sum up the same array
        own = {column.name for column in quantity.columns}
        taken |= dict.fromkeys(own, f"another quantity of metric {metric}")
    for quantity in measured:
        floor = quantity.floor.column if quantity.floor else ""
        for name in filter(None, (quantity.flag, quantity.resolution, quantity.apart, floor)):
            if name not in taken:
                unknown = f"quantity {quantity.name} speaks of {name!r}, which is no column"
                raise ValueError(f"{unknown}; put it beside one of the metric's quantities")
    _OWNED[metric] = measured
    _known.clear()


def _names_of(quantity: Quantity) -> set[str]:
    """Its columns and the arrays of its influence values, which may have its column's name."""
    arrays = {quantity.influence, quantity.reference_influence} - {""}
    return arrays | {column.name for column in quantity.columns}


def quantities() -> tuple[Quantity, ...]:
    """All quantities that are known here, those of installed plugins among them."""
    return _all_of(_OWNED)[0]


_Known = tuple[tuple[Quantity, ...], Mapping[str, str], frozenset[str]]
_known: list[tuple[object, _Known]] = []
"""Those of the last registry that was asked for, their flags, and which of them are distances: a report
asks for each row.
"""


def _all_of(owned: Mapping[str, tuple[Quantity, ...]]) -> _Known:
    _warn_of_broken()
    if not _known or _known[0][0] is not owned:
        built_in = set(BUILT_IN)
        found = (*BUILT_IN, *(q for own in owned.values() for q in own if q not in built_in))
        flags = {quantity.name: quantity.flag for quantity in found if quantity.flag}
        distances = frozenset(quantity.name for quantity in found if quantity.to)
        _known[:] = [(owned, (found, MappingProxyType(flags), distances))]
    return _known[0][1]


def columns() -> tuple[Column, ...]:
    """All columns of the result table in order, those of installed metrics among them: what a row
    is, what was measured, how it came about.
    """
    measured = (column for quantity in quantities() for column in quantity.columns)
    return (*ROW, *measured, *AROUND)


def column_names() -> tuple[str, ...]:
    """The names of all columns."""
    return tuple(column.name for column in columns())


def column_kinds() -> dict[str, Kind]:
    """What each column holds, by its name."""
    return {column.name: column.kind for column in columns()}


class Installed(NamedTuple):
    """A metric that an installed package names: what was loaded, or why it could not be."""

    name: str
    package: str
    found: Any
    fault: str


@cache
def installed() -> tuple[Installed, ...]:
    """The metrics of installed packages, loaded once a process.

    Loading one makes its quantities known.
    """
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return tuple(_loaded(point) for point in sorted(points, key=lambda point: point.name))


def _loaded(point: importlib.metadata.EntryPoint) -> Installed:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        fault = f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())})"
        return Installed(point.name, package, None, fault)
    is_one = isinstance(getattr(found, "quantities", None), tuple) and callable(found)
    fault = (
        ""
        if is_one
        else (f"({point.value}) is not decorated with samplerbench.benchmarks.metrics.metric")
    )
    return Installed(point.name, package, found, fault)


@cache
def _warn_of_broken() -> None:
    """Say once which metrics of installed packages are left out, and why."""
    for each in installed():
        if each.fault:
            log.warning(
                "The metric %s of %s is left out: it %s.", each.name, each.package, each.fault
            )


def find(name: str) -> Quantity:
    """The quantity of a column; one that is not known has ``NAME_se`` for its standard error."""
    known = next((quantity for quantity in quantities() if quantity.name == name), None)
    return known or Quantity(name=name, meaning="", error="se")


def judged() -> tuple[Quantity, ...]:
    """Those that verdicts can be about, the usual one of a table first."""
    return tuple(quantity for quantity in quantities() if quantity.influence)


def panels() -> tuple[Quantity, ...]:
    """Those that have a panel in the report."""
    return tuple(quantity for quantity in quantities() if quantity.note)


def flags() -> Mapping[str, str]:
    """The columns that say why an interval is not to be trusted, by the columns of the values."""
    return _all_of(_OWNED)[1]


def distances() -> frozenset[str]:
    """Return the names of the quantities that are distances, which are never below 0."""
    return _all_of(_OWNED)[2]


def named(known: Sequence[Quantity], name: str) -> Quantity:
    """One of several quantities by its name.

    Raises:
        ValueError: it is not among them.
    """
    for quantity in known:
        if quantity.name == name:
            return quantity
    there = ", ".join(quantity.name for quantity in known)
    raise ValueError(
        f"there is no {name!r} here; choose from {there or 'nothing: none is measured'}"
    )
