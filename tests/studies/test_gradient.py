"""Gradients through a whole run of a sampler: they are those of the error, by levels and coefficients, whether or
not the model has slopes by its level.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.planning.tuned_schedule import Spacing
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters
from samplerbench.benchmarks.tuning.problem import (
    OBJECTIVES,
    TRAIN_IDS,
    power_mean,
    tuning_problem,
)
from samplerbench.benchmarks.tuning.search import built_in_grids
from samplerbench.models import make_model
from samplerbench.models.denoiser import Wrapper
from samplerbench.samplers import karras, make
from samplerbench.samplers.families.tabulated import Tabulated
from samplerbench_studies.gradient import BACKWARD, Unrolled


@pytest.fixture(scope="module")
def gmm():
    return make_model("gmm-2d")


@pytest.fixture(scope="module")
def train(gmm):
    return tuning_problem(gmm, TRAIN_IDS, 24, 0)


class Cut(Wrapper):
    """A model that reads its level as a number, so that its backward pass has no slope by it."""

    def denoise(self, x, sigma, labels):
        sigma = sigma.detach() if isinstance(sigma, torch.Tensor) else sigma
        return self.inner.denoise(x, sigma, labels)


class Misled(Wrapper):
    """A model whose backward pass has another slope by the level than it has."""

    def denoise(self, x, sigma, labels):
        image = self.inner.denoise(x, sigma, labels)
        return image + (sigma - sigma.detach()).mean() if isinstance(sigma, torch.Tensor) else image


@pytest.mark.parametrize("kind", [Cut, Misled])
def test_levels_have_slopes_where_the_model_has_none_by_them(kind, train, gmm):
    cut = replace(train, model=train.meter.attach(kind(gmm)))
    grid = built_in_grids(4, gmm)["quadratic_time"]
    z = np.random.default_rng(0).normal(
        size=Unrolled(train, make("ipndm"), grid, 1, "both").free.size
    )
    (value, slope), (same, other) = (
        Unrolled(problem, make("ipndm"), grid, 1, "both")(0.03 * z) for problem in (train, cut)
    )
    assert same == pytest.approx(value, abs=1e-9)
    assert other == pytest.approx(slope, rel=1e-2, abs=1e-3)


SAMPLERS = ("ipndm", "warped_ab_2(analytic_first=True, deferred=True)")


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("what", ["levels", "coefficients", "both"])
def test_value_and_gradient_are_those_of_the_error_that_is_tuned(what, objective, name, train, gmm):
    sampler, power = make(name), OBJECTIVES[objective]
    descent = Unrolled(train, sampler, built_in_grids(4, gmm)["quadratic_time"], power, what)
    z = np.random.default_rng(0).normal(size=descent.free.size) * 0.03

    def direct(z):
        table = descent.free.table(z)
        own = sampler if table is None else Tabulated(stands_for=sampler, table=table)
        return np.log(power_mean(train.distances(own, descent.free.grid(z)), power))

    value, slope = descent(z)
    assert value == pytest.approx(direct(z), abs=1e-9)
    for k in {0, descent.free.size // 2, descent.free.size - 1}:
        step = 1e-5 * np.eye(descent.free.size)[k]
        expected = (direct(z + step) - direct(z - step)) / 2e-5
        assert slope[k] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_gradient_is_counted_as_its_forward_pass_and_two_more(train, gmm):
    descent = Unrolled(train, make("euler"), karras(3, gmm.sigma_min, gmm.sigma_max), 1, "both")
    descent(
        np.zeros(descent.free.size)
    )  # the first finds out whether the model has slopes by its level
    before = train.meter.rows
    descent(np.zeros(descent.free.size))
    assert train.meter.rows - before == (1 + BACKWARD) * 3 * len(train.ids)


def test_levels_with_slopes_are_those_of_the_search():
    start = Spacing(6, 0.002, 80.0).grid(np.linspace(-2, 1, 6))
    free, z = FreeParameters(make("euler"), start, 0.002, 80.0, "levels"), np.linspace(1, -1, 6)
    assert free.levels(torch.from_numpy(z)).tolist() == pytest.approx(free.grid(z).sigma[:-1])


def test_samples_that_are_not_finite_have_no_slope(train, gmm, monkeypatch):
    descent = Unrolled(train, make("euler"), karras(3, gmm.sigma_min, gmm.sigma_max), 1, "both")
    value, slope = descent(np.full(descent.free.size, np.nan))
    assert value == float("inf")
    assert not slope.any()
