"""Probe of a model, forecasts, the search of a rule, and the choice among finalists."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.samplers import NoNoise, SampleNoise, karras, make
from samplerbench.samplers.auto import (
    Fitted,
    Rule,
    best_rule,
    choose_rule,
    principal_axes,
    probe_model,
    typical,
)
from samplerbench.samplers.auto import search as search
from samplerbench.samplers.auto.forecast import _RuleArrays, forecast
from samplerbench.samplers.auto.rule import read_rule
from samplerbench.samplers.auto.search import ALIKE, log_mean_error, moment_error

LOW, HIGH = 0.01, 40.0
RULES = [
    Rule(points, deferred, corrected, 0.5, 2.0, 0.3, 1.5, 0.6, first, 0.1)
    for points, corrected in ((2, False), (3, False), (4, False), (1, True), (3, True))
    for deferred, first in ((False, 0.3), (True, 1.0))
]


def gaussian(scale=1.0):
    """Two dimensions, of unlike variances."""
    spread = torch.tensor([0.7, 0.1], dtype=torch.float64) * scale
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    return Gaussian("g", torch.zeros(2, dtype=torch.float64), turn, spread**2)


def modes(scale=1.0):
    """Three in five dimensions."""
    rng = np.random.default_rng(1)
    means = torch.from_numpy(rng.standard_normal((3, 5)) * 0.6) * scale
    factors = torch.from_numpy(rng.standard_normal((3, 5, 1)) * 0.2) * scale
    return GaussianMixture("m", (5,), torch.ones(3), means, factors, torch.full((3,), 0.1) * scale)


def tails(scale=1.0):
    """A mixture of widths about one mean."""
    widths = torch.tensor([0.1, 0.3, 0.6, 1.5], dtype=torch.float64) * scale
    zeros = torch.zeros(4, 8, 1, dtype=torch.float64)
    return GaussianMixture("t", (8,), torch.ones(4), zeros[..., 0], zeros, widths)


def seen(model, count=24, low=LOW, high=HIGH):
    """A look, with the denoiser and the latents that it is of."""
    ids = torch.arange(count)
    latents = SampleNoise(5, ids, model.event, torch.float64).initial()
    bound = model.bind(ids, 0)
    return probe_model(bound, latents, low, high), bound, latents


def test_trajectories_are_right_where_the_images_move_from_the_first_level_on():
    """There a solver's first steps, of low order, are the largest error."""
    look, _, latents = seen(gaussian(), high=2.0)
    missed = look.distances_from_ends(gaussian().flow(2.0 * latents, 2.0, LOW), to_zero=False)
    assert np.median(missed) < 3e-4


@pytest.mark.slow
@each("to_zero", [True, False])
@each("rule", RULES)
def test_pilot__on_a_gaussian_the_forecast_is_the_error(rule, to_zero, monkeypatch):
    """There d is linear in x, and in no more dimensions than directions all of the Jacobian is
    seen, so that nothing is left out but what lies between the levels of the look.
    """
    monkeypatch.setattr("samplerbench.samplers.auto.probe.PER_E_FOLD", 30.0)
    monkeypatch.setattr("samplerbench.samplers.auto.probe.MOST", 300)
    look, bound, latents = seen(gaussian())
    for n in (4, 9):
        grid = karras(n, LOW, HIGH, to_zero=to_zero)
        made = make("auto").fitted(Fitted(rule, 0)).sample(bound, HIGH * latents, grid, NoNoise())
        state = gaussian().flow(HIGH * latents, HIGH, LOW)
        truth = bound(state, LOW) if to_zero else state
        error = (made - truth).square().mean(1).sqrt().numpy()
        told = forecast(look, [rule], n, HIGH, to_zero=to_zero).errors[0]
        assert told == pytest.approx(error, rel=0.02, abs=1e-5)


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_what_is_forecast_is_on_the_levels_of_the_rule(n, to_zero):
    """They are written twice: for one rule in floats, and for many at once."""
    for rule in RULES:
        own = rule.grid(n, HIGH, LOW, to_zero=to_zero).sigma
        many = _RuleArrays.of([rule], HIGH, LOW).levels(n, to_zero=to_zero)[0]
        assert many[:-1] == pytest.approx(own[:-1], rel=1e-9)
        assert (many[-1], own[-1]) == (LOW, 0 if to_zero else LOW)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("make_model", [modes, tails])
