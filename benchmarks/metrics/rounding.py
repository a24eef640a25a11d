"""Errors of rounding: distances of samples to the same run's samples in full precision."""

from __future__ import annotations

from ...results.comparison.endpoint_distances import typical_error
from ...results.quantities.endpoints import ROUNDING, ROUNDING_SHARE
from .endpoint import distance_columns, endpoint_distance, endpoint_error
from .metric import PRECISE_RUN, Context, Measured, metric


@metric("rounding_error", version=2, needs={"samples", PRECISE_RUN}, quantities=ROUNDING)
def measure_rounding(cell: Context) -> Measured:
    """Measure the distance of each sample to the same sample in full precision."""
    precise = cell.precise
    distances = endpoint_error(cell.whole[: len(precise)], precise).per_sample
    columns = distance_columns(distances, endpoint_distance(precise), ROUNDING)
    return Measured(columns, {"rounding": distances})


@metric(
    "rounding_share",
    version=1,
    needs={"samples", PRECISE_RUN, "reference solution"},
    quantities=(ROUNDING_SHARE,),
)
def measure_rounding_share(cell: Context) -> Measured:
    """Measure the share of rounding in squared distances to the converged endpoints.

    It is the squared ratio of two typical distances (:func:`typical_error`). It can exceed 1, since
    rounding can cancel other errors. It is None if the distance to the endpoints is 0.
    """
    n, apart = min(len(cell.precise), len(cell.solution.x)), endpoint_distance(cell.solution.x)
    rounding, whole = (
        typical_error(endpoint_error(cell.whole[:n], other[:n]).per_sample, apart).value
        for other in (cell.precise, cell.solution.x)
    )
    return Measured({"rounding_share": (rounding / whole) ** 2 if whole else None})
