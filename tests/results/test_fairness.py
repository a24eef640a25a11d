import numpy as np
import pytest
from runs import add, make_run

from samplerbench.benchmarks.tuning.fair_schedules import (
    common_schedules_by_model,
    entries_at_best_schedules,
    entries_at_schedules,
    entries_at_tuned_levels,
)
from samplerbench.results.comparison.estimates import Estimate
from samplerbench.results.comparison.pairing import Entry, Source, read_source
from samplerbench.results.quantities import find

FID = find("fid_proxy")
SCHEDULES = tuple(f"s{k}" for k in range(6))


def of(values):
    return Estimate(
        float(np.mean(values)),
        float(np.std(values, ddof=1)) / len(values) ** 0.5,
        np.asarray(values) - np.mean(values),
    )


def halves(entry):
    """Halves of a cell whose value is the mean of its influence values."""
    values = entry.record.get("values", entry.arrays.get("influence"))
    return of(values[: len(values) // 2]), of(values[len(values) // 2 :]), "flag of the half"


def test_the_best_of_equal_schedules_is_measured_without_the_winners_curse():
    """Six schedules without any difference: the chosen half is too good by about 1.27 errors,
    the reported one by none.
    """
    rng = np.random.default_rng(0)
    rows = [
        {
            "model": "m",
            "sampler": "heun",
            "slot": budget,
            "steps": budget,
            "schedule": schedule,
            "fid_proxy": 0.0,
            "values": rng.normal(size=50),
        }
        for budget in range(100)
        for schedule in SCHEDULES
    ]
    source = Source("run", {}, tuple(map(Entry, rows)), ())
    chosen = entries_at_best_schedules(source, common_schedules_by_model(source), FID, halves)
    assert len(chosen) == 100
    error = 1 / 25**0.5
    selected = [halves(entry)[0].value / error for entry in chosen]
    reported = [entry.estimate(FID).value / error for entry in chosen]
    assert np.mean(selected) == pytest.approx(-1.27, abs=0.2)
    assert abs(np.mean(reported)) < 3 / 100**0.5
    assert {entry.record["fid_flag"] for entry in chosen} == {"flag of the half"}


def test_only_schedules_that_all_samplers_have_are_chosen_from(tmp_path):
    run, z = make_run(tmp_path / "run"), np.random.default_rng(0).normal(size=20)
    for sampler, schedules in (("euler", "abc"), ("heun", "bcd")):
        for schedule in schedules:
            add(run, sampler, influence=z + ord(schedule), schedule=schedule)
    add(run, "gits", influence=z, schedule="own")
    source = read_source(run.path)
    schedules = common_schedules_by_model(source)
    assert schedules == {"gmm-2d": ["b", "c"]}
    picked = {
        entry.record["sampler"]: entry.record["schedule"]
        for entry in entries_at_best_schedules(source, schedules, FID, halves)
    }
    assert picked == {"euler": "b", "heun": "b", "gits": "own"}


def test_a_run_with_one_schedule_leaves_nothing_to_choose(tmp_path):
    run = make_run(tmp_path / "run")
    add(run, "euler", influence=np.arange(9.0))
    with pytest.raises(
        ValueError,
        match="the samplers of run on gmm-2d share karras "
        "only; run the suite with --schedule A "
        "--schedule B",
    ):
        common_schedules_by_model(read_source(run.path))


def test_authors_schedules_are_matched_by_name_whatever_their_options(tmp_path):
    run, z = make_run(tmp_path / "run"), np.random.default_rng(0).normal(size=20)
    for sampler, schedule in (
        ("heun", "karras(rho=5)"),
        ("heun", "uniform_lambda"),
        ("ipndm", "karras"),
    ):
        add(run, sampler, influence=z, schedule=schedule)
    found = entries_at_schedules(read_source(run.path).entries, {"heun": ("karras",)})
    assert [(entry.record["sampler"], entry.record["schedule"]) for entry in found] == [
        ("heun", "karras(rho=5)")
    ]


def test_tuned_rows_are_a_table_of_their_own(tmp_path):
    run, z = make_run(tmp_path / "run"), np.random.default_rng(0).normal(size=20)
    for schedule in ("a", "b", "tuned(file='t.json')"):
        add(run, "euler", influence=z, schedule=schedule)
    source = read_source(run.path)
    assert common_schedules_by_model(source) == {"gmm-2d": ["a", "b"]}
    assert [entry.record["schedule"] for entry in entries_at_tuned_levels(source)] == [
        "tuned(file='t.json')"
    ]
    add(
        run,
        "euler",
        influence=z,
        schedule="tuned(file='t.json')",
        steps=20,
        tuning_digest="at other steps",
    )
    assert len(entries_at_tuned_levels(read_source(run.path))) == 2
    add(run, "euler", influence=z, schedule="tuned(file='t.json')", tuning_digest="0123abcd")
    with pytest.raises(ValueError, match="has euler at several tuned schedules"):
        entries_at_tuned_levels(read_source(run.path))
    plain = make_run(tmp_path / "plain")
    add(plain, "euler", influence=z)
    with pytest.raises(ValueError, match="plain has no row at a tuned schedule"):
        entries_at_tuned_levels(read_source(plain.path))
