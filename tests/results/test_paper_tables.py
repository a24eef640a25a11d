"""Tables for a paper show what the rows say: rows left out are named, directions are known."""

import io
import logging

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from runs import add, make_run

from samplerbench.benchmarks.cli import app
from samplerbench.results import quantities
from samplerbench.results.comparison.best_rows import best_curve_budgets
from samplerbench.results.comparison.compare import compare, compare_with, comparison_notes
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.gate import gate
from samplerbench.results.figures.ecdf import costs_to_targets
from samplerbench.results.figures.export import write_figures
from samplerbench.results.quantities import find
from samplerbench.results.report.timing import timing_of
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.curves import comparable_parts
from samplerbench.results.terminal.ranking import print_table

ROW = {
    "model": "m",
    "params": "{}",
    "schedule": "karras",
    "start": "noise",
    "end": "zero",
    "seed": 0,
    "status": "ok",
    "estimator": "frechet",
}


def row(sampler, budget, value, **more):
    """Finished row with ``fid_proxy`` ± 0.01."""
    known = {"budget": budget, "steps": budget, "nfe": float(budget or 0)}
    return {**ROW, **known, "sampler": sampler, "fid_proxy": value, "fid_proxy_se": 0.01, **more}


def test_best_per_budget__throughput_is_better_when_higher():
    rows = [
        row("slow", 5, 1.0, samples_per_second=3.0),
        row("fast", 5, 1.0, samples_per_second=9.0),
    ]
    table = ResultTable.of(rows)
    assert list(table.best_per_budget("samples_per_second")["sampler"]) == ["fast"]
    with pytest.raises(ValueError, match="samples_per_second is no cost"):
        table.pareto("fid_proxy", "samples_per_second")


def test_find__warns_once_of_a_column_of_unknown_direction(caplog):
    quantities._warn_of_unknown_direction.cache_clear()
    with caplog.at_level(logging.WARNING, "samplerbench"):
        assert [find("clip_score_of_mine").lower for _ in range(2)] == [True, True]
        assert [find(name).lower for name in ("samples_per_second", "ms_per_sample")] == [
            False,
            True,
        ]
    (message,) = caplog.messages
    assert "lower or higher clip_score_of_mine is better" in message


def test_compare__names_pairs_without_a_value_on_one_side():
    rows = [row("euler", 5, 1.0), row("heun", 5, None), row("ipndm", 5, 2.0)]
    rows += [row("euler", 5, None, model="bare"), row("heun", 5, None, model="bare")]
    found = compare_with(ResultTable.of(rows), "euler")
    assert [line.sampler for line in found.lines] == ["ipndm"]
    bare = "bare: heun at 5 (no metric with verdicts)"
    assert found.unmatched == ("m: heun at 5 (no fid_proxy in the candidate)", bare)
    assert "Not compared: m: heun at 5 (no fid" in " ".join(comparison_notes(found))


@pytest.mark.parametrize("part", ["--errors", "--to-floor"])
@pytest.mark.parametrize("option", ["--metric", "--baseline"])
def test_show__refuses_options_that_it_would_ignore(tmp_path, part, option):
    ResultTable.of([row("euler", 5, 1.0)]).to_csv(tmp_path / "table.csv")
    with pytest.raises(ValueError, match="take neither --metric nor --baseline"):
        app(["show", str(tmp_path), part, option, "fd_conv"], standalone_mode=False)


def test_figures__refuse_a_metric_that_no_kind_draws(tmp_path):
    ResultTable.of([row("euler", 5, 1.0)]).to_csv(tmp_path / "table.csv")
    with pytest.raises(
        ValueError, match="--metric does not suit ranking, timing; it is for work-pr"
    ):
        write_figures(
            tmp_path, tmp_path / "out", kinds=("ranking", "timing"), metrics=["fid_proxy"]
        )


