"""Schedule ``dmn``: integrals of its bound, minima, invariances, ends and refusals."""

from functools import partial

import numpy as np
import pytest
from looping import each
from scipy.integrate import quad

from samplerbench.benchmarks.planning.dmn import MOST, bound_terms, image_error
from samplerbench.benchmarks.planning.schedules import PROCESSES, make_schedule
from samplerbench.models.process import RectifiedFlow, VPLinear
from samplerbench.samplers import Grid, karras, make, uniform_lambda

LOW, HIGH = 0.01, 50.0


def bound(levels, power=1.0, process=None, order=3):
    errors = partial(image_error, process=process or VPLinear(), power=power)
    return np.abs(bound_terms(-np.log([levels]), errors, order)).sum()


def integral(nodes, j, low, high):
    """Of e^u times the polynomial that is 1 at node j and 0 at the others."""

    def integrand(u):
        return np.exp(u) * np.prod([(u - v) / (nodes[j] - v) for v in np.delete(nodes, j)])

    return quad(integrand, low, high)[0]


@each("order", [1, 2, 3])
@each("steps", [1, 2, 3, 7])
def test_bound_terms__are_the_integrals_by_quadrature(steps, order):
    lam = np.sort(np.random.default_rng(steps).uniform(-2, 3, steps + 1))
    errors = lambda u: np.exp(-1.5 * u) + 0.3  # noqa: E731
    together, apart = np.zeros(steps), 0.0
    for s in range(steps):
        nodes = lam[s - min(order, s + 1, steps - s) + 1 : s + 1]
        shares = np.array(
            [errors(v) * integral(nodes, j, *lam[s : s + 2]) for j, v in enumerate(nodes)]
        )
        if s < order or s == steps - 1:
            apart += np.linalg.norm(shares)
        else:
            together[s + 1 - len(nodes) : s + 1] += shares
    np.testing.assert_allclose(
        bound_terms(lam[None], errors, order)[0], [*together, apart], rtol=1e-10, atol=1e-12
    )


def test_bound_terms__first_order_is_the_weight_of_dpmpp_2m_s_first_step():
    grid = karras(4, LOW, HIGH, to_zero=False)
    row = make("dpmpp_2m").plan(grid)[0]
    terms = bound_terms(-np.log([grid.sigma[:2]]), np.ones_like, 1)
    assert row.b[0] == pytest.approx(grid.sigma[1] * terms[0, -1], rel=1e-13)


def test_image_error__is_a_pure_power_where_it_should_be():
    lam = np.linspace(-4, 5, 9)
    level = np.exp(-lam)
    np.testing.assert_allclose(image_error(lam, VPLinear(), 1.0), level, rtol=1e-12)
    np.testing.assert_allclose(
        image_error(lam, VPLinear(), 2.0), level**2 / np.hypot(1, level), rtol=1e-10
    )
    np.testing.assert_allclose(
        image_error(lam, RectifiedFlow(), 2.0), level**2 / (1 + level), rtol=1e-12
    )


@each("spec", ["", "(power=2.0)", "(start='time')", "(power=2.0, process='flow')", "(order=2)"])
def test_dmn__has_no_larger_bound_than_its_start_and_a_smaller_one_than_karras(spec):
    options = {"power": 1.0, "start": "lambda", "process": "vp_linear", "order": 3}
    options |= dict(make_schedule(f"dmn{spec}").options)
    process = PROCESSES[options["process"]]()
    measure = partial(bound, power=options["power"], process=process, order=options["order"])
    begin = "uniform_lambda" if options["start"] == "lambda" else "uniform_time"
    for steps in (2, 3, 6, 9):
        found, first, other = (
            measure(make_schedule(name)(steps, LOW, HIGH, to_zero=False).sigma)
            for name in (f"dmn{spec}", begin, "karras")
        )
        assert found <= first
        assert found < other


def test_dmn__no_small_move_of_a_level_lowers_the_bound():
    levels = np.array(make_schedule("dmn")(9, LOW, HIGH, to_zero=False).sigma)
    least, rng = bound(levels), np.random.default_rng(0)
    for size in (0.1, 1e-2, 1e-3):
        for _ in range(50):
            moves = np.exp(size * np.array([0, *rng.normal(size=8), 0]))
            assert bound(levels * moves) > least * (1 - 1e-9)


@each("spec", ["dmn", "dmn(power=2.0, process='ve')"])
def test_dmn__scales_with_the_levels_where_the_error_is_a_pure_power(spec):
    ours, scaled = (make_schedule(spec)(8, LOW * by, HIGH * by) for by in (1, 7.3))
    np.testing.assert_allclose(np.array(scaled.sigma) / 7.3, ours.sigma, rtol=1e-5)


@each("n", [1, 2, 3, 12])
def test_dmn__its_grids_have_the_right_ends(n):
    levels = make_schedule("dmn")(n, LOW, HIGH)
    assert (len(levels), levels.sigma[0], levels.sigma[-1]) == (n, HIGH, 0.0)
    if n > 1:
        assert levels.sigma[:-1] == make_schedule("dmn")(n - 1, LOW, HIGH, to_zero=False).sigma
    assert make_schedule("dmn")(1, LOW, HIGH, to_zero=False) == Grid((HIGH, LOW))


def test_dmn__two_steps_in_closed_form():
    """Two Euler steps with error sigma: e^h1 - 1 + e^h2 - 1 is least in the middle."""
    found = make_schedule("dmn")(2, LOW, HIGH, to_zero=False)
    np.testing.assert_allclose(
        found.sigma, uniform_lambda(2, LOW, HIGH, to_zero=False).sigma, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("dmn(start='edm')", "start 'lambda' or 'time'"),
        ("dmn(order=4)", "order 1, 2 or 3"),
        ("dmn(power=-1)", "power between 0 and 10"),
        ("dmn(process='vp')", "unknown process 'vp'"),
    ],
)
def test_dmn__wrong_options_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


def test_dmn__too_many_steps_are_refused():
    with pytest.raises(ValueError, match="at most 40 steps, not 41"):
        make_schedule("dmn")(MOST + 2, LOW, HIGH)
