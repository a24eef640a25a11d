"""Running of suites into run directories, with executors, interim analyses and progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .runner import run
    from .setup import Setup, set_up

__all__ = ["Setup", "run", "set_up"]

__getattr__, __dir__ = lazy(__name__, {"runner": "run", "setup": "Setup set_up"})
