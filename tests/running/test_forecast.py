"""What a run is said to take before it begins, and what it says while it works."""

import io
import itertools
import time

import pytest
from quiet_runs import quiet_run
from rich.console import Console

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running import forecast as forecasting
from samplerbench.benchmarks.running import progress
from samplerbench.benchmarks.running.executors.shard_limits import expected_evaluations
from samplerbench.benchmarks.running.forecast import forecast_suite
from samplerbench.benchmarks.running.progress import ProgressReporter
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.reference_cost import (
    EXACT_FLOW,
    evaluations_per_endpoint,
    reference_evaluations,
)
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.benchmarks.timing.disturbances import LoadCounters

SUITE = {
    "name": "t",
    "models": ["gmm-2d"],
    "samplers": ["euler"],
    "nfe": [5],
    "samples": 64,
    "reference_samples": 8,
    "converged_samples": 100,
    "keep": 0,
    "timing": {"enabled": False},
}


def planned(**change):
    suite = check_suite({**SUITE, **change}, "test")
    models = load_models(suite)
    references = load_references(models)
    return suite, models, references, plan(suite, models, references)


def test_expected_evaluations__of_an_adaptive_sampler_count_both_passes_under_guidance():
    expected = []
    for model in ("digits", "digits(guidance=2.0)"):
        change = {"models": [model], "samplers": ["rk45"], "tolerances": [1e-2]}
        _, models, _, cells = planned(**change)
        expected += [expected_evaluations(models[cell.model], cell) for cell in cells]
    assert expected[1] == 2 * expected[0] > 0


def evaluations(**change):
    suite, models, references, cells = planned(**change)
    (name,) = models
    return reference_evaluations(suite, models[name], references[name], cells)


def test_references_are_counted_as_the_suite_asks_for_them():
    assert evaluations() == 8 * EXACT_FLOW + 100 * 64
    assert evaluations(reference_samples=16, converged_samples=50) == 16 * EXACT_FLOW + 50 * 64
    assert evaluations(path_curvature=True) == evaluations() + 8 * 64
    assert evaluations(samplers=["ddpm"]) == 100 * 64, (
        "nobody asks for the endpoints of stochastic samplers"
    )
    assert evaluations(samplers=["sa_solver"], noise="brownian") >= 100 * 64
    assert evaluations(models=["gaussian"]) == 100 * 64, "its endpoints are a formula"


def test_reference_evaluations__counts_path_limits_only_of_starts_that_have_one():
    on_paths = {"samplers": ["ddpm"], "noise": "brownian"}
    limits = evaluations(**on_paths) - 100 * 64
    assert limits > 0
    assert evaluations(**on_paths, start=["gaussian"]) == 100 * 64
    assert evaluations(**on_paths, start=["noise", "gaussian"]) == limits + 100 * 64


def test_a_network_doubles_its_steps():
    _, models, _, cells = planned(models=["random-unet-32"], samplers=["euler"])
    assert evaluations_per_endpoint(models["random-unet-32"], cells[0]) == 64 + 128 + 256


@pytest.mark.slow
def test_a_forecast_has_all_that_a_run_does_and_notices_a_busy_machine(monkeypatch):
    (row,), _ = forecast_suite(*planned(), "cpu")
    assert (row.cells, row.evaluations) == (1, 5 * 64)
    assert row.references / row.seconds == pytest.approx(evaluations() / (5 * 64))
    assert row.scoring > 0
    moments = itertools.cycle(
        [LoadCounters(), LoadCounters(wall=1.0, cpu=0.3, waited=0.7, busy=2.0)]
    )
    monkeypatch.setattr(forecasting.LoadCounters, "of_this_moment", lambda: next(moments))
    rows, doubts = forecast_suite(*planned(models=["gmm-2d", "gaussian"]), "cpu")
    assert len(rows) == 2
    assert [doubt for doubt in doubts if "core" in doubt.split(" of ")[0]] == [
        "waited for a core 70% of the time"
    ], "of two models once"


def test_without_a_terminal_a_line_says_what_takes_so_long(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.05)
    monkeypatch.setattr(progress, "LINE_PERIOD", 0.05)
    out = io.StringIO()
    with (
        ProgressReporter(Console(file=out), dict.fromkeys("abc", 0.0), 100.0) as report,
        report.track_part("fashion: converged endpoints of 64 samples", 50.0),
    ):
        time.sleep(0.5)
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    assert lines[0] == "0:00 fashion: converged endpoints of 64 samples (0/3 cells)"


def test_the_time_left_is_of_one_model_at_its_own_pace(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    report = ProgressReporter(Console(quiet=True), {"slow": 10.0, "fast": 1000.0}, 1010.0)

    def spend(cell, count, seconds):
        clock[0] += seconds
        report.add_cell_evaluations(cell, count)
        return report.state_in_words()

    report.begin_model("fashion", 10.0)
    assert report.state_in_words() == "0/2 cells"
    assert spend("slow", 4.0, 40.0) == "0/2 cells, 1:00 left of fashion"
    report.end_cell("slow")
    report.begin_model("gmm-2d", 1000.0)
    assert spend("fast", 100.0, 1.0) == "1/2 cells, 0:09 left"


def test_a_part_fills_the_bar_by_its_forecast_whatever_it_takes():
    with ProgressReporter(Console(quiet=True), {}, 100.0) as report:
        for done, expected in ((80.0, 60.0), (10.0, 40.0)):
            with report.track_part("a", expected):
                report.add_evaluations(done)
    (task,) = report._bar.tasks
    assert task.completed == 100.0


def test_a_run_says_at_each_moment_what_it_does(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(ProgressReporter, "set_stage", lambda self, text: said.append(text))
    quiet_run(check_suite({**SUITE, "path_curvature": True}, "test"), tmp_path)
    assert said == [
        "gmm-2d: euler",
        "gmm-2d: scoring",
        "gmm-2d: converged endpoints of 8 samples",
        "gmm-2d: 100 converged samples",
        "gmm-2d: scoring 1/1, euler",
        "gmm-2d: curvature of paths",
    ]


def test_references_move_the_bar(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(ProgressReporter, "add_evaluations", lambda self, count: told.append(count))
    quiet_run(check_suite(SUITE, "test"), tmp_path)
    assert sum(told) > 5 * 64 + 100 * 64
