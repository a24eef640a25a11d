"""One metric a file. Each is a pure function of float64 arrays; extractors, files and tables are the caller's."""

from .coefficients import coefficient_distances
from .coverage import ModeCoverage, against_counts, against_proportions, mode_counts
from .endpoint import EndpointError, endpoint_error, flip_fraction
from .fd_infinity import fd_infinity
from .frechet import (
    FrechetEstimate,
    FrechetReference,
    estimate,
    floor,
    frechet_distance,
    paired_difference,
    population_estimate,
)
from .kernel import KernelEstimate, kid
from .memorisation import Memorisation, duplicate_share, memorisation, memorised_threshold
from .moments import Moments
from .precision_recall import PrecisionRecall, precision_recall
from .sliced_wasserstein import SlicedWasserstein, sliced_wasserstein

__all__ = [
    "EndpointError",
    "FrechetEstimate",
    "FrechetReference",
    "KernelEstimate",
    "Memorisation",
    "ModeCoverage",
    "Moments",
    "PrecisionRecall",
    "SlicedWasserstein",
    "against_counts",
    "against_proportions",
    "coefficient_distances",
    "duplicate_share",
    "endpoint_error",
    "estimate",
    "fd_infinity",
    "flip_fraction",
    "floor",
    "frechet_distance",
    "kid",
    "memorisation",
    "memorised_threshold",
    "mode_counts",
    "paired_difference",
    "population_estimate",
    "precision_recall",
    "sliced_wasserstein",
]
