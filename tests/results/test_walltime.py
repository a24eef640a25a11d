import math

import numpy as np
import pytest

from samplerbench.results.comparison.times import NoRatio, time_ratio

CONDITIONS = {"timing_device": "cpu", "timing_threads": 1, "timing_batch_size": 32}


def timed(times, **conditions):
    return {**CONDITIONS, "raw_total_ms": list(times), **conditions}


def test_ratio_of_medians_and_its_reciprocal():
    a, b = [10.0, 11, 12, 13, 14, 15, 16], [20.0, 22, 24, 26, 28, 30, 32]
    there, back = time_ratio(timed(a), timed(b)), time_ratio(timed(b), timed(a))
    assert there.interval.value == pytest.approx(2)
    value, low, high = back.interval
    assert there.interval == pytest.approx((1 / value, 1 / high, 1 / low))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_unit_of_time_does_not_matter(scale):
    a, b = np.random.default_rng(0).gamma(50, size=(2, 9))
    assert time_ratio(timed(a), timed(b)).se == pytest.approx(
        time_ratio(timed(a * scale), timed(b * scale)).se
    )


@pytest.mark.parametrize("n", [7, 10, 30])
def test_interval_covers_the_true_ratio_of_skewed_times(n):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        _, low, high = time_ratio(
            timed(np.exp(0.2 * rng.normal(size=n))), timed(1.5 * np.exp(0.2 * rng.normal(size=n)))
        ).interval
        covered += low <= 1.5 <= high
    assert covered / 600 >= 0.95


def test_time_ratio__comes_from_the_order_statistics():
    """Of nine, the second and the eighth enclose the median."""
    a, b = ([math.exp(k * step) for k in range(9)] for step in (1, 2))
    found = time_ratio(timed(a), timed(b))
    assert (found.log, found.low, found.high) == pytest.approx((4, 4 - 45**0.5, 4 + 45**0.5))


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5])
@pytest.mark.parametrize("n", [6, 9, 15, 30])
def test_time_ratio__of_times_with_two_states_is_seldom_off(share, n):
    """A processor with and without turbo: the median may be either."""
    rng = np.random.default_rng(1)
    times = np.where(rng.random((400, 2, n)) < share, 10.0, 12.0)
    ratios = [time_ratio(timed(a), timed(b)) for a, b in times]
    assert np.mean([found.low > 0 or found.high < 0 for found in ratios]) <= 0.05


@pytest.mark.parametrize(
    ("conditions", "part"),
    [
        ({"timing_device": "cuda"}, "device differs: cpu and cuda"),
        ({"timing_device_name": "B"}, "device name differs: None and B"),
        ({"timing_threads": 2}, "threads differs: 1 and 2"),
        ({"timing_batch_size": 64}, "batch size differs: 32 and 64"),
        ({"timing_execution": "compile"}, "execution differs"),
    ],
)
def test_times_under_other_conditions_are_refused_by_name(conditions, part):
    times = [1.0] * 8
    found = time_ratio(timed(times), timed(times, **conditions))
    assert found.mismatch
    assert part in found.reason


def test_too_little_to_go_by_is_said():
    assert time_ratio(timed([1.0] * 5), timed([1.0] * 8)) == NoRatio("fewer than 6 times")
    assert time_ratio({}, timed([1.0] * 8)) == NoRatio(
        "a side has no raw times: a run with --no-timing, or a table alone"
    )
    assert time_ratio(timed([1.0] * 8), timed([1.0] * 8, timing_flag="preempted")) == NoRatio(
        "flagged: preempted"
    )
