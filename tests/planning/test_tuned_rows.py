"""Runs at tuned levels: which rows belong together, what they say, and how they are compared."""

import json
from pathlib import Path

import pytest
from tuned_home import RUN, cells, fails, invoke, retuned

from samplerbench.benchmarks.planning.tuned_file import read_tuned, write_tuned
from samplerbench.models import make_model
from samplerbench.results.comparison.pairing import match_cells, read_source
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.curves import add_curves_and_slots
from samplerbench.samplers.spec import format_spec


@pytest.mark.slow
def test_a_file_that_has_grown_samples_nothing_anew(home, monkeypatch):
    entries = read_tuned(home / "tuned.json")
    run = f"{RUN} --sampler euler --schedule tuned(file='more.json') --out grown"
    write_tuned(home / "more.json", entries[:1])
    assert invoke(run).exit_code == 0
    before = load(home / "grown").frame
    write_tuned(home / "more.json", entries[::-1])
    monkeypatch.setattr(
        "samplerbench.benchmarks.running.executors.tasks.sample_shard",
        lambda *_: pytest.fail("sampled anew"),
    )
    assert invoke(run).exit_code == 0
    assert load(home / "grown").frame.equals(before)


@pytest.mark.slow
def test_rows_at_what_a_file_held_at_different_times_are_told_apart(home, monkeypatch, capsys):
    entries = read_tuned(home / "tuned.json")
    run = (
        f"{RUN} --sampler euler --sampler dpmpp_2m --schedule tuned(file='again.json') --out again"
    )
    for held in (entries, [retuned(entries[0]), entries[1]]):
        write_tuned(home / "again.json", held)
        assert invoke(run).exit_code == 0
    table = add_curves_and_slots(load(home / "again").frame)
    assert sorted(table.sampler) == ["dpmpp_2m", "euler", "euler"]
    assert table.curve.nunique() == 3
    assert set(table.tuning_digest) == {entry.digest for entry in (*entries, retuned(entries[0]))}
    assert "euler at several tuned schedules" in fails(
        "compare again --baseline euler --tuned", monkeypatch, capsys
    )


@pytest.mark.slow
def test_runs_at_other_levels_are_not_the_same_cells(home):
    entry = read_tuned(home / "tuned.json")[0]
    for name, held in (("one", entry), ("same", entry), ("two", retuned(entry))):
        write_tuned(home / "levels.json", [held])
        assert (
            invoke(
                f"{RUN} --sampler euler --schedule tuned(file='levels.json') --out {name}"
            ).exit_code
            == 0
        )
    pairs = {
        other: match_cells(*(read_source(home / name).entries for name in ("one", other))).pairs
        for other in ("same", "two")
    }
    assert (len(pairs["same"]), len(pairs["two"])) == (1, 0)


def test_budgets_of_one_sampler_stay_on_one_curve():
    rows = [
        {
            "model": "m",
            "sampler": "euler",
            "schedule": "tuned",
            "steps": n,
            "budget": n,
            "tuning_digest": f"d{n}",
        }
        for n in (5, 10)
    ]
    assert set(add_curves_and_slots(ResultTable.of(rows).frame).curve) == {"euler"}


@pytest.mark.slow
def test_rows_that_were_tuned_in_different_ways_are_not_compared(home, monkeypatch, capsys):
    one, other = read_tuned(home / "tuned.json")
    write_tuned(
        home / "ways.json",
        [
            one,
            other.model_copy(update={"setting": other.setting.model_copy(update={"latents": 99})}),
        ],
    )
    assert (
        invoke(
            f"{RUN} --sampler euler --sampler dpmpp_2m --schedule "
            "tuned(file='ways.json') --out ways"
        ).exit_code
        == 0
    )
    assert "tuned in different ways" in fails(
        "compare ways --baseline euler --tuned", monkeypatch, capsys
    )


def test_one_tuned_sampler_is_nothing_to_compare(home, monkeypatch, capsys):
    assert invoke(f"{RUN} --sampler euler --schedule tuned --out alone").exit_code == 0
    assert "has nothing to compare with euler" in fails(
        "compare alone --baseline euler --tuned", monkeypatch, capsys
    )


