"""What a look at a model sees, what is forecast from it, and the rules that are found."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.samplers import NoNoise, SampleNoise, karras, make
from samplerbench.samplers.auto import Fitted, Rule, best_rule, probe_model
from samplerbench.samplers.auto import search as search
from samplerbench.samplers.auto.forecast import _Many, forecast
from samplerbench.samplers.auto.search import cost_of

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
    missed = look.missed(gaussian().flow(2.0 * latents, 2.0, LOW), to_zero=False)
    assert np.median(missed) < 3e-4


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
        many = _Many.of([rule], HIGH, LOW).levels(n, to_zero=to_zero)[0]
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
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 4)
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
    cost = cost_of(errors, 1.0)
    assert cost[0] == pytest.approx(0)
    assert cost[2] < cost[0] < cost[1] < cost[3]
    assert cost_of(errors[:3] * 7, 7.0) == pytest.approx(cost[:3])
