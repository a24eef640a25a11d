"""A model that draws its data and knows no features is compared with them unasked."""

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.scoring.feature_references import LARGEST_OWN, load_references
from samplerbench.models import make_model

MODEL = """
import torch
from samplerbench.models import Denoiser

class Normal(Denoiser):
    name, identity, sigma_min, sigma_max, dtype = "normal", "normal-1", 0.002, 80.0, torch.float64
    event = {event}

    def denoise(self, x, sigma, labels):
        return x / (1 + torch.as_tensor(sigma, dtype=x.dtype) ** 2)

    {data}

def make():
    return Normal()
"""
DRAWS = (
    "def data(self, n, seed): return torch.randn(n, *self.event, "
    "generator=torch.Generator().manual_seed(seed), dtype=torch.float64)"
)


def reference_of(tmp_path, data, event=(2,), **options):
    file = tmp_path / "normal.py"
    file.write_text(MODEL.format(event=event, data=data))
    model = make_model(f"{file}:make")
    return load_references({model.name: model}, cache=tmp_path / "cache", **options)[model.name]


def test_a_denoiser_that_draws_its_data_is_compared_with_them(tmp_path):
    reference = reference_of(tmp_path, DRAWS)
    assert reference is not None
    np.testing.assert_allclose(reference.cov, np.eye(2), atol=0.1)
    assert reference.held_out(50).shape == (50, 2)
    assert reference.extractor(torch.ones(3, 2)).shape == (3, 2)


def test_what_draws_no_data_or_is_too_large_has_no_reference_unasked(tmp_path):
    assert reference_of(tmp_path, "pass") is None
    assert reference_of(tmp_path, DRAWS, event=(LARGEST_OWN + 1,)) is None


def test_data_that_cannot_be_drawn_are_a_sentence(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"model .*normal.py:make: its reference cannot be " r"made \(RuntimeError: no disk\)",
    ):
        reference_of(tmp_path, 'def data(self, n, seed): raise RuntimeError("no disk")')
