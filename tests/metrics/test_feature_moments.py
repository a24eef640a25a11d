"""Moments: exact algebra of merging, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics import Moments
from samplerbench.benchmarks.metrics.estimators.rows import LARGEST

exact = settings(derandomize=True, deadline=None, max_examples=25)


def features(seed: int, n: int, d: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + offset


def assert_same(a: Moments, b: Moments, scale: float = 1.0) -> None:
    assert a.n == b.n
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(a.m2, b.m2, rtol=1e-12, atol=1e-12 * a.n * scale)


def test_moments_are_those_of_numpy() -> None:
    x = features(0, 50, 4, offset=3.0)
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.cov, np.cov(x.T), rtol=1e-12)


def test_covariance_survives_a_large_offset() -> None:
    """One pass over squares would lose all digits here."""
    x = np.round(features(1, 100, 3), 3)
    np.testing.assert_allclose(Moments.of(x + 2.0**26).cov, Moments.of(x).cov, rtol=1e-6)


@exact
@given(
    st.integers(0, 99),
    st.integers(1, 5),
    st.lists(st.integers(1, 20), min_size=2, max_size=6),
    st.floats(-100, 100),
)
def test_any_split_merges_to_the_whole(seed: int, d: int, sizes: list[int], offset: float) -> None:
    x = features(seed, sum(sizes), d, offset)
    parts = [Moments.of(rows) for rows in np.split(x, np.cumsum(sizes)[:-1])]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert_same(merged, Moments.of(x), scale=1 + abs(offset))


@exact
@given(
    st.integers(0, 99),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(0, 100),
)
def test_merge_is_associative_and_commutative(
    seed: int, i: int, j: int, k: int, apart: float
) -> None:
    a, b, c = (Moments.of(features(seed + m, n, 3, m * apart)) for m, n in enumerate((i, j, k)))
    scale = 1 + apart**2
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)), scale)
    assert_same(a.merge(b), b.merge(a), scale)


def test_arrays_round_trip(tmp_path) -> None:
    moments = Moments.of(features(2, 10, 3))
    np.savez(tmp_path / "moments.npz", **moments.as_dict())
    with np.load(tmp_path / "moments.npz") as arrays:
        back = Moments.from_dict(arrays)
    assert back.n == moments.n
    assert isinstance(back.n, int)
    np.testing.assert_array_equal(back.mean, moments.mean)
    np.testing.assert_array_equal(back.m2, moments.m2)


def test_samples_of_any_shape_and_dtype_are_flattened_to_float64() -> None:
    x = features(3, 6, 8).astype(np.float16)
    assert_same(Moments.of(x.reshape(6, 2, 4)), Moments.of(x.astype(np.float64)))
    assert Moments.of(x).mean.dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 10 * LARGEST])
def test_diverged_samples_are_refused_and_counted(bad: float) -> None:
    x = features(4, 5, 3)
    x[1] = bad
    x[3, 2] = bad
    with pytest.raises(ValueError, match="2 of 5 samples"):
        Moments.of(x)


def test_what_has_no_moments_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Moments.of(np.empty((0, 3)))
    with pytest.raises(ValueError, match="shape"):
        Moments.of(np.zeros(3))
    with pytest.raises(ValueError, match="one sample"):
        _ = Moments.of(np.zeros((1, 3))).cov
    with pytest.raises(ValueError, match="2 and of 3"):
        Moments.of(np.zeros((4, 2))).merge(Moments.of(np.zeros((4, 3))))
