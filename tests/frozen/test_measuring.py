"""Measurement on the frozen suite: counts, errors, searches, and results that repeat the harness's."""

import numpy as np
import pytest
import torch

from samplerbench import run
from samplerbench.benchmarks.frozen import measuring
from samplerbench.benchmarks.frozen.constants import BUDGETS, NETWORK_SAMPLES
from samplerbench.benchmarks.frozen.instances import draw_part
from samplerbench.benchmarks.frozen.measuring import (
    SolverResult,
    distance_over_floor,
    measure_exact,
    network_reference,
    solve_entry,
)
from samplerbench.benchmarks.planning.model_loading import load_model

PART = draw_part()
FEW = PART._replace(instances=(PART.instances[0], PART.instances[12]))


@pytest.fixture(scope="module")
def curves():
    return list(measure_exact(solve_entry("dpmpp_2m", "karras"), FEW))


@pytest.mark.slow
def test_measure_exact__runs_each_problem_as_drawn_and_moved_within_its_budgets(curves):
    places = [(curve.problem, curve.moved) for curve in curves]
    assert places == [(i.name, moved) for i in FEW.instances for moved in (False, True)]
    for curve in curves:
        assert curve.nfe == BUDGETS
        assert curve.search == ()
        assert curve.error[-1] < 0.05 * curve.error[0]


@pytest.mark.slow
def test_measure_exact__a_moved_problem_in_another_order_gives_the_same_errors(curves):
    for drawn, moved in zip(curves[::2], curves[1::2], strict=True):
        assert moved.error == pytest.approx(drawn.error, rel=1e-4)


def test_measure_exact__errors_are_the_medians_of_an_ordinary_run(curves, tmp_path):
    instance = FEW.instances[1]
    suite = {"seed": PART.seed, "samples": 96, "reference_samples": 96, "keep": 0}
    suite |= {"metrics": ["rmse"], "timing": {"enabled": False}, "schedules": ["karras"]}
    table = run(
        suite, tmp_path, models=[instance.spec], samplers=["dpmpp_2m"], nfe=[5, 22], device="cpu"
    )
    medians = table.frame.sort_values("nfe")["rmse_median"] / instance.spread
    curve = next(c for c in curves if c.problem == instance.name and not c.moved)
    wanted = [curve.error[BUDGETS.index(n)] for n in (5, 22)]
    assert medians.tolist() == pytest.approx(wanted, rel=1e-4)


def test_solve_entry__counts_the_search_of_each_budget_alone():
    spec = PART.instances[12].spec
    solve = solve_entry("ipndm", "gits")
    results = list(solve(load_model(spec).model, spec, 0, torch.arange(4), (5, 8)))
    assert [result.nfe for result in results] == [5, 8]
    assert results[0].search == results[1].search == 8192


def test_solve_entry__an_adaptive_sampler_gets_a_tolerance_for_each_budget():
    spec = PART.instances[0].spec
    solve = solve_entry("rk45", "karras")
    results = list(solve(load_model(spec).model, spec, 0, torch.arange(4), (4, 8)))
    assert results[1].nfe > results[0].nfe > 0
    (late,) = solve_entry("dpm_solver_adaptive_12", "karras")(
        load_model(spec).model, spec, 0, torch.arange(4), (90,)
    )
    assert late.failure == "it took more than 100 evaluations a sample"


def test_solve_entry__budgets_of_one_tolerance_share_a_run(monkeypatch):
    spec, runs = PART.instances[0].spec, []

    def counted(_metered, _meter, cell, _ids, _search):
        runs.append(cell.key)
        return SolverResult(None, len(runs))

    monkeypatch.setattr(measuring, "_run", counted)
    for sampler, expected in {"rk45": [1, 2, 2, 2], "euler": [1, 2, 3, 4]}.items():
        runs.clear()
        solve = solve_entry(sampler, "karras")
        results = solve(load_model(spec).model, spec, 0, torch.arange(4), (4, 7, 13, 25))
        assert [result.nfe for result in results] == expected


def test_solve_entry__a_failure_is_a_result_with_its_reason():
    spec = PART.instances[0].spec
    solve = solve_entry("euler", "native")
    (failed,) = solve(load_model(spec).model, spec, 0, torch.arange(4), (5,))
    assert failed.samples is None
    assert "native" in failed.failure


def broken(outputs, failure=""):
    def solve(model, spec, seed, ids, budgets):
        return iter([SolverResult(outputs(model, ids), 5.0, 0, failure)] * len(budgets))

    return solve


def test_measure_exact__results_that_are_not_finite_have_no_error():
    few = FEW._replace(instances=FEW.instances[:1])
    curve, _ = measure_exact(
        broken(lambda m, ids: torch.full((len(ids), *m.event), torch.nan)), few
    )
    assert set(curve.error) == {None}
    curve, _ = measure_exact(broken(lambda _m, ids: torch.zeros(len(ids), 99)), few)
    assert set(curve.error) == {None}

    huge = broken(lambda m, ids: torch.full((len(ids), *m.event), 1e40, dtype=m.dtype), "a\n" * 999)
    curve, _ = measure_exact(huge, few)
    assert (set(curve.error), curve.failures) == ({None}, ("a" * 300,))

    def a_third_is_lost(model, ids):
        x = torch.zeros(len(ids), *model.event)
        x[::3] = torch.inf
        return x

    curve, _ = measure_exact(broken(a_third_is_lost), few)
    assert all(0.1 < error < 10 for error in curve.error)


def test_measure_exact__leaves_out_what_is_known():
    few = FEW._replace(instances=FEW.instances[:1])
    zeros = broken(lambda m, ids: torch.zeros(len(ids), *m.event))
    (curve,) = measure_exact(zeros, few, skip={(few.instances[0].name, False)})
    assert (curve.problem, curve.moved) == (few.instances[0].name, True)


def test_distance_over_floor__converged_samples_are_within_the_floor_and_others_far_off():
    known = network_reference("fashion")
    assert known.axes.shape == (128, 32)
    assert 0 < known.floor < 1
    x = torch.zeros(64, 1, 28, 28) - 1
    assert distance_over_floor(x + 0.1 * torch.randn(x.shape), known) > 100
    flow = network_reference("emoji-flow")
    assert flow.converged.shape == (3000, 32)
    values = np.linalg.eigvalsh(np.cov(flow.converged.T))
    assert (values > 0).all()


@pytest.mark.slow
def test_measure_networks__distances_fall_with_evaluations(monkeypatch):
    monkeypatch.setattr(measuring, "NETWORKS", ("fashion",))
    monkeypatch.setattr(measuring, "NETWORK_SAMPLES", NETWORK_SAMPLES // 8)
    uncached = measuring.network_reference.__wrapped__  # other tests need the whole suite's floor
    monkeypatch.setattr(measuring, "network_reference", uncached)
    monkeypatch.setattr(measuring, "NETWORK_BUDGETS", (5, 15))
    (curve,) = measuring.measure_networks(solve_entry("dpmpp_2m", "karras"), PART)
    assert curve.nfe == (5, 15)
    assert curve.error == (None, None)
    assert curve.distance[1] < curve.distance[0]
