"""LightningDiT and JiT: recognised by their weights, and right about what they predict."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
import trained_mixture as training
from torch.nn import functional as F

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.diffusers import library
from samplerbench.models.checkpoints.families import jit, lightning_dit
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.dit import DiT, Rotary, RotaryDiT

LIGHTNING = {
    "side": 8,
    "in_channels": 1,
    "out_channels": 1,
    "patch": 4,
    "width": 64,
    "depth": 1,
    "heads": 4,
    "hidden": 64,
    "labels": training.MODES + 1,
    "normed": False,
    "rms": True,
    "swiglu": True,
    "rotary": True,
}
JIT = {**LIGHTNING, "depth": 3, "normed": True, "narrow": 16, "told": 2, "told_from": 1}
SCALE = 2.0
"""Of JiT's noise."""


def made(arguments) -> RotaryDiT:
    torch.manual_seed(0)
    network = RotaryDiT(**arguments)
    with torch.no_grad():
        network.pos_embed.normal_(0, 0.1)
    network.pos_embed.requires_grad_(False)
    return network


def losses(network, *, scale: float, clean: bool):
    """Of the velocity x0 - z, or of x0 with the velocity's weight; data are at t = 1."""

    def of(x0, modes, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        t = 1 - (1 - u) ** 2
        z = scale * torch.randn(x0.shape, generator=generator)
        labels = torch.where(torch.rand(count, generator=generator) < 0.5, training.MODES, modes)
        at = t[:, None, None, None]
        x_t = at * x0 + (1 - at) * z
        out = network(x_t, t, labels)
        if clean:
            out = (out - x_t) / (1 - at).clamp(min=0.1)
            return (out - (x0 - x_t) / (1 - at).clamp(min=0.1)).square().mean()
        return (out - (x0 - z)).square().mean()

    return of


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("later")
    network = made(LIGHTNING)
    weights = training.trained(
        network, losses(network, scale=1.0, clean=False), steps=150, rate=1.2e-2, batch=128
    )
    torch.save({"ema": weights}, folder / "lightningdit.pt")
    network = made(JIT)
    weights = training.trained(
        network, losses(network, scale=SCALE, clean=True), steps=220, rate=8e-3, batch=96
    )
    named = {f"net.{k}": w for k, w in weights.items()}
    spoilt = {k: 0 * w for k, w in named.items()}
    torch.save(
        {"model": spoilt, "model_ema1": named, "model_ema2": dict(spoilt), "epoch": 3},
        folder / "checkpoint-last.pth",
    )
    return {"lightning": folder / "lightningdit.pt", "jit": folder / "checkpoint-last.pth"}


def checked(path, given):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    family = jit if spec.family == "jit" else lightning_dit
    clean, labels = training.data(160, 5)
    return check_checkpoint(
        spec,
        family.network(spec, opened),
        clean,
        labels,
        built=lambda of: family.network(of, opened),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lightning", "jit"])
def test_a_trained_network_denoises_as_the_formula_says(files, kind):
    given = {"noise_scale": "2"} if kind == "jit" else {}
    model = load(files[kind], given)
    entry = "model_ema1" if kind == "jit" else "ema"
    assert (model.spec.weights["entry"], model.classes, model.null_label) == (entry, 2, True)
    network = RotaryDiT(**(JIT if kind == "jit" else LIGHTNING))
    weights = torch.load(files[kind], weights_only=True)[entry]
    network.load_state_dict({k.removeprefix("net."): w for k, w in weights.items()})
    clean, modes = training.data(64, 9)
    nu = SCALE if kind == "jit" else 1.0
    for sigma in (20.0, 1.0, 0.4):
        z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        x = clean + sigma * z
        t = nu / (nu + sigma)  # of data
        with torch.no_grad():
            out = network(t * x, torch.full((64,), t), modes)
        right = out if kind == "jit" else t * x + (1 - t) * out
        torch.testing.assert_close(model.denoise(x, sigma, modes), right, rtol=1e-5, atol=1e-5)
        none = model.denoise(x, sigma, torch.full((64,), 2))
        best = (training.exact(x, sigma) - clean).square().mean()
        assert (none - clean).square().mean() < 1.7 * best


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "answers"), [("lightning", {}), ("jit", {"noise_scale": "2"})])
def test_a_trained_network_passes(files, kind, answers):
    found = checked(files[kind], {})
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == answers


