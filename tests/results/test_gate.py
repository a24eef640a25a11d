from pathlib import Path

import numpy as np
import pytest
from looping import each
from runs import add, make_run

from samplerbench.results import load
from samplerbench.results.comparison.compare import compare
from samplerbench.results.comparison.gate import gate

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
TIMES = np.linspace(1.0, 1.02, 12)


def two(tmp_path, *, shift=0.0, slower=1.0, spread=0.01, machine="cpu A"):
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(2, 300))
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    add(a, influence=2 + shared, times=TIMES)
    timing = {"timing_device_name": machine}
    add(b, influence=2 + shift + shared + spread * own, times=TIMES * slower, timing=timing)
    return a, b


def outcomes(report):
    return {check.what: check.outcome for check in report.checks}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"fid_proxy": "passed", "time": "passed"}),
        ({"shift": 0.1}, {"fid_proxy": "regression", "time": "passed"}),
        ({"shift": -0.1}, {"fid_proxy": "passed", "time": "passed"}),
        ({"shift": 0.1, "spread": 3.0}, {"fid_proxy": "inconclusive", "time": "passed"}),
        ({"slower": 1.2}, {"fid_proxy": "passed", "time": "regression"}),
        ({"slower": 0.8}, {"fid_proxy": "passed", "time": "passed"}),
    ],
)
def test_only_what_is_worse_by_more_than_the_margin_is_stopped(tmp_path, change, expected):
    a, b = two(tmp_path, **change)
    report = gate(a.path, b.path)
    assert outcomes(report) == expected
    assert report.passed == ("regression" not in expected.values())


def test_gate__negative_margins_are_refused(tmp_path):
    a, b = two(tmp_path)
    for margins in ({"quality_margin": -0.01}, {"time_margin": -1.0}):
        with pytest.raises(ValueError, match=r"a margin of -.* makes no sense"):
            gate(a.path, b.path, **margins)


def test_the_same_numbers_pass_at_any_margin(tmp_path):
    a, _ = two(tmp_path)
    # no share of which is a margin
    add(a, "negative", influence=np.random.default_rng(3).normal(size=50) - 1)
    report = gate(a.path, a.path, quality_margin=0.0, time_margin=None)
    assert {check.outcome for check in report.checks} == {"passed"}
    assert len(report.checks) == 2


@each("quality", [{"fid_proxy_se": None}, {"fid_flag": "too few"}, {"dominated": True}])
# few, and too scattered to show 5 %
@each("times", [TIMES, TIMES[:3], TIMES * np.linspace(1, 9, 12)])
def test_gate__a_run_passes_against_itself_whatever_is_known_of_its_errors(
    tmp_path, quality, times
):
    run = make_run(tmp_path)
    cell = add(run, influence=2 + np.random.default_rng(0).normal(size=300), times=times)
    run.write(cell, "quality.json", run.read(cell, "quality.json") | quality)
    assert outcomes(gate(run.path, run.path)) == {"fid_proxy": "passed", "time": "passed"}


@pytest.mark.parametrize(
    "name", ["quick", "full-exact", "fashion-ranking", "heun-5000", "fairness"]
)
def test_a_table_that_is_committed_passes_against_itself(name):
    path = REFERENCE / name
    report = gate(path, path)
    assert len(report.checks) >= 4
    assert {check.outcome for check in report.checks} == {"passed"}


def test_margins_are_the_users(tmp_path):
    a, b = two(tmp_path, shift=0.1, slower=1.2)
    assert gate(a.path, b.path, quality_margin=0.2, time_margin=0.5).passed
    assert outcomes(gate(a.path, b.path, quality_margin=0.2, time_margin=None)) == {
        "fid_proxy": "passed"
    }


