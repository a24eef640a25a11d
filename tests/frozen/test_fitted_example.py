"""The solver in docs/examples/fitted_table.py, whose ``tune`` fits a table of coefficients."""

import math
import sys
from pathlib import Path

import pytest
import torch
from looping import each

from samplerbench.models.registry import make_model
from samplerbench.samplers import Grid, SampleNoise, karras, load_file, make, uniform_lambda

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


def test_end_of_path__a_polynomial_in_squared_levels_ends_exactly(example):
    levels = uniform_lambda(50, 0.02, 5.0).positive
    terms = torch.randn(4, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images = [sum(term * s ** (2 * k) for k, term in enumerate(terms)) for s in levels]
    assert torch.allclose(example.end_of_path(levels, images), terms[0], rtol=0, atol=1e-10)


def test_spaced_by_images__levels_are_dense_where_images_bend(example):
    fine = uniform_lambda(200, 0.01, 10.0)
    images = [torch.full((5, 2), math.tanh(3 * lam)) for lam in fine.lam[:-1]]  # bends at level 1
    levels = example.spaced_by_images(fine, images, 12).positive
    assert (len(levels), levels[0]) == (12, pytest.approx(10.0))
    assert levels[-1] == pytest.approx(0.01)
    assert sum(0.3 < level < 3 for level in levels) >= 7
    assert sum(0.3 < level < 3 for level in uniform_lambda(12, 0.01, 10.0).positive) == 4


@each("low", [0.01, 0.0999])
def test_nearest_places__crowded_levels_stay_different(example, low):
    fine = uniform_lambda(40, 0.01, 10.0)
    crowded = Grid((10.0, *(0.1 - (0.1 - low) * k / 9 for k in range(10)), 0.0))
    places = example.nearest_places(fine, crowded)
    assert places == sorted(set(places))
    assert (len(places), places[0], places[-1]) == (12, 0, 40)
