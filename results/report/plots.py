"""Data of the work-precision plots, and the style of each curve.

Plotly interprets some HTML in labels, so all texts are escaped here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from statistics import median
from typing import Any

import pandas as pd

from ..comparison.findings import BestRow
from ..palette import FAMILIES, Style, style
from ..printed_values import error_bar_on_log_axis, interval_flag, value_with_bounds
from ..quantities import Quantity, quantities
from ..table.curves import label_of_curve
from ..text import cut_middle
from ..values import Record, number, rows_by_index, text

DASHES = ("dash", "dashdot", "dot", "longdash", "longdashdot")
"""Plotly's lines for a curve whose colour and line another curve has."""
VARIANTS = ("", "-open", "-dot", "-open-dot")
"""Suffixes of Plotly's markers, for further curves of one sampler."""

LONGEST = 24
"""Largest number of letters of a name next to its curve."""
WORK = {
    "steps": "Steps",
    "nfe": "Evaluations",
    "ms_per_sample": "Milliseconds",
    "joules_per_sample": "Joules",
}
"""Titles of the columns that can be the horizontal axis."""


def plot_data_of(
    rows: pd.DataFrame,
    styles: Mapping[str, Style],
    first: str = "",
    best: BestRow | None = None,
) -> dict[str, Any] | None:
    """Return the data of one problem's plot as JSON values; None if there is nothing to draw.

    The quantity ``first`` is shown first, if it can be drawn. ``best`` is the row that the page's
    first sentence is about. Its budget is marked. Its curve, baseline and three rivals stand out.

    Returns:
        Dictionary with ``first`` (name of a quantity), ``budget``, ``auto`` (True with a curve of
            sampler ``auto``), and the lists ``measures`` (quantities), ``work`` (costs) and
            ``curves``. A curve has ``family`` (its index in :data:`..palette.FAMILIES`), ``main``
            (True if it stands out), ``row`` (row indices of its points), ``x`` (a list over points
            for each cost) and ``y``. For each quantity, ``y`` has lists over points: ``text``,
            ``flagged``, and the items of :func:`..printed_values.error_bar_on_log_axis`.
    """
    indexed = rows_by_index(rows).items()
    finished = [row | {"line": index} for index, row in indexed if row["status"] == "ok"]

    def has(name: str, *, above: float = -math.inf) -> bool:
        return any((value := number(row, name)) is not None and value > above for row in finished)

    measures = [q for q in quantities() if q.note and has(q.name, above=0)]
    work = [name for name in WORK if has(name)]
    if not measures or not work:
        return None
    by_curve: dict[str, list[Record]] = {}
    for row in finished:
        by_curve.setdefault(text(row, "curve"), []).append(row)
    main = {best.curve, *best.rivals[:3], text(best.baseline or {}, "curve")} if best else set()
    curves = [
        _curve_data(name, points, measures, work, styles[name]) | {"main": name in main}
        for name, points in by_curve.items()
    ]
    about = [
        {
            "name": quantity.name,
            "title": quantity.title,
            "caption": f"{quantity.title}: {quantity.brief or quantity.meaning}. "
            f"{quantity.better.capitalize()} is better"
            f"{'' if not quantity.lower or (quantity.floor and quantity.floor.perfect) else '; 0 is perfect'}.",
            "note": quantity.note,
            "floor": _floor_data(quantity, finished),
            "power": quantity.power,
        }
        for quantity in measures
    ]
    return {
        "first": first if first in {quantity.name for quantity in measures} else measures[0].name,
        "budget": best and best.budget,
        "auto": any(text(row, "sampler") == "auto" for row in finished),
        "measures": about,
        "work": [{"name": name, "title": WORK[name]} for name in work],
        "curves": sorted(curves, key=lambda curve: (curve["family"], curve["name"])),
    }


def _curve_data(
    name: str, rows: list[Record], measures: list[Quantity], work: list[str], style: Style
) -> dict[str, Any]:
    rows = sorted(rows, key=lambda row: number(row, "nfe") or 0.0)
    return {
        "name": escape(name),
        "label": escape(cut_middle(label_of_curve(name), LONGEST)),
        "family": [family.name for family in FAMILIES].index(style.family),
        "symbol": style.symbol,
        "dash": style.dash,
        "own": style.own,
        "row": [row["line"] for row in rows],
        "x": {column: [_six_digits(number(row, column)) for row in rows] for column in work},
        "y": {quantity.name: _point_lists(quantity, rows) for quantity in measures},
    }


def _point_lists(quantity: Quantity, rows: list[Record]) -> dict[str, list[Any]]:
    name = quantity.name
    points = [error_bar_on_log_axis(row, name) for row in rows]
    y, low, high, limit = (list(part) for part in zip(*points, strict=True))
    columns = {"y": y, "low": low, "high": high}
    marks = {"limit": limit, "flagged": [bool(interval_flag(row, name)) for row in rows]}
    marks["text"] = [value_with_bounds(row, name) for row in rows]
    return {key: [_six_digits(value) for value in part] for key, part in columns.items()} | marks


def _six_digits(value: float | None) -> float | None:
    """Return a number rounded to six digits, which halves the bytes of a plot."""
    return None if value is None else float(f"{value:.6g}")


def _floor_data(quantity: Quantity, rows: list[Record]) -> float | None:
    base = quantity.floor if quantity.floor and quantity.floor.perfect else None
    floors = [floor for row in rows if base and (floor := number(row, base.column)) is not None]
    return median(floors) if floors else None


def curve_styles(
    curves: Iterable[tuple[str, str]], origins: Mapping[str, str] | None = None
) -> dict[str, Style]:
    """Return each curve's style, given all (curve, sampler) pairs and each sampler's origin.

    This is the sampler's usual style, with another symbol or line if an earlier curve has the same.
    """
    result: dict[str, Style] = {}
    counts: Counter[str] = Counter()
    looks = {pair: style(pair[1], (origins or {}).get(pair[1], "")) for pair in sorted(set(curves))}
    known, used = {(look.family, look.dash) for look in looks.values()}, set[tuple[str, str]]()
    for (curve, sampler), look in looks.items():
        if (look.family, look.dash) in used:
            free = (dash for dash in DASHES if (look.family, dash) not in known)
            look = look._replace(dash=next(free, look.dash))
        used.add((look.family, look.dash))
        known.add((look.family, look.dash))
        if counts[sampler]:
            variant = VARIANTS[counts[sampler] % len(VARIANTS)]
            look = look._replace(symbol=look.symbol.removesuffix("-open") + variant)
        result[curve] = look
        counts[sampler] += 1
    return result


def family_css() -> str:
    """Return the families' colours as CSS variables ``--family-INDEX``, for light and dark pages."""
    return "".join(
        f"--family-{index}:light-dark({family.colour},{family.dark});"
        for index, family in enumerate(FAMILIES)
    )
