"""What is asked: the model, what is used now, and the configurations that there are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .candidates import SCHEDULES, is_candidate, variants
    from .request import FIELDS, OWN_FIELDS, load_subject

__all__ = ["FIELDS", "OWN_FIELDS", "SCHEDULES", "is_candidate", "load_subject", "variants"]

_HOMES = {
    "FIELDS": "request",
    "OWN_FIELDS": "request",
    "SCHEDULES": "candidates",
    "is_candidate": "candidates",
    "load_subject": "request",
    "variants": "candidates",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
