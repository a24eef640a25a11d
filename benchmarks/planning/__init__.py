"""Plan of cells for a suite: steps within a budget; schedules by formula, searched on a model, or
tuned for a sampler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache import default_cache
    from .fitting import Pilot
    from .planner import plan
    from .schedules import Schedule

__all__ = ["Pilot", "Schedule", "default_cache", "plan"]

_HOMES = {"Pilot": "fitting", "Schedule": "schedules", "default_cache": "cache", "plan": "planner"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