def test_compare_command__names_the_run_of_each_line(tmp_path, capsys):
    for name, value in (("one", 1.0), ("two", 2.0)):
        table = ResultTable.of([row("euler", 5, 1.5), row("heun", 5, value)])
        table.to_csv(tmp_path / name / "table.csv")
    runs = [str(tmp_path / name) for name in ("one", "two")]
    command = ["compare", *runs, "--baseline", "euler", "--csv", str(tmp_path / "lines.csv")]
    app(command, standalone_mode=False)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("Run: ")] == [
        f"Run: {run}" for run in runs
    ]
    lines = pd.read_csv(tmp_path / "lines.csv")
    assert list(zip(lines["run"], lines["value"], strict=True)) == list(
        zip(runs, [1.0, 2.0], strict=True)
    )


def test_with_curves__more_evaluations_than_steps_have_a_budget_of_their_own():
    rows = [row("euler", 12, 1.0), row("heun", 12, 0.5, nfe=23.0)]
    rows = [item | {"budget": None} for item in rows]
    table = ResultTable.of(rows)
    assert table.wide("fid_proxy").loc[("m", "heun"), 23] == 0.5
    assert r"sampler & 12 & 23 \\" in table.to_latex()
    best = findings_of(table.frame).by_title["m"].best
    assert [(item.curve, item.budget) for item in best] == [("euler", 12), ("heun", 23)]


def test_print_table__counts_the_rows_that_have_no_place():
    rows = [row("euler", 5, 1.0), row("euler", 5, 1.1, device_name="other"), row("heun", 5, 2.0)]
    rows += [row("rk45", None, 0.1, nfe=80.0), row("heun", 5, None, status="failed")]
    table = ResultTable.of(rows)
    console = Console(file=io.StringIO(), width=400)
    print_table(table, console)
    note = "rows not shown, beyond all budgets or beside another row of their curve and budget: 2"
    assert note in console.file.getvalue()
    assert f"% {note}\n" in table.to_latex()
    assert "not shown" not in ResultTable.of(rows[:1]).to_latex()


def test_tables__times_are_bold_by_their_own_intervals(tmp_path):
    times = {"heun": (1.0, 0.8, 1.2), "euler": (1.1, 0.9, 1.3), "ipndm": (2.0, 1.9, 2.1)}
    names = ("ms_per_sample", "ms_low", "ms_high")
    rows = [row(s, 5, 1.0, **dict(zip(names, t, strict=True))) for s, t in times.items()]
    table = ResultTable.of([*rows[:2], rows[2] | {"timing_flag": "a busy machine"}])
    assert best_curve_budgets(table.frame, "ms_per_sample") == {
        "m": frozenset({("heun", 5), ("euler", 5)})
    }
    printed = io.StringIO()
    print_table(table, Console(file=printed, width=400), metric="ms_per_sample")
    assert " 2† " in printed.getvalue()
    assert "bold: level with it" in printed.getvalue()
    rows = [item | {"rmse_median": n} for n, item in enumerate(rows)]
    print_table(ResultTable.of(rows), Console(file=(bare := io.StringIO())), metric="rmse_median")
    assert "significant" not in bare.getvalue()  # a column without intervals


def test_to_latex__has_no_letter_e_in_a_number():
    text = ResultTable.of([row("euler", 5, 1.0, rmse_median=2.5e-7)]).to_latex("rmse_median")
    assert r"${2.5 \times 10^{-7}}$" in text


def test_timing_of__compares_with_the_baseline_of_the_report(tmp_path):
    run = make_run(tmp_path / "run")
    for sampler, ms in (("euler", 1.0), ("heun", 2.0), ("ipndm", 3.0)):
        add(run, sampler, influence=np.arange(8.0), times=[ms] * 8)
    frame, homes = load(run.path).frame, {"": run.path}
    ((_, rows),) = comparable_parts(frame)
    for baseline, against in (("ipndm", "iPNDM"), ("euler", "Euler")):
        findings = findings_of(frame, homes, baseline).by_title["gmm-2d"]
        timing = timing_of(rows, homes, findings)
        assert timing.against == against
        alone = [timed.row["sampler"] for timed in timing.rows if timed.speed is None]
        assert alone == [baseline]


def test_timing_of__names_the_schedule_of_the_baseline_among_several(tmp_path):
    run = make_run(tmp_path / "run")
    for schedule, ms in (("karras", 1.0), ("uniform_lambda", 2.0)):
        add(run, "euler", influence=np.arange(8.0), times=[ms] * 8, schedule=schedule)
    ((_, rows),) = comparable_parts(load(run.path).frame)
    assert timing_of(rows, {"": run.path}).against == "Euler · karras"


