"""The race: configurations on the same latents, more and more of them, until the worse ones are known."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .race import Race, is_hopeful
    from .tuned import FittedNumbers, resolve_levels, tuned_cell

__all__ = ["FittedNumbers", "Race", "is_hopeful", "resolve_levels", "tuned_cell"]

_HOMES = {
    "FittedNumbers": "tuned",
    "Race": "race",
    "is_hopeful": "race",
    "resolve_levels": "tuned",
    "tuned_cell": "tuned",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
