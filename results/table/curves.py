"""Curve and budget of each row, labels of curves, comparable parts of a table, and tuned rows."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..values import Record, is_empty, number, rows_as_dicts, text

TOLERANCES = frozenset({"tol", "rtol", "atol"})
"""Parameters of adaptive methods in place of ``steps``: they vary along a curve."""

TUNED = "tuning_digest"
"""Column with a digest of tuned noise levels, which differs between numbers of steps.

A curve's name therefore includes the digest only if rows with equal steps differ in it.
"""

OWN = "own"
"""Registry name of a schedule that a sampler brings itself."""

_DISTINGUISHING = (
    *("schedule", "start", "sigma_start", "end", "noise", "sigma_max", "seed", "dtype", "device"),
    *("execution", "run"),
)
_NEEDED = {"model", "sampler", "params", "budget", "nfe", "steps", TUNED, *_DISTINGUISHING}
"""Columns that determine the curve or the slot of a row."""


def add_curves_and_slots(frame: pd.DataFrame, *, alike: bool = False) -> pd.DataFrame:
    """Return ``frame`` with the columns ``curve`` and ``slot``.

    * ``curve`` (text): sampler, non-default parameters, and conditions that differ between rows of
      the model. A differing schedule is named if the sampler has several. It is also named if it is
      neither the sampler's own nor the most frequent one of the model.
    * ``slot`` (integer): evaluation budget that the row competes in. This is the row's ``budget``,
      or else the smallest of the model's budgets that is >= ``nfe``, or empty. If the model has no
      budgets, the numbers of steps of the model's rows serve as budgets, and so do evaluations
      beyond the largest one.

    With ``alike``, a curve's name has the conditions that differ between rows of any model, so that
    a curve has one name on all models.
    """
    columns = frame.loc[:, [name for name in frame.columns if name in _NEEDED]]
    rows, models = rows_as_dicts(columns), defaultdict[object, list[Record]](list)
    for row in rows:
        row["sigma_start"] = start_level(row) or None
        models[row["model"]].append(row)
    varying = [_varying_columns(group) for group in models.values()]
    anywhere = [
        name for name in (*_DISTINGUISHING, TUNED) if any(name in names for names in varying)
    ]
    for group, own in zip(models.values(), varying, strict=True):
        _set_curve_and_slot(group, anywhere if alike else own, rows if alike else group)
    return frame.assign(
        curve=pd.array([row["curve"] for row in rows], dtype="string"),
        slot=pd.array([row["slot"] for row in rows], dtype="Int64"),
    ).sort_index()


def start_level(row: Record) -> str:
    """Return the level at which start "gaussian" ends, as text; "" for other starts."""
    level = number(row, "sigma_start") if row.get("start") == "gaussian" else None
    return "" if level is None else f"{level:.6g}"


def comparable_parts(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return title and rows of each part of a table: rows of one model and estimator.

    The rows have ``curve`` and ``slot``. A model with two estimators makes two parts, with the
    estimator in the title. Rows without an estimator (failed, missing) are in the model's first part.
    """
    parts = []
    for model, rows in add_curves_and_slots(frame).groupby("model", dropna=False, sort=False):
        title = "" if is_empty(model) else str(model)
        estimators = list(rows["estimator"].dropna().unique()) or [""]
        groups = rows["estimator"].fillna(estimators[0])
        for estimator in estimators:
            name = f"{title} · {estimator}" if len(estimators) > 1 else title
            parts.append((name, rows.loc[groups == estimator]))
    return parts


CurveBudget = tuple[str, int]
"""Curve and budget of a row in a ranking."""


LEFT_OUT = "rows not shown, beyond all budgets or beside another row of their curve and budget"
"""Heading of the number of finished rows that :func:`rows_by_curve_budget` leaves out."""


def rows_by_curve_budget(rows: pd.DataFrame) -> dict[CurveBudget, Record]:
    """Return the rows with a budget, by (curve, budget).

    Of several, it is a finished one, and of these the one with the most evaluations.
    """
    placed = rows_as_dicts(rows.dropna(subset=["slot"]).sort_values("nfe", kind="stable"))
    placed.sort(key=lambda row: row["status"] == "ok")
    return {(text(row, "curve"), int(number(row, "slot") or 0)): row for row in placed}


def _varying_columns(rows: list[Record]) -> list[str]:
    varying = [name for name in _DISTINGUISHING if len(_values(rows, name)) > 1]
    return varying + [TUNED] * _has_several_tunings(rows, varying)


