"""k-diffusion's image_v1: its configuration says all, and other networks are refused."""

from __future__ import annotations

import math

import pytest
import torch
import trained_mixture as training
from k_diffusion_files import CONFIG, SHAPE, SIDE, made, slim_file, training_file

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import k_diffusion
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.k_image_v1 import KImageV1, Resampler

DATA = CONFIG["sigma_data"]


def losses(network):
    """Of F, at levels of a lognormal distribution (Karras et al. 2022, eq. 8)."""

    def of(x0, _, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        sigma = (math.log(0.05) + u * math.log(10 / 0.05)).exp()[:, None, None, None]
        x = x0 + sigma * torch.randn(x0.shape, generator=generator)
        total = (sigma**2 + DATA**2).sqrt()
        wanted = (x0 - (DATA / total) ** 2 * x) * total / (sigma * DATA)
        return (network(x / total, sigma.flatten().log() / 4) - wanted).square().mean()

    return of


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    network = made()
    weights = training.trained(network, losses(network), steps=150, rate=6e-3, batch=64, side=SIDE)
    return training_file(tmp_path_factory.mktemp("k"), weights)


def checked(path, given):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    clean = training.data(96, 5, SIDE)[0]
    return check_checkpoint(spec, k_diffusion.network(spec, opened), clean)


@pytest.mark.slow
def test_a_trained_network_denoises_as_the_formula_says(file, tmp_path):
    model = load(file, {})
    assert (model.spec.family, model.spec.weights["entry"]) == ("k_diffusion", "model_ema")
    assert (model.sigma_min, model.sigma_max) == (0.01, 80.0)
    weights = torch.load(file, weights_only=True)["model_ema"]
    bare = {k.removeprefix("inner_model."): w for k, w in weights.items()}
    network = KImageV1(**SHAPE)
    network.load_state_dict(bare)
    slim = load(slim_file(tmp_path, bare), {})
    clean = training.data(64, 9, SIDE)[0]
    for sigma in (5.0, 0.4, 0.1):
        x = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        total = math.hypot(sigma, DATA)
        with torch.no_grad():
            out = network(x / total, torch.full((64,), math.log(sigma) / 4))
        d = model.denoise(x, sigma, None)
        right = (DATA / total) ** 2 * x + sigma * DATA / total * out
        torch.testing.assert_close(d, right, rtol=1e-5, atol=1e-5)
        assert torch.equal(slim.denoise(x, sigma, None), d)
        best = (training.exact(x, sigma) - clean).square().mean()
        assert (d - clean).square().mean() < 1.5 * best


@pytest.mark.slow
def test_the_file_passes_and_wrong_settings_fail(file):
    found = checked(file, {})
    assert found.passed, [c.detail for c in found.checks]
    for wrong in ({"sign": "-1"}, {"time.scale": "1"}, {"weights.entry": "model"}):
        assert not checked(file, wrong).passed, wrong


def test_the_resolution_changes_about_the_mean():
    """A constant stays, and what is doubled is halved again but for the filter's width."""
    up, down = Resampler(up=True), Resampler(up=False)
    ones = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(up(ones), torch.ones(1, 2, 16, 16))
    torch.testing.assert_close(down(ones), torch.ones(1, 2, 4, 4))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"type": "image_v3"}, "a network 'image_v3'"),
        ({"cross_cond_dim": 768}, "told or built with cross_cond_dim"),
        ({"sigma_max": None, "depths": None}, "cannot be built|lacks"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, changes, sentence):
    opened = open_checkpoint(slim_file(tmp_path, made().state_dict(), **changes))
    with pytest.raises(CheckpointError, match=sentence):
        k_diffusion.network(specify_checkpoint(opened), opened)
