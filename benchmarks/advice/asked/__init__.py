"""What is asked: the model, what is used now, and the configurations that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy

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

__getattr__, __dir__ = lazy(__name__, _HOMES)
