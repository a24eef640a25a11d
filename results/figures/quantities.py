"""What the axes are called, and where the ground of a metric lies."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

import pandas as pd

from ..record import Record
from ..report.metrics import MEASURES
from ..values import empty, number


class Floor(NamedTuple):
    """A level below which a metric says nothing.

    Attributes:
        column: where it stands.
        meaning: what it is, for its label.
        factor: of the column's value.
    """

    column: str
    meaning: str
    factor: float = 1.0


TITLES = {
    "fid_proxy": "FID proxy (bias removed)",
    "fid_proxy_raw": "FID proxy (plug-in)",
    "fd_conv": "Fréchet distance to converged samples",
    "fd_inf": "Fréchet distance, infinitely many samples",
    "kid": "KID",
    "swd": "Sliced Wasserstein distance²",
    "rmse": "RMSE to the converged ODE endpoint",
    "rmse_median": "Median distance to the converged ODE endpoint",
    "strong_error": "RMSE to the pathwise limit",
    "nfe": "Network evaluations per sample",
    "steps": "Steps",
    "budget": "Budget of network evaluations per sample",
    "ms_per_sample": "Milliseconds per sample",
    "joules_per_sample": "Joules per sample",
}
SHORT = {"fid_proxy": "FID proxy", "fid_proxy_raw": "FID proxy, plug-in", "fd_conv": "FD to converged", "rmse": "RMSE to ODE"}
FLOORS = {
    "fid_proxy": Floor("fid_proxy_converged", "the model's own error"),
    "fid_proxy_raw": Floor("fid_proxy_floor", "as many held-out samples"),
    "fd_conv": Floor("fid_proxy_floor_se", "not told from 0 below", 1.96),
    "swd": Floor("swd_floor", "as many held-out samples"),
    "rmse": Floor("rmse_resolution", "resolution of the endpoints"),
    "strong_error": Floor("strong_resolution", "resolution of the limits"),
}
SLOPES = {measure.name: measure.power for measure in MEASURES if measure.power} | {"rmse_median": 1}
"""Exponent of the step in an error of order one, of the metrics that fall like it."""

COSTS = ("nfe", "ms_per_sample", "joules_per_sample", "steps")
"""Columns that can be the horizontal axis."""


def plottable(frame: pd.DataFrame) -> list[str]:
    """The metrics, lower being better, that have a positive value in a table."""
    named = [name for name in TITLES if name not in (*COSTS, "budget") and name in frame]
    return [name for name in named if any(not empty(value) and float(value) > 0 for value in frame[name])]


def title_of(column: str) -> str:
    """The title of an axis."""
    return TITLES.get(column, column)


def short_title(column: str) -> str:
    """The title of a column of numbers."""
    return SHORT.get(column, column)


def floor_of(metric: str, rows: list[Record]) -> tuple[float, str] | None:
    """The level and its label; None where a metric has none, or the rows do not say."""
    if metric not in FLOORS:
        return None
    floor = FLOORS[metric]
    values = [value for row in rows if (value := number(row, floor.column)) is not None and value > 0]
    return (floor.factor * median(values), floor.meaning) if values else None
