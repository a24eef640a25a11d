"""Rows at tuned levels: the cost of tuning, and its gain on other latents and on another model."""

from __future__ import annotations

from dataclasses import dataclass

from ..record import Record
from ..values import number, text

NAME = "tuned"
"""Registry name of the schedule."""


@dataclass(frozen=True)
class Tuning:
    """Tuning of a row, as shown next to its value.

    Attributes:
        teacher: network evaluations of the converged endpoints, all training latents together.
        search: network evaluations of the search.
        latents: training latents, which no row scores.
        seconds: that both took.
        gap: train-test gap: (tuned / untuned error on other latents) / (the same on its own) - 1.
        other: a model that the levels were not tuned on.
        other_error, other_untuned: the errors there, of the levels and of the best built-in
            schedule.
    """

    teacher: int
    search: int
    latents: int
    seconds: float
    gap: float
    other: str
    other_error: float
    other_untuned: float


def is_tuned(row: Record) -> bool:
    """Return True if a row's levels were tuned."""
    return text(row, "schedule").partition("(")[0] == NAME


def tuning_of(row: Record) -> Tuning | None:
    """Return the tuning of a row.

    None for a row that was not tuned, or has one step and so no level to tune.
    """
    kinds = {
        "teacher": int,
        "search": int,
        "latents": int,
        "seconds": float,
        "gap": float,
        "other_error": float,
        "other_untuned": float,
    }
    items = {name: number(row, f"tuning_{name}") for name in kinds}
    if not is_tuned(row) or None in items.values():
        return None
    return Tuning(
        other=text(row, "tuning_other"), **{name: kind(items[name]) for name, kind in kinds.items()}
    )
