"""The warped coordinate, methods in it, their deferred first step, and ``auto``."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.benchmarks.running.executors.tasks import PicklableSampler
from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make
from samplerbench.samplers.auto import Fitted, Rule, typical
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
    rule = Rule(4, False, False, 0.4, 3.0, 0.5, 1.2, 0.5, 1.0, 0.0)
    warp, grid = rule.warp, rule.grid(n, high, low, to_zero=to_zero)
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
        own = typical(0.5)._replace(deferred=False).grid(n, start, end, to_zero=True)
        errors.append(float((method.sample(problem, x, own, NoNoise()) - truth).norm()))
    assert math.log2(errors[0] / errors[1]) > points - 0.6
    last = make(name, through_zero=True, end=end)
    assert torch.equal(
        last.sample(problem, state, Grid((end, 0.0)), NoNoise()), problem(state, end)
    )


def integrated(method, entries, cur, nxt):
    """The integral of v dsigma / (k + sigma)² over a step, of the polynomial in the warped level
    through ``entries``, pairs of a level and v there: by quadrature.
    """
    nodes = [method.warp(level) for level, _ in entries]

    def weight(j):
        others = nodes[:j] + nodes[j + 1 :]

        def inside(sigma):
            at = method.warp(sigma)
            value = math.prod((at - other) / (nodes[j] - other) for other in others)
            return value / (method.knee + sigma) ** 2

        return quad(inside, cur, nxt, epsabs=0, epsrel=1e-12, limit=200)[0]

    return sum(weight(j) * v for j, (_, v) in enumerate(entries))


@pytest.mark.parametrize("points", [1, 2, 4])
def test_the_corrector_takes_each_step_again_with_the_evaluation_at_its_end(points):
    problem, knee = ThreeModes(), 0.8
    method = make(f"warped_ab_{points}", corrector=True, knee=knee)
    grid = karras(6, 0.05, 10.0, to_zero=False)
    latents = 10.0 * SampleNoise(0, torch.arange(8), (2,), torch.float64).initial()
    predicted, corrected, entries = latents, latents, []
    for i, (cur, nxt) in enumerate(pairwise(grid.sigma)):
        d = problem(predicted, cur)
        entries.insert(0, (cur, (predicted - (1 + cur / knee) * d) * knee / cur))
        if i > 0:
            before, used = grid.sigma[i - 1], entries[: min(i, points) + 1]
            y = corrected / (knee + before) + integrated(method, used, before, cur)
            corrected = (knee + cur) * y
        y = corrected / (knee + cur) + integrated(method, entries[:points], cur, nxt)
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


def test_the_corrector_needs_entries_of_all_steps():
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


LATENTS = 80.0 * SampleNoise(0, torch.arange(16), (2,), torch.float64).initial()
FAR = {"analytic_first": True, "through_zero": True}


class Constant:
    """A denoiser that always says the same: one datum."""

    def __init__(self, d: float) -> None:
        self.d = d

    def __call__(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(x, self.d)


def by_hand(method, denoise, x0, grid):
    """The definition, step by step: the second evaluation's d in the first step and its entry."""
    first, *rows = method.plan(grid)
    s0, s1 = grid.sigma[:2]
    d = first.gain * x0
    d = denoise(first.a * x0 + first.b[0] * (first.p * x0 + first.q * d), s1)
    x, entries = s1 / s0 * x0 + (1 - s1 / s0) * d, [first.p * x0 + first.q * d]
    for i, row in enumerate(rows):
        entries.insert(0, row.p * x + row.q * (d if i == 0 else denoise(x, row.sigma)))
        x = row.a * x + sum(b * m for b, m in zip(row.b, entries, strict=False))
    return x


