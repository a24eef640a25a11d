"""The warped coordinate, its grids, and the step to 0 of methods in it."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make
from samplerbench.samplers.auto.rule import Warp

LEVELS = st.floats(1e-3, 1e3)


@given(sigma=LEVELS, scale=st.floats(0.05, 2), power=st.floats(0.5, 3), exponent=st.floats(0.15, 1))
def test_the_inverse_undoes_the_warp(sigma, scale, power, exponent):
    warp = Warp(scale, power, exponent)
    assert warp.inverse(warp(sigma)) == pytest.approx(sigma, rel=1e-6)


@given(sigma=LEVELS)
def test_power_two_is_the_time_of_a_linear_variance_preserving_process(sigma):
    """With beta_min = 0, log(1 + sigma²) = beta_d t² / 2."""
    assert Warp(1.0, 2.0, 0.5)(sigma) == pytest.approx(math.sqrt(math.log1p(sigma**2)), rel=1e-12)


@given(
    n=st.integers(1, 60), low=st.floats(1e-4, 0.05), high=st.floats(1.0, 1e4), to_zero=st.booleans()
)
@settings(deadline=None)
def test_grids_have_equal_steps_the_right_ends_and_no_level_below_sigma_min(n, low, high, to_zero):
    warp = Warp(0.2, 1.2, 0.5)
    grid = warp.grid(n, low, high, to_zero=to_zero)
    assert len(grid) == n
    assert grid.sigma[0] == high
    assert grid.sigma[-1] == (0 if to_zero else low)
    positive = [s for s in grid.sigma if s > 0]
    assert min(positive) >= low * (1 - 1e-9)
    steps = [warp(a) - warp(b) for a, b in pairwise(positive)]
    assert steps == pytest.approx([sum(steps) / max(1, len(steps))] * len(steps), rel=1e-6)


@pytest.mark.parametrize("points", [2, 3, 4])
def test_the_step_to_zero_gives_the_denoised_image_at_its_end(points):
    """By extrapolation, of the method's order; by an evaluation there, exactly."""
    problem, end, start = ThreeModes(), 0.05, 2.0
    x = start * SampleNoise(0, torch.arange(20), (2,), torch.float64).initial()
    state = make("dpmpp_3m").sample(problem, x, karras(2000, end, start, to_zero=False), NoNoise())
    truth = problem(state, end)
    name = f"warped_ab_{points}"
    errors = []
    for n in (40, 80):
        method = make(name, through_zero=True, end=end, startup="singlestep")
        own = Warp(0.09, 1.07, 0.63).grid(n, end, start)
        errors.append(float((method.sample(problem, x, own, NoNoise()) - truth).norm()))
    assert math.log2(errors[0] / errors[1]) > points - 0.6
    last = make(name, through_zero=True, end=end)
    assert torch.equal(
        last.sample(problem, state, Grid((end, 0.0)), NoNoise()), problem(state, end)
    )


def integrated(method, memos, cur, nxt):
    """The integral of v dsigma / (k + sigma)² over a step, of the polynomial in the warped level
    through ``memos``, pairs of a level and v there: by quadrature.
    """
    nodes = [method.warp(level) for level, _ in memos]

    def weight(j):
        others = nodes[:j] + nodes[j + 1 :]

        def inside(sigma):
            at = method.warp(sigma)
            value = math.prod((at - other) / (nodes[j] - other) for other in others)
            return value / (method.knee + sigma) ** 2

        return quad(inside, cur, nxt, epsabs=0, epsrel=1e-12, limit=200)[0]

    return sum(weight(j) * v for j, (_, v) in enumerate(memos))


@pytest.mark.parametrize("points", [1, 2, 4])
def test_the_corrector_takes_each_step_again_with_the_evaluation_at_its_end(points):
    problem, knee = ThreeModes(), 0.8
    method = make(f"warped_ab_{points}", corrector=True, knee=knee)
    grid = karras(6, 0.05, 10.0, to_zero=False)
    latents = 10.0 * SampleNoise(0, torch.arange(8), (2,), torch.float64).initial()
    predicted, corrected, memos = latents, latents, []
    for i, (cur, nxt) in enumerate(pairwise(grid.sigma)):
        d = problem(predicted, cur)
        memos.insert(0, (cur, (predicted - (1 + cur / knee) * d) * knee / cur))
        if i > 0:
            before, used = grid.sigma[i - 1], memos[: min(i, points) + 1]
            y = corrected / (knee + before) + integrated(method, used, before, cur)
            corrected = (knee + cur) * y
        y = corrected / (knee + cur) + integrated(method, memos[:points], cur, nxt)
        predicted = (knee + nxt) * y
    got = method.sample(problem, latents, grid, NoNoise())
    torch.testing.assert_close(got, predicted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_the_corrector_raises_the_order_by_one(points):
    model = make_model("gmm-2d")
    bound = model.bind(torch.arange(16), 0)
    x = 5.0 * SampleNoise(0, torch.arange(16), (2,), torch.float64).initial()
    truth = model.flow(x, 5.0, 0.5)
    method = make(f"warped_ab_{points}", corrector=True)
    errors = []
    for n in (100, 200):
        grid = Grid(tuple(5.0 * 0.1 ** ((i / n) ** 1.2) for i in range(n + 1)))
        errors.append(float((method.sample(bound, x, grid, NoNoise()) - truth).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(method.order, abs=0.3)


def test_a_deferred_first_step_is_not_corrected():
    """It is taken with the evaluation at its end already; from then on nothing is different."""
    options = {"analytic_first": True, "deferred": True, "through_zero": True}
    grid, rows = karras(7, 0.02, 80.0), {}
    for corrector in (False, True):
        method = make("warped_ab_2", **options, corrector=corrector)
        rows[corrector] = method.plan(grid)
    assert rows[True][:2] == rows[False][:2]
    assert rows[True][2] != rows[False][2]


def test_the_corrector_needs_memos_of_all_steps():
    with pytest.raises(ValueError, match="leave out startup"):
        make("warped_ab_2", corrector=True, startup="singlestep")


@pytest.mark.parametrize(
    "bad",
    [
        {"spread": 0.0},
        {"end": -1.0},
        {"knee": 0.0},
        {"scale": -1.0},
        {"power": 0.0},
        {"exponent": 0.0},
    ],
)
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="0"):
        make({"name": "warped_ab_3", **bad})