def test_a_cell_that_fails_now_is_a_regression_and_one_that_is_gone_is_not(tmp_path):
    a, b = two(tmp_path)
    rng = np.random.default_rng(1)
    for sampler in ("euler", "ddpm"):
        add(a, sampler, influence=rng.normal(size=300))
    cell = add(b, "euler")
    b.write(cell, "quality.json", {"status": "diverged", "reason": "3 samples are not finite"})
    lost = {
        check.row: (check.outcome, check.detail)
        for check in gate(a.path, b.path).checks
        if check.what == "status"
    }
    assert lost == {
        "gmm-2d: euler at 10": ("regression", "ok → diverged: 3 samples are not finite"),
        "gmm-2d: ddpm at 10": ("inconclusive", "not in the candidate"),
    }


def test_a_cell_that_was_killed_from_outside_is_inconclusive(tmp_path):
    a, b = two(tmp_path)
    add(a, "euler", influence=np.random.default_rng(1).normal(size=300))
    b.write(add(b, "euler"), "quality.json", {"status": "killed", "reason": "signal 9"})
    (check,) = [check for check in gate(a.path, b.path).checks if check.what == "status"]
    assert (check.outcome, check.detail) == ("inconclusive", "ok → killed: signal 9")


@pytest.mark.parametrize("metrics", [("all",), ("fid_proxy",)])
def test_a_candidate_of_which_every_cell_fails_is_a_regression_and_one_of_other_cells_is_refused(
    tmp_path, metrics
):
    a, b, other = (make_run(tmp_path / name) for name in ("a", "b", "other"))
    add(a, influence=np.arange(9.0))
    cell = add(b)
    b.write(cell, "quality.json", {"status": "diverged", "reason": "all of them"})
    report = gate(a.path, b.path, metrics=metrics)
    assert not report.passed
    assert [(check.what, check.detail) for check in report.checks] == [
        ("status", "ok → diverged: all of them")
    ]
    b.write(cell, "quality.json", {"status": "skipped"})
    other.write(add(other, "ddpm"), "quality.json", {"status": "failed"})
    for nothing in (b, other):
        with pytest.raises(ValueError, match="share no finished cell"):
            gate(a.path, nothing.path, metrics=metrics)


