"""Frozen suite ``sb-2026``: instances, definition, measurement of a solver, and submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .constants import BUDGETS
    from .instances import draw_part
    from .measuring import measure_exact, solve_entry

__all__ = ["BUDGETS", "draw_part", "measure_exact", "solve_entry"]

_HOMES = {
    "constants": "BUDGETS",
    "instances": "draw_part",
    "measuring": "measure_exact solve_entry",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
