"""The checkpoints of docs/examples: written in the layouts of three libraries, and read from these."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from samplerbench.models import make_model
from samplerbench.models.checkpoints.checkpoint_denoiser import OneHot
from samplerbench.models.nets.unet import EDMPrecond

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own_checkpoints.py"
FLOW = "?size=8&training=straight&attention=1-head"
SHORT = 0.003
"""Minutes: a few steps."""


@pytest.fixture(scope="module")
def example():
    """The module."""
    spec = importlib.util.spec_from_file_location("own_checkpoints", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_checkpoints"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["own_checkpoints"]


def noisy(model):
    """A state at level 0.7."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, *model.event, generator=generator)


def trained(example, name, out):
    """The averaged raw network that was written."""
    net = example.EXAMPLES[name].network()
    kept = torch.load(out / "training" / name / "checkpoint.pt", weights_only=True)
    net.load_state_dict(kept["ema"])
    return net.eval()


def test_the_pickle_has_what_was_trained(example, tmp_path):
    path = example.make("edm", tmp_path, SHORT)
    model = make_model(f"checkpoint:{path}")
    assert (model.event, model.classes, model.sigma_max) == ((1, 14, 14), 10, 80.0)
    net = EDMPrecond(OneHot(trained(example, "edm", tmp_path), 10), example.SIGMA_DATA)
    x, labels = noisy(model), torch.tensor([0, 4, 10])
    right = net(x, torch.full((3,), 0.7), labels)
    torch.testing.assert_close(model.denoise(x, 0.7, labels), right, rtol=1e-5, atol=1e-5)
    with np.load(tmp_path / "fashion-14.npz") as stored:
        images = stored["x"]
    assert images.shape == (5000, 1, 14, 14)
    assert images.std() == pytest.approx(0.64, abs=0.05)


def test_the_flow_has_what_was_trained(example, tmp_path):
    path = example.make("flow", tmp_path, SHORT)
    model = make_model(f"checkpoint:{path}{FLOW}")
    net, x, t = trained(example, "flow", tmp_path), noisy(model), 1 / 1.7
    right = t * x + (1 - t) * net(t * x, torch.full((3,), t), None)
    torch.testing.assert_close(model.denoise(x, 0.7, None), right, rtol=1e-5, atol=1e-5)


def test_the_folder_has_what_was_trained(example, tmp_path):
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    path = example.make("ddpm", tmp_path, SHORT)
    model = make_model(f"checkpoint:{path}")
    x, kept = noisy(model), example.scheduler().alphas_cumprod.double()
    levels = ((1 - kept) / kept).sqrt()
    t = int((levels - 0.7).abs().argmin())
    sigma, at = float(levels[t]), float(kept[t])
    net = trained(example, "ddpm", tmp_path)
    right = x - sigma * net(at**0.5 * x, torch.full((3,), t), return_dict=False)[0]
    torch.testing.assert_close(model.denoise(x, sigma, None), right, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_same_minutes_give_the_same_weights(example, tmp_path):
    for out in (tmp_path / "a", tmp_path / "b"):
        example.make("flow", out, SHORT)
    one, other = (trained(example, "flow", tmp_path / name).state_dict() for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)
