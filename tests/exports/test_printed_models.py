"""The function ``model(x, sigma)`` in lines for k-diffusion: the denoiser, or a comment."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import torch
from looping import each

from samplerbench.benchmarks.advice.exports import export
from samplerbench.models import make_model
from samplerbench.models.adapters import NativeDenoiser, NetworkTime
from samplerbench.models.process import EDM, VE, Discrete, RectifiedFlow, Trigonometric
from samplerbench.samplers import karras, make

MIXTURE = make_model("gmm-2d")
GRID = karras(5, 0.03, 14.6, to_zero=True)
DDPM = Discrete.of_betas(np.linspace(1e-4, 0.02, 1000))
WRAPPED: dict[str, Any] = {
    "torchcfm": {
        "process": RectifiedFlow(), "prediction": "flow", "factor": -1.0,
        "time": NetworkTime(scale=-1.0, offset=1.0),
    },
    "flow": {"process": RectifiedFlow(), "prediction": "flow", "time": NetworkTime(scale=1000.0)},
    "circle": {"process": Trigonometric(), "prediction": "v", "factor": -0.64},
    "eps": {"process": DDPM, "prediction": "eps", "times": np.arange(1000.0)},
    "v": {"process": DDPM, "prediction": "v", "times": np.arange(1000.0)},
    "x0": {"process": DDPM, "prediction": "x0", "times": np.arange(1000.0)},
    "edm": {
        "process": EDM(sigma_data=0.4), "prediction": "edm",
        "time": NetworkTime(of="log_level", scale=0.25),
    },
    "half": {
        "process": DDPM, "prediction": "eps", "times": np.arange(1000.0), "half": "first",
    },
    "image at t": {"process": RectifiedFlow(), "prediction": "x0"},
    "labels": {"process": VE(), "prediction": "eps", "classes": 3},
}  # fmt: skip
"""Arguments of models that have lines for ``model(x, sigma)``."""


@each("name", WRAPPED)
@each("library_sampler", ["ipndm", "euler"])
def test_export__the_printed_model_is_the_denoiser(name, library_sampler, monkeypatch):
    settings = WRAPPED[name]

    def net(x, t, y=None):
        time = t.reshape(-1, 1, 1, 1)
        out = (
            torch.sin(x + 0.01 * time)
            + 0.3 * x.flip(-1)
            + (0 if y is None else y.reshape(-1, 1, 1, 1))
        )
        return torch.cat([out, 0 * out], 1) if settings.get("half") else out

    model = NativeDenoiser(
        net, name=name, event=(1, 2, 2), identity=name, network_dtype=torch.float64, **settings
    )
    sampling = types.SimpleNamespace(sample_euler=lambda model, *_: None)
    monkeypatch.setitem(sys.modules, "k_diffusion", types.SimpleNamespace(sampling=sampling))
    x, sigma = torch.randn(5, 1, 2, 2, dtype=torch.float64), torch.logspace(-1.8, 1.8, 5).double()
    labels = torch.tensor([0, 1, 2, 0, 1]) if model.classes else None
    x = x * (1 + sigma.reshape(-1, 1, 1, 1))
    given = {
        "net": net, "noise": x, "y": labels,
        "alphas_cumprod": torch.tensor(1 / (1 + np.square(DDPM.levels))),
    }  # fmt: skip
    code = export("k-diffusion", make(library_sampler), GRID, model, name).code
    assert ("net(x, t, y): your network, with labels y" in code) == (name == "labels")
    exec(code.partition("# noise")[0], given)
    ours = model.denoise(x, sigma, labels)
    assert (given["model"](x, sigma) - ours).abs().max() <= 1e-5 * ours.abs().max()


def test_export__the_arguments_of_torchcfm_come_in_its_order():
    model = NativeDenoiser(
        lambda x, t, y: x, name="cfm", event=(2,), identity="cfm", **WRAPPED["torchcfm"]
    )
    model.spec = types.SimpleNamespace(evidence=("what is saved beside them is torchcfm's",))
    code = export("k-diffusion", make("ipndm"), GRID, model, "cfm.pt").code
    assert "# net(t, x): your network, whose output is data less noise" in code
    assert "out = -net(1 - sigma / (1 + sigma), alpha * x)" in code


@each("model", [MIXTURE, make_model("digits")], ids=lambda m: m.name)
def test_export__without_a_short_formula_the_model_is_a_comment(model):
    code = export("k-diffusion", make("ipndm"), GRID, model, "x").code
    assert "model(x, sigma): the clean image (k_diffusion.external)" in code
    assert "def model" not in code
