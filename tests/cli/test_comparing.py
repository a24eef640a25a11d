import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from looping import each
from new_runs import new_run
from typer.testing import CliRunner

from samplerbench import samplers
from samplerbench.benchmarks.cli import app, main
from samplerbench.benchmarks.cli.common.options import parse_share
from samplerbench.benchmarks.cli.listing import list_samplers
from samplerbench.benchmarks.cli.views import print_errors
from samplerbench.benchmarks.metrics.estimators.frechet import FrechetReference, estimate
from samplerbench.benchmarks.planning.authors import AUTHORS, USAGES, authors_schedules_of
from samplerbench.benchmarks.tuning import fair_schedules as fairness
from samplerbench.results.comparison.endpoint_distances import summarise_distances
from samplerbench.results.comparison.pairing import Entry
from samplerbench.results.quantities import find
from samplerbench.results.result_table import ResultTable
from samplerbench.samplers.schedules import SCHEDULES
from samplerbench.samplers.types import references

sys.path.append(str(Path(__file__).parents[1] / "results"))
from runs import add, make_run


@pytest.fixture
def runs(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    z = np.random.default_rng(0).normal(size=100)
    for run, shift in ((a, 0.0), (b, 0.5)):
        add(run, "euler", influence=3 + shift + z)
        add(run, "heun", influence=2 + z)
    return a.path, b.path


def invoke(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], env={**os.environ, "COLUMNS": "80"})


def test_compare_prints_json_and_writes_csv(runs, tmp_path):
    done = invoke("compare", *runs, "--json", "--csv", tmp_path / "lines.csv")
    assert done.exit_code == 0
    assert {line["name"]: line["verdict"] for line in json.loads(done.stdout)} == {
        "euler": "worse",
        "heun": "equivalent",
    }
    header, *lines = (tmp_path / "lines.csv").read_text().splitlines()
    assert header.startswith("model,sampler,budget")
    assert len(lines) == 2


def test_compare_within_a_run_names_its_baseline(runs):
    done = invoke("compare", runs[0], "--baseline", "euler")
    assert "gmm-2d · fid_proxy against euler" in done.stdout
    assert "better" in done.stdout


@pytest.fixture
def inception_run(tmp_path):
    run = make_run(tmp_path / "fid")
    quality = {
        "fid_proxy": 2.75,
        "fid_proxy_raw": 2.77,
        "estimator": "frechet/1; inception-v3-compat-2048-uint8-rounded-range[-1,1]",
    }
    z = np.random.default_rng(0).normal(size=50_000)
    model = "edm-cifar10-32x32-uncond-vp"
    add(run, "ipndm", influence=2.75 + z, quality=quality, model=model, end="sigma_min")
    add(run, "stork_2", influence=2.75 + z, quality=quality, model=model)
    return run.path


def test_a_run_stands_beside_what_papers_report(inception_run):
    done = invoke("compare", inception_run, "--published")
    assert done.exit_code == 0
    assert "published  FID 2.77, iPNDM-4, polynomial rho=7" in done.stdout
    assert "reproduced within 0.0174 (0.63 %)" in done.stdout
    assert "have no stork_2" in " ".join(done.stdout.split())  # wherever a line ends
    lines = json.loads(invoke("compare", inception_run, "--published", "--json").stdout)
    assert lines[0]["name"] == "ipndm · sigma_min"
    assert lines[0]["outcome"] == "reproduced"
    assert lines[0]["published"]["fid"] == 2.77
    assert lines[0]["published"]["nfe"] == 10
    assert lines[-1]["published"] is None


def test_gate_exits_with_1_on_a_regression_and_says_which(runs):
    assert invoke("gate", runs[0], runs[0]).exit_code == 0
    done = invoke("gate", *runs)
    assert done.exit_code == 1
    assert "regression: gmm-2d: euler at 10: fid_proxy 3" in done.stdout
    assert invoke("gate", *runs, "--quality-margin", "30%").exit_code == 0
    assert json.loads(invoke("gate", *runs, "--json").stdout)["passed"] is False


