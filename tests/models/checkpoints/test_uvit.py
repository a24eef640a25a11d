"""U-ViT: recognised by its weights, and right about time, heads and betas."""

from __future__ import annotations

import math

import pytest
import torch
import trained_mixture as training
from torch.nn import functional as F

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import uvit
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.uvit import UViT

SHAPE = {"side": 8, "channels": 1, "patch": 4, "width": 64, "half_depth": 1, "heads": 4}
SHAPE |= {"hidden": 128}


def marginal(t):
    integral = 0.5 * 19.9 * t**2 + 0.1 * t
    return (-0.5 * integral).exp(), (-(-integral).expm1()).sqrt()


def losses(network):
    def of(x0, _, generator):
        count = len(x0)
        t = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        alpha, sigma = (v[:, None, None, None] for v in marginal(t.clamp(min=1e-3)))
        z = torch.randn(x0.shape, generator=generator)
        return (network(alpha * x0 + sigma * z, 999 * t, None) - z).square().mean()

    return of


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    network = UViT(**SHAPE)
    torch.nn.init.normal_(network.pos_embed, std=0.1)
    weights = training.trained(network, losses(network), steps=210, rate=6e-3, batch=128)
    path = tmp_path_factory.mktemp("uvit") / "cifar10_uvit_small.pth"
    torch.save(weights, path)
    return path


def checked(path, given):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    return check_checkpoint(
        spec,
        uvit.network(spec, opened),
        training.data(96, 5)[0],
        built=lambda of: uvit.network(of, opened),
    )


@pytest.mark.slow
def test_a_trained_network_denoises_as_the_formula_says(file):
    model = load(file, {"training": "VP", "heads": "4"})
    network = UViT(**SHAPE)
    network.load_state_dict(torch.load(file, weights_only=True))
    clean = training.data(64, 9)[0]
    for sigma in (2.0, 0.4, 0.1):
        x = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        t = (math.sqrt(0.1**2 + 2 * 19.9 * math.log1p(sigma**2)) - 0.1) / 19.9
        with torch.no_grad():
            eps = network(x / math.hypot(1, sigma), torch.full((64,), 999 * t), None)
        d = model.denoise(x, sigma, None)
        torch.testing.assert_close(d, x - sigma * eps, rtol=1e-5, atol=2e-5)


@pytest.mark.slow
def test_the_training_is_found(file):
    found = checked(file, {"heads": "4"})
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == {"training": "VP"}


WRONG = ["training=SD-betas", "training=VP&sign=-1", "training=VP&time.scale=1"]
WRONG += ["training=VP&prediction=v"]


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(file):
    network = training.Exact(
        lambda t: marginal((t.double() / 999).clamp(min=1e-9)),
        lambda x, d, alpha, sigma: (x - alpha * d) / sigma,
    )

    def verdict(changes):
        given = {"heads": "4", **dict(part.split("=") for part in changes.split("&"))}
        spec = specify_checkpoint(open_checkpoint(file)).with_settings(given)
        return check_checkpoint(spec, network, training.data(96, 5)[0])

    right = verdict("training=VP")
    assert right.passed, [c.detail for c in right.checks]
    assert [wrong for wrong in WRONG if verdict(wrong).passed] == []


def test_check_checkpoint__another_number_of_heads_is_worse(file):
    """It is no usual mistake, so only the best of all heads shows it."""
    found = checked(file, {"training": "VP"})
    excess = {c["settings"]: c["excess"] for c in found.candidates}
    assert excess["heads=1"] > 0


def test_tokens_in_their_order():
    """One block by its formula, and a skip connection that reaches the block behind."""
    torch.manual_seed(2)
    network = UViT(**SHAPE, labels=3, time_layers=True, bias=True).eval()
    assert set(dict(network.named_parameters())) >= {
        "time_embed.0.weight",
        "label_emb.weight",
        "out_blocks.0.skip_linear.weight",
        "in_blocks.0.attn.qkv.bias",
    }
    block, x = network.in_blocks[0], torch.randn(2, 6, 64)
    n = F.layer_norm(x, (64,))
    q, k, v = (n @ block.attn.qkv.weight.T + block.attn.qkv.bias).reshape(2, 6, 3, 4, 16).unbind(2)
    weight = (torch.einsum("bshc,bthc->bhst", q, k) / 4).softmax(-1)
    mixed = torch.einsum("bhst,bthc->bshc", weight, v).reshape(2, 6, 64)
    h = x + block.attn.proj(mixed)
    n = F.layer_norm(h, (64,))
    right = h + block.mlp.fc2(F.gelu(block.mlp.fc1(n)))
    torch.testing.assert_close(block(x), right, rtol=1e-5, atol=1e-5)
    image, t, labels = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 2])
    with torch.no_grad():
        before = network(image, t, labels)
        network.out_blocks[0].skip_linear.weight[:, 64:] = 0  # what it is given of the first block
        assert not torch.allclose(network(image, t, labels), before)


def saved(tmp_path, **changes):
    torch.save(UViT(**{**SHAPE, **changes}).state_dict(), tmp_path / "model.pth")
    return open_checkpoint(tmp_path / "model.pth")


def test_published_networks(tmp_path):
    """ImageNet's latents: H/2, in one block before and behind the middle."""
    sizes = {"side": 32, "channels": 4, "patch": 2, "width": 1152, "heads": 16, "labels": 1001}
    spec = specify_checkpoint(saved(tmp_path, **sizes))
    assert not spec.open
    assert (spec.event, spec.classes, spec.null_label, spec.limits) == (
        (4, 32, 32),
        1000,
        True,
        None,
    )
    assert (spec.sigma_min, spec.sigma_max) == pytest.approx((0.02917, 14.61), rel=1e-3)
    model = load(tmp_path / "model.pth", {})
    told = model.time.network_input(
        torch.tensor([0.0, 999.0]).double().numpy(), torch.ones(2).numpy()
    )
    assert told.tolist() == [1.0, 1000.0]


def test_a_wrong_file_is_one_sentence(tmp_path):
    weights = UViT(**SHAPE).state_dict()
    torch.save(weights | {"pos_embed": torch.zeros(1, 78, 64)}, tmp_path / "text.pth")
    with pytest.raises(CheckpointError, match=r"has 77 tokens .* not U-ViT's"):
        specify_checkpoint(open_checkpoint(tmp_path / "text.pth"))
