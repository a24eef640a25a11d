"""Tuners of a few latents, for tests."""

from samplerbench.benchmarks.planning.models import NamedModel
from samplerbench.benchmarks.tuning.tuner import Tuner
from samplerbench.models import make_model


def tuner(file, gmm, **changes):
    others = {
        "subject": NamedModel("gmm-2d", gmm),
        "other": NamedModel("gaussian", make_model("gaussian")),
    }
    return Tuner(
        file, **others | {"latents": 12, "test_latents": 8, "progress": lambda _: None} | changes
    )