def test_rows_say_what_tuning_took(home):
    table = load(home / "r").frame
    tuned, other = table[table.schedule != "karras"], table[table.schedule == "karras"]
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    assert len(tuned) == len(other) == 2
    for _, row in tuned.iterrows():
        entry = entries[row.sampler]
        assert (row.tuning_teacher, row.tuning_search) == (
            entry.teacher.evaluations,
            entry.search.evaluations,
        )
        assert (row.tuning_latents, row.tuning_gap, row.tuning_other) == (16, entry.gap, "gaussian")
        assert row.tuning_other_untuned == entry.elsewhere.scores.untuned.error
    assert other[[name for name in other if name.startswith("tuning_")]].isna().all(axis=None)


def test_the_third_table_compares_tuned_rows_and_shows_what_they_took(home):
    done = invoke("compare r --baseline euler --tuned --metric rmse --json")
    (line,) = json.loads(done.stdout)
    assert line["schedule"] == "tuned"
    assert line["baseline"] == "euler · tuned"
    assert line["paired"] == 40
    entries = {entry.subject.sampler: entry for entry in read_tuned(home / "tuned.json")}
    for side, name in (("tuning", "dpmpp_2m"), ("baseline_tuning", "euler")):
        assert line[side]["search"] == entries[name].search.evaluations
        assert line[side]["gap"] == entries[name].gap
        assert line[side]["other"] == "gaussian"
    shown = invoke("compare r --baseline euler --tuned --metric rmse --csv lines.csv").stdout
    assert "what the tuning took" in shown
    assert f"{entries['euler'].teacher.evaluations:,}" in shown
    header = (home / "lines.csv").read_text().splitlines()[0]
    assert "tuning_teacher" in header
    assert "baseline_tuning_gap" in header


def test_the_tables_are_never_mixed(home, monkeypatch, capsys):
    assert "share karras only" in fails(
        "compare r --baseline euler --best-schedule", monkeypatch, capsys
    )
    (line,) = json.loads(invoke("compare r --baseline euler --json").stdout)[:1]
    assert ("tuned" in line["schedule"]) == ("tuned" in line["baseline"])
    assert "one of --best-schedule, --author-schedule and --tuned" in fails(
        "compare r --baseline euler --tuned --best-schedule", monkeypatch, capsys
    )
    assert "give one run, --baseline" in fails("compare r --tuned", monkeypatch, capsys)


def test_the_reference_file_is_of_the_present_format_and_its_table_is_at_its_levels():
    folder = Path(__file__).parents[2] / "results" / "reference" / "fairness"
    entries = read_tuned(folder / "tuned.json")
    digests = {(entry.subject.sampler, entry.subject.steps): entry.digest for entry in entries}
    rows = load(folder).frame.dropna(subset=["tuning_digest"])
    assert {(row.sampler, row.steps): row.tuning_digest for row in rows.itertuples()} == digests


def test_a_run_without_tuned_rows_is_refused(home, monkeypatch, capsys):
    assert invoke(f"{RUN} --sampler euler --schedule karras --out plain").exit_code == 0
    assert "plain has no row at a tuned schedule; make one with samplerbench tune" in fails(
        "compare plain --baseline euler --tuned", monkeypatch, capsys
    )


def test_plan__levels_that_cost_more_than_the_budget_under_an_interval_are_skipped(home):
    """Steps are counted on karras levels, of which fewer lie in the interval."""
    options = {"guidance": 2, "guide": "gmm-2d", "guidance_interval": [0.5, 2]}
    guided = make_model("gmm-2d", **options)
    entry = next(e for e in read_tuned(Path("tuned.json")) if e.subject.sampler == "euler")
    for top, reason in ((1.9, "4 steps take 7 evaluations"), (0.4, "")):
        levels = (80.0, top, top / 1.1, top / 1.2, 0.0)
        subject = entry.subject.model_copy(update={"identity": guided.identity})
        other = entry.model_copy(update={"subject": subject, "levels": levels})
        write_tuned(Path("guided.json"), [other])
        (cell,) = cells(
            models=[format_spec({"name": "gmm-2d", **options})],
            schedules=["tuned(file='guided.json')"],
            nfe=[4],
        )
        assert (cell.steps, cell.skip[: len(reason) or None]) == (4, reason)
