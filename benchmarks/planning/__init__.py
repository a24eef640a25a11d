"""Planning of a suite's cells: steps within a budget; schedules by formula, search or tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .cache import default_cache
    from .fitting import Pilot
    from .planner import plan
    from .schedules import Schedule

__all__ = ["Pilot", "Schedule", "default_cache", "plan"]

_HOMES = {"cache": "default_cache", "fitting": "Pilot", "planner": "plan", "schedules": "Schedule"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