def _set_curve_and_slot(rows: list[Record], varying: list[str], together: list[Record]) -> None:
    """Set ``curve`` and ``slot`` of the rows of a model, which are named among ``together``."""
    plain = _samplers_of_plain_schedule(together) if "schedule" in varying else frozenset()
    ladder = sorted({int(at) for at in _values(rows, "budget") or _values(rows, "steps")})
    if not _values(rows, "budget"):
        most = max(ladder, default=0)
        ladder += sorted({math.ceil(nfe) for nfe in _values(rows, "nfe") if nfe > most})
    for row in rows:
        row["curve"] = _curve_label(row, varying, text(row, "sampler") in plain)
        row["slot"] = _slot_of_row(row, ladder)


def _values(rows: list[Record], name: str) -> set[Any]:
    return {row.get(name) for row in rows} - {None}


def _samplers_of_plain_schedule(rows: list[Record]) -> frozenset[str]:
    """Return the samplers with one schedule only: their own, or the most frequent one of ``rows``."""
    counts = Counter(row["schedule"] for row in rows if row["schedule"] not in (None, OWN))
    most = max(counts.values(), default=0)
    usual = [name for name, count in counts.items() if count == most]
    plain = {OWN, *usual} if len(usual) == 1 else {OWN}
    schedules = defaultdict[str, set[object]](set)
    for row in rows:
        if row["sampler"] is not None:
            schedules[text(row, "sampler")].add(row["schedule"])
    return frozenset(name for name, own in schedules.items() if len(own) == 1 and own <= plain)


def _has_several_tunings(rows: list[Record], varying: list[str]) -> bool:
    """Return True if rows that would share a curve, at equal steps, have different tuned levels."""
    tunings = defaultdict[tuple[object, ...], set[object]](set)
    for row in rows:
        if row.get(TUNED) is not None:
            place = tuple(row.get(name) for name in ("sampler", "params", "steps", *varying))
            tunings[place].add(row[TUNED])
    return any(len(found) > 1 for found in tunings.values())


def _curve_label(row: Record, varying: list[str], is_plain: bool) -> str:
    parameters = _parameters_in_words(text(row, "params"), adaptive=row["steps"] is None)
    parts = [
        f"{name} {value}" if name in ("seed", "sigma_max", "sigma_start") else value
        for name in varying
        if (value := text(row, name)) and not (is_plain and name == "schedule")
    ]
    return " · ".join(filter(None, (text(row, "sampler"), parameters, *parts)))


def _parameters_in_words(params: str, *, adaptive: bool) -> str:
    try:
        fields = json.loads(params or "{}")
    except (ValueError, RecursionError):
        return params
    if not isinstance(fields, dict):
        return params
    return ", ".join(
        f"{name}={value}" for name, value in fields.items() if not (adaptive and name in TOLERANCES)
    )


def _slot_of_row(row: Record, ladder: list[int]) -> int | None:
    requested, nfe, steps = (number(row, name) for name in ("budget", "nfe", "steps"))
    if requested is not None:
        return int(requested)
    work = steps if nfe is None else nfe
    return None if work is None else next((budget for budget in ladder if work <= budget), None)


LABELS = {
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "dpm_solver_2": "DPM-Solver-2",
    "dpm_solver_v3": "DPM-Solver-v3",
    "dpmpp_2m": "DPM-Solver++(2M)",
    "dpmpp_3m": "DPM-Solver++(3M)",
    "edm_stochastic": "EDM stochastic",
    "euler": "Euler",
    "heun": "Heun",
    "ipndm": "iPNDM",
    "unipc_2": "UniPC-2",
    "unipc_3": "UniPC-3",
}
"""Names of well-known samplers as papers write them, by registered name, for sentences.

No two samplers share a label.
"""


def label_of_curve(curve: str) -> str:
    """Return a curve's name with the sampler's label, if any, in place of the registered name."""
    sampler, separator, rest = curve.partition(" · ")
    return LABELS.get(sampler, sampler) + separator + rest


TUNED_SCHEDULE = "tuned"
"""Registry name of tuned schedules."""


@dataclass(frozen=True)
class Tuning:
    """Tuning of a row's schedule, from its columns ``tuning_…`` (:mod:`..columns`)."""

    teacher: int
    search: int
    latents: int
    seconds: float
    gap: float
    other: str
    other_error: float
    other_untuned: float


def is_tuned(row: Record) -> bool:
    """Return True if a row's schedule was tuned."""
    return text(row, "schedule").partition("(")[0] == TUNED_SCHEDULE


def tuning_of(row: Record) -> Tuning | None:
    """Return the tuning of a row; None if it is not tuned, or lacks a number of the tuning."""
    kinds = {
        **dict.fromkeys(("teacher", "search", "latents"), int),
        **dict.fromkeys(("seconds", "gap", "other_error", "other_untuned"), float),
    }
    items = {name: number(row, f"tuning_{name}") for name in kinds}
    if not is_tuned(row) or None in items.values():
        return None
    numbers = {name: kind(items[name]) for name, kind in kinds.items()}
    return Tuning(other=text(row, "tuning_other"), **numbers)
