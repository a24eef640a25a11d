"""The race: configurations on the same latents, more and more of them, until the worse ones are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy

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

__getattr__, __dir__ = lazy(__name__, _HOMES)