def test_forecasts_rank_rules_where_the_denoiser_is_not_linear(make_model, corrected):
    model = make_model()
    look, bound, latents = seen(model)
    rng = np.random.default_rng(0)
    rules = [
        Rule(3, False, corrected, 0.5, *np.exp(rng.uniform(-1, 1, 2)) * (1, 0.2), 1.5, q, 1.0, 0.05)
        for q in rng.uniform(0.3, 1.2, 20)
    ]
    told = np.median(forecast(look, rules, 10, HIGH, to_zero=True).errors, 1)
    truth = bound(model.flow(HIGH * latents, HIGH, LOW), LOW)
    true = [
        float(
            (
                make("auto")
                .fitted(Fitted(rule, 0))
                .sample(bound, HIGH * latents, karras(10, LOW, HIGH))
                - truth
            )
            .square()
            .mean(1)
            .sqrt()
            .median()
        )
        for rule in rules
    ]
    assert np.corrcoef(np.log(told), np.log(true))[0, 1] > 0.9


@pytest.mark.slow
def test_the_found_rule_is_better_than_the_usual_ones():
    model = modes()
    look = seen(model, 48)[0]
    fresh = model.bind(torch.arange(1000, 1400), 0)
    x = HIGH * SampleNoise(5, torch.arange(1000, 1400), model.event, torch.float64).initial()
    truth = fresh(model.flow(x, HIGH, LOW), LOW)
    grid = karras(10, LOW, HIGH)
    found = make("auto").fitted(Fitted(best_rule(look, 10, HIGH, to_zero=True), 0))

    def missed(sampler):
        return float((sampler.sample(fresh, x, grid, NoNoise()) - truth).norm(dim=1).median())

    others = ("auto", "dpmpp_2m", "dpmpp_3m", "unipc_3", "ipndm")
    assert missed(found) < min(missed(make(name)) for name in others) / 2


def test_find_finalists__are_the_best_of_each_order_and_none_is_far_behind(monkeypatch):
    monkeypatch.setattr(search, "GENERATIONS", 4)
    tried = {}

    def trial(rule):
        """Errors that differ by 30 % at most over what is tried, and not by order."""
        return np.full(24, tried.setdefault(rule, 1 + 0.3 * (len(tried) * 7 % 20) / 19))

    found = search.find_finalists(seen(modes())[0], 5, HIGH, to_zero=True, trial=trial)
    costs, rules = zip(*found, strict=True)
    assert list(costs) == sorted(costs)
    assert len({rule.order for rule in rules}) > 1
    near = {
        rule: error for rule, error in tried.items() if error <= search.BEHIND * min(tried.values())
    }
    for order in {rule.order for rule in near}:
        best = sorted((error, rule) for rule, error in near.items() if rule.order == order)
        kept = [rule for rule in rules if rule.order == order]
        assert [tried[rule] for rule in kept] == [
            error for error, _ in best[: search.OF_EACH_ORDER]
        ]


@cache
def missed_by_unit(make_model, unit):
    """Errors in units of the data, where those and the levels are scaled by ``unit``."""
    model = make_model(unit)
    low, high = LOW * unit, HIGH * unit
    look, bound, latents = seen(model, low=low, high=high)
    auto = make("auto").fitted(Fitted(best_rule(look, 5, high, to_zero=True), 0))
    made = auto.sample(bound, high * latents, karras(5, low, high))
    truth = bound(model.flow(high * latents, high, low), low)
    return (made - truth).norm(dim=1) / unit


@pytest.mark.parametrize("make_model", [gaussian, modes, tails])
@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_scaled_data_and_levels_give_scaled_errors(make_model, scale, monkeypatch):
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 2)
    one, scaled = missed_by_unit(make_model, 1.0), missed_by_unit(make_model, scale)
    assert torch.allclose(one, scaled, rtol=1e-6, atol=1e-12)