WRONG = [("lightning", "sign=1"), ("lightning", "time.scale=1&time.offset=0")]
WRONG += [("lightning", "process.noise_scale=2"), ("lightning", "prediction=x0")]
WRONG += [("jit", "noise_scale=1"), ("jit", "noise_scale=2&prediction=flow")]


def exact(scale: float, *, clean: bool):
    """The velocity x0 - z, or x0, of noise of a scale."""

    def path(t):
        share = t.clamp(1e-6, 1 - 1e-6)
        return share, scale * (1 - share)

    def output(x, d, alpha, sigma):
        return d if clean else (d - x) / (1 - alpha)

    return training.Exact(path, output)


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(files):
    networks = {"lightning": exact(1.0, clean=False), "jit": exact(SCALE, clean=True)}

    def verdict(kind, changes):
        given = dict(part.split("=") for part in changes.split("&"))
        spec = specify_checkpoint(open_checkpoint(files[kind])).with_settings(given)
        return check_checkpoint(spec, networks[kind], *training.data(160, 5))

    for kind, right in (("lightning", "prediction=flow"), ("jit", "noise_scale=2")):
        found = verdict(kind, right)
        assert found.passed, [c.detail for c in found.checks]
    assert [wrong for wrong in WRONG if verdict(*wrong).passed] == []


@pytest.mark.slow
def test_check_checkpoint__the_spoilt_average_fails(files):
    given = {"noise_scale": "2", "weights.entry": "model_ema2"}
    assert not checked(files["jit"], given).passed


def test_places_turn_pairs_of_channels_and_attention_sees_their_difference():
    """Against complex numbers: rows turn the first half of the channels, columns the second."""
    rotary = Rotary(16, 3, persistent=True)
    x = torch.randn(1, 1, 9, 16, dtype=torch.float64)
    paired = torch.view_as_complex(x.reshape(1, 1, 9, 8, 2))
    place = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    speed = torch.tensor([1e4 ** -(k / 4) for k in range(4)], dtype=torch.float64)
    angle = torch.cat([place[:, :1] * speed, place[:, 1:] * speed], 1)
    right = torch.view_as_real(paired * torch.polar(torch.ones_like(angle), angle)).flatten(-2)
    torch.testing.assert_close(rotary(x), right, rtol=1e-6, atol=1e-6)
    same = torch.randn(16).expand(1, 1, 9, 16)
    seen = (rotary(same) @ rotary(same).mT)[0, 0]
    torch.testing.assert_close(seen[0, 4], seen[4, 8])
    before = Rotary(16, 3, 2, persistent=False)
    joined = before(F.pad(x, (0, 0, 2, 0), value=1.0))
    torch.testing.assert_close(joined[:, :, :2], torch.ones(1, 1, 2, 16).double())
    torch.testing.assert_close(joined[:, :, 2:], rotary(x))


def test_without_what_is_new_it_is_dit():
    plain = {k: v for k, v in LIGHTNING.items() if k not in ("rms", "swiglu", "rotary")}
    torch.manual_seed(3)
    old = DiT(**plain)
    new = RotaryDiT(**plain, rms=False, swiglu=False, rotary=False)
    new.load_state_dict(old.state_dict())
    x, t, labels = torch.randn(3, 1, 8, 8), torch.rand(3), torch.tensor([0, 1, 2])
    torch.testing.assert_close(new(x, t, labels), old(x, t, labels), rtol=0, atol=0)


def test_gates_and_root_mean_squares():
    network = made({**JIT, "depth": 1, "told": 0})
    block, x = network.blocks[0], torch.randn(2, 4, 64)
    w12, w3 = block.mlp.w12, block.mlp.w3
    first, second = (x @ w12.weight.T + w12.bias).split(64, -1)
    right = (first * first.sigmoid() * second) @ w3.weight.T + w3.bias
    torch.testing.assert_close(block.mlp(x), right)
    with torch.no_grad():
        block.norm1.weight.mul_(1.5)
    torch.testing.assert_close(
        block.norm1(x), 1.5 * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    )


def saved(tmp_path, value, name="model.pt"):
    torch.save(value, tmp_path / name)
    return open_checkpoint(tmp_path / name)


