"""Tuners of a few latents, for tests."""

from samplerbench.benchmarks.planning.model_loading import NamedModel
from samplerbench.benchmarks.running.executors import InProcess
from samplerbench.benchmarks.tuning.tuner import tune_targets
from samplerbench.benchmarks.tuning.tuning import ModelTuning
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