def test_a_look_stays_in_the_models_range():
    model, levels = modes(), []

    class Watched:
        """A bound denoiser whose levels are noted."""

        def __init__(self, bound):
            self.bound = bound

        def __call__(self, x, sigma):
            levels.append(float(sigma))
            return self.bound(x, sigma)

        def take(self, rows):
            return Watched(self.bound.take(rows))

    ids = torch.arange(16)
    latents = SampleNoise(0, ids, model.event, torch.float64).initial()
    look = probe_model(Watched(model.bind(ids, 0)), latents, 0.03, 14.6)
    assert min(levels) >= 0.03 * (1 - 1e-12)
    assert max(levels) <= 14.6 * (1 + 1e-12)
    assert look.spread == pytest.approx(0.6, rel=0.4)


def test_a_model_without_finite_trajectories_is_refused_and_some_latents_are_left_out():
    model = gaussian()
    ids = torch.arange(8)
    latents = SampleNoise(0, ids, model.event, torch.float64).initial()
    bound = model.bind(ids, 0)

    class Broken:
        """NaN for some rows."""

        def __init__(self, broken):
            self.broken = broken

        def __call__(self, x, sigma):
            return torch.where(self.broken[:, None], math.nan, bound(x, sigma))

        def take(self, rows):
            return Broken(self.broken[rows])

    look = probe_model(Broken(ids < 3), latents, LOW, HIGH)
    assert look.rows.tolist() == [3, 4, 5, 6, 7]
    with pytest.raises(FloatingPointError, match="not finite"):
        probe_model(Broken(ids < 4), latents, LOW, HIGH)


def test_the_cost_weighs_the_typical_sample_and_the_worst():
    errors = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [0.5, 1.0, 1.0], [1.0, 1.0, math.nan]])
    cost = log_mean_error(errors, 1.0)
    assert cost[0] == pytest.approx(0)
    assert cost[2] < cost[0] < cost[1] < cost[3]
    assert log_mean_error(errors[:3] * 7, 7.0) == pytest.approx(cost[:3])


RULE = Rule(2, True, True, 0.540329511, 12.96, 2.032, 0.7035, 0.4557, 1.062, 0.0)
STD = np.array([2.0, 0.5, 0.1])


def gaussian_of_finalists(count, seed=0):
    """Samples of a Gaussian, one a row."""
    return np.random.default_rng(seed).standard_normal((count, 3)) * STD


def test_moment_error__on_a_gaussian_is_its_closed_form():
    """x (1 - c) + b: per axis b² / s² + c²."""
    shift, shrink = np.array([0.1, 0.0, 0.02]), np.array([0.05, 0.1, 0.0])
    expected = (shift**2 / STD**2 + shrink**2).mean()
    truth = gaussian_of_finalists(40_000)
    found = moment_error(truth * (1 - shrink) + shift, truth, np.eye(3))
    assert found.value == pytest.approx(expected, rel=0.03)
    few = [moment_error(t * (1 - shrink) + shift, t, np.eye(3)).value for t in parts(64)]
    assert np.mean(few) == pytest.approx(expected, rel=0.05)


def test_moment_error__of_other_samples_of_the_same_distribution_is_zero():
    """A rotation towards independent noise leaves the distribution as it is, not the samples."""
    turned = [
        moment_error(0.8 * t + 0.6 * gaussian_of_finalists(64, 1000 + i), t, np.eye(3))
        for i, t in enumerate(parts(64))
    ]
    values = np.array([each.value for each in turned])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values))
    assert all(each.influence.mean() == pytest.approx(0, abs=1e-12) for each in turned)


def test_moment_error__does_not_change_with_the_unit():
    truth = gaussian_of_finalists(64)
    one = moment_error(0.9 * truth, truth, np.eye(3))
    assert moment_error(90 * truth, 100 * truth, np.eye(3)).value == pytest.approx(one.value)


def parts(count):
    """Four hundred sets of samples."""
    return np.split(gaussian_of_finalists(400 * count, 7), 400)


