"""Tuners of a few latents, fits of a problem, and refusals of the command, for tests."""

import sys

import pytest
import torch

from samplerbench.benchmarks.cli import main
from samplerbench.benchmarks.planning.model_loading import NamedModel
from samplerbench.benchmarks.running.executors import InProcess
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters
from samplerbench.benchmarks.tuning.least_squares import Runs, fit
from samplerbench.benchmarks.tuning.tuning import ModelTuning, tune_targets
from samplerbench.models import make_model


def tuner(file, gmm, **changes):
    options = {
        "subject": NamedModel("gmm-2d", gmm),
        "other": NamedModel("gaussian", make_model("gaussian")),
        "latents": 12,
        "test_latents": 8,
        "seed": 0,
        "objective": "mean",
        "what": "grid",
        "also": (),
        "loss": None,
        "device": "cpu",
    }
    tuning = ModelTuning(**options | changes)

    def tune(targets):
        entries, failures = tune_targets(file, tuning, targets, InProcess(), lambda _: None)
        assert not failures
        return entries

    return tune


def fitted(problem, sampler, grid, equations, power=0, **free):
    """Fit the free numbers of a sampler to the first ``equations`` latents of a problem."""
    model = problem.model
    x = torch.cat([states for _, states in problem.batches])
    runs = Runs(model, problem.ids, problem.seed, x, problem.endpoints, len(x))
    numbers = FreeParameters(sampler, grid, model.sigma_min, model.sigma_max, **free)
    return fit(numbers, runs.differences_from_ends, equations, power)


def refusal(words, monkeypatch, capsys):
    """Return on one line what ``samplerbench tune`` says to wrong words. Its exit code is 2."""
    monkeypatch.setattr(sys, "argv", ["samplerbench", "tune", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return " ".join(capsys.readouterr().err.split())
