"""The numbers behind the work-precision plots, as plain data; ``report.js`` draws them.

Plotly reads a little HTML in its labels, so every text that reaches it is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from statistics import median
from typing import Any

import pandas as pd

from ..record import Record
from ..text import ends, short
from ..values import number, rows_of, text
from .metrics import MEASURES, Measure
from .style import Look

WORK = (("steps", "Steps"), ("nfe", "Network evaluations"), ("ms_per_sample", "Milliseconds per sample"))
"""Columns that can be the horizontal axis, and their titles."""

_HOVER = (
    *(("NFE", "nfe"), ("steps", "steps"), ("budget", "budget"), ("FID proxy", "fid_proxy"), ("± SE", "fid_proxy_se")),
    *(("plug-in", "fid_proxy_raw"), ("floor", "fid_proxy_floor"), ("FD to converged", "fd_conv"), ("RMSE", "rmse")),
    *(("ms/sample", "ms_per_sample"), ("samples", "samples")),
)


def plot_of(title: str, rows: pd.DataFrame, looks: Mapping[str, Look]) -> dict[str, Any] | None:
    """The plot of one problem, or None if no row of it has a number to draw.

    Returns:
        ``{"title", "measures": [{"name", "title", "note", "floor"}], "work": [{"name", "title"}], "curves": […]}``; a curve has its
        look, its hover texts, ``x[work]`` and, for each measure, ``{"y", "low", "high", "limit"}``: lists with one entry a row and
        None where there is no value. ``limit`` says that y is not the value, which is not positive, but the upper end of its interval.
    """
    done = rows_of(rows.loc[rows["status"] == "ok"])
    measures = [measure for measure in MEASURES if any((number(row, measure.name) or 0) > 0 for row in done)]
    work = [{"name": name, "title": label} for name, label in WORK if any(number(row, name) is not None for row in done)]
    if not measures or not work:
        return None
    by_curve: dict[str, list[Record]] = {}
    for row in done:
        by_curve.setdefault(text(row, "curve"), []).append(row)
    curves = [_curve(name, points, measures, looks[name]) for name, points in by_curve.items()]
    return {
        "title": escape(title),
        "measures": [{"name": item.name, "title": item.title, "note": item.note, "floor": _floor(item, done)} for item in measures],
        "work": work,
        "curves": sorted(curves, key=lambda curve: (curve["colour"], curve["name"])),
    }


def _curve(name: str, rows: list[Record], measures: list[Measure], look: Look) -> dict[str, Any]:
    rows = sorted(rows, key=lambda row: number(row, "nfe") or 0.0)
    return {
        "name": escape(name),
        "family": look.family,
        "colour": look.colour,
        "symbol": look.symbol,
        "dash": look.dash,
        "hover": [_hover(name, row) for row in rows],
        "x": {column: [number(row, column) for row in rows] for column, _ in WORK},
        "y": {measure.name: _points(measure, rows) for measure in measures},
    }


def _points(measure: Measure, rows: list[Record]) -> dict[str, list[Any]]:
    points = [_point(number(row, measure.name), number(row, measure.se) if measure.se else None) for row in rows]
    return {key: list(values) for key, values in zip(("y", "low", "high", "limit"), zip(*points, strict=True), strict=True)}


def _point(value: float | None, se: float | None) -> tuple[float | None, float | None, float | None, bool]:
    """``(y, low, high, limit)`` of a value on a logarithmic axis."""
    if value is None:
        return None, None, None, False
    if se is None:
        return (value if value > 0 else None), None, None, False
    low, high = ends(value, se)
    if value > 0:
        return value, low, high, False
    return (high if high > 0 else None), None, None, high > 0


def _floor(measure: Measure, rows: list[Record]) -> float | None:
    floors = [floor for row in rows if measure.floor and (floor := number(row, measure.floor)) is not None]
    return median(floors) if floors else None


def _hover(name: str, row: Record) -> str:
    lines = [f"{label}: {short(number(row, column), 4)}" for label, column in _HOVER if row.get(column) is not None]
    flag = text(row, "fid_flag")
    return "<br>".join([f"<b>{escape(name)}</b>", *lines, *([f"† {escape(flag)}"] if flag else [])])