def test_gate__the_reason_of_most_inconclusive_checks_is_printed(tmp_path):
    pair = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    for run in pair:
        for name in ("euler", "heun"):
            cell = add(run, name, influence=np.arange(9.0))
            run.write(cell, "timing.json", {"timing_reason": f"no room for batch {len(name)}"})
    done = invoke("gate", *(run.path for run in pair))
    assert "inconclusive, 2 of 2 as here: gmm-2d: euler at 10: time no room for" in done.stdout


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("compare", "A"), "give two runs to compare"),
        (("compare", "A", "B", "--margin", "lots"), "give a share of 0 or more"),
        (("compare", "A", "--best-schedule"), "give one run, --baseline SAMPLER"),
        (("compare", "A", "--baseline", "euler", "--best-schedule"), "on gmm-2d share karras only"),
        (
            ("compare", "A", "--baseline", "euler", "--author-schedule", "--metric", "kid"),
            "'kid' has no values",
        ),
        (("compare", "A", "--published", "--baseline", "euler"), "--published takes one run"),
        (("compare", "A", "B", "--published"), "--published takes one run"),
        (("compare", "A", "--published"), "no finished row with a Fréchet distance"),
        (("gate", "A", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(runs, monkeypatch, capsys, args, sentence):
    names = {"A": str(runs[0]), "B": str(runs[1])}
    monkeypatch.setattr(sys, "argv", ["samplerbench", *(names.get(arg, arg) for arg in args)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"), [("1%", 0.01), ("0.05", 0.05), ("0", 0.0), ("2.5%", 0.025)]
)
def test_shares_are_read_as_people_write_them(text, value):
    assert parse_share(text, "--margin") == pytest.approx(value)


@each("usage", USAGES, ids=lambda usage: usage.samplers[0])
def test_authors__authors_samplers_schedules_and_sources_exist(usage):
    assert set(usage.samplers) <= set(samplers.names())
    assert set(usage.schedules) <= set(SCHEDULES)
    assert usage.key in references()
    assert usage.where


def test_no_sampler_has_two_entries_and_the_listing_has_them_all():
    assert len(AUTHORS) == sum(len(usage.samplers) for usage in USAGES)
    listed = {row["name"]: row for row in list_samplers()}
    assert {
        name: tuple(row["author_schedules"])
        for name, row in listed.items()
        if row["author_schedules"]
    } == dict(AUTHORS)
    assert all(
        (row["author_schedules_source"] is None) == (name not in AUTHORS)
        for name, row in listed.items()
    )


def test_equal_samplers_of_one_author_have_equal_schedules():
    for name, schedules in AUTHORS.items():
        twin, usage = samplers.get(name).same_as, authors_schedules_of(name)
        if twin in AUTHORS and usage.key == authors_schedules_of(twin).key:
            assert AUTHORS[twin] == schedules


def test_halves_are_those_of_the_stored_features_and_disjoint(tmp_path):
    run, x = new_run(tmp_path / "run"), np.random.default_rng(0).normal(size=(60, 2))
    for start, stop in ((0, 40), (40, 70)):
        run.write_shard("cell", start, stop, {"features": np.concatenate([x, 1e3 * x])[start:stop]})
    reference = FrechetReference(np.zeros(2), np.eye(2))
    entry = Entry({"model": "m", "cell": "cell", "samples": 60})
    first, second, flag = fairness.frechet_halves(entry, run, {"m": reference})
    assert first.value == estimate(reference, x[:30]).value
    assert second.value == estimate(reference, x[30:]).value
    assert np.array_equal(second.influence, estimate(reference, x[30:]).influence)
    assert flag == estimate(reference, x[30:]).flag


@pytest.mark.parametrize("name", ["rmse", "typical_error"])
def test_distance_halves__sum_up_each_half_of_the_distances(tmp_path, name):
    e = np.concatenate([np.arange(1.0, 201.0), [1e4]])
    run = new_run(tmp_path)
    run.write_score("c", {}, {"distance": e})
    quantity = find(name)
    first, second, flag = fairness.distance_halves(
        Entry({"cell": "c", "endpoint_distance": 2.0}, run), quantity
    )
    halves = [summarise_distances(half, 2.0, quantity.summary) for half in (e[:100], e[100:])]
    assert [first.value, second.value] == pytest.approx([half.value for half in halves])
    assert second.se >= halves[1].se
    assert flag == (
        "half of the mean square is carried by 1 of 101 samples" if name == "rmse" else ""
    )


ROW = {
    "model": "m",
    "sampler": "euler",
    "budget": 5,
    "nfe": 5.0,
    "fd_conv": 1.0,
    "end": "zero",
    "status": "ok",
}
MEASURED = {"estimator": "e", "fid_proxy_converged": 0.5, "fid_proxy_converged_se": 0.1}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, None),  # a model without a reference
        ({"estimator": "e"}, None),  # an older table
        (MEASURED, "There are too few converged samples"),
        (
            {**MEASURED, "dominated": True},
            "From 5 evaluations on, the model's own error dominates",
        ),
    ],
)
def test_print_errors__says_from_where_the_model_error_dominates_or_why_not(capsys, known, said):
    print_errors(ResultTable.of([{**ROW, **known}]), {})
    printed = " ".join(capsys.readouterr().out.split())
    assert (said or "euler") in printed
    assert ("too few" in printed) == (said is not None and "too few" in said)
    assert ("dominates" in printed) == (said is not None)


@pytest.mark.parametrize(
    ("known", "note"),
    [
        ({"rmse": 1.0, "rmse_flag": "few"}, "†: "),
        ({"fid_proxy_converged": -0.1}, "0⁻: "),
        ({**MEASURED, "dominated": True}, "×: "),
    ],
)
def test_print_errors__each_mark_is_explained(capsys, known, note):
    print_errors(ResultTable.of([{**ROW, **known}]), {})
    printed = capsys.readouterr().out
    assert printed.count(note.removesuffix(": ")) == 2
    assert f"\n{note}" in printed
    print_errors(ResultTable.of([ROW]), {})
    assert note not in capsys.readouterr().out
