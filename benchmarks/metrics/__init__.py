"""Metrics: each file has pure functions of float64 arrays, and one or two metrics that call them.

Importing this package imports all its files, which registers their metrics. Metrics get features
that are extracted already, and store nothing. :mod:`.metric` describes how to add a metric.
"""

import importlib
import pkgutil

from .coefficients import coefficient_distances
from .coverage import ModeCoverage, against_counts, against_proportions, mode_counts
from .endpoint import (
    EndpointError,
    distance_columns,
    endpoint_distance,
    endpoint_error,
    flip_columns,
    flip_fraction,
)
from .energy import energy_distance
from .estimators.expansion import SAMPLES_PER_FEATURE
from .estimators.frechet import (
    FrechetEstimate,
    FrechetReference,
    estimate,
    fd_infinity,
    floor,
    frechet_distance,
    paired_difference,
    population_estimate,
)
from .estimators.rows import Moments, Rows, as_rows
from .fid import dominated
from .kernel import KERNEL_ESTIMATOR, KernelEstimate, kid
from .memorisation import (
    Memorisation,
    binomial_interval,
    distance_ratio,
    duplicate_share,
    memorisation,
    memorised_threshold,
)
from .metric import Context, Measured, Metric, metric, metrics
from .precision_recall import (
    PrecisionRecall,
    neighbour_distances,
    precision_recall,
    square_distances,
)
from .sliced_wasserstein import SlicedWasserstein, sliced_wasserstein

__all__ = [
    "KERNEL_ESTIMATOR",
    "SAMPLES_PER_FEATURE",
    "Context",
    "EndpointError",
    "FrechetEstimate",
    "FrechetReference",
    "KernelEstimate",
    "Measured",
    "Memorisation",
    "Metric",
    "ModeCoverage",
    "Moments",
    "PrecisionRecall",
    "Rows",
    "SlicedWasserstein",
    "against_counts",
    "against_proportions",
    "as_rows",
    "binomial_interval",
    "coefficient_distances",
    "distance_columns",
    "distance_ratio",
    "dominated",
    "duplicate_share",
    "endpoint_distance",
    "endpoint_error",
    "energy_distance",
    "estimate",
    "fd_infinity",
    "flip_columns",
    "flip_fraction",
    "floor",
    "frechet_distance",
    "kid",
    "memorisation",
    "memorised_threshold",
    "metric",
    "metrics",
    "mode_counts",
    "neighbour_distances",
    "paired_difference",
    "population_estimate",
    "precision_recall",
    "sliced_wasserstein",
    "square_distances",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
