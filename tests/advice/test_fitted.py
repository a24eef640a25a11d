"""What is fitted to a model: the same samples however few of its evaluations are made again, and the libraries
that can be told it.
"""

import math
import time
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.advice import advise
from samplerbench.benchmarks.advice.budget_answer import to_choice
from samplerbench.benchmarks.advice.candidates import FittedNumbers, resolve_levels, tuned_cell
from samplerbench.benchmarks.advice.leader_fits import (
    FitTask,
    _starting_grids,
    _targets,
    can_be_fitted,
)
from samplerbench.benchmarks.advice.measuring import MeasurementStore
from samplerbench.benchmarks.advice.races import _budgets_with_auto_rule
from samplerbench.benchmarks.advice.request import OWN_FIELDS, make_request
from samplerbench.benchmarks.advice.run import AdviceRun, BudgetResult, Clock
from samplerbench.benchmarks.running.executors import Failure
from samplerbench.benchmarks.sampling.batch import first_states_and_noise
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters
from samplerbench.benchmarks.tuning.least_squares import Runs
from samplerbench.samplers import Grid, NoNoise

COUNT = 12


@pytest.fixture(scope="module", autouse=True)
def short_search():
    """How good a rule is found is not what these tests are about."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("samplerbench.samplers.auto.search.GENERATIONS", 4)
        yield


@pytest.fixture(scope="module")
def asked():
    return make_request("gmm-2d", "cpu", 0, "card", ())


def cell_of(asked, sampler, schedule="karras", budget=6):
    return asked.plan_cells([sampler], [schedule], budget)[0]


def runs_of(model, cell):
    ids = torch.arange(COUNT)
    x = first_states_and_noise(model, cell, ids)[0]
    return Runs(model, ids, cell.seed, x, torch.zeros_like(x), 5)


PLAIN = ("dpmpp_2m", "dpmpp_2m(analytic_first=True)", "ipndm(through_zero=True)")


@pytest.mark.parametrize(
    ("name", "what"),
    [("auto", "coefficients"), *product(PLAIN, ("coefficients", "both", "levels"))],
)
def test_a_run_that_begins_where_it_departs_is_the_whole_run(asked, name, what):
    cell = cell_of(asked, name)
    assert can_be_fitted(cell, what, asked.model)
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    model = asked.model
    free = FreeParameters(sampler, grid, model.sigma_min, model.sigma_max, what)
    kept, part = runs_of(model, cell), slice(2, 9)
    point = 0.1 * np.random.default_rng(0).normal(size=free.size)
    for z in (point, *(point + 0.01 * row for row in np.eye(free.size)), 2 * point):
        made, levels = free.sampler_at(z), free.grid(z)
        whole = runs_of(model, cell).differences_from_ends(made, levels, part)
        np.testing.assert_array_equal(kept.differences_from_ends(made, levels, part), whole)
        ids = torch.arange(COUNT)[part]
        direct = made.sample(
            model.bind(ids, 0), first_states_and_noise(model, cell, ids)[0], levels, NoNoise()
        )
        np.testing.assert_allclose(whole, direct.flatten(1).numpy(), atol=1e-6)


def test_a_run_with_one_other_level_is_the_whole_run(asked):
    cell = cell_of(asked, "auto")
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    runs = runs_of(asked.model, cell)
    runs.differences_from_ends(sampler, grid, slice(None))
    for k in range(1, len(grid)):
        levels = list(grid.sigma)
        levels[k] *= 0.97
        moved = Grid(tuple(levels))
        whole = runs_of(asked.model, cell).differences_from_ends(sampler, moved, slice(None))
        np.testing.assert_array_equal(
            runs.differences_from_ends(sampler, moved, slice(None)), whole
        )


def test_few_evaluations_are_made_again(asked):
    meter = Meter()
    model, cell = meter.attach(asked.model), cell_of(asked, "ipndm", budget=8)
    free = FreeParameters(cell.sampler, cell.grid, model.sigma_min, model.sigma_max, "coefficients")
    runs = runs_of(model, cell)
    for z in (np.zeros(free.size), *(0.01 * np.eye(free.size))):
        runs.differences_from_ends(free.sampler_at(z), free.grid(z), slice(None))
    once = 8 * COUNT
    assert meter.rows == once + sum((i + 1) * (7 - i) for i in range(8)) * COUNT


@pytest.mark.parametrize("name", ["auto", "euler", "warped_ab_3(corrector=True)"])
def test_a_cell_of_what_was_found_is_what_it_was_found_for(asked, name):
    """The table of a sampler stands for it, and other numbers are another cell."""
    cell = cell_of(asked, name)
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    model = asked.model
    same = FreeParameters(sampler, grid, model.sigma_min, model.sigma_max, "coefficients")
    found = FittedNumbers.of(same.sampler_at(np.zeros(same.size)), grid)
    again = tuned_cell(cell, FittedNumbers.read(found.levels, found.rows))

    def samples(cell):
        made = sample_shard(model, None, cell, 0, COUNT, "cpu", 0, COUNT, lambda _: None)
        return torch.from_numpy(made["endpoint"])

    torch.testing.assert_close(samples(again), samples(cell), rtol=0, atol=1e-6)
    moved = FittedNumbers.of(same.sampler_at(np.full(same.size, 0.1)), grid)
    assert len({cell.key, again.key, tuned_cell(cell, moved).key}) == 3


def test_levels_stay_in_the_library_whose_solver_is_on_them(asked):
    cell = cell_of(asked, "dpmpp_2m")
    levels = (cell.sigma_max, 5.0, 1.5, 0.7, 0.3, 0.1, 0.0)
    entry = asked.entry(tuned_cell(cell, FittedNumbers(levels, None)))
    assert entry.label == "dpmpp_2m on tuned levels"
    own = {OWN_FIELDS["k-diffusion"], OWN_FIELDS["comfyui-node"]}
    assert {"python", "k-diffusion", "comfyui", "comfyui-node", *own} <= entry.libraries


def test_coefficients_go_where_numbers_are_taken(asked):
    cell = cell_of(asked, "dpmpp_2m")
    model = asked.model
    free = FreeParameters(cell.sampler, cell.grid, model.sigma_min, model.sigma_max, "both")
    z = np.full(free.size, 0.05)
    z[-1] = 0.3
    found = FittedNumbers.of(free.sampler_at(z), free.grid(z))
    entry = asked.entry(tuned_cell(cell, found))
    assert entry.label == "dpmpp_2m with tuned levels and coefficients"
    assert "comfyui" not in entry.libraries
    assert entry.libraries.isdisjoint((OWN_FIELDS["k-diffusion"], OWN_FIELDS["comfyui-node"]))
    assert {"python", "k-diffusion", "comfyui-node"} <= entry.libraries


@pytest.mark.parametrize(
    ("name", "what", "can"),
    [
        ("heun", "levels", True),
        ("heun", "both", False),
        ("ddpm", "levels", False),
        ("auto", "coefficients", True),
        ("auto", "both", True),
        ("auto", "levels", False),
        ("scipy_rk45", "levels", False),
    ],
)
def test_what_has_numbers_to_fit(asked, name, what, can):
    assert can_be_fitted(cell_of(asked, name), what, asked.model) == can


@pytest.mark.slow
def test_a_fit_that_fails_is_said_and_its_budget_has_what_led(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no room")

    monkeypatch.setattr("samplerbench.benchmarks.advice.leader_fits.fit", fails)
    found = advise("gaussian", (4,), out=tmp_path, minutes=5, only=("euler", "dpmpp_2m"))
    assert found.budgets[0].best["python"].untuned is None
    assert "levels and coefficients could not be fitted" in found.undecided[0]
    assert "no room" in found.undecided[0]


@pytest.mark.slow
def test_a_fit_that_there_is_no_time_for_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("samplerbench.benchmarks.advice.leader_fits.ITERATIONS", 1e9)
    found = advise("gaussian", (4,), out=tmp_path, minutes=5, only=("euler", "dpmpp_2m"))
    assert found.undecided[0].startswith("With 4 evaluations there was no time to fit")


@pytest.mark.slow
def test_what_was_found_is_not_looked_for_again_and_what_was_cut_short_is(tmp_path, monkeypatch):
    seen = []
    whole = FitTask.__call__

    def watched(self, context, tell):
        seen.append(self.kind)
        numbers, _ = whole(self, context, tell)
        return numbers, "coefficients" not in self.kind and self.kind != "both"

    monkeypatch.setattr(FitTask, "__call__", watched)

    def asked(minutes):
        seen.clear()
        return advise("gaussian", (4,), out=tmp_path, minutes=minutes, only=("euler", "dpmpp_2m"))

    first = asked(5)
    assert {"levels", "both"} <= set(seen)
    again = asked(50)
    assert set(seen) == {"both"}
    assert again.budgets[0].best["comfyui"].choice == first.budgets[0].best["comfyui"].choice


def test_one_sampler_on_two_schedules_is_fitted_once_from_both(asked):
    """Two fits would have one name."""
    entries = [asked.entry(cell_of(asked, "dpmpp_2m", s)) for s in ("karras", "uniform_lambda")]
    race = BudgetResult(6, {"comfyui": entries, "python": entries[:1]}, {}, {}, 2, 0, 8, True)
    run = SimpleNamespace(request=asked)
    targets = list(_targets(run, race))
    assert [(t.kind, len(t.entries), t.fields) for t in targets] == [
        ("levels", 2, ["comfyui"]),
        ("both", 1, ["python"]),
    ]
    starts = _starting_grids(run, targets[0])
    assert [len(grid) for grid in starts] == [6] * 4
    assert len(set(starts)) == 4


@pytest.mark.parametrize(("varies", "kind"), [(False, "both"), (True, "coefficients")])
def test_targets__levels_are_free_where_they_do_not_change_the_cost(
    asked, monkeypatch, varies, kind
):
    entry = asked.entry(cell_of(asked, "auto"))
    race = BudgetResult(6, {"python": [entry]}, {}, {}, 2, 0, 8, True)
    if varies:
        monkeypatch.setattr(type(asked.model), "passes_at", lambda _, sigma: 1 + (sigma > 1))
    (target,) = _targets(SimpleNamespace(request=asked), race)
    assert target.kind == kind
    assert _starting_grids(SimpleNamespace(request=asked), target) == ()


def test_tuned_cell__says_that_levels_of_auto_moved(asked):
    cell = cell_of(asked, "auto")
    sampler, grid = resolve_levels(cell.sampler, cell.grid)
    model = asked.model
    free = FreeParameters(sampler, grid, model.sigma_min, model.sigma_max, "both")
    z = np.linspace(0, 0.1, free.size)
    found = FittedNumbers.of(free.sampler_at(z), free.grid(z))
    tuned = tuned_cell(cell, found)
    assert asked.entry(tuned).label == "auto with tuned levels and coefficients"
    assert tuned.grid.sigma == found.levels != grid.sigma


@pytest.mark.slow
def test_a_leader_that_is_plain_is_told_as_plain(tmp_path):
    found = advise("gaussian", (4,), out=tmp_path, minutes=5, only=("euler", "dpmpp_2m"))
    for best in found.budgets[0].best.values():
        fitted = bool(best.choice.coefficients) or best.choice.schedule == "tuned levels"
        assert (best.untuned is not None) == fitted


class Unsolvable:
    steps = 64

    def solve(self, *_):
        raise AssertionError("solved")


def run_of(asked, folder):
    store = MeasurementStore(folder, {})
    return AdviceRun(asked, folder, None, None, None, store, Unsolvable(), 1.0, [6], None)


def test_nothing_is_solved_for_what_there_is_no_time_for(asked, tmp_path):
    run = run_of(asked, tmp_path)
    entries = [asked.entry(cell_of(asked, name)) for name in ("euler", "ipndm")]
    run.store.put(f"64 {entries[1].cell.key} 4 6", [0.25, 1.0])
    known = list(run.measure_squares(dict(enumerate(entries)), 4, 6, lambda: True))
    assert [(n, squares.tolist()) for n, squares in known] == [(1, [0.25, 1.0])]


def test_to_choice__a_failure_at_one_budget_is_not_reported_at_another(asked, tmp_path):
    run = run_of(asked, tmp_path)
    entries = [asked.entry(cell_of(asked, "euler", budget=budget)) for budget in (4, 8)]
    run.store.put(f"64 {entries[0].cell.key} 0 4", "no room")
    assert list(run.measure_squares({0: entries[0]}, 0, 4, bool)) == [(0, None)]
    assert [to_choice(run, entry, None, None).failed for entry in entries] == ["no room", ""]


def run_of_searches(outcomes, minutes=1.0, rate=math.inf):
    """Run of a number of evaluations a second, whose searches have these outcomes."""
    return SimpleNamespace(
        request=make_request("gaussian", "cpu", 0, "card", ()),
        clock=Clock(minutes),
        share_of_total=float,
        races_end_share=0.8,
        budgets=(5, 6, 7),
        rate=rate,
        executor=SimpleNamespace(map=outcomes),
        context=None,
        without_auto={6: "old"},
    )


LATE = "there was no time to search its settings"


def test_budgets_with_auto_rule__keep_the_reason_why_a_search_failed():
    """Only samplers other than auto were raced then, and the answer said nothing."""

    def outcomes(tasks, _context, wanted):
        assert all(map(wanted, range(len(tasks))))
        return iter([(0, Failure("crashed", "its memory ran out")), (1, None)])

    run = run_of_searches(outcomes)
    assert _budgets_with_auto_rule(run, (5, 6, 7), 0.5) == {6}
    assert run.without_auto == {5: "its memory ran out", 7: LATE}


def test_budgets_with_auto_rule__leave_time_for_the_first_race():
    """A search ran to its end, and the answer was that no race had samples."""

    def outcomes(_tasks, _context, wanted):
        yield 0, None
        time.sleep(30)
        yield 1, None

    run = run_of_searches(outcomes, minutes=0.05, rate=4800)  # of 3 seconds 1.2 are for a race
    assert _budgets_with_auto_rule(run, (5, 6, 7), 0.3) == {5}
    assert run.clock.share_spent < 0.8
    assert run.without_auto == {6: LATE, 7: LATE}
