"""Grids and coefficients that are tuned for a sampler on a model: its samples end where the
probability flow ends (docs/tuning.md).

They are tuned for each sampler and number of steps by themselves, on latents that no run scores and by the
distance to converged endpoints alone: no feature extractor takes part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .free import FreeKind, FreeParameters, arrays_of
    from .least_squares import Runs, fit
    from .problem import TEST_IDS, TRAIN_IDS, TuningProblem, tuning_problem
    from .search import OBJECTIVES, candidate_grids, power_mean

__all__ = [
    "OBJECTIVES",
    "TEST_IDS",
    "TRAIN_IDS",
    "FreeKind",
    "FreeParameters",
    "Runs",
    "TuningProblem",
    "arrays_of",
    "candidate_grids",
    "fit",
    "power_mean",
    "tuning_problem",
]

_HOMES = {
    "FreeKind": "free",
    "FreeParameters": "free",
    "OBJECTIVES": "search",
    "Runs": "least_squares",
    "TEST_IDS": "problem",
    "TRAIN_IDS": "problem",
    "TuningProblem": "problem",
    "arrays_of": "free",
    "candidate_grids": "search",
    "fit": "least_squares",
    "power_mean": "search",
    "tuning_problem": "problem",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
