"""Extrapolation of the Fréchet distance: unbiased where the plug-in is not."""

import numpy as np
import pytest

from samplerbench.benchmarks.metrics import FrechetReference, Moments, frechet_distance
from samplerbench.benchmarks.metrics.estimators.frechet import fd_infinity

REFERENCE = FrechetReference(np.zeros(8), np.eye(8))


def test_the_bias_of_the_plug_in_is_gone():
    """Of N(0, c² I) from N(0, I) in d dimensions the distance is d (c - 1)²."""
    rng = np.random.default_rng(0)
    sets = [1.2 * rng.standard_normal((300, 8)) for _ in range(120)]
    values = np.array([fd_infinity(REFERENCE, x) for x in sets])
    raw = np.array([frechet_distance(REFERENCE, Moments.of(x)) for x in sets])
    truth = 8 * 0.2**2
    assert abs(values.mean() - truth) < 0.15 * (raw.mean() - truth)


def test_it_is_a_function_of_samples_and_seed():
    x = np.random.default_rng(1).standard_normal((100, 8))
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((8, 8)))[0]
    assert fd_infinity(REFERENCE, x) == fd_infinity(REFERENCE, x)
    assert fd_infinity(REFERENCE, x @ turn) == pytest.approx(fd_infinity(REFERENCE, x), rel=1e-9)
    assert fd_infinity(REFERENCE, x, seed=1) != fd_infinity(REFERENCE, x)


def test_parts_without_a_covariance_of_full_rank_are_refused():
    with pytest.raises(ValueError, match="parts of more than 8"):
        fd_infinity(REFERENCE, np.zeros((44, 8)))
    with pytest.raises(ValueError, match="at least two"):
        fd_infinity(REFERENCE, np.zeros((44, 8)), parts=1)
