"""Rows are extended until they are decided, no further, and a run that stopped goes on."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from quiet_runs import quiet_setup
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.suite_options import SEQUENTIAL, with_sequential_options
from samplerbench.benchmarks.metrics import metrics
from samplerbench.benchmarks.running import runner, sequential_sampling
from samplerbench.benchmarks.running.cell_states import cell_states_of
from samplerbench.benchmarks.running.sequential_sampling import (
    analyse_open_rows,
    judged_rows,
    run_until_decided,
    setup_of_last_analysis,
    stored_analyses,
)
from samplerbench.benchmarks.suites.suite import Until, check_suite
from samplerbench.results.comparison.pairing import Entry
from samplerbench.results.comparison.significance import level_of_test
from samplerbench.results.run_directory.layout import INTERIM

SUITE = {
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun", "ddpm", "dpmpp_2m"],
    "nfe": [5, 9],
    "samples": 128,
    "reference_samples": 8,
    "converged_samples": 512,
    "keep": 0,
    "timing": {"enabled": False},
}
UNTIL = Until(baseline="euler", metric="fid_proxy", max_samples=1024)


def setup(out, **suite):
    return quiet_setup(check_suite({"name": "t", **SUITE, **suite}, "t"), out)


def on_record(out, until=UNTIL, **suite):
    return stored_analyses(setup(out, **suite), until)


def decided(out, until=UNTIL, **suite):
    return run_until_decided(setup(out, **suite), until)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    table, looks = decided(out)
    return out, looks, table


@pytest.mark.slow
def test_decided_rows_stop_and_open_ones_get_the_most(finished):
    _, looks, table = finished
    verdicts = {(row["curve"], row["budget"]): row for row in looks.rows}
    assert len(verdicts) == 6  # all but the baseline's
    assert verdicts["heun", 5]["verdict"] == "worse"
    assert verdicts["heun", 5]["samples"] == 128
    assert verdicts["heun", 5]["look"] == 1
    for row in looks.rows:
        assert row["samples"] == 128 * 2 ** (row["look"] - 1)
        if row["verdict"] == "undecided":
            assert row["samples"] == 1024
    assert {row["samples"] for row in looks.rows} - {128}  # some needed more
    samples = {(row.sampler, row.budget): row.samples for row in table.frame.itertuples()}
    assert {key: samples[key] for key in verdicts} == {
        key: row["samples"] for key, row in verdicts.items()
    }
    for budget in (5, 9):  # the baseline has what the last open row needed
        assert samples["euler", budget] == max(n for (_, at), n in samples.items() if at == budget)


@pytest.mark.slow
def test_a_finished_run_has_nothing_left_to_do(finished):
    out, looks, table = finished
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").rglob("*.npz")}
    again, looks_again = decided(out)
    assert again.csv() == table.csv()
    assert looks_again == looks
    still = {row["curve"] for row in looks.rows if row["verdict"] == "undecided"}
    # a decision is never made again
    assert {
        row["curve"]
        for row in analyse_open_rows(setup(out), looks, set(looks.first_sample_counts)).values()
    } == still
    assert before == {path: path.stat().st_mtime_ns for path in (out / "parts").rglob("*.npz")}


@pytest.mark.slow
def test_more_samples_go_on_from_there_and_end_as_if_asked_at_once(finished, tmp_path):
    out, *_ = finished
    _, stopped = decided(tmp_path / "a", UNTIL.model_copy(update={"max_samples": 256}))
    assert max(row["samples"] for row in stopped.rows) == 256
    assert on_record(tmp_path / "a").number == 2
    decided(tmp_path / "a")
    assert json.loads((tmp_path / "a" / INTERIM).read_text()) == json.loads(
        (out / INTERIM).read_text()
    )


@pytest.mark.slow
def test_a_kill_between_looks_loses_no_decision(finished, tmp_path, monkeypatch):
    out, *_ = finished
    run, left = runner.run, iter(range(2))

    def dies_at_the_third(setup, **how):
        next(left)
        return run(setup, **how)

    with monkeypatch.context() as patched:
        patched.setattr(runner, "run", dies_at_the_third)
        with pytest.raises(StopIteration):
            decided(tmp_path / "a")
    assert on_record(tmp_path / "a").number == 2
    decided(tmp_path / "a")
    assert json.loads((tmp_path / "a" / INTERIM).read_text()) == json.loads(
        (out / INTERIM).read_text()
    )


def test_another_question_starts_over(finished, monkeypatch):
    out, *_ = finished
    assert on_record(out).number > 0
    assert on_record(out, UNTIL.model_copy(update={"margin": 0.05})).number == 0
    assert on_record(out, samplers=["euler", "heun"]).number == 0
    assert on_record(out, converged_samples=1024).number == 0  # remedy of a futile row
    frechet = replace(metrics()["frechet"], version=999)
    monkeypatch.setattr(sequential_sampling, "metrics", lambda: {"frechet": frechet})
    assert on_record(out).number == 0


def test_cell_states_of__rows_that_were_extended_are_up_to_date(finished):
    out, *_ = finished
    extended = setup_of_last_analysis(setup(out, until=UNTIL.model_dump()))
    assert {cell.samples for cell in extended.cells} > {128}
    assert {cell.state for cell in cell_states_of(extended)} == {"up to date"}


def test_a_standard_error_that_is_small_enough_closes_a_row(tmp_path):
    table, looks = decided(
        tmp_path / "a", Until(target_se=0.05, max_samples=512), samplers=["euler", "heun"], nfe=[5]
    )
    table = table.frame.set_index("sampler")
    rows = {row["curve"]: row for row in looks.rows}
    assert set(rows) == {"euler", "heun"}
    assert rows["euler"]["verdict"] == "precise"
    assert table.loc["euler", "fid_proxy_se"] <= 0.05
    assert rows["heun"]["verdict"] == "undecided"  # its samples lie far out
    assert rows["heun"]["samples"] == 512
    assert table.loc["heun", "fid_proxy_se"] > 0.05


def entry(sampler, influence, reference=None, **row):
    arrays = (
        {"influence": influence}
        if reference is None
        else {"fd_conv": influence, "fd_conv_reference": reference}
    )
    name = "fid_proxy" if reference is None else "fd_conv"
    record = {
        "cell": sampler,
        "model": "m",
        "sampler": sampler,
        "curve": sampler,
        "schedule": "karras",
        "slot": 5,
        "seed": 0,
        "samples": len(influence),
        name: float(influence.mean()),
        f"{name}_se": 0.1,
        **row,
    }
    made = Entry(record)
    made.__dict__["arrays"] = arrays
    return made


def test_a_row_is_open_where_looks_spend_its_level():
    z, w = np.random.default_rng(0).normal(size=(2, 1000))
    # a difference of 2.5 standard errors
    shifted = z + (w - w.mean()) / w.std(ddof=1) + 2.5 / 1000**0.5
    until = UNTIL.model_copy(update={"baseline": "a"})
    rows = [
        judged_rows([entry("a", z), entry("b", shifted)], until, level)["b"]
        for level in (0.05, level_of_test(1, 2), level_of_test(5, 100))
    ]
    assert [row["verdict"] for row in rows] == ["worse", "worse", "undecided"]


def test_a_flagged_row_is_never_decided():
    z = np.random.default_rng(0).normal(size=100)
    rows = [entry("a", z), entry("b", z + 5, fid_flag="too few")]
    found = judged_rows(rows, UNTIL.model_copy(update={"baseline": "a"}), 0.05)["b"]
    assert (found["verdict"], found["reason"]) == ("undecided", "flagged: too few")
    assert judged_rows(rows, Until(target_se=1.0), 0.05)["b"]["verdict"] == "undecided"
    conv = [entry("a", z, z), entry("b", z + 5, z, fid_flag="", fd_conv_flag="too few converged")]
    assert (
        judged_rows(conv, Until(baseline="a"), 0.05)["b"]["reason"] == "flagged: too few converged"
    )
    assert judged_rows(rows, Until(target_se=1.0), 0.05)["a"]["verdict"] == "precise"


@pytest.mark.parametrize(("references", "verdict"), [(50, "futile"), (5000, "undecided")])
def test_rows_that_the_converged_samples_limit_are_not_extended(references, verdict):
    rng = np.random.default_rng(0)
    z, r = rng.normal(size=1000), rng.normal(size=(2, references))
    a, b = entry("a", z - z.mean(), r[0]), entry("b", z - z.mean() + 0.001, r[1])
    found = judged_rows([a, b], Until(baseline="a"), 0.05)["b"]
    assert found["verdict"] == verdict
    assert ("raise converged_samples" in found["reason"]) == (verdict == "futile")


def test_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(
        ValueError, match="baseline 'ipndm' is not run; choose one of ddpm, dpmpp_2m, euler, heun"
    ):
        decided(tmp_path / "a", Until(baseline="ipndm"))
    with pytest.raises(ValueError, match="--max-samples 64 is less than gmm-2d starts with"):
        decided(tmp_path / "a", Until(baseline="euler", max_samples=64))
    assert not (tmp_path / "a").exists()
    with pytest.raises(ValueError, match="until needs a baseline to compare with, or a target_se"):
        check_suite({"name": "t", **SUITE, "until": {"margin": 0.1}}, "t.toml")
    with pytest.raises(ValueError, match="did you mean 'max_samples'"):
        check_suite({"name": "t", **SUITE, "until": {"max_sample": 10, "target_se": 1}}, "t.toml")


def test_the_command_line_fills_in_what_the_suite_leaves_open():
    suite = check_suite({"name": "t", **SUITE}, "t")

    def options(*, decided: bool = False, **given):
        return SimpleNamespace(until_decided=decided, **(dict.fromkeys(SEQUENTIAL) | given))

    assert with_sequential_options(suite, options()) is suite
    plain = with_sequential_options(suite, options(decided=True))
    assert plain.until == Until(baseline="euler")
    assert plain.until.column == "fd_conv"
    assert plain.digest == suite.digest  # one directory: a run can be continued to a decision
    precise = with_sequential_options(suite, options(target_se=0.1))
    assert precise.until.column == "fid_proxy"
    wider = with_sequential_options(plain, options(margin="2%", max_samples=500))
    assert wider.until == Until(baseline="euler", margin=0.02, max_samples=500)
    with pytest.raises(ValueError, match="--margin says how to extend rows; give --until-decided"):
        with_sequential_options(suite, options(margin="2%"))


def test_the_command_prints_verdicts_and_samples(tmp_path):
    args = [
        "run",
        "smoke",
        "--model",
        "gmm-2d",
        "--sampler",
        "euler",
        "--sampler",
        "heun",
        "--nfe",
        "5",
        "--no-timing",
        "--until-decided",
    ]
    done = CliRunner().invoke(
        app, [*args, "--out", str(tmp_path / "run")], env={**os.environ, "COLUMNS": "80"}
    )
    line = next(
        line for line in done.stdout.splitlines() if line.startswith("heun") and "worse" in line
    )
    assert line.split()[:4] == ["heun", "gmm-2d", "5", "128"]
    assert "1 interim analysis of fd_conv: 1 worse." in done.stdout
    compared = CliRunner().invoke(app, ["compare", str(tmp_path / "run"), "--baseline", "euler"])
    assert "was sampled until decided" in " ".join(compared.stdout.split())


def test_show_prints_the_errors_apart_and_the_evaluations_to_the_floor(finished):
    out, *_ = finished
    done = CliRunner().invoke(
        app, ["show", str(out), "--errors", "--to-floor"], env={**os.environ, "COLUMNS": "80"}
    )
    assert done.exit_code == 0
    assert "gmm-2d: evaluations until fd_conv is below" in done.stdout
    assert "gmm-2d: the model's own error, fid_proxy of converged samples, is" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("euler")]
    assert [line[1] for line in lines[1:]] == ["5", "9"]
    assert all(float(line[2]) == pytest.approx(0.0027) for line in lines[1:])  # the start's error
    assert "±" in lines[2][6]
    assert "model's own error dominates the ranking" in done.stdout
