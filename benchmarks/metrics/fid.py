"""Fréchet distances between samples, data and converged samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...results.quantities.built_in import FRECHET
from ...results.run_directory.reading import log
from .estimators.frechet import (
    PARTS,
    FrechetEstimate,
    FrechetReference,
    estimate,
    fd_infinity,
    floor,
    population_estimate,
    standard_error,
)
from .estimators.frechet import frechet_distance as distance
from .estimators.rows import FloatArray, Moments, rows_of
from .metric import Context, Measured, columns_of, metric

HELD_OUT_PER_FEATURE = 4
"""Fewest held-out samples per direction of the reference whose bias falls as 1 / n, to some 5 %.

With as many as directions, the rescaled floor was two to five times too high.
"""


@metric("frechet", version=9, needs={"features"}, quantities=FRECHET)
def measure_frechet_distances(cell: Context) -> Measured:
    """Measure the Fréchet distances of samples to data and, if available, to converged samples."""
    known = cell.reference
    truth = cell.once("frechet reference", lambda: FrechetReference(known.mean, known.cov))
    n, d = cell.feature_rows.shape
    fixed = estimate(truth, cell.feature_rows, cell.moments)
    lowest = cell.once(("frechet floor", n), lambda: _floor(cell, truth, n))
    columns = {
        **columns_of("fid_proxy", fixed),
        "fid_proxy_raw": fixed.raw,
        "fid_proxy_floor": lowest and lowest[0],
        "fid_proxy_floor_se": lowest and lowest[1],
        "fid_flag": fixed.flag,
        "fd_inf": fd_infinity(truth, cell.feature_rows) if n // PARTS > d else None,
    }
    own = Measured({}) if cell.converged is None else _to_converged(cell, truth, cell.converged)
    return Measured(columns | dict(own.columns), {"influence": fixed.influence, **own.influence})


def _to_converged(cell: Context, truth: FrechetReference, converged: FloatArray) -> Measured:
    population = population_estimate(cell.feature_rows, converged)
    model_error = cell.once("model error", lambda: estimate(truth, converged))
    columns = {
        **columns_of("fd_conv", population),
        "fd_conv_flag": population.flag,
        **columns_of("fid_proxy_converged", model_error),
        "dominated": dominated(population, model_error),
    }
    other = population.reference_influence
    assert other is not None
    return Measured(columns, {"fd_conv": population.influence, "fd_conv_reference": other})


def _floor(cell: Context, truth: FrechetReference, n: int) -> tuple[float, float] | None:
    """Return the plug-in distance of ``n`` held-out samples, and its standard error.

    If fewer samples are held out, their bias is rescaled to ``n``. The result is None if there are
    fewer than :data:`HELD_OUT_PER_FEATURE`, or if the reference includes held-out samples.
    """
    rows = rows_of(cell.held_out_rows(n)) if cell.reference.disjoint else ()
    if 1 < len(rows) < min(n, HELD_OUT_PER_FEATURE * truth.rank):
        log.warning(
            "%d held-out samples are too few for a floor of %d samples in %d directions: no fid_proxy_floor.",
            len(rows),
            n,
            truth.rank,
        )
        return None
    return (floor(truth, rows, n), standard_error(truth, rows)) if len(rows) > 1 else None


def dominated(to_converged: FrechetEstimate, model_error: FrechetEstimate) -> bool | None:
    """Return True if the model's own error exceeds the sampler's error; None if unknown.

    Let e be the sampler's error (``to_converged``) and m the model's (``model_error``). The
    distance to the data is m + e plus a cross term of either sign, at most 2 sqrt(m e). Where e <
    m, this term can outweigh e: a sampler further from the solution may look better. The result is
    False if the model is not measurably wrong, and None if ``model_error`` has a flag.
    """
    if model_error.flag:
        return None
    return model_error.low > 0 and model_error.value > to_converged.value


def frechet_distance(mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike) -> float:
    """Return the squared Fréchet distance of two Gaussians, which FID computes for features.

    The result is |mu1 - mu2|² + tr(cov1 + cov2 - 2 (cov1 cov2)^½), in double precision.

    Args:
        mu1: mean ``(d,)``, an array or a tensor.
        cov1: covariance ``(d, d)``, symmetric and positive semi-definite.
        mu2: as ``mu1``.
        cov2: as ``cov1``.

    Raises:
        ValueError: shapes differ, a value is not finite, or a matrix is no covariance.

    >>> frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])  # 3² + (1 - 2)²
    10.0
    """
    first = FrechetReference(_float64_array(mu1), _float64_array(cov1))
    second = FrechetReference(_float64_array(mu2), _float64_array(cov2))
    for side in (first, second):
        if not np.allclose(side.cov, side.cov.T):
            raise ValueError("a covariance is not symmetric")
        side.factor  # noqa: B018 - refuses one that is not positive semi-definite
    return distance(first, Moments(2, second.mean, second.cov))


def _float64_array(values: Any) -> FloatArray:
    array = np.asarray(
        values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64
    )
    if not array.ndim:
        raise ValueError("a number is no mean (d,) or covariance (d, d); give arrays, also for d=1")
    return array