def test_sizes_of_published_networks_come_from_shapes(tmp_path):
    """XL/1 of VA-VAE's latents and B/16 of 256 pixels, in depth 3."""
    sizes = {"side": 4, "in_channels": 32, "out_channels": 32, "patch": 1, "width": 1152}
    sizes |= {"heads": 16, "hidden": 96, "labels": 1001}
    network = RotaryDiT(**{**LIGHTNING, **sizes, "shift": False})
    held = {"ema": {f"module.{k}": w for k, w in network.state_dict().items()}}
    spec = specify_checkpoint(saved(tmp_path, held))
    assert (spec.family, spec.event, spec.classes) == ("lightning_dit", (32, 4, 4), 1000)
    assert not spec.open
    assert spec.network["arguments"]["heads"] == 16
    assert spec.network["arguments"]["shift"] is False
    assert spec.decoder == {}
    sizes = {"side": 256, "in_channels": 3, "out_channels": 3, "patch": 16, "width": 768}
    sizes |= {"heads": 12, "hidden": 96, "labels": 1001, "narrow": 128, "told": 32}
    network = RotaryDiT(**{**JIT, **sizes})
    held = {"model_ema1": {f"net.{k}": w for k, w in network.state_dict().items()}}
    spec = specify_checkpoint(saved(tmp_path, held))
    assert (spec.family, spec.event, spec.process["noise_scale"]) == ("jit", (3, 256, 256), 1.0)
    assert not spec.open
    assert {k: spec.network["arguments"][k] for k in ("heads", "narrow", "told", "told_from")} == {
        "heads": 12,
        "narrow": 128,
        "told": 32,
        "told_from": 1,
    }


def test_statistics_of_latents_beside_the_file(tmp_path):
    held = {"ema": made(LIGHTNING).state_dict()}
    mean, std = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 1, 1, 1), 3.0)
    torch.save({"mean": mean, "std": std}, tmp_path / "latents_stats.pt")
    spec = specify_checkpoint(saved(tmp_path, held))
    assert spec.decoder == {"class": "VA-VAE", "mean": [0.5], "std": [3.0]}
    torch.save({"mean": mean.expand(1, 4, 1, 1)}, tmp_path / "latents_stats.pt")
    with pytest.raises(CheckpointError, match="no mean and std of 1 channels"):
        specify_checkpoint(saved(tmp_path, held))


class Raw(torch.nn.Module):
    """A decoder whose images are the latents, in the scale of its own."""

    def decode(self, latents, *, return_dict):
        return (latents,)


@pytest.mark.parametrize("more", [{}, {"decoder.class": "AutoencoderKL"}])
def test_statistics_of_latents_are_undone_before_they_are_decoded(tmp_path, monkeypatch, more):
    monkeypatch.setattr(library, "load_pretrained", lambda *_: Raw())
    stats = {"mean": torch.full((1, 1, 1, 1), 0.5), "std": torch.full((1, 1, 1, 1), 3.0)}
    torch.save(stats, tmp_path / "latents_stats.pt")
    path = saved(tmp_path, {"ema": made(LIGHTNING).state_dict()}).path
    config = {"_class_name": "AutoencoderKL", "latent_channels": 1, "out_channels": 1}
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file({}, tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    model = load(path, {"decoder.folder": str(tmp_path / "vae"), **more})
    latents = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model.decode(latents), 3.0 * latents + 0.5)
    own = load(path, {"decoder.folder": str(tmp_path / "vae"), "decoder.scale": "2", **more})
    torch.testing.assert_close(own.decode(latents), latents / 2 + 0.5)


def test_a_wrong_file_is_one_sentence(tmp_path):
    weights = made(LIGHTNING).state_dict()
    with pytest.raises(CheckpointError, match=r"has 5 tokens .* which is not DiT's"):
        specify_checkpoint(saved(tmp_path, weights | {"pos_embed": torch.zeros(1, 5, 64)}))
    del weights["blocks.0.attn.qkv.bias"]
    opened = saved(tmp_path, weights)
    with pytest.raises(CheckpointError, match=r"missing, such as blocks\.0\.attn\.qkv\.bias"):
        lightning_dit.network(specify_checkpoint(opened), opened)
