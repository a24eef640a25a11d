"""What one sample adds by itself: exact where the root is known, right to second order
elsewhere, and only the excess is counted.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics.estimators.expansion import (
    _higher_order_factors,
    leverage_corrections,
)

exact = settings(derandomize=True, deadline=None, max_examples=30)


def removed(s: np.ndarray, z: np.ndarray, n: int) -> tuple[float, float]:
    """By eigenvalues: what taking the mass 1/n of z out of diag(s²) does to p of the influence,
    and to the distance beyond first order.
    """
    S = np.diag(s)
    values, Q = np.linalg.eigh(S @ (np.eye(len(s)) - np.outer(z, z) / n) @ S)
    along = float(np.sum((Q.T @ S @ z) ** 2 / np.sqrt(values)))
    return along - float(s @ z**2), -2 * float(s.sum() - np.sqrt(values).sum()) + along / n


def formula(s: np.ndarray, z: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    p, w = float(s @ z**2), np.outer(s, s) / np.add.outer(s, s)
    g = 2 * float(z**2 @ w @ z**2) / (n * p)
    bias, influence = _higher_order_factors(np.array(g))
    return p * (influence + g / 2), p / n * (bias + g / 4)


@exact
@given(st.integers(0, 99), st.integers(1, 6), st.floats(0.01, 0.98))
def test_exact_where_the_singular_values_are_equal(seed: int, d: int, leverage: float) -> None:
    rng = np.random.default_rng(seed)
    z, n = rng.standard_normal(d), 50
    z *= np.sqrt(leverage * n / (z @ z))
    s = np.full(d, rng.uniform(0.1, 3))
    np.testing.assert_allclose(formula(s, z, n), removed(s, z, n), rtol=1e-8)


@exact
@given(st.integers(0, 99), st.integers(2, 6))
def test_of_second_order_where_they_differ(seed: int, d: int) -> None:
    """The relative error falls with the leverage."""
    rng = np.random.default_rng(seed)
    s, z = rng.uniform(0.05, 3, d), rng.standard_normal(d)
    errors = [
        np.abs(np.divide(formula(s, z, n), removed(s, z, n)) - 1).max() for n in (200 * d, 2000 * d)
    ]
    assert errors[0] < 0.03
    assert errors[1] < 0.2 * errors[0] + 1e-6


def test_samples_of_one_leverage_have_no_excess() -> None:
    z = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    along, pairs = (z**2 @ np.array([2.0])), 1.0 * z[:, 0] ** 4  # w = s / 2 = 1
    bias, influence = leverage_corrections(along, pairs)
    np.testing.assert_allclose(bias, 0, atol=1e-15)
    # what is given back
    np.testing.assert_allclose(
        influence, -3 / 8 * along * 2 * pairs[0] / (4 * along[0]), atol=1e-15
    )


def test_a_sample_far_out_has_more_than_the_others_and_a_constant_set_has_none() -> None:
    z2 = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 4.0])
    bias, influence = leverage_corrections(z2, 0.5 * z2**2)
    assert bias.argmax() == influence.argmax() == 5
    assert bias.sum() > 0
    assert not np.concatenate(leverage_corrections(np.zeros(3), np.zeros(3))).any()
    assert np.isfinite(
        np.concatenate(leverage_corrections(np.array([0.0, 1.0]), np.array([0.0, 0.5])))
    ).all()


def test_the_inverse_root_of_sampled_covariances_is_as_much_too_large_as_is_given_back() -> None:
    """Mean of z' (others' covariance)^-½ z over draws of the others, for t with 10 degrees of
    freedom in 20 dimensions.
    """
    rng = np.random.default_rng(0)
    n, d, nu = 800, 20, 10

    def root_traces() -> float:
        x = rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(nu, (n, 1)) / (nu - 2))
        return float(np.mean(np.linalg.eigvalsh(np.cov(x.T)) ** -0.5))

    mean_leverage = (d + 2) * (nu - 2) / (nu - 4) / n  # E |z|⁴ / (n d)
    inflation = np.mean([root_traces() for _ in range(200)]) - 1
    assert inflation == pytest.approx(3 / 8 * mean_leverage, rel=0.1)


@pytest.mark.parametrize("d", [3, 40])
def test_leverage_is_below_one(d: int) -> None:
    """Of whitened samples, on both sides of n = d, whatever the singular values."""
    rng = np.random.default_rng(0)
    x = rng.standard_t(2.1, size=(20, d)) * rng.uniform(0.01, 1, d)
    c = x - x.mean(axis=0)
    values, Q = np.linalg.eigh(c.T @ c / (len(x) - 1))
    keep = values > 1e-9 * values.max()
    z2, s = (c @ Q[:, keep]) ** 2 / values[keep], rng.uniform(0.01, 1, keep.sum())
    w = np.outer(s, s) / np.add.outer(s, s)
    leverage = 2 * np.einsum("ij,ij->i", z2 @ w, z2) / (len(x) * (z2 @ s))
    assert leverage.max() < ((len(x) - 1) / len(x)) ** 2 + 1e-9
