"""Picard iteration: its fixed point is Euler's path, its depth is what is saved, its samples do
not wait for each other.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.conformance.problems import Rational, RecordingDenoiser, ThreeModes
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make

GRID = karras(24, 0.02, 20.0)


def run(denoise, grid=GRID, n=4, **options):
    x = SampleNoise(1, torch.arange(n), (2,), torch.float64).initial() * grid.sigma[0]
    return make({"name": "paradigms", **options}).sample(denoise, x, grid, NoNoise())


def euler(denoise, grid=GRID, n=4):
    x = SampleNoise(1, torch.arange(n), (2,), torch.float64).initial() * grid.sigma[0]
    return make("euler").sample(denoise, x, grid, NoNoise())


@settings(max_examples=25)
@given(window=st.integers(1, 12), steps=st.integers(1, 9), to_zero=st.booleans())
def test_without_tolerance_it_is_euler_bit_for_bit(window, steps, to_zero):
    """Against the same sum, one step after the other; and Euler's own sampler to rounding."""
    grid = karras(steps, 0.02, 20.0, to_zero=to_zero)
    x = SampleNoise(1, torch.arange(4), (2,), torch.float64).initial() * grid.sigma[0]
    for cur, nxt in grid.intervals():
        x = x + (x - Rational()(x, cur)) * (nxt / cur - 1)
    found = run(Rational(), grid, window=window, tol=0.0)
    assert torch.equal(found, x)
    assert float((found - euler(Rational(), grid)).abs().max()) < 1e-12


def test_the_error_follows_the_tolerance():
    exact = euler(ThreeModes())
    errors = [float((run(ThreeModes(), tol=tol) - exact).abs().max()) for tol in (1.0, 1e-2, 1e-4)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4


@pytest.mark.parametrize("window", [1, 5, 24, 100])
def test_straight_paths_take_one_sweep_a_window(window):
    """With constant d the first sweep is exact: it moves the window by its width, once the
    change itself is known to be small.
    """
    point = torch.tensor([1.0, -2.0], dtype=torch.float64)

    class Point(Rational):
        def __call__(self, x, sigma):
            return point.expand_as(x).clone()

    seen = RecordingDenoiser(Point())
    end = run(seen, window=window, tol=1e9)
    assert len(seen.outputs) == math.ceil(len(GRID) / window)
    if window == 1:
        assert seen.row_count == 4 * len(GRID)
        assert float((end - point).abs().max()) < 1e-12


def test_fewer_calls_more_evaluations():
    seen = RecordingDenoiser(ThreeModes())
    run(seen, karras(100, 0.02, 20.0), window=32)
    assert len(seen.outputs) < 50
    assert seen.row_count > 4 * 100


def test_no_sample_waits_for_another():
    together, alone = RecordingDenoiser(Rational(pull=3.0)), RecordingDenoiser(Rational(pull=3.0))
    x = SampleNoise(1, torch.arange(4), (2,), torch.float64).initial() * torch.tensor(
        [[0.02], [1.0], [20.0], [200.0]]
    )
    sampler = make({"name": "paradigms", "window": 6})
    ends = sampler.sample(together, x, GRID, NoNoise())
    rows = []
    for one, end in zip(x.split(1), ends.split(1), strict=True):
        before = alone.row_count
        assert torch.equal(sampler.sample(alone, one, GRID, NoNoise()), end)
        rows.append(alone.row_count - before)
    assert together.row_count == sum(rows)
    assert len(set(rows)) > 1


def test_one_step_is_one_evaluation():
    seen = RecordingDenoiser(ThreeModes())
    run(seen, Grid((3.0, 0.0)))
    assert (len(seen.outputs), seen.row_count) == (1, 4)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 1.5}, {"tol": -1.0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="paradigms"):
        make({"name": "paradigms", **options})
