"""Scoring of a cell's samples: quality columns from metrics, and the references for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .converged_endpoints import Doubling, converged_samples, solve, solve_by_doubling
    from .data import FRECHET_ESTIMATOR, training_set
    from .feature_references import load_references

__all__ = [
    "FRECHET_ESTIMATOR",
    "Doubling",
    "converged_samples",
    "load_references",
    "solve",
    "solve_by_doubling",
    "training_set",
]

_HOMES = {
    "converged_endpoints": "Doubling converged_samples solve solve_by_doubling",
    "data": "FRECHET_ESTIMATOR training_set",
    "feature_references": "load_references",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
