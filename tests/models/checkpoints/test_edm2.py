"""Pickles of NVIDIA's EDM2: a network that was trained here, on data whose denoiser is known."""

import hashlib
from pathlib import Path

import edm_pickles
import numpy as np
import pytest
import torch
from edm_cases import CLASSES, SIDE, Case, Data, noisy, train
from edm_pickles import persisted, snapshot
from torch import nn

from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.edm2_unet import EDM2UNet, MPConv, mp_cat, mp_silu, mp_sum

SHAPE = {
    "img_resolution": SIDE,
    "img_channels": 1,
    "label_dim": CLASSES,
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [4],
    "channels_per_head": 8,
}
CASE = Case(
    "Precond", EDM2UNet, SHAPE,
    lambda s: s.log() / 4, lambda s: 0.25 / (s**2 + 0.25),
    lambda s: s * 0.5 / (s**2 + 0.25).sqrt(), lambda s: (s**2 + 0.25) ** -0.5, {},
)  # fmt: skip


def pickled(path: Path, raw: nn.Module, encoder: object = None, **given) -> Path:
    """``raw`` in its preconditioning, as EDM2 saves it."""
    uncertain = nn.Module()
    uncertain.register_buffer("freqs", torch.ones(4))
    inside = {
        "unet": persisted(raw, "UNet", SHAPE),
        "logvar_fourier": persisted(uncertain, "MPFourier"),
        "logvar_linear": persisted(MPConv(4, 1), "MPConv"),
    }
    net = persisted(nn.Module(), "Precond", {**SHAPE, "use_fp16": True, **given}, inside)
    return snapshot(path, net, encoder=encoder or persisted(nn.Module(), "StandardRGBEncoder"))


@pytest.fixture(scope="module")
def raw() -> nn.Module:
    """A trained network."""
    return train(CASE)


@pytest.mark.parametrize("sigma", [0.013, 0.4, 3.0, 77.7])
def test_the_denoiser_is_that_of_the_formula(raw, tmp_path, sigma):
    _, x, _ = noisy(6, sigma)
    model = load(pickled(tmp_path / "net.pkl", raw), {})
    told = torch.tensor([0, 1, CLASSES, CLASSES, 1, 0])
    rows = torch.eye(CLASSES + 1, CLASSES)[told]
    right = CASE.denoised(raw, x, torch.full((6,), sigma), rows)
    found = model.denoise(x, sigma, told)
    assert (found - right).abs().max() <= 1e-5 * max(1.0, right.abs().max())


def test_the_map_is_right_because_the_network_was_trained(raw, tmp_path):
    path = pickled(tmp_path / "net.pkl", raw)
    right, wrong = load(path, {}), load(path, {"sign": "-1"})
    for sigma in (0.5, 1.0, 3.0):
        _, x, labels = noisy(200, sigma)
        exact = Data().denoiser(x, sigma, labels)
        off, wrongly = (
            float((m.denoise(x, sigma, labels) - exact).square().mean()) / sigma**2
            for m in (right, wrong)
        )
        assert off < 0.2
        assert wrongly > 4 * off


def test_the_file_tells_everything(raw, tmp_path):
    spec = specify_checkpoint(open_checkpoint(pickled(tmp_path / "net.pkl", raw)))
    assert (spec.family, spec.open, spec.classes, spec.decoder) == ("edm2", {}, CLASSES, {})
    assert spec.network == {"class": "UNet", "arguments": SHAPE}
    assert spec.process == {"name": "edm", "sigma_data": 0.5}
    assert (spec.sigma_min, spec.sigma_max) == (0.002, 80.0)
    assert hashlib.sha256(edm_pickles.SOURCE.encode()).hexdigest() in spec.evidence[1]
    assert "float16" in spec.evidence[2]


def test_latents_come_with_what_undoes_their_scaling(raw, tmp_path):
    mean, std = np.array([5.81, 3.25], np.float32), np.array([4.17, 4.62], np.float32)
    scale = np.float32(0.5) / std
    encoder = persisted(
        nn.Module(), "StabilityVAEEncoder", {"vae_name": "stabilityai/sd-vae-ft-mse"},
        scale=scale, bias=-mean * scale,
    )  # fmt: skip
    model = load(pickled(tmp_path / "net.pkl", raw, encoder), {})
    decoder = model.spec.decoder
    assert (model.limits, decoder["class"]) == (None, "AutoencoderKL")
    np.testing.assert_allclose(decoder["scale"], 0.5 / std, rtol=1e-6)
    np.testing.assert_allclose(decoder["shift"], mean, rtol=1e-6)


def test_layers_preserve_magnitudes():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(16, c, 8, 8, generator=generator) for c in (48, 16))

    def size(x: torch.Tensor) -> float:
        return float(x.detach().square().mean().sqrt())

    assert size(mp_silu(a)) == pytest.approx(1, rel=0.02)
    assert size(mp_sum(a, a.flip(0), 0.3)) == pytest.approx(1, rel=0.02)
    whole = mp_cat(a, b, 0.5)
    assert size(whole) == pytest.approx(1, rel=0.02)
    assert float(whole[:, :48].norm()) == pytest.approx(float(whole[:, 48:].norm()), rel=0.02)
    layer = MPConv(48, 64, 1)
    nn.init.uniform_(layer.weight, -7, 7)
    assert size(layer(a)) == pytest.approx(1, rel=0.05)
    assert size(layer(a, torch.tensor(3.0))) == pytest.approx(3, rel=0.05)


def test_activations_of_a_deep_network_keep_their_size():
    torch.manual_seed(2)
    network = EDM2UNet(SIDE, 3, 0, model_channels=64, channel_mult=[1, 2], attn_resolutions=[4])
    sizes = []
    for part in (network.enc, network.dec):
        for module in part.values():
            module.register_forward_hook(
                lambda _, __, output: sizes.append(float(output.square().mean().sqrt()))
            )
    with torch.no_grad():
        network(torch.randn(4, 3, SIDE, SIDE), torch.linspace(-1, 1, 4))
    assert all(0.6 < size < 1.4 for size in sizes)


def test_wrong_files_are_refused_with_the_remedy(raw, tmp_path):
    path = tmp_path / "net.pkl"

    def refused(part: str, *args: object, **given: object) -> None:
        with pytest.raises(CheckpointError, match=part):
            load(pickled(path, *args, **given), {})

    refused("and should be", EDM2UNet(**{**SHAPE, "model_channels": 16}))
    refused("weights are missing, such as emb_label", EDM2UNet(**{**SHAPE, "label_dim": 0}))
    refused("Precond has depth, which the published one has not", raw, depth=3)
    refused("encoder DCAE is unknown", raw, persisted(nn.Module(), "DCAE"))
    with pytest.raises(ValueError, match="resample_filter"):
        EDM2UNet(**SHAPE, resample_filter=[1, 3, 3, 1])
    whole = {key: value for key, value in SHAPE.items() if key != "img_channels"}
    net = persisted(nn.Module(), "Precond", whole, {"unet": persisted(raw, "UNet")})
    snapshot(path, net)
    with pytest.raises(CheckpointError, match="UNet does not say its img_channels"):
        load(path, {})
