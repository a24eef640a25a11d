"""Tuning of a sampler's grid and coefficients on a model, towards the ends of the probability flow.

Each sampler and number of steps is tuned separately (docs/how-to/tuning.md). Tuning minimises distances
of samples, or of their features (:class:`.FeatureLoss`), to converged endpoints. The latents of tuning occur in no run.
"""

from .free_parameters import FreeKind, FreeParameters, arrays_of, project_grid
from .least_squares import Runs, fit
from .problem import (
    OBJECTIVES,
    TEST_IDS,
    TRAIN_IDS,
    FeatureLoss,
    TuningProblem,
    power_mean,
    tuning_problem,
)
from .search import candidate_grids

__all__ = [
    "OBJECTIVES",
    "TEST_IDS",
    "TRAIN_IDS",
    "FeatureLoss",
    "FreeKind",
    "FreeParameters",
    "Runs",
    "TuningProblem",
    "arrays_of",
    "candidate_grids",
    "fit",
    "power_mean",
    "project_grid",
    "tuning_problem",
]
