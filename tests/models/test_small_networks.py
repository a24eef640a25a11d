"""The networks of docs/examples: one command makes a model of a suite of each."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from samplerbench.models import make_model

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "small_networks.py"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The module, with its weights elsewhere."""
    monkeypatch.setenv("SMALL_NETWORKS", str(tmp_path))
    spec = importlib.util.spec_from_file_location("small_networks", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "small_networks", module)
    spec.loader.exec_module(module)
    return module


def test_two_steps_of_training_make_a_model(example, monkeypatch):
    pytest.importorskip("sklearn")
    whole = example.NETWORKS["faint"]
    short = replace(whole, recipe=replace(whole.recipe, steps=2, decay=1, warmup=1))
    monkeypatch.setitem(example.NETWORKS, "faint", short)
    example.make("faint")
    model = make_model(f"{EXAMPLE}:faint")
    x = 0.1 * torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    assert (model.sigma_min, model.sigma_max, model.classes) == (0.002, 80.0, 10)
    assert model.denoise(x, 0.1, None).isfinite().all()
    assert float(model.data(500, 0).std()) == pytest.approx(0.1, rel=0.05)
