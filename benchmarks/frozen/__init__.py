"""Frozen suite ``sb-2026``: instances, definition, measurement of a solver, and submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .boards import board
    from .constants import BUDGETS
    from .definition import check_frozen
    from .instances import draw_part
    from .measuring import measure_exact, measure_networks, solve_entry
    from .submitting import submit

__all__ = [
    "BUDGETS",
    "board",
    "check_frozen",
    "draw_part",
    "measure_exact",
    "measure_networks",
    "solve_entry",
    "submit",
]

_HOMES = {
    "BUDGETS": "constants",
    "board": "boards",
    "check_frozen": "definition",
    "draw_part": "instances",
    "measure_exact": "measuring",
    "measure_networks": "measuring",
    "solve_entry": "measuring",
    "submit": "submitting",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
