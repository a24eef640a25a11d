"""Distance to the converged endpoint."""

import numpy as np
import pytest

from samplerbench.benchmarks.metrics import endpoint_error, flip_fraction


def test_distances_are_per_dimension() -> None:
    reference = np.random.default_rng(0).standard_normal((3, 2, 4, 4))
    shift = np.array([1.0, 2.0, 4.0])
    error = endpoint_error(reference + shift.reshape(3, 1, 1, 1), reference)
    np.testing.assert_allclose(error.per_sample, shift, rtol=1e-12)
    assert error.rmse == pytest.approx(np.sqrt(7), rel=1e-12)
    assert error.rmse_median == pytest.approx(2, rel=1e-12)


def test_one_lost_sample_moves_the_rmse_and_not_the_median() -> None:
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((101, 8))
    x = reference + 1e-3 * rng.standard_normal((101, 8))
    x[7] += 5.0
    error = endpoint_error(x, reference)
    assert error.rmse > 0.4
    assert error.rmse_median < 2e-3


def test_standard_error_is_that_of_repeated_runs() -> None:
    rng = np.random.default_rng(2)
    errors = [
        endpoint_error(rng.exponential(size=(300, 3)), np.zeros((300, 3))) for _ in range(400)
    ]
    assert np.mean([e.rmse_se for e in errors]) == pytest.approx(
        np.std([e.rmse for e in errors]), rel=0.15
    )


def test_exact_samples_have_no_error_and_one_sample_has_no_standard_error() -> None:
    x = np.ones((4, 2))
    exact = endpoint_error(x, x)
    assert (exact.rmse, exact.rmse_se, exact.rmse_median) == (0.0, 0.0, 0.0)
    assert np.isnan(endpoint_error(x[:1] + 1, x[:1]).rmse_se)


def test_what_cannot_be_compared_is_refused() -> None:
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="differ in shape"):
        endpoint_error(x, x[:3])
    with pytest.raises(ValueError, match="no samples"):
        endpoint_error(x[:0], x[:0])
    with pytest.raises(ValueError, match="1 of 4 samples"):
        endpoint_error(np.where(np.arange(4)[:, None] == 1, np.nan, x), x)


def test_flip_fraction__samples_in_other_modes_are_counted() -> None:
    assert flip_fraction([0, 1, 2, 3], [0, 1, 2, 3]) == 0.0
    assert flip_fraction([0, 1, 2, 3], [0, 2, 1, 3]) == 0.5
    with pytest.raises(ValueError, match="one length"):
        flip_fraction([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="one length"):
        flip_fraction([], [])