@pytest.mark.parametrize("points", [2, 3, 4])
@given(n=st.integers(2, 12))
@settings(deadline=None, max_examples=8)
def test_the_coefficients_are_the_definition(points, n):
    grid, problem = karras(n, 0.02, 80.0), ThreeModes()
    plain = make({"name": f"warped_ab_{points}", **FAR})
    deferred = make({"name": f"warped_ab_{points}", **FAR, "deferred": True})
    got = deferred.sample(problem, LATENTS, grid, NoNoise())
    torch.testing.assert_close(got, by_hand(plain, problem, LATENTS, grid), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("datum", [0.0, -0.5, 3.0])
def test_one_datum_wherever_it_lies_is_reached_exactly(datum):
    """The analytic step alone supposes data about zero, and ends off by its error."""
    grid = karras(6, 0.02, 80.0)
    ends = {
        deferred: make({"name": "warped_ab_4", **FAR, "deferred": deferred}).sample(
            Constant(datum), LATENTS, grid, NoNoise()
        )
        for deferred in (False, True)
    }
    assert float((ends[True] - datum).abs().max()) < 1e-9
    assert float((ends[False] - datum).abs().max()) > 1e-4


def test_it_costs_one_evaluation_less_than_there_are_steps():
    grid, asked = karras(5, 0.02, 80.0), []

    def counted(x, sigma):
        asked.append(sigma)
        return Constant(0.0)(x, sigma)

    method = make({"name": "warped_ab_4", **FAR, "deferred": True})
    method.sample(counted, LATENTS, grid, NoNoise())
    assert asked == list(grid.sigma[1:-1])
    assert method.nfe(grid) == len(asked)


def test_it_is_about_the_analytic_step():
    with pytest.raises(ValueError, match="set analytic_first too"):
        make({"name": "warped_ab_4", "deferred": True})


FOUND = Fitted(Rule(3, True, False, 0.5, 2.0, 0.3, 1.5, 0.6, 1.0, 0.05), 1000)


def test_auto_is_warped_ab_4_on_its_own_levels():
    grid = karras(8, 0.002, 80.0)
    auto, method = (
        make("auto"),
        make(
            {
                "name": "warped_ab_4",
                "analytic_first": True,
                "deferred": True,
                "through_zero": True,
                "spread": 0.5,
                "end": 0.002,
            }
        ),
    )
    x = 80.0 * SampleNoise(0, torch.arange(5), (2,), torch.float64).initial()
    problem = ThreeModes()
    own = auto.levels(grid)
    assert torch.equal(
        auto.sample(problem, x, grid, NoNoise()), method.sample(problem, x, own, NoNoise())
    )
    assert (len(own), own.sigma[0], own.sigma[-1]) == (9, 80.0, 0.0)
    assert auto.nfe(grid) == method.nfe(own) == 8


def test_auto_depends_on_the_ends_of_the_grid_only():
    ends = [make("auto").levels(karras(8, 0.002, 80.0, rho=rho)) for rho in (2.0, 7.0)]
    assert ends[0] == ends[1]


def test_auto_takes_no_analytic_step_where_the_data_are_visible():
    grid = karras(6, 0.02, 5.0)
    assert len(make("auto").levels(grid)) == 6
    assert make("auto").levels(karras(1, 0.02, 80.0)).sigma == (80.0, 0.0)


@pytest.mark.parametrize(("budget", "rival"), [(8, "dpmpp_2m"), (16, "dpmpp_2m"), (31, "heun")])
def test_auto_is_well_ahead_of_the_usual_defaults(budget, rival):
    problem = ThreeModes()
    x = 80.0 * SampleNoise(0, torch.arange(200), (2,), torch.float64).initial()
    steps = {"dpmpp_2m": budget, "heun": (budget + 1) // 2}[rival]
    truth = make("dpmpp_3m").sample(problem, x, karras(3000, 0.002, 80.0), NoNoise())
    errors = {
        name: float(
            (make(name).sample(problem, x, karras(n, 0.002, 80.0), NoNoise()) - truth)
            .norm(dim=1)
            .median()
        )
        for name, n in (("auto", budget), (rival, steps))
    }
    assert errors["auto"] < errors[rival] / 3


def test_what_was_found_is_neither_an_option_nor_part_of_the_label():
    with pytest.raises(ValueError, match="no option 'found'"):
        make("auto", found=FOUND)
    fitted = make("auto").fitted(FOUND)
    sent = PicklableSampler.of(fitted)
    assert sent.spec == {"name": "auto"}
    assert sent.restore_sampler() == fitted
    assert fitted.facts == {"pilot_evaluations": 1000, "rule": FOUND.rule.text}
    assert make("auto").facts == {}


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("deferred", [True, False])
def test_no_evaluation_is_outside_the_range_and_n_steps_cost_n(to_zero, deferred):
    auto = make("auto").fitted(Fitted(FOUND.rule._replace(deferred=deferred), 0))
    problem, asked = ThreeModes(), []

    def denoise(x, sigma):
        asked.append(float(sigma))
        return problem(x, sigma)

    for n in (1, 2, 3, 7, 40):
        grid, before = karras(n, 0.03, 14.6, to_zero=to_zero), len(asked)
        end = auto.sample(denoise, 14.6 * torch.ones(2, 2, dtype=torch.float64), grid)
        assert end.isfinite().all()
        assert len(asked) - before == auto.nfe(grid) == n
    assert min(asked) >= 0.03 * (1 - 1e-12)
    assert max(asked) <= 14.6


def test_it_converges_to_the_end_that_every_sampler_has():
    """x <- d at sigma_min, however far from 0 that is: a reference solution for all."""
    problem, low = ThreeModes(), 0.03
    x = 14.6 * SampleNoise(0, torch.arange(50), (2,), torch.float64).initial()
    truth = make("dpmpp_3m").sample(problem, x, karras(3000, low, 14.6), NoNoise())
    fitted = make("auto").fitted(FOUND)
    errors = [
        float((fitted.sample(problem, x, karras(n, low, 14.6)) - truth).norm(dim=1).median())
        for n in (10, 20, 40)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert math.isfinite(errors[2])
