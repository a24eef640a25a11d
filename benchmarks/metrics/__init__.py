"""One metric a file. Each is a pure function of float64 arrays; extractors, files and tables are the caller's."""

from .endpoint import EndpointError, endpoint_error, flip_fraction
from .frechet import (
    FrechetEstimate,
    FrechetReference,
    estimate,
    floor,
    frechet_distance,
    paired_difference,
    population_estimate,
)
from .moments import Moments

__all__ = [
    "EndpointError",
    "FrechetEstimate",
    "FrechetReference",
    "Moments",
    "endpoint_error",
    "estimate",
    "flip_fraction",
    "floor",
    "frechet_distance",
    "paired_difference",
    "population_estimate",
]
