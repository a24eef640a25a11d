"""Residuals of spans: zero where theory says so, in order, and those of weighted fits by hand; the oracle
and the resumed command.
"""

import csv
import sys

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.tuning.problem import TEST_IDS, tuning_problem
from samplerbench.models import make_model, use_model
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.problems import orthogonal_matrix
from samplerbench.samplers import karras, make
from samplerbench_studies.fitted import bound
from samplerbench_studies.fitted.bound import METHODS, Subject
from samplerbench_studies.fitted.oracle import (
    CRITERIA,
    Oracle,
    Run,
    general_form,
    with_last_step,
)
from samplerbench_studies.fitted.spans import (
    least_shared,
    per_sample_residuals,
    residuals,
    shared_coefficients,
    trajectories,
)

DIM = 12


def gaussian(variances, mean=0.0):
    """Gaussian of 12 dimensions, rotated, with these variances in turn."""
    v = torch.tensor(variances, dtype=torch.float64).repeat(DIM // len(variances))
    basis = orthogonal_matrix(DIM, np.random.default_rng(1))
    return Gaussian("rotated", torch.full((DIM,), mean, dtype=torch.float64), basis, v)


def runs_of(model, n, name="ipndm", count=24):
    problem = tuning_problem(model, TEST_IDS, count, 0)
    return trajectories(problem, make(name), karras(n, model.sigma_min, model.sigma_max))


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("variances", "mean", "n"), [([0.3], 0.7, 1), ([1, 0.2, 0.05], 0.7, 3), ([1, 0.2, 0.05], 0, 2)]
)
def test_residuals__are_zero_for_as_many_evaluations_as_variances(variances, mean, n, criterion):
    own, shared, per_sample = residuals(runs_of(gaussian(variances, mean), n), criterion)
    assert own > 1e-3
    assert shared < 1e-8
    assert per_sample < 1e-8
    if n > 1:
        assert residuals(runs_of(gaussian(variances, mean), n - 1), criterion)[2] > 1e-4


def test_residuals__of_one_evaluation_are_a_fit_to_the_shrinkage_of_each_variance():
    variances = np.array([1, 0.2, 0.05])
    model = gaussian(variances.tolist())
    runs = runs_of(model, 1)
    parts = (runs.basis[:, 0] @ model._basis).numpy().reshape(-1, DIM // 3, 3)
    shrinkage = variances / (variances + model.sigma_max**2)
    columns = np.stack([np.ones(3), shrinkage], 1)

    def rest(squares):
        root = np.sqrt(squares)
        c = np.linalg.lstsq(columns * root[:, None], np.sqrt(shrinkage) * root)[0]
        return squares @ (columns @ c - np.sqrt(shrinkage)) ** 2

    squares = np.square(parts).sum(1)
    _, shared, per_sample = residuals(runs, "rms")
    assert shared == pytest.approx(np.sqrt(rest(squares.sum(0)) / parts.size), rel=1e-6)
    each = np.sqrt([rest(one) / DIM for one in squares])
    assert per_sample_residuals(runs) == pytest.approx(each, rel=1e-5)
    assert per_sample < shared


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", ["dpmpp_2m", "auto", "heun"])
def test_residuals__fall_with_the_freedom_of_the_coefficients(name, criterion):
    own, shared, per_sample = residuals(runs_of(make_model("gmm-64d"), 5, name), criterion)
    assert 0 < per_sample < shared < own


def test_per_sample_residuals__never_rise_with_further_images():
    runs = runs_of(make_model("gmm-64d"), 8)
    each = [per_sample_residuals(runs._replace(basis=runs.basis[:, :k])) for k in range(1, 10)]
    assert (np.diff(each, axis=0) <= 1e-12).all()


@pytest.mark.slow
def test_per_sample_residuals__of_two_dimensions_are_zero_from_one_evaluation_on():
    assert per_sample_residuals(runs_of(make_model("gmm-2d"), 1)).max() < 1e-12


@pytest.mark.parametrize("name", [*METHODS, "auto", "heun"])
def test_shared_coefficients__reproduce_the_samples_of_a_run(name):
    runs = runs_of(make_model("gmm-64d"), 5, name)
    ends = torch.einsum("k,skd->sd", shared_coefficients(runs, runs.samples), runs.basis)
    assert (ends - runs.samples).abs().max() < 1e-9


@pytest.mark.parametrize("name", [*METHODS, "auto"])
def test_general_form__makes_the_same_samples_and_takes_any_last_step(name):
    model = make_model("gmm-2d")
    problem = tuning_problem(model, TEST_IDS, 8, 0)
    run = Run(name, make(name), karras(5, model.sigma_min, model.sigma_max))
    table = general_form(run)
    own, new = (trajectories(problem, each.sampler, each.grid) for each in (run, table))
    assert new.samples == pytest.approx(own.samples, abs=1e-10)
    assert new.basis == pytest.approx(own.basis, abs=1e-10)
    numbers = least_shared(own, "rms")
    refitted = trajectories(problem, with_last_step(table.sampler, numbers), table.grid)
    assert refitted.distances == pytest.approx(own.with_coefficients(numbers), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
def test_oracle__is_below_the_best_last_step_of_its_start(criterion):
    model = make_model("gmm-64d")
    problem = tuning_problem(model, TEST_IDS, 48, 0)
    run = Run("euler", make("euler"), karras(3, model.sigma_min, model.sigma_max))
    start = residuals(trajectories(problem, run.sampler, run.grid), criterion)
    found, runs = Oracle(problem, criterion, effort=300, kept=1)([run])
    oracle = residuals(runs, criterion)
    assert oracle[0] < 0.8 * start[1]
    assert oracle[1] == pytest.approx(oracle[0], rel=1e-2)
    assert found.label == "euler"
    assert runs.basis.shape[1] == 1 + 3


def test_oracle__finds_the_table_without_an_error():
    model = gaussian([1, 0.2, 0.05], 0.7)
    problem = tuning_problem(model, TEST_IDS, 24, 0)
    run = Run("euler", make("euler"), karras(3, model.sigma_min, model.sigma_max))
    assert Oracle(problem, "rms", effort=0, kept=1)([run])[1].distances.max() < 1e-7


@pytest.mark.slow
def test_command__goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    use_model("rotated", gaussian([1, 0.2, 0.05, 0.01]))
    grid = karras(3, 0.002, 80.0)
    monkeypatch.setattr(Subject, "auto", lambda self, n: Run("auto", make("auto"), grid))
    out = tmp_path / "results" / "bound.csv"

    def run(criteria):
        options = ["--nfe", "3", "--latents", "8", "--effort", "20", "--criteria", criteria]
        argv = ["bound", "--models", "rotated", *options, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", argv)
        bound.main()
        return len(capsys.readouterr().out.splitlines())

    assert [run("rms"), run("rms,median"), run("rms,median")] == [1, 1, 0]
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["criterion"] for row in rows] == ["rms", "median"]
    for row in rows:
        assert (row["model"], row["dim"], row["nfe"]) == ("rotated", "12", "3")
        for name in ("auto", "dpmpp_2m", "untuned", "oracle"):
            own, shared, each = (float(row[name + k]) for k in ("", "_shared", "_per_sample"))
            assert each <= shared + 1e-9 <= own + 2e-9
        assert float(row["oracle"]) <= min(float(row[n]) for n in ("auto", "dpmpp_2m", "untuned"))


def test_command__an_unknown_criterion_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bound", "--models", "gmm-2d", "--criteria", "mean"])
    with pytest.raises(SystemExit) as ended:
        bound.main()
    assert ended.value.code == 2
    assert "mean" in capsys.readouterr().err
