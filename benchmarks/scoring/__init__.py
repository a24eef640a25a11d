"""From a cell's samples to the quality columns of its row: metrics, and what they compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .data import training_set
    from .references import load_references
    from .scale import FRECHET_ESTIMATOR

__all__ = ["FRECHET_ESTIMATOR", "load_references", "training_set"]

_HOMES = {"FRECHET_ESTIMATOR": "scale", "load_references": "references", "training_set": "data"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
