"""Methods that are equal, methods that begin equal, and problems on which a method is exact."""

import math

import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import INTERIOR, Rational, ThreeModes
from samplerbench.samplers import Grid, NoNoise, SampleNoise, get, karras, make, names

GRID = karras(9, 0.02, 40.0)


def run(spec, grid=GRID, denoise=None):
    ids = torch.arange(6)
    noise = SampleNoise(1, ids, (2,), torch.float64)
    sampler = make(spec)
    x = noise.initial() * grid.sigma[0]
    return sampler.sample(
        denoise or ThreeModes(), x, grid, noise if sampler.stochastic else NoNoise()
    )


def same(a, b):
    return float((a - b).abs().max()) < 1e-12


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ddim", "euler"),
        ("dpm_solver_1", "euler"),
        ({"name": "ddim", "eta": 1.0}, "ddpm"),
        ({"name": "edm_stochastic", "churn": 0.0}, "heun"),
    ],
    ids=str,
)
def test_twins(one, other):
    assert same(run(one), run(other))


MULTISTEP = [
    "dpmpp_2m",
    "dpm_solver_2m",
    "dpm_solver_3m",
    "dpm_solver_3m_published",
    "ipndm",
    "ipndm_2",
    "ipndm_3",
]


@each("name", MULTISTEP)
def test_multistep__the_first_step_of_a_multistep_method_is_eulers(name):
    grid = Grid(GRID.sigma[:2])
    assert same(run(name, grid), run("euler", grid))


@pytest.mark.parametrize(
    ("long", "short", "steps"),
    [
        ("ipndm", "ipndm_3", 3),
        ("ipndm_3", "ipndm_2", 2),
        ("dpm_solver_3m_published", "dpm_solver_2m", 2),
    ],
)
def test_longer_histories_begin_as_the_shorter_ones(long, short, steps):
    assert same(run(long, Grid(GRID.sigma[: steps + 1])), run(short, Grid(GRID.sigma[: steps + 1])))
    assert not same(
        run(long, Grid(GRID.sigma[: steps + 2])), run(short, Grid(GRID.sigma[: steps + 2]))
    )


@each("name", names())
def test_sample__one_step_to_zero_is_the_denoised_image(name):
    """A step to 0 is x <- d for every method; only churn moves the state before."""
    grid, spec = Grid((3.0, 0.0)), {"name": name}
    if name in ("edm_stochastic", "euler_churn"):
        spec["churn"] = 0.0
    x = SampleNoise(1, torch.arange(6), (2,), torch.float64).initial() * 3.0
    assert same(run(spec, grid), ThreeModes()(x, 3.0))


class Point:
    """Data of zero variance: d is one point, whatever the state is."""

    def __init__(self, point):
        self.point = point

    def __call__(self, x, sigma):
        return self.point.expand_as(x).clone()

    def take(self, rows):
        return self


FIXED_STEPS = [
    name
    for name in names()
    if not get(name).adaptive
    and not make(name).stochastic
    and make(name).translates
    and not name.startswith("torchdiffeq")
    and name != "ipndm_v_published"  # whose weights do not sum to 1
]


@each("name", FIXED_STEPS)
def test_sample__a_point_is_reached_exactly_along_straight_lines(name):
    """With d constant, x - d is proportional to sigma, and every method that is exact in sigma
    or exponential in lam follows it.
    """
    point, grid = (
        torch.tensor([1.0, -2.0], dtype=torch.float64),
        karras(7, 0.02, 40.0, to_zero=False),
    )
    x = SampleNoise(1, torch.arange(6), (2,), torch.float64).initial() * 40.0
    exact = point + (x - point) * (grid.sigma[-1] / 40.0)
    assert float((run(name, grid, Point(point)) - exact).abs().max()) < 1e-12


def test_ddpm_draws_the_posterior():
    """Its row is the mean and variance of q(x_nxt | x_cur, x0), from the two Gaussians by
    Bayes' rule.
    """
    cur, nxt = 3.0, 1.2
    row = make("ddpm").plan(Grid((cur, nxt)))[0]
    step = cur**2 - nxt**2  # x_cur = x_nxt + N(0, step), x_nxt = x0 + N(0, nxt²)
    variance = 1 / (1 / step + 1 / nxt**2)
    assert row.c**2 == pytest.approx(variance)
    assert row.a == pytest.approx(variance / step)
    assert row.b[0] == pytest.approx(variance / nxt**2)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_level_after_a_ddim_step_is_the_next_one(eta):
    for row, (cur, nxt) in zip(
        make({"name": "ddim", "eta": eta}).plan(GRID), GRID.intervals(), strict=True
    ):
        assert math.hypot(row.a * cur, row.c) == pytest.approx(nxt, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("clock", ["sigma", "lam", "variance"])
def test_euler_maruyama_agrees_with_its_clocks_for_small_steps(clock):
    grid = Grid((1.0, 1.0 - 1e-4))
    row = make({"name": "euler_maruyama", "clock": clock}).plan(grid)[0]
    assert row.c**2 == pytest.approx(2e-4, rel=1e-3)
    assert row.a == pytest.approx(1 - 2e-4, rel=1e-6)


@pytest.mark.parametrize("name", ["scipy_radau", "scipy_bdf", "scipy_lsoda"])
def test_implicit_methods_control_each_sample_by_itself(name):
    ids = torch.arange(3)
    x = SampleNoise(1, ids, (2,), torch.float64).initial() * INTERIOR[1]
    grid = Grid(INTERIOR[::-1])
    together = make(name).sample(Rational(), x, grid, NoNoise())
    assert torch.equal(together[1:2], make(name).sample(Rational(), x[1:2], grid, NoNoise()))


@each(
    ("spec", "reason"),
    [
        ({"name": "ddim", "eta": 1.5}, r"eta must be in \[0, 1\]"),
        ({"name": "dpm_solver_2", "r1": 1.0}, "r1"),
        ({"name": "dpm_solver_3", "r1": 0.7}, "r1"),
        ({"name": "edm_stochastic", "churn": -1.0}, "churn"),
        ({"name": "euler_maruyama", "clock": "t"}, "clock"),
        ({"name": "scipy_rk45", "rtol": 0.0}, "rtol"),
        ({"name": "torchdiffeq_dopri5", "atol": -1.0}, "atol"),
    ],
    ids=str,
)
def test_sampler__values_out_of_range_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make(spec)