def test_load__uses_copied_rows_once(tmp_path, caplog):
    table = ResultTable.of([row("euler", 5, 1.0), row("heun", 5, 2.0)])
    table.to_csv(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join([*lines, *lines[1:], "," * lines[0].count(",")]))
    pd.testing.assert_frame_equal(load(tmp_path / "b.csv").frame, table.frame)
    assert "2 rows equal other rows in every column" in caplog.text
    assert len(load([tmp_path / "a.csv", tmp_path / "a.csv"])) == 2


def test_load__reads_what_pandas_and_spreadsheets_write(tmp_path):
    rows = [row("euler", 5, 1.0, dominated=True), row("rk45", None, 2.0, dominated=False)]
    table = ResultTable.of(rows)
    table.to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", index=False)
    whole = (tmp_path / "b.csv").read_text().replace("True", "TRUE").replace("False", "FALSE")
    assert ",5.0," in whole
    (tmp_path / "b.csv").write_text(whole)
    pd.testing.assert_frame_equal(load(tmp_path / "b.csv").frame, table.frame)
    (tmp_path / "b.csv").write_text(whole.replace(",5.0,", ",5.5,"))
    with pytest.raises(ValueError, match=r"holds '5\.5', which is no integer"):
        load(tmp_path / "b.csv")


def test_ecdf__a_curve_has_one_name_on_all_models():
    rows = [row("euler", 5, 1.0, model=model, seed=0) for model in ("m", "n")]
    rows += [row("euler", 10, 0.1, model=model, seed=0) for model in ("m", "n")]
    rows += [row("euler", 5, 1.0, seed=1), row("euler", 10, 0.1, seed=1, schedule="uniform_time")]
    costs, styles = costs_to_targets(ResultTable.of(rows), "fid_proxy", "nfe")
    assert list(costs) == [
        "euler · karras · seed 0",
        "euler · karras · seed 1",
        "euler · uniform_time · seed 1",
    ]
    assert np.isfinite(costs["euler · karras · seed 0"]).all()
    assert set(costs) <= set(styles)


def test_gate__a_row_that_only_the_baseline_timed_is_inconclusive(tmp_path):
    for name, times in (("old", [1.0] * 8), ("new", None)):
        run = make_run(tmp_path / name)
        add(run, "heun", influence=np.arange(8.0), times=times)
    old, new = tmp_path / "old", tmp_path / "new"
    assert [check.what for check in gate(new, old).checks] == ["fid_proxy"]
    (check,) = [check for check in gate(old, new).checks if check.what == "time"]
    assert (check.outcome, check.detail) == (
        "inconclusive",
        "a side has no raw times: a run with --no-timing, or a table alone",
    )
    assert [check.what for check in gate(old, new, time_margin=None).checks] == ["fid_proxy"]


def test_load__keeps_different_models_of_one_name_apart(tmp_path):
    runs = []
    for name, identity in (("a", "v1"), ("b", "v1"), ("c", "v2")):
        run = make_run(tmp_path / name, identity=identity)
        add(run, "heun", influence=np.arange(8.0))
        runs.append(run.path)
    assert list(load(runs).frame["model"]) == ["gmm-2d · a", "gmm-2d · a", "gmm-2d · c"]
    assert set(load(runs[:2]).frame["model"]) == {"gmm-2d"}
    with pytest.raises(ValueError, match="model gmm-2d is v1 in the first and v2 in the second"):
        compare(runs[0], runs[2])


def test_show__says_why_there_is_no_floor_to_reach(tmp_path, capsys):
    ResultTable.of([row("euler", 5, 1.0)]).to_csv(tmp_path / "table.csv")
    app(["show", str(tmp_path), "--to-floor"], standalone_mode=False)
    assert "No finished row has fd_conv, its error and fid_proxy_floor." in capsys.readouterr().out


def test_print_table__shows_the_row_with_a_value():
    rows = [row("euler", 5, 1.0), row("heun", 5, 0.5), row("heun", 5, None, nfe=6.0)]
    print_table(ResultTable.of(rows), Console(file=(printed := io.StringIO()), width=100))
    assert " 0.5* " in printed.getvalue()
