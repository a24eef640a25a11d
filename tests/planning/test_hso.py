"""Schedule ``hso``: its proxy in closed form, the minimum, the penalty, ends and refusals."""

import math

import numpy as np
import pytest
from looping import each
from scipy.optimize import minimize

from samplerbench.benchmarks.planning.dmn import MOST
from samplerbench.benchmarks.planning.hso import _minimise, midpoint_proxy, spacing_penalty
from samplerbench.benchmarks.planning.schedules import PROCESSES, make_schedule
from samplerbench.models.process import VE, RectifiedFlow, VPLinear
from samplerbench.samplers import Grid, karras, uniform_lambda

LOW, HIGH = 0.01, 80.0


def proxy(levels, process=None):
    return midpoint_proxy(-np.log(np.array(levels)), process or VPLinear())


def random_levels(seed, steps):
    inner = np.random.default_rng(seed).uniform(math.log(LOW), math.log(HIGH), steps - 1)
    return np.array([HIGH, *np.exp(np.sort(inner))[::-1], LOW])


@each("steps", [1, 2, 7])
def test_midpoint_proxy__of_ve_is_the_range_of_levels_for_any_levels(steps):
    """sigma² at the geometric mean times 1/b - 1/a is a - b."""
    for seed in range(5):
        assert proxy(random_levels(seed, steps), VE()) == pytest.approx(HIGH - LOW, rel=1e-12)


def test_midpoint_proxy__of_one_step_in_closed_form():
    """With sigma_m² = ab, the error is ab / sqrt(1 + ab) for VP and ab / (1 + sqrt(ab)) for the flow."""
    a, b = 3.0, 0.2
    assert proxy([a, b]) == pytest.approx((a - b) / math.sqrt(1 + a * b), rel=1e-9)
    expected = (a - b) / (1 + math.sqrt(a * b))
    assert proxy([a, b], RectifiedFlow()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("process", "integral"),
    [(VPLinear(), math.asinh), (RectifiedFlow(), math.log1p)],
)
def test_midpoint_proxy__falls_to_its_integral_with_second_order(process, integral):
    """The integral of alpha dsigma, which no schedule can go below."""
    limit = integral(HIGH) - integral(LOW)
    above = [
        proxy(uniform_lambda(n, LOW, HIGH, to_zero=False).sigma, process) - limit
        for n in (50, 100, 200)
    ]
    assert above[0] / above[1] == pytest.approx(4, rel=0.02)
    assert above[1] / above[2] == pytest.approx(4, rel=0.02)
    assert all(proxy(random_levels(seed, 6), process) > limit for seed in range(20))


@each("process", ["vp_linear", "vp_cosine", "flow"])
@each("steps", [2, 3, 8])
def test_hso__no_move_of_levels_lowers_the_proxy(steps, process):
    grid = make_schedule(f"hso(process='{process}')")(steps, LOW, HIGH, to_zero=False)
    levels, of = np.array(grid.sigma), PROCESSES[process]()
    least, rng = proxy(levels, of), np.random.default_rng(0)
    assert least < proxy(karras(steps, LOW, HIGH, to_zero=False).sigma, of)
    for size in (0.5, 1e-2, 1e-3):
        for _ in range(30):
            moves = np.exp(size * np.array([0, *rng.normal(size=steps - 1), 0]))
            moved = np.sort(np.clip(levels * moves, LOW, HIGH))[::-1]
            assert proxy(moved, of) > least * (1 - 1e-12)


@each("rho", [3.0, 16.0])
@each("steps", [3, 5, 12])
def test_hso__every_rho_of_the_start_leads_to_the_same_minimum(steps, rho):
    """By the authors' method, from both ends of their search."""
    start = -np.log(karras(steps, LOW, HIGH, rho=rho, to_zero=False).sigma)

    def of(inner):
        return midpoint_proxy(np.array([start[0], *np.sort(inner), start[-1]]), VPLinear())

    options = {"maxiter": 200, "xtol": 1e-8, "gtol": 1e-8}
    found = minimize(of, start[1:-1], method="trust-constr", options=options).x
    ours = make_schedule("hso")(steps, LOW, HIGH, to_zero=False)
    np.testing.assert_allclose(np.sort(found), -np.log(ours.sigma)[1:-1], atol=1e-3)


def test_hso__many_levels_have_the_density_of_the_error():
    """A step h at lam costs (sigma_t - sigma_t'') h³ / 24, so the density is the cube root of the bracket."""
    grid = make_schedule("hso")(40, LOW, HIGH, to_zero=False)
    lam = np.linspace(-math.log(HIGH), -math.log(LOW), 100_001)
    u = np.exp(2 * lam)
    density = np.cbrt(1 + 4 * u) * (1 + u) ** (-5 / 6)
    shares = np.cumsum(density) / density.sum()
    found = np.interp(-np.log(grid.sigma), lam, shares)
    np.testing.assert_allclose(found, np.arange(41) / 40, atol=2e-3)


def test_spacing_penalty__counts_gaps_below_the_least():
    levels = RectifiedFlow().level(np.array([0.9, 0.6, 0.5, 0.1]))
    assert spacing_penalty(tuple(levels), 4, RectifiedFlow()) == pytest.approx(0.05**2)
    assert spacing_penalty(tuple(levels), 20, RectifiedFlow()) == 0
    assert spacing_penalty(tuple(levels), 12, RectifiedFlow()) == 0  # from 0.08


def test_hso__the_end_is_late_where_the_penalty_asks_for_room():
    """The proxy alone takes the earliest end."""
    few, more = (make_schedule("hso")(n, LOW, HIGH).sigma for n in (4, 8))
    assert few[-2] == pytest.approx(VPLinear().level(0.03))
    assert more[-2] == pytest.approx(VPLinear().level(0.01))
    early = _minimise(7, few[-2], HIGH, VPLinear())[1]
    assert proxy(early) < proxy(more[:-1])
    assert spacing_penalty(early, 8, VPLinear()) > spacing_penalty(more[:-1], 8, VPLinear())


@each("n", [1, 2, 3, 12, 30])
def test_hso__its_grids_have_the_right_ends(n):
    levels = make_schedule("hso")(n, LOW, HIGH)
    assert (len(levels), levels.sigma[0], levels.sigma[-1]) == (n, HIGH, 0.0)
    assert n == 1 or LOW < levels.sigma[-2] <= VPLinear().level(0.03) * (1 + 1e-12)
    held = make_schedule("hso")(n, LOW, HIGH, to_zero=False)
    assert (len(held), held.sigma[0], held.sigma[-1]) == (n, HIGH, LOW)
    assert make_schedule("hso")(n, LOW, HIGH) == levels


def test_hso__a_range_above_or_below_the_ends_keeps_its_own():
    assert make_schedule("hso")(3, 0.5, HIGH).sigma[-2] == 0.5
    assert make_schedule("hso")(2, 0.001, 0.02) == Grid((0.02, 0.001, 0.0))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("hso(process='ve')", "no minimum for process 've'"),
        ("hso(process='vp')", "unknown process 'vp'"),
        ("hso(rho=3.0)", "no option 'rho'"),
    ],
)
def test_hso__wrong_options_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


def test_hso__too_many_steps_are_refused():
    with pytest.raises(ValueError, match="at most 40 steps, not 41"):
        make_schedule("hso")(MOST + 2, LOW, HIGH)
