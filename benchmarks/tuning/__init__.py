"""Tuning of a sampler's grid and coefficients on a model, so that samples end where the probability flow ends.

Each sampler and number of steps is tuned by itself (docs/how-to/tuning.md). Tuning uses latents that no run scores, and
only their distance to converged endpoints: no feature extractor takes part.
"""

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
