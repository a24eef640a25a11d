"""What a budget buys, and what pins a cell."""

import pytest
from looping import each

from samplerbench import samplers
from samplerbench.benchmarks.planning.budget import evaluations_by_steps, most_steps_within
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.samplers import Grid

BASE = {
    "name": "t",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "nfe": [1, 9, 10],
    "samples": 10,
}


def cells_of(**change):
    suite = check_suite({**BASE, **change}, "t")
    models = load_models(suite)
    return plan(suite, models, load_references(models))


@pytest.mark.slow
@each("name", [n for n in samplers.names() if samplers.make(n).nfe(Grid((1.0, 0.0))) is not None])
@each("end", ["zero", "sigma_min"])
def test_steps_within__a_budget_buys_the_largest_grid_that_fits(name, end):
    model, sampler, karras = make_model("gmm-2d"), samplers.make(name), make_schedule("karras")

    def cost(n):
        return sampler.nfe(karras(n, model.sigma_min, model.sigma_max, to_zero=end == "zero"))

    for budget in (1, 2, 3, 4, 5, 8, 13, 29):
        n = most_steps_within(budget, evaluations_by_steps(model, sampler, karras, end))
        assert cost((n or 0) + 1) > budget
        assert n is None or cost(n) <= budget


def test_steps_within__a_schedule_of_few_steps_serves_every_budget_that_they_fill():
    options = {"schedules": ["gits(teacher_steps=3, latents=1)"], "samplers": ["dpm_solver_3"]}
    assert [cell.steps for cell in cells_of(nfe=[12], **options)] == [4]


def test_guidance_halves_what_a_budget_buys():
    karras = make_schedule("karras")
    cost = evaluations_by_steps(
        make_model("digits", guidance=2.0), samplers.make("euler"), karras, "zero"
    )
    assert most_steps_within(10, cost) == 5
    assert most_steps_within(1, cost) is None


def test_most_steps_within__a_cost_that_falls_with_more_steps():
    """As of pndm, guided in an interval: 5 steps cost less than 4, and 3 were planned."""
    cost = dict(enumerate([1, 5, 9, 15, 14, 15, 17, 17, 18, *range(20, 200)], 1)).__getitem__
    assert [most_steps_within(budget, cost) for budget in (13, 14, 15, 16)] == [3, 5, 6, 6]


def test_a_budget_below_one_step_is_a_skipped_cell_with_a_reason():
    (cell,) = cells_of(models=["digits"], samplers=["heun"], nfe=[1], end=["sigma_min"])
    assert cell.grid is None
    assert cell.skip == "one step of heun costs more than the budget of 1"


def test_keys_are_unique_and_depend_on_what_the_samples_depend_on():
    cells = cells_of()
    assert len({cell.key for cell in cells}) == len(cells) == 6
    assert [c.key for c in cells] == [c.key for c in cells_of(samples=99, batch_size=3)]
    for change in (
        {"seed": 1},
        {"schedules": ["karras(rho=5)"]},
        {"dtype": "float32"},
        {"end": ["sigma_min"]},
    ):
        assert not {c.key for c in cells} & {c.key for c in cells_of(**change)}


def test_a_batch_coupled_sampler_is_pinned_to_its_batch():
    one, other = (
        cells_of(samplers=["scipy_rk45"], tolerances=[1e-2], batch_size=b) for b in (4, 8)
    )
    assert one[0].key != other[0].key


def test_adaptive_samplers_get_a_row_per_tolerance_and_no_steps():
    cells = cells_of(
        samplers=["torchdiffeq_dopri5", "torchdiffeq_bosh3(rtol=1e-5, atol=1e-5)"],
        tolerances=[1e-2, 1e-3],
    )
    assert [c.params for c in cells] == [
        {"rtol": 1e-2, "atol": 1e-2},
        {},
        {"rtol": 1e-5, "atol": 1e-5},
    ]
    assert all(c.steps is None for c in cells)


def test_budget_one_is_the_jump_for_every_deterministic_sampler():
    for cell in cells_of(nfe=[1]):
        assert cell.grid.sigma == (80.0, 0.0)
