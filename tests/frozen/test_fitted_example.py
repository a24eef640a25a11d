"""The solver in docs/examples/fitted_table.py, whose ``tune`` fits a table of coefficients."""

import math
import sys
from pathlib import Path

import pytest
import torch
from looping import each

from samplerbench.models.registry import make_model
from samplerbench.samplers import SampleNoise, karras, load_file, make, uniform_lambda

FILE = Path(__file__).parents[2] / "docs/examples/fitted_table.py"


@pytest.fixture(scope="module")
def example():
    load_file(FILE)
    return sys.modules[type(make("fitted_table")).__module__]


def median_error(model, sampler, grid, n: int = 100) -> float:
    x = model.sigma_max * SampleNoise(5, torch.arange(n), model.event, torch.float64).initial()
    samples = sampler.sample(model.bind(torch.arange(n), 0), x, grid, 0)
    return float((samples - model.endpoint(x)).norm(dim=1).median())


@each(("kind", "nfe", "most"), [("spectrum", 5, 0.1), ("spectrum", 10, 0.1), ("modes", 5, 0.8)])
def test_tune__other_latents_end_nearer_than_by_its_two_methods(example, kind, nfe, most):
    model = make_model(f"family:{kind}", dim=4, seed=3)
    model.tolerance = 1e-5  # for a quicker test
    ends, made = (model.sigma_min, model.sigma_max), []

    def draw(n):
        return (
            model.sigma_max * SampleNoise(6, torch.arange(n), model.event, torch.float64).initial()
        )

    def denoise(x, sigma):
        made.append(len(x))
        return model.bind(torch.arange(len(x)), 0)(x, sigma)

    sampler, grid = example.tune(denoise, draw, nfe, *ends)
    assert sampler.nfe(grid) == nfe
    assert sum(made) == example.LATENTS * (example.TEACHER_STEPS + 16 * nfe)
    rivals = [
        median_error(model, make(method), spacing(nfe, *ends))
        for method in ("dpmpp_2m", "zeab_4")
        for spacing in (karras, uniform_lambda)
    ]
    assert median_error(model, sampler, grid) < most * min(rivals)


def test_fit_weights__few_large_errors_do_not_decide(example):
    rng = torch.Generator().manual_seed(0)
    columns = [torch.randn(60, 3, generator=rng, dtype=torch.float64) for _ in range(2)]
    target = 0.5 * columns[0] - 2 * columns[1]
    target[:6] += 100
    weights = example.fit_weights(columns, target, 1e-8)
    assert weights == pytest.approx([0.5, -2.0], abs=1e-3)


def test_roll_out__without_a_fit_it_is_the_method(example, problem):
    grid = karras(8, problem.model.sigma_min, problem.model.sigma_max)
    bound, method = problem.model.bind(problem.ids, 0), make("zeab_4")
    rows = example.tabulate(method, grid)
    table, ends = example.roll_out(bound, grid, rows, [problem.x] * 9, None)
    expected = method.sample(bound, problem.x, grid, 0)
    assert torch.allclose(ends, expected, rtol=1e-9, atol=1e-9)
    again = example.FittedTable(table=table).sample(bound, problem.x, grid, 0)
    assert torch.allclose(again, expected, rtol=1e-9, atol=1e-9)
    assert all(math.isclose(a + sum(b), 1, abs_tol=1e-9) for a, b in table)