def test_runs_without_quality_are_gated_on_time_alone(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    add(a, times=TIMES)
    add(b, times=TIMES * 1.2)
    assert outcomes(gate(a.path, a.path)) == {"time": "passed"}
    assert outcomes(gate(a.path, b.path)) == {"time": "regression"}
    for asked in ({"metrics": ("kid",)}, {"time_margin": None}):
        with pytest.raises(ValueError, match="nothing to compare"):
            gate(a.path, b.path, **asked)


def test_times_of_another_machine_are_refused_unless_left_out(tmp_path):
    a, b = two(tmp_path, machine="cpu B")
    with pytest.raises(
        ValueError,
        match="device name differs: cpu A and cpu B; time both runs alike, or give --no-time",
    ):
        gate(a.path, b.path)
    assert gate(a.path, b.path, time_margin=None).passed


def test_a_change_without_effect_is_rarely_stopped(tmp_path):
    """300 null gates of 10 cells each, by their p values: the share that is stopped is below
    the level.
    """
    from samplerbench.results.comparison.significance import LEVEL, Evidence, holm_adjusted

    rng = np.random.default_rng(0)
    stopped = [
        min(holm_adjusted([Evidence(d, 1.0, 0.0).p_beyond for d in rng.normal(size=10)])) <= LEVEL
        for _ in range(300)
    ]
    assert np.mean(stopped) < LEVEL + 3 * (LEVEL * (1 - LEVEL) / 300) ** 0.5


def test_gate__two_rows_without_times_do_not_have_the_same_times(tmp_path):
    pair = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    for run in pair:
        cell = add(run, influence=np.arange(9.0))
        run.write(cell, "timing.json", {"timing_reason": "memory held no batch of 8"})
    report = gate(*(run.path for run in pair))
    assert outcomes(report) == {"fid_proxy": "passed", "time": "inconclusive"}
    assert report.checks_with_outcome("inconclusive")[0].detail == "memory held no batch of 8"


def test_gate__a_value_that_the_candidate_lost_is_named(tmp_path):
    a, b = (make_run(tmp_path / name) for name in "ab")
    for run in (a, b):
        add(run, "euler", influence=np.arange(9.0))
    add(a, "heun", influence=np.arange(9.0))
    add(b, "heun", quality={"fid_proxy": float("inf")})
    (open_check,) = gate(a.path, b.path).checks_with_outcome("inconclusive")
    assert (open_check.row, open_check.detail) == (
        "gmm-2d: heun at 10",
        "no value in the candidate",
    )


@pytest.mark.parametrize(("before", "now"), [(10.0, 20.0), (20.0, 10.0)])
def test_gate__more_evaluations_for_the_same_samples_are_a_regression(
    tmp_path, caplog, before, now
):
    a, b = (make_run(tmp_path / name) for name in "ab")
    for run, nfe in ((a, before), (b, now)):
        add(run, influence=np.arange(9.0), quality={"nfe": nfe}, budget=None)
    counted = [check for check in gate(a.path, b.path).checks if check.what == "nfe"]
    assert [check.outcome for check in counted] == ["regression"] * (now > before)
    compare(a.path, b.path)
    assert f"takes {before:g} evaluations a sample in a, and {now:g} in b" in caplog.text


@pytest.mark.parametrize("counts", [(40.2, 43.8), (74.0, 80.0)])
@pytest.mark.parametrize("sizes", [(9, 9), (9, 12)])
def test_gate__a_count_of_other_samples_of_an_adaptive_sampler_is_not_compared(
    tmp_path, counts, sizes
):
    """One step size for a batch makes counts that depend on the samples integers too."""
    a, b = (make_run(tmp_path / name) for name in "ab")
    for seed, (run, nfe, size) in enumerate(zip((a, b), counts, sizes, strict=True)):
        seen = {"steps": None, "seed": seed if sizes[0] == sizes[1] else 0}
        add(run, "rk45", influence=np.arange(float(size)), quality={"nfe": nfe}, **seen)
    assert "nfe" not in outcomes(gate(a.path, b.path))


def test_gate__rows_of_one_budget_are_matched_by_their_steps_first(tmp_path):
    a, b = (make_run(tmp_path / name) for name in "ab")
    influence = 2 + np.random.default_rng(0).normal(size=300)
    for run, counts in ((a, (10,)), (b, (5, 10))):
        for steps in counts:
            nfe = {"nfe": 2.0 * steps}
            add(run, influence=influence + 10 / steps, quality=nfe, steps=steps, budget=20)
    assert {check.outcome for check in gate(a.path, b.path).checks} == {"passed"}


def test_gate__a_sampler_with_fewer_steps_in_its_budget_is_compared(tmp_path):
    a, b = (make_run(tmp_path / name) for name in "ab")
    influence = 2 + np.random.default_rng(0).normal(size=300)
    add(a, influence=influence, steps=10)
    add(b, influence=influence + 1, steps=5)
    assert outcomes(gate(a.path, b.path)) == {"fid_proxy": "regression"}


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_gate__times_of_a_table_alone_are_named_as_not_compared(tmp_path, side):
    a, _ = two(tmp_path)
    load(a.path).to_csv(tmp_path / "table.csv")
    pair = (tmp_path / "table.csv", a.path)
    report = gate(*(pair if side == "baseline" else pair[::-1]))
    (check,) = (check for check in report.checks if check.what == "time")
    assert (check.outcome, check.detail) == (
        "inconclusive",
        "a side has no raw times: a run with --no-timing, or a table alone",
    )


@each("times", [None, TIMES])
def test_gate__a_metric_that_all_rows_of_the_candidate_lost_is_named(tmp_path, times):
    a, b = (make_run(tmp_path / name) for name in "ab")
    kid = {"kid": 0.1, "kid_se": 0.01} if times is None else {}
    add(a, influence=np.arange(9.0), quality=kid, times=times)
    add(b, quality=kid, times=times)
    checks = {check.what: check.detail for check in gate(a.path, b.path).checks}
    assert checks["fid_proxy"] == "no value in the candidate"
