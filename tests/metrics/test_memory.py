"""Peak memory of the metrics at the size of published tables: 50 000 samples of Inception's
2048 features.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import pytest

from samplerbench.benchmarks.metrics import Moments
from samplerbench.benchmarks.metrics.kernel import kid

MB = 2**20


def peak(work: Callable[[], object]) -> float:
    """Most that numpy held at once, in MB, above what it held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


def batches(n: int, size: int, d: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(n // size):
        yield rng.random((size, d), dtype=np.float32)


def streamed(n: int, size: int, d: int) -> Moments:
    return reduce(Moments.merge, map(Moments.of, batches(n, size, d)))


def test_streaming_holds_a_few_matrices_whatever_the_number_of_samples() -> None:
    d = 256
    few, many = (peak(lambda n=n: streamed(n, 500, d)) for n in (2_000, 20_000))
    assert many == pytest.approx(few, rel=0.05)
    assert many < 7 * (d * d + 500 * d) * 8 / MB


@pytest.mark.slow
def test_samples_of_2048_features_are_streamed_in_400_mb_whatever_their_number() -> None:
    """Of 6 batches; that 50 hold no more is what the test above is about."""
    assert peak(lambda: streamed(6_000, 1_000, 2048)) < 400


def test_kernel_distance_holds_tiles_not_the_kernel_matrix() -> None:
    n, block = 3_000, 256
    x, y = np.random.default_rng(1).standard_normal((2, n, 16), dtype=np.float32)
    assert peak(lambda: kid(x, y, block)) < 6 * block * block * 8 / MB + 2
    assert peak(lambda: kid(x, y, n)) > n * n * 8 / MB


@pytest.mark.slow
def test_kernel_distance_of_2048_features_holds_less_than_they_do() -> None:
    """In float64 the larger set takes 86 MB; tiles take 72 of any number of samples."""
    x, y = (
        np.random.default_rng(seed).standard_normal((n, 2048), dtype=np.float32)
        for seed, n in ((2, 5_500), (3, 1_000))
    )
    assert peak(lambda: kid(x, y)) < 80
