"""Study of solvers fitted to a model: from the search to the tables and the figures."""

import csv
import json

import numpy as np
import pytest

import samplerbench
from samplerbench.models import make_model
from samplerbench_studies.fitted.figure import draw_costs, draw_errors, evaluations_to_target
from samplerbench_studies.fitted.finding import find_solvers
from samplerbench_studies.fitted.methods import METHODS, Subject
from samplerbench_studies.fitted.scoring import score
from samplerbench_studies.fitted.table import by_model, rows_of_run, summary

N = 4


@pytest.fixture(scope="module")
def subject():
    return Subject(make_model("gmm-2d"), seed=0, latents=24)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a whole study of one model, five methods and two budgets."""
    out = tmp_path_factory.mktemp("fitted")
    names = ["log-snr", "untuned", "auto", "bns", "bns-network"]
    find_solvers("gmm-2d", out, [N, 5], seed=0, latents=24, only=names)
    settings = {"samples": 64, "reference_samples": 64, "converged_samples": 128}
    score("gmm-2d", out, [N, 5], "gmm-2d", settings)
    return out


@pytest.mark.parametrize("name", METHODS)
def test_method__takes_the_evaluations_of_the_budget(subject, name):
    found = subject.find(name, N)
    assert found.sampler.nfe(found.grid) == N
    assert found.grid.to_zero
    assert found.cost.evaluations > 0


def test_method__a_fit_is_no_worse_on_the_latents_that_choose(subject):
    """Its cost includes that of what it begins from."""
    before, after = subject.find("bns", N), subject.find("dyweight", N)
    chosen = slice(round(2 / 3 * 24), None)
    errors = [
        np.log(subject.train.distances(found.sampler, found.grid)[chosen]).mean()
        for found in (before, after)
    ]
    assert errors[1] <= errors[0] + 1e-6
    assert after.cost.evaluations > before.cost.evaluations


@pytest.mark.slow
def test_find_solvers__what_is_there_is_not_found_again(study, capsys):
    find_solvers("gmm-2d", study, [N, 5], seed=0, latents=24, only=["log-snr"])
    assert not capsys.readouterr().out
    rows = list(csv.DictReader((study / "gmm-2d" / "costs.csv").read_text().splitlines()))
    assert len(rows) == 10
    (table,) = json.loads((study / "gmm-2d" / f"bns-0-{N}.json").read_text())["tables"]
    assert len(table["coefficients"]) == N


@pytest.mark.slow
def test_score__counts_the_evaluations_of_the_budget(study):
    frame = samplerbench.load(study / "runs" / "gmm-2d").frame
    assert set(frame["status"]) == {"ok"}
    assert (frame["nfe"] == frame["budget"]).all()
    assert not (study / "runs" / "gmm-2d" / "set-aside").exists()


def test_table__has_costs_and_verdicts_of_each_solver(study):
    scores = list(rows_of_run(study / "runs" / "gmm-2d", study / "gmm-2d"))
    assert len(scores) == 14  # DPM-Solver-v3 and the table of another model too
    assert {row["method"] for row in scores} >= {"dpm_solver_v3", "transferred"}
    (formula,) = (row for row in scores if (row["method"], row["nfe"]) == ("log-snr", str(N)))
    assert formula["typical_error_against_auto"] == "worse"
    assert float(formula["search"]) == 2 * N * 24  # both ends on all latents
    assert "| auto | 1.00 |" in summary(scores)
    assert "gmm-2d" in by_model(scores, [N, 5])
    for figure in (draw_errors(scores), draw_costs(scores)):
        assert len(figure.axes) == 1


def test_evaluations_to_target__is_the_budget_of_the_error_and_a_share_of_the_search():
    """An error of n^-2 reaches 1/64 at n = 8."""
    errors, search = {n: n**-2.0 for n in (4, 8, 16)}, dict.fromkeys((4, 8, 16), 800.0)
    samples = np.array([1e2, 1e6])
    total = evaluations_to_target(errors, search, 1 / 64, samples)
    assert total == pytest.approx([8 + 8, 8 + 8e-4], rel=0.01)
    assert evaluations_to_target(errors, {}, 1 / 64, samples) == pytest.approx(8, rel=0.01)
    assert np.isnan(evaluations_to_target(errors, search, 1e-9, samples)).all()
