"""The traced plan of a single-step method is its update rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import (
    Grid,
    LinearStages,
    NoNoise,
    Source,
    get,
    integrate,
    karras,
    make,
    names,
)
from samplerbench.samplers.methods.edm import EDMStochastic

STAGED = [
    name for name in names() if issubclass(get(name), LinearStages) and not get(name).stochastic
]


def test_there_are_staged_methods():
    assert {"heun", "dpm_solver_2", "dpm_solver_3"} <= set(STAGED)


@each(
    "spec",
    [*STAGED, {"name": "dpm_solver_2", "r1": 0.3}, {"name": "dpm_solver_3", "r1": 0.2}],
    ids=str,
)
def test_plan__equals_the_update_on_tensors(spec):
    sampler, problem = make(spec), ThreeModes()
    for cur, nxt in karras(12, 0.01, 80.0, to_zero=False).intervals():
        x = problem.start * cur
        eager = sampler.update(x.clone(), problem, cur, nxt)
        traced = integrate(sampler, problem, x, Grid((cur, nxt)), NoNoise())
        assert float((traced - eager).abs().max()) <= 1e-13 * float(x.abs().max())


@each("name", STAGED)
def test_stages__the_step_to_zero_is_one_evaluation(name):
    problem, x = ThreeModes(), torch.ones(3, 2, dtype=torch.float64)
    end = make(name).sample(problem, x, Grid((2.0, 0.0)), NoNoise())
    assert torch.equal(end, problem(x, 2.0))
    assert make(name).nfe(Grid((2.0, 0.0))) == 1


def test_churn_of_zero_is_heun():
    grid = karras(8, 0.02, 20.0)
    assert EDMStochastic(churn=0.0).plan(grid) == make("heun").plan(grid)


def test_without_churn_nothing_is_drawn():
    problem, grid = ThreeModes(), karras(8, 0.02, 20.0)
    sampler = EDMStochastic(churn=0.0)
    assert not sampler.stochastic
    assert EDMStochastic().stochastic
    assert sampler.sample(problem, problem.start * 20.0, grid, NoNoise()).isfinite().all()


def test_churn_of_zero_is_heun_bit_for_bit():
    problem, grid = ThreeModes(), karras(8, 0.02, 20.0)
    ends = [
        sampler.sample(problem, problem.start * 20.0, grid, NoNoise())
        for sampler in (EDMStochastic(churn=0.0), make("heun"))
    ]
    assert torch.equal(*ends)
    assert check_sampler({"name": "edm_stochastic", "churn": 0.0}, fast=True).passed


def test_churn_raises_the_level_within_its_range_only():
    grid = karras(10, 0.02, 80.0)
    rows = EDMStochastic(churn=2.0, s_min=0.1, s_max=40.0, s_noise=1.0).plan(grid)
    for row, cur in zip(rows, grid.sigma, strict=False):
        hat = row.stages[0].sigma
        assert hat == pytest.approx(cur * 1.2 if 0.1 <= cur <= 40 else cur)
        assert row.before**2 == pytest.approx(hat**2 - cur**2)


@dataclass(frozen=True, kw_only=True)
class Elsewhere(LinearStages):
    """Begins with an evaluation away from its state, which the step cannot express."""

    name = "elsewhere"
    source = Source("", "", "")

    def update(self, x, denoise, cur, nxt):
        return denoise(2.0 * x, cur)


def test_the_first_evaluation_is_at_the_state():
    with pytest.raises(ValueError, match="first evaluation"):
        Elsewhere().plan(Grid((2.0, 1.0)))


@dataclass(frozen=True, kw_only=True)
class Repeated(LinearStages):
    """So many evaluations at one point, averaged."""

    name = "repeated"
    source = Source("", "", "")
    times: int = 9

    def update(self, x, denoise, cur, nxt):
        d = sum(denoise(x, cur) for _ in range(self.times)) / self.times
        return d + nxt / cur * (x - d)


def test_many_evaluations_are_traced_and_too_many_are_one_sentence():
    problem, grid = ThreeModes(), Grid((2.0, 1.0))
    x = problem.start * 2.0
    many = Repeated(times=32)
    assert many.nfe(grid) == 32
    torch.testing.assert_close(
        many.sample(problem, x, grid, NoNoise()), make("euler").sample(problem, x, grid, NoNoise())
    )
    with pytest.raises(
        ValueError, match="at most 32 evaluations; write a method with more as a GridSampler"
    ):
        Repeated(times=33).plan(grid)


def test_a_step_to_zero_does_not_read_a_broken_state():
    """0 times inf is NaN: a weight of 0 must not multiply."""
    row = make("heun").plan(Grid((2.0, 0.0)))[0]
    x = torch.tensor([[np.inf]])
    end, _ = make("heun").step(x, row, (), lambda x, sigma: torch.zeros_like(x), None)
    assert end.tolist() == [[0.0]]


@dataclass(frozen=True, kw_only=True)
class NotASum(LinearStages):
    """Euler's step, and then something that is no sum of what it has seen."""

    name = "not_a_sum"
    source = Source("", "", "")
    then: Callable[[Any], Any]

    def update(self, x, denoise, cur, nxt):
        return self.then(x + (nxt - cur) * (x - denoise(x, cur)) / cur)


@each(
    "then",
    [
        lambda x: x.clip(-1, 1),
        lambda x: x.clamp(-1, 1),
        lambda x: x.abs(),
        lambda x: x + 0.01,
        lambda x: 0.01 - x,
        lambda x: x * x,
        lambda x: x / x,
        lambda x: x**2,
        lambda x: x if x > 0 else -x,
        lambda x: np.maximum(x, 0.0),
        torch.tanh,
    ],
)
def test_stages__what_is_no_sum_is_refused_and_not_lost(then):
    with pytest.raises((TypeError, AttributeError)):
        NotASum(then=then).plan(Grid((2.0, 1.0)))


def test_what_is_a_sum_may_be_written_in_any_way():
    plain = NotASum(then=lambda x: x).plan(Grid((2.0, 1.0)))
    for then in (
        lambda x: np.float64(2.0) * x / np.float32(2.0),
        lambda x: -(-1.0 * x),
        lambda x: sum([x, x]) * 0.5,
        lambda x: x + x - x,
    ):
        assert NotASum(then=then).plan(Grid((2.0, 1.0))) == plain


def test_a_clip_is_one_sentence_of_the_check():
    clipped = check_sampler(NotASum(then=lambda x: x.clip(-1, 1)), fast=True)
    assert not clipped.passed
    assert "update uses 'clip' of a state" in str(clipped)
