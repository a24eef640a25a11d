"""Benchmarks of the Fréchet distance: the eigenproblem, estimates with errors, and moments."""

from time import perf_counter

import numpy as np
import pytest
import scipy.linalg
from pytest_benchmark.fixture import BenchmarkFixture

from samplerbench.benchmarks.metrics import (
    FrechetReference,
    Moments,
    estimate,
    frechet_distance,
    population_estimate,
)

N = 10_000


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Return random features ``(n, d)`` in half precision, as a run directory stores them."""
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32).astype(np.float16)


def reference(d: int) -> FrechetReference:
    """Return a full-rank reference of ``d`` features, factorised before the clock starts."""
    scales = np.linspace(0.5, 2, d)
    made = FrechetReference(np.full(d, 0.1), np.diag(scales))
    assert made.rank == d
    return made


def moments(d: int) -> Moments:
    """Return the moments of N samples with ``d`` features."""
    return Moments.of(features(N, d))


@pytest.mark.parametrize("d", [128, 2048])
def test_frechet_distance(benchmark: BenchmarkFixture, d: int) -> None:
    benchmark(frechet_distance, reference(d), moments(d))


def test_faster_than_scipys_matrix_root(benchmark: BenchmarkFixture) -> None:
    """Check a speed-up of 6 or more, and the same distance to 1e-8, for Inception's 2048 features."""
    ref, samples = reference(2048), moments(2048)
    value = benchmark.pedantic(frechet_distance, args=(ref, samples), rounds=3)
    start = perf_counter()
    root = scipy.linalg.sqrtm(ref.cov @ samples.cov)
    times = (perf_counter() - start) / benchmark.stats.stats.median
    benchmark.extra_info["times faster"] = times
    assert value == pytest.approx(
        ref.distance(samples.mean, float(np.trace(samples.cov)), float(np.trace(root).real)),
        rel=1e-8,
    )
    assert times >= 6


@pytest.mark.parametrize(("n", "d"), [(512, 128), (5_000, 128), (N, 128), (512, 784), (N, 784)])
def test_estimate(benchmark: BenchmarkFixture, n: int, d: int) -> None:
    benchmark(estimate, reference(d), features(n, d))


def test_population_estimate(benchmark: BenchmarkFixture) -> None:
    benchmark(population_estimate, features(N, 128), features(N, 128, seed=1))


def test_moments_of(benchmark: BenchmarkFixture) -> None:
    benchmark(Moments.of, features(N, 128))


def test_moments_merge(benchmark: BenchmarkFixture) -> None:
    benchmark(Moments.of(features(N, 128)).merge, Moments.of(features(N, 128, seed=1)))
