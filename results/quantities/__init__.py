"""Registry of the quantities that metrics measure.

A metric (``benchmarks.metrics``) computes values. Only this package defines the names, columns,
errors and permitted claims of these values. :mod:`.built_in` has the built-in quantities. Plugins'
metrics (entry points ``samplerbench.metrics``) register their quantities at the first use.
"""

from __future__ import annotations

import importlib.metadata
import logging
from functools import cache, partial
from typing import Any, NamedTuple

from ..columns import AROUND, ROW, Column, Kind
from .built_in import BUILT_IN
from .endpoints import ENDPOINTS
from .quantity import Floor, Quantity, Summary, To

__all__ = [
    "BUILT_IN",
    "ENDPOINTS",
    "Floor",
    "Quantity",
    "Summary",
    "To",
    "column_kinds",
    "column_names",
    "columns",
    "find",
    "flags",
    "installed",
    "judged",
    "quantities",
    "register",
]

log = logging.getLogger("samplerbench")

ENTRY_POINTS = "samplerbench.metrics"

_OWNED: dict[str, tuple[Quantity, ...]] = {}
"""Registered quantities by the name of the metric that measures them."""


def register(metric: str, measured: tuple[Quantity, ...]) -> None:
    """Register the quantities of a metric in place of its earlier ones.

    Raises:
        ValueError: the name of a column or array is no ASCII identifier or is taken, or a quantity
            refers to a column that does not exist.
    """
    built_in = [
        q for q in BUILT_IN if q not in measured and not any(q in own for own in _OWNED.values())
    ]
    owners = {name: "a built-in metric" for q in built_in for name in _column_and_array_names(q)}
    for other, own in _OWNED.items():
        if other != metric:
            owners |= {name: f"metric {other}" for q in own for name in _column_and_array_names(q)}
    owners |= {column.name: "every row" for column in (*ROW, *AROUND)}
    for quantity in measured:
        for name in sorted(_column_and_array_names(quantity)):
            if not (name.isascii() and name.isidentifier()):
                raise ValueError(
                    f"metric {metric} has a column {name!r}; name it with ASCII letters, digits and _"
                )
            if name in owners:
                clash = (
                    f"metric {metric} wants the column or array {name!r}, which {owners[name]} has"
                )
                raise ValueError(f"{clash}; give it another name")
        # arrays stay out: quantities of one metric may share an array
        own = {column.name for column in quantity.columns}
        owners |= dict.fromkeys(own, f"another quantity of metric {metric}")
    for quantity in measured:
        floor = quantity.floor.column if quantity.floor else ""
        names = (quantity.flag, quantity.resolution, quantity.apart, quantity.same, floor)
        for name in filter(None, names):
            if name not in owners:
                unknown = f"quantity {quantity.name} speaks of {name!r}, which is no column"
                raise ValueError(f"{unknown}; put it beside one of the metric's quantities")
    _OWNED[metric] = measured
    _known.clear()


def _column_and_array_names(quantity: Quantity) -> set[str]:
    arrays = {quantity.influence, quantity.reference_influence} - {""}
    return arrays | {column.name for column in quantity.columns}


_known: list[tuple[object, tuple[Quantity, ...]]] = []
"""Cache with at most one item: :data:`_OWNED`, and all quantities."""


def quantities() -> tuple[Quantity, ...]:
    """Return all quantities: the built-in ones, then the ones of plugins."""
    _warn_of_broken_metrics()
    if not _known or _known[0][0] is not _OWNED:
        built_in = set(BUILT_IN)
        others = (q for own in _OWNED.values() for q in own if q not in built_in)
        _known[:] = [(_OWNED, (*BUILT_IN, *others))]
    return _known[0][1]


def columns() -> tuple[Column, ...]:
    """Return the columns of the result table, in order: identity, measured values, conditions."""
    measured = (column for quantity in quantities() for column in quantity.columns)
    return (*ROW, *measured, *AROUND)


def column_names() -> tuple[str, ...]:
    """Return the names of :func:`columns`."""
    return tuple(column.name for column in columns())


def column_kinds() -> dict[str, Kind]:
    """Return the kind of values in each column, by the column's name."""
    return {column.name: column.kind for column in columns()}


class Installed(NamedTuple):
    """Metric of an installed package: loaded object ``found`` or None, and its ``fault`` or ""."""

    name: str
    package: str
    found: Any
    fault: str


@cache
def installed() -> tuple[Installed, ...]:
    """Return the metrics of installed packages. Loading them registers their quantities.

    Metrics are loaded once per process. A metric that cannot be loaded is returned with its fault.
    """
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return tuple(_load_metric(point) for point in sorted(points, key=lambda point: point.name))


def _load_metric(point: importlib.metadata.EntryPoint) -> Installed:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
    try:
        metric = point.load()
    except (Exception, SystemExit) as error:
        fault = f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())})"
        return Installed(point.name, package, None, fault)
    is_one = isinstance(getattr(metric, "quantities", None), tuple) and callable(metric)
    wrong = f"({point.value}) is not decorated with samplerbench.benchmarks.metrics.metric"
    return Installed(point.name, package, metric, "" if is_one else wrong)


@cache
def _warn_of_broken_metrics() -> None:
    for plugin in installed():
        if plugin.fault:
            log.warning(
                "The metric %s of %s is left out: it %s.", plugin.name, plugin.package, plugin.fault
            )


_Timed = partial(Quantity, meaning="", flag="timing_flag")
_Higher = partial(Quantity, meaning="", lower=False)
UNOWNED = {
    quantity.name: quantity
    for quantity in (
        *(_Timed(name=name) for name in ("ms_per_sample", "overhead")),
        *(_Higher(name=name) for name in ("mode_p", "psnr_capped")),
        _Timed(name="samples_per_second", lower=False),
    )
}
"""Columns that no metric owns, by name, of which higher is better or that have a flag."""


def find(name: str) -> Quantity:
    """Return the quantity of column ``name``, or a new one with error "se" if there is none.

    Of a column that is not known here, a warning says that lower is taken as better.
    """
    match = next((quantity for quantity in quantities() if quantity.name == name), None)
    if match is None and name not in column_names():
        _warn_of_unknown_direction(name)
    return match or UNOWNED.get(name) or Quantity(name=name, meaning="", error="se")


@cache
def _warn_of_unknown_direction(name: str) -> None:
    log.warning(
        "Nothing says whether lower or higher %s is better: lower is taken as better.", name
    )


def judged() -> tuple[Quantity, ...]:
    """Return the quantities that verdicts can be about, in the order of the table."""
    return tuple(quantity for quantity in quantities() if quantity.influence)


def flags() -> dict[str, str]:
    """Return the flag columns (reasons against trusting an interval) by quantity name."""
    return {quantity.name: quantity.flag for quantity in quantities() if quantity.flag}
