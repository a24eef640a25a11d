"""Single-step methods and what is derived from them: exact on polynomials, equal to published
formulas written out, counted.
"""

import math

import pytest
import torch
from exact_steps import apart, grid_of, latents
from hypothesis import given
from hypothesis import strategies as st
from looping import each

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, NoNoise, karras, make, uniform_lambda
from samplerbench.samplers.numerics import phi

STEPS = st.lists(st.floats(0.05, 1.5), min_size=3, max_size=6)


class Given:
    """A denoiser that is a function of x and sigma."""

    def __init__(self, of):
        self.of = of

    def __call__(self, x, sigma):
        return self.of(x, sigma)

    def take(self, rows):
        return self


def run(spec, grid, denoise=None):
    return make(spec).sample(denoise or ThreeModes(), latents(grid.sigma[0]), grid, NoNoise())


@pytest.mark.parametrize(
    ("name", "exact"),
    [("res_2s", True), ("res_3s", True), ("dpmpp_3s", True), ("dpmpp_2s", False)],
)
@given(steps=STEPS)
def test_data_that_moves_linearly_in_lam(name, exact, steps):
    """With d = lam, dx/dlam = lam - x has the solution lam - 1 + C e^-lam.

    Weights with phi_2 follow it, those with phi_1 / 2 do not.
    """
    grid = grid_of(steps)
    end = run(name, grid, Given(lambda x, sigma: torch.full_like(x, -math.log(sigma))))
    first, last = grid.lam[0], grid.lam[-1]
    truth = last - 1 + (latents(grid.sigma[0]) - first + 1) * math.exp(first - last)
    assert (apart(end, truth) < 1e-12) == exact


@each(
    ("name", "degree"),
    [
        *(("deis_rrk_2", 1), ("deis_rrk_3", 3), ("deis_rrk_4", 3), ("rk_midpoint_2", 1)),
        *(("rk_heun_3", 2), ("rk_three_eighths_4", 3), ("rk_ralston_2", 2), ("rk_ralston_3", 2)),
        *(("rk_ssp_3", 3), ("rk_dormand_prince_5", 4)),
    ],
)
def test_noise_directions_that_are_polynomials_in_sigma(name, degree):
    """With eps = sigma^k, x moves by the integral.

    The trapezium is exact to degree 1, Radau's weights to 2, Simpson's to 3.
    """
    grid = karras(4, 0.3, 3.0, to_zero=False)
    for k in range(degree + 2):
        end = run(name, grid, Given(lambda x, sigma, k=k: x - sigma ** (k + 1)))
        moved = (grid.sigma[-1] ** (k + 1) - grid.sigma[0] ** (k + 1)) / (k + 1)
        assert (apart(end, latents(grid.sigma[0]) + moved) < 1e-12) == (k <= degree)


@each(
    ("steps", "orders"),
    [
        (1, [1]),
        (2, [2]),
        (3, [2, 1]),
        (4, [3, 1]),
        (5, [3, 2]),
        (6, [3, 2, 1]),
        (9, [3, 3, 2, 1]),
        (10, [3, 3, 3, 1]),
        (11, [3, 3, 3, 2]),
    ],
)
def test_dpm_solver_fast__splits_its_budget_as_published(steps, orders):
    fast = make("dpm_solver_fast")
    assert fast.solver_orders(karras(steps, 0.1, 10.0, to_zero=False)) == orders
    assert fast.solver_orders(karras(steps + 1, 0.1, 10.0)) == orders
    assert (
        len(fast.plan(karras(steps + 1, 0.1, 10.0)))
        == len(fast.profile(karras(steps + 1, 0.1, 10.0)))
        == steps + 1
    )


def test_dpm_solver_fast_is_the_single_step_methods_on_equal_steps():
    grid = uniform_lambda(8, 0.1, 10.0, to_zero=False)
    x, denoise = latents(10.0), ThreeModes()
    for method, start, end in (
        ("dpm_solver_3", 0, 3),
        ("dpm_solver_3", 3, 6),
        ("dpm_solver_2", 6, 8),
    ):
        x = make(method).sample(denoise, x, Grid((grid.sigma[start], grid.sigma[end])), NoNoise())
    assert apart(run("dpm_solver_fast", grid), x) < 1e-12


@given(steps=st.lists(st.floats(0.05, 1.5), min_size=4, max_size=4))
def test_dpm_solver_fast_takes_its_stages_from_the_grid(steps):
    """One published third-order step with general r1 and r2 written out, one of first order."""
    grid, denoise = grid_of(steps), ThreeModes()
    s0, s1, s2, nxt, end = grid.sigma
    h = math.log(s0 / nxt)
    r1, r2 = math.log(s0 / s1) / h, math.log(s0 / s2) / h

    def eps(x, sigma):
        return (x - denoise(x, sigma)) / sigma

    x = latents(s0)
    first = eps(x, s0)
    u1 = x - s1 * math.expm1(r1 * h) * first
    second = math.expm1(r2 * h) / (r2 * h) - 1
    u2 = x - s2 * math.expm1(r2 * h) * first - s2 * r2 / r1 * second * (eps(u1, s1) - first)
    x = x - nxt * math.expm1(h) * first - nxt / r2 * (math.expm1(h) / h - 1) * (eps(u2, s2) - first)
    x = x + (end - nxt) * eps(x, nxt)
    assert apart(run("dpm_solver_fast", grid), x) < 1e-11


@given(steps=STEPS)
def test_res_multistep_has_the_single_step_weights_at_earlier_nodes(steps):
    """b_3 = phi_2 / (g c_2 + c_3), b_2 = g b_3, and b_1 the rest of phi_1."""
    grid = grid_of(steps)
    h, before, further = (math.log(a / b) for a, b in (grid.intervals()[i] for i in (2, 1, 0)))
    c2, c3 = -before / h, -(before + further) / h
    g = (3 * c3**2 - 2 * c3) / (c2 * (2 - 3 * c2))
    b3 = phi(2, -h) / (g * c2 + c3)
    expected = [h * (phi(1, -h) - g * b3 - b3), h * g * b3, h * b3]
    assert make("res_3m").plan(grid)[2].b == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(steps=STEPS)
def test_res_2m_is_exact_on_lines(steps):
    """Weights against a constant and against lam itself."""
    grid = grid_of(steps)
    cur, nxt = grid.intervals()[1]
    h, before = math.log(cur / nxt), math.log(grid.sigma[0] / cur)
    b = make("res_2m").plan(grid)[1].b
    assert sum(b) == pytest.approx(1 - nxt / cur)
    assert -before * b[1] == pytest.approx(h - 1 + math.exp(-h))


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "dpmpp_2s", "r1": 1.0},
        {"name": "dpmpp_3s", "r1": 0.7},
        {"name": "res_2s", "c2": 0.0},
        {"name": "res_3s", "c2": 2 / 3},
        {"name": "res_3s", "c2": 1.0},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(spec):
    with pytest.raises(ValueError, match=spec["name"]):
        make(spec)
