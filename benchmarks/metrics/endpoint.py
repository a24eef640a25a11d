"""Errors of discretisation and rounding: distances to converged endpoints, and to full precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.comparison.endpoint_distances import (
    summarise_distances,
    typical_error,
    why_carried_by_few,
)
from ...results.comparison.sample_shares import share_interval
from ...results.quantities import Quantity
from ...results.quantities.endpoints import ENDPOINTS, ROUNDING, ROUNDING_SHARE, STRONG
from ...results.text import Z95
from .estimators.rows import FloatArray, as_rows
from .metric import PRECISE_RUN, Context, Measured, metric


@dataclass(frozen=True, eq=False)
class EndpointError:
    """Distances e_i = ||x_i - r_i|| / sqrt(d) of samples x_i to their latents' endpoints r_i.

    Attributes:
        rmse: sqrt(mean e_i²), in data units.
        rmse_se: standard error of ``rmse``; NaN for one sample, 0 if every sample is exact.
        rmse_median: median of e_i. It is far below ``rmse`` if a few samples ended in other modes.
        per_sample: the e_i ``(n,)``, in the order of the samples.
    """

    rmse: float
    rmse_se: float
    rmse_median: float
    per_sample: FloatArray


def endpoint_error(x: ArrayLike, reference: ArrayLike) -> EndpointError:
    """Measure the distances of samples to the converged endpoints of their latents.

    The standard error is the delta method's: with q = mean e², d sqrt(q) = dq / (2 sqrt(q)), so SE
    = sd(e²) / (2 rmse sqrt(n)).

    Args:
        x: samples ``(n, *event)``, n >= 1.
        reference: converged endpoints ``(n, *event)`` of the same latents, in the same order.

    Raises:
        ValueError: shapes differ, there is no sample, or a value is not finite.
    """
    if np.shape(x) != np.shape(reference):
        raise ValueError(
            f"samples {np.shape(x)} and endpoints {np.shape(reference)} differ in shape: "
            "pass the endpoints of the same latents"
        )
    difference = as_rows(x) - as_rows(reference)
    n = len(difference)
    if n == 0:
        raise ValueError("the error of no samples is undefined: pass at least one")
    squares = np.square(difference).mean(axis=1)
    distances = np.sqrt(squares)
    rmse = float(np.sqrt(squares.mean()))
    spread = squares.std(ddof=1) if n > 1 else np.nan
    se = float(spread / (2 * rmse * np.sqrt(n))) if rmse > 0 else 0.0
    return EndpointError(rmse, se, float(np.median(distances)), distances)


def find_flipped(modes: ArrayLike, reference_modes: ArrayLike) -> NDArray[np.bool_]:
    """Return a mask ``(n,)`` of the samples in another mode or class than their converged endpoint.

    Args:
        modes: integer modes of the samples ``(n,)``, n >= 1.
        reference_modes: modes of the endpoints from the same latents, ``(n,)``.

    Raises:
        ValueError: shapes differ, or there is no sample.
    """
    a, b = np.asarray(modes), np.asarray(reference_modes)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            f"modes {a.shape} and reference modes {b.shape} must be vectors of one length > 0"
        )
    return a != b


def flip_fraction(modes: ArrayLike, reference_modes: ArrayLike) -> float:
    """Return the share of samples in another mode than their converged endpoint.

    For arguments and errors see :func:`find_flipped`.
    """
    return float(find_flipped(modes, reference_modes).mean())


@metric("rmse", version=11, needs={"samples", "reference solution"}, quantities=ENDPOINTS)
def measure_endpoint_distances(cell: Context) -> Measured:
    """Measure distances of samples to ODE endpoints, and the share that ended in another mode."""
    x, error = _distances(cell)
    columns: dict[str, object] = {
        **distance_columns(error.per_sample, endpoint_distance(cell.solution.x), ENDPOINTS),
        "rmse_median": error.rmse_median,
        "rmse_samples": len(x),
        "rmse_resolution": cell.solution.resolution,
    }
    arrays = {"distance": error.per_sample}
    if cell.solution.modes is not None:
        modes = cell.modes(x)
        assert modes is not None
        flipped = find_flipped(modes, cell.solution.modes[: len(x)])
        columns |= flip_columns(flipped)
        arrays["flipped"] = flipped.astype(np.float64)
    return Measured(columns, arrays)


@metric("strong_error", version=11, needs={"samples", "path limit"}, quantities=STRONG)
def measure_brownian_path_distances(cell: Context) -> Measured:
    """Measure distances of samples to the limits of many steps along the same Brownian paths."""
    _, error = _distances(cell)
    columns = {
        **distance_columns(error.per_sample, endpoint_distance(cell.solution.x), STRONG),
        "strong_resolution": cell.solution.resolution,
    }
    return Measured(columns, {"strong": error.per_sample})


def _distances(cell: Context) -> tuple[NDArray, EndpointError]:
    x = cell.whole[: len(cell.solution.x)]
    return x, endpoint_error(x, cell.solution.x[: len(x)])


def endpoint_distance(x: ArrayLike) -> float:
    """Return the RMS distance per dimension of two random endpoints in ``x``; NaN for only one."""
    rows = as_rows(x)
    return math.sqrt(2 * rows.var(axis=0, ddof=1).mean()) if len(rows) > 1 else math.nan


def distance_columns(
    distances: FloatArray, apart: float, quantities: Sequence[Quantity]
) -> dict[str, object]:
    """Return columns that summarise distances ``(n,)`` of samples for each of ``quantities``.

    They are value, error, ends of the 95 % interval, and ``apart``, the RMS distance between two
    endpoints (:func:`endpoint_distance`). A quantity without ``apart`` gets no such columns.
    A quantity that names a flag has a warning there if a few samples dominate.
    """
    columns: dict[str, object] = {}
    for quantity in quantities:
        if quantity.apart:
            value = summarise_distances(distances, apart, quantity.summary)
            names = (quantity.name, quantity.se, f"{quantity.name}_low", f"{quantity.name}_high")
            columns |= {**dict(zip(names, value, strict=True)), quantity.apart: apart}
        if quantity.flag:
            columns[quantity.flag] = why_carried_by_few(distances)
    return columns


def flip_columns(flipped: NDArray[np.bool_]) -> dict[str, object]:
    """Return columns: the share of True in the mask ``flipped``, its error and 95 % interval."""
    low, high = share_interval(int(flipped.sum()), len(flipped))
    return {
        "flip_fraction": float(flipped.mean()),
        # from the interval, since no flip among n samples does not make the error 0
        "flip_fraction_se": (high - low) / (2 * Z95),
        "flip_fraction_low": low,
        "flip_fraction_high": high,
    }


@metric("rounding_error", version=4, needs={"samples", PRECISE_RUN}, quantities=ROUNDING)
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