def test_principal_axes__are_orthonormal_and_widest_first():
    ends = gaussian_of_finalists(50)
    axes = principal_axes(ends, 2)
    assert axes.T @ axes == pytest.approx(np.eye(2))
    assert abs(axes[0, 0]) > 0.95 < abs(axes[1, 1])
    assert principal_axes(np.ones((5, 3)), 2).shape == (3, 0)


def finalists(*factors, shrink=()):
    """Ends of as many rules whose errors are unlike noise times these factors, and the truth."""
    truth, noise = gaussian_of_finalists(64), gaussian_of_finalists(64, 1) * 0.05
    ends = [f * noise + (1 - s) * truth for f, s in zip(factors, shrink or [0.0] * 9, strict=False)]
    return np.array(ends), truth


def rules(*kinds):
    """Rules of these points and corrections."""
    return [RULE._replace(points=points, corrected=corrected) for points, corrected in kinds]


def test_choose_rule__a_tie_goes_to_the_lowest_order_and_then_to_the_smallest_error():
    ends, truth = finalists(1.0, 1.06, 1.05, 1.04)
    some = rules((3, False), (1, True), (2, False), (2, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[2]


def test_choose_rule__what_is_further_off_than_a_tie_loses():
    ends, truth = finalists(1.0, 1.05 * ALIKE)
    some = rules((4, False), (2, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


def test_choose_rule__of_two_at_one_distance_the_one_that_shrinks_loses():
    ends, truth = finalists(1.0, 0.0, shrink=(0.0, 0.05))
    distance = np.sqrt(np.square(ends - truth).mean(-1)).mean(1)
    ends[0] = truth + (ends[0] - truth) * distance[1] / distance[0]
    some = rules((3, False), (1, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


@pytest.mark.parametrize("unit", [0.01, 1.0, 700.0])
def test_choose_rule__does_not_change_with_the_unit(unit):
    ends, truth = finalists(1.0, 1.05, 0.3, shrink=(0.0, 0.0, 0.2))
    some = rules((3, False), (2, False), (1, True))
    assert choose_rule(some, ends * unit, truth * unit, np.eye(3), unit) == some[1]


def test_choose_rule__samples_that_are_not_finite_lose():
    ends, truth = finalists(1.0, 0.5)
    ends[1, 3] = np.nan
    some = rules((3, False), (1, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


def test_read_rule__returns_every_number_of_the_text():
    for rule in (RULE, RULE._replace(deferred=False), typical(1 / 3), RULE._replace(knee=1e-7)):
        assert read_rule(rule.text) == rule
    assert RULE.text == "2dc 0.540329511 12.96 2.032 0.7035 0.4557 1.062 0.0"


@pytest.mark.parametrize(
    "text",
    [
        "best", "5d 1.0 1.0 1.0 1.0 1.0 1.0 0.0", "1d 1.0 1.0 1.0 1.0 1.0 1.0 0.0",
        "2 1.0 1.0 1.0", "2 1.0 1.0 1.0 1.0 1.0 1.0 nan", "2 1.0 -1.0 1.0 1.0 1.0 1.0 0.0",
        "2 1.0 0.0 1.0 1.0 1.0 1.0 0.0", "2  1.0 1.0 1.0 1.0 1.0 1.0 0.0", "2 1 1 1 1 1 1e999 1",
    ],
)  # fmt: skip
def test_read_rule__refuses_another_text_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"cannot read the rule .*run\.json") as caught:
        make("auto", rule=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to_zero", [True, False])
def test_auto__with_the_text_of_a_rule_makes_the_same_samples(to_zero):
    fitted = make("auto").fitted(Fitted(RULE, 1000))
    given = make(f"auto(rule='{fitted.facts['rule']}')")
    assert not given.needs_look
    grid = karras(7, 0.002, 80.0, to_zero=to_zero)
    x = 80.0 * SampleNoise(0, torch.arange(5), (2,), torch.float64).initial()
    assert torch.equal(fitted.sample(ThreeModes(), x, grid), given.sample(ThreeModes(), x, grid))
