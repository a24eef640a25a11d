"""Step control by the sample: each has its own steps, its own count and its own bits."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.benchmarks.conformance.problems import (
    INTERIOR,
    AnisotropicGaussian,
    Rational,
    RecordingDenoiser,
    ThreeModes,
    draw_samples,
)
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make
from samplerbench.samplers.numerics import row_rms

NAMES = ["dpm_solver_adaptive_12", "dpm_solver_adaptive_23", "rk23", "rk45"]
GRID = Grid((10.0, 0.02, 0.0))


def latents(n=6, sigma=GRID.sigma[0], dtype=torch.float64):
    return SampleNoise(1, torch.arange(n), (3,), dtype).initial() * sigma


@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 300)))
def test_row_rms_is_the_mean_of_squares_in_the_same_bits_for_every_batch_and_layout(shape):
    v = torch.from_numpy(np.random.default_rng(shape).standard_normal(shape))
    together = row_rms(v)
    assert together == pytest.approx(v.square().mean(1).sqrt().tolist())
    assert together == [row_rms(row)[0] for row in v.split(1)]
    assert together == row_rms(v.T.contiguous().T), "depends on the memory layout"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_row_rms_reports_what_is_not_finite(bad):
    assert not math.isfinite(row_rms(torch.tensor([[1.0, bad], [1.0, 1.0]]))[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_costs_what_its_samples_cost(name):
    """Latents of very different size need different numbers of steps."""
    x = latents() * torch.tensor([[1e-3], [1.0], [3.0], [1.0], [10.0], [0.1]], dtype=torch.float64)
    together = RecordingDenoiser(Rational(pull=3.0))
    ends = make(name).sample(together, x, GRID, NoNoise())
    counts = []
    for k in range(len(x)):
        alone = RecordingDenoiser(Rational(pull=3.0))
        assert torch.equal(make(name).sample(alone, x[k : k + 1], GRID, NoNoise()), ends[k : k + 1])
        counts.append(alone.row_count)
    assert together.row_count == sum(counts)
    assert len(set(counts)) > 1


@pytest.mark.parametrize("name", [*NAMES, "scipy_rk45", "scipy_lsoda"])
def test_adaptive_samplers__do_not_translate_as_their_tolerance_depends_on_the_state(name):
    """The relative tolerance is looser for data that are far from 0."""
    still, moved = (
        draw_samples(make(name), AnisotropicGaussian(by), GRID, torch.arange(4), shift=by)
        for by in (0.0, 5.0)
    )
    assert float((moved - 5.0 - still).abs().max()) > 1e-7
    assert not make(name).translates


@pytest.mark.parametrize("name", NAMES)
def test_only_the_ends_of_the_grid_matter_and_both_are_met_exactly(name):
    few, many = RecordingDenoiser(Rational()), RecordingDenoiser(Rational())
    fine = karras(9, 0.02, 10.0)
    assert torch.equal(
        make(name).sample(few, latents(), GRID, NoNoise()),
        make(name).sample(many, latents(), fine, NoNoise()),
    )
    assert few.levels[0] == GRID.sigma[0]
    assert few.levels[-1] == min(few.levels) == GRID.sigma[-2]


@pytest.mark.parametrize("name", NAMES)
def test_a_rejected_step_is_not_evaluated_at_its_start_again(name):
    seen = RecordingDenoiser(Rational(pull=3.0))
    make({"name": name, "h_init": 6.0, "rtol": 1e-4, "atol": 1e-4}).sample(
        seen, latents(1), GRID, NoNoise()
    )
    inner = [level for level in seen.levels if level < GRID.sigma[0]]
    assert seen.levels.count(GRID.sigma[0]) == 1
    assert any(later > earlier * (1 + 1e-9) for earlier, later in pairwise(inner)), (
        "nothing was rejected"
    )


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("dpm_solver_adaptive_12", "euler", "dpm_solver_2"),
        ("dpm_solver_adaptive_23", {"name": "dpm_solver_2", "r1": 1 / 3}, "dpm_solver_3"),
    ],
)
def test_a_step_is_that_of_the_fixed_methods(name, low, high):
    x, grid, denoise, sampler = (
        latents(sigma=2.0)[:, :2],
        Grid((2.0, 0.7)),
        ThreeModes(),
        make({"name": name, "rtol": 1e-9, "atol": 2.0}),
    )
    attempt = sampler.attempt(x, denoise(x, 2.0), [2.0] * 6, [0.7] * 6, denoise)
    better, worse = (make(spec).sample(denoise, x, grid, NoNoise()) for spec in (high, low))
    torch.testing.assert_close(attempt.x, better, rtol=0, atol=1e-13)
    torch.testing.assert_close(attempt.error, (better - worse) / 2, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "order", "lower"), [("rk23", 3, 2), ("rk45", 5, 4)])
def test_pairs_meet_the_order_conditions(name, order, lower):
    """Quadrature, the chain b A c^k and the row sums for the result.

    The error weights vanish up to the lower order and no further.
    """
    pair = make(name).pair
    n = len(pair.e)
    a, c = np.zeros((n, n)), np.array([0.0, *pair.c])
    for i, row in enumerate(pair.a, 1):
        a[i, : len(row)] = row
    b, e = a[-1], np.array(pair.e)
    assert a.sum(1) == pytest.approx(c)
    for k in range(order):
        assert b @ c**k == pytest.approx(1 / (k + 1))
    for k in range(order - 1):
        assert b @ a @ c**k == pytest.approx(1 / ((k + 1) * (k + 2)))
    assert [abs(e @ c**k) < 1e-14 for k in range(lower + 1)] == [True] * lower + [False]


@pytest.mark.parametrize("name", NAMES)
def test_the_error_follows_the_tolerance(name):
    problem, grid = ThreeModes(), Grid(INTERIOR[::-1])
    start, truth = problem.start[:2], problem.truth(grid.sigma[-1])[:2]
    errors = []
    for tolerance in (1e-1, 1e-3, 1e-5):
        end = make({"name": name, "rtol": tolerance, "atol": tolerance}).sample(
            problem, start, grid, NoNoise()
        )
        errors.append(float((end - truth).square().mean().sqrt()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 3e-5


class Broken(Rational):
    """Gives NaN below sigma = 1."""

    def __call__(self, x, sigma):
        d = super().__call__(x, sigma)
        return d * torch.where(torch.as_tensor(sigma) < 1, math.nan, 1.0).to(d).reshape(-1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_solved_is_said(name):
    with pytest.raises(RuntimeError, match="finite values"):
        make(name).sample(Broken(), latents(), GRID, NoNoise())
    with pytest.raises(
        ValueError, match=r"at least 1.2e-06 for states of torch.float32, got 1e-06"
    ):
        make({"name": name, "rtol": 1e-6}).sample(
            Rational(), latents(dtype=torch.float32), GRID, NoNoise()
        )


@pytest.mark.parametrize("options", [{"rtol": 0.0}, {"h_init": 0.0}, {"safety": 1.5}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="rk23"):
        make({"name": "rk23", **options})
