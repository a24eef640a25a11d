"""Grids and coefficients that are tuned for a sampler on a model: its samples end where the
probability flow ends (docs/tuning.md).

They are tuned for each sampler and number of steps by themselves, on latents that no run scores and by the
distance to converged endpoints alone: no feature extractor takes part.
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
