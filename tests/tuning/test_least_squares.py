"""Levels and coefficients by least squares: the exact ones of a linear problem, never worse than the start on
latents that no equation had, and far better on other ones.
"""

import numpy as np
import pytest
import torch
from tuners import fitted

from samplerbench.benchmarks.tuning.free_parameters import FreeParameters, project_grid
from samplerbench.benchmarks.tuning.least_squares import Fit, fit, power_mean_of_rows
from samplerbench.benchmarks.tuning.problem import (
    TEST_IDS,
    TRAIN_IDS,
    power_mean,
    tuning_problem,
)
from samplerbench.samplers import karras, make
from samplerbench.samplers.families.tabulated import Tabulated, tabulate

FITTED, CHOOSING = 48, 32


@pytest.fixture(scope="module")
def train(gmm):
    return tuning_problem(gmm, TRAIN_IDS, FITTED + CHOOSING, 0)


@pytest.fixture(scope="module")
def test(gmm):
    return tuning_problem(gmm, TEST_IDS, 128, 0)


def error(problem, found):
    return power_mean(problem.distances(found.sampler, found.grid), 0)


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "ipndm"])
@pytest.mark.parametrize("what", ["levels", "coefficients", "both"])
def test_it_comes_nearer_on_latents_that_it_has_not_seen(name, what, train, test, gmm):
    sampler, grid = make(name), karras(5, gmm.sigma_min, gmm.sigma_max)
    found = fitted(train, sampler, grid, FITTED, what=what)
    untuned = power_mean(test.distances(sampler, grid), 0)
    assert found.after < 0.9 * found.before
    assert error(test, found) < 0.9 * untuned
    assert isinstance(found.sampler, Tabulated) == (what != "levels")
    assert (found.grid == grid) == (what == "coefficients")


def test_it_comes_nearer_than_auto(train, test, gmm):
    grid = karras(6, gmm.sigma_min, gmm.sigma_max)
    auto = make("auto")
    levels, method = auto.levels(grid), auto.method(grid)
    table = Tabulated(stands_for=auto, table=tabulate(method, levels))
    found = fitted(train, table, levels, FITTED, what="coefficients")
    assert error(test, found) < 0.8 * power_mean(test.distances(auto, grid), 0)
    assert found.sampler.nfe(found.grid) == 6
    assert found.sampler.stands_for is auto


def test_levels_of_a_method_of_several_evaluations_are_fitted_too(train, test, gmm):
    sampler, grid = make("heun"), karras(4, gmm.sigma_min, gmm.sigma_max)
    found = fitted(train, sampler, grid, FITTED, what="levels")
    assert found.sampler == sampler
    assert error(test, found) < 0.9 * power_mean(test.distances(sampler, grid), 0)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_each_mean_is_made_small(power, train, test, gmm):
    sampler, grid = make("dpmpp_2m"), karras(6, gmm.sigma_min, gmm.sigma_max)
    found = fitted(train, sampler, grid, FITTED, power, what="coefficients")
    untuned = power_mean(test.distances(sampler, grid), power)
    assert power_mean(test.distances(found.sampler, found.grid), power) < 0.8 * untuned


class Linear:
    """Free numbers whose runs are linear in them, with an exact solution."""

    size = 3

    def sampler_at(self, z):
        return z

    def grid(self, z):
        return None


def linear_off(spread):
    rng = np.random.default_rng(0)
    slopes, start = rng.normal(size=(40, 6, 3)), np.array([0.5, -1.0, 2.0])
    chance = spread * rng.normal(size=(40, 6))

    def off(z, _grid, part):
        return (slopes @ (z - start) + chance)[part]

    return off, start


def test_a_linear_problem_is_solved_exactly():
    off, solution = linear_off(0.0)
    found = fit(Linear(), off, 30)
    assert found.sampler == pytest.approx(solution, abs=1e-5)
    assert found.ended


def test_no_change_is_made_that_other_latents_do_not_want():
    """Errors that no number has to do with: the start stays, or what is as good."""
    rng = np.random.default_rng(1)
    apart, slopes = rng.normal(size=(40, 50)), rng.normal(size=(40, 50, 3))

    def off(z, _grid, part):
        return (apart + slopes @ z)[part]

    found = fit(Linear(), off, 30)
    assert 0.97 * found.before < found.after <= found.before


@pytest.mark.parametrize("runs", [0, 1, 5, 12])
def test_what_was_found_before_it_was_told_to_stop_is_kept(runs):
    off, _ = linear_off(0.1)
    left = iter([False] * runs)
    found = fit(Linear(), off, 30, late=lambda: next(left, True))
    assert not found.ended
    assert found.after == pytest.approx(
        power_mean_of_rows(off(found.sampler, None, slice(30, None)), 0)
    )
    assert found.after <= found.before


def test_runs_that_are_not_finite_are_not_taken():
    off, _ = linear_off(0.1)

    def broken(z, grid, part):
        return np.where(np.abs(z).max() > 0.1, np.nan, 1.0) * off(z, grid, part)

    found = fit(Linear(), broken, 30)
    assert isinstance(found, Fit)
    assert np.isfinite(found.after)
    assert np.abs(found.sampler).max() <= 0.1


def test_latents_that_end_nowhere_are_left_out():
    off, solution = linear_off(0.0)

    def broken(z, grid, part):
        apart = np.array(off(z, grid, slice(None)))
        apart[3] = np.nan
        return apart[part]

    assert fit(Linear(), broken, 30).sampler == pytest.approx(solution, abs=1e-5)


def test_levels_are_found_from_a_grid_that_ends_at_the_lowest_level(train, test, gmm):
    """Which free levels cannot be: the first step would be the way there."""
    sampler, grid = make("dpmpp_2m"), karras(5, gmm.sigma_min, gmm.sigma_max)
    start = project_grid(grid, gmm.sigma_min, gmm.sigma_max)
    found = fitted(train, sampler, start, FITTED, what="levels")
    untuned = power_mean(test.distances(sampler, grid), 0)
    assert error(test, found) < 0.5 * untuned
    free = FreeParameters(sampler, start, gmm.sigma_min, gmm.sigma_max, "levels")
    near = free.grid(1e-9 * np.eye(free.size)[0])
    assert near.sigma == pytest.approx(free.grid(np.zeros(free.size)).sigma, rel=1e-3)


def test_few_latents_at_a_time_give_the_same(monkeypatch):
    off, _ = linear_off(0.3)
    whole = fit(Linear(), off, 30)
    monkeypatch.setattr("samplerbench.benchmarks.tuning.least_squares.ROOM", 3 * 6 * 4)
    pieces = fit(Linear(), off, 30)
    assert pieces.sampler == pytest.approx(whole.sampler, rel=1e-6)


def test_older_weights_can_be_left_as_they_are():
    grid = karras(6, 0.002, 80.0)
    few = FreeParameters(make("dpmpp_2m"), grid, 0.002, 80.0, "coefficients", older=1)
    assert few.size == 6 + 5
    own = tabulate(make("dpmpp_2m"), grid)
    moved = few.table(np.ones(few.size))
    for old, new in zip(own[2:], moved[2:], strict=True):
        assert new.b[2:] == old.b[2:]
    assert torch.tensor([row.a + sum(row.b) for row in moved]).numpy() == pytest.approx(
        [row.a + sum(row.b) for row in own]
    )
