"""EDM2 on latents: the encoder's scaling from the file, and diffusers' autoencoder beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from edm_pickles import persisted, snapshot
from PIL import Image
from torch import nn

from samplerbench.models.loaders.checkpoint import load
from samplerbench.models.nets.edm2_unet import EDM2UNet, MPConv

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

SHAPE = {
    "img_resolution": 4, "img_channels": 4, "label_dim": 2, "model_channels": 8,
    "channel_mult": [1], "num_blocks": 1, "attn_resolutions": [], "channels_per_head": 8,
}  # fmt: skip
MEAN = np.array([5.81, 3.25, 0.12, -2.15], np.float32)
STD = np.array([4.17, 4.62, 3.71, 3.28], np.float32)
FINAL = 0.5
"""The statistics of EDM2's own latents, and the standard deviation that it gives them."""


@pytest.fixture(scope="module")
def vae():
    """A small autoencoder whose settings say another scaling, as those of Stable Diffusion's do."""
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=2, latent_channels=4,
        scaling_factor=0.18215,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def place(vae, tmp_path_factory) -> Path:
    """A folder with the file, and with the autoencoder as ``vae``."""
    folder = tmp_path_factory.mktemp("edm2")
    vae.save_pretrained(folder / "vae")
    torch.manual_seed(1)
    uncertain = nn.Module()
    uncertain.register_buffer("freqs", torch.ones(4))
    inside = {
        "unet": persisted(EDM2UNet(**SHAPE), "UNet", SHAPE),
        "logvar_fourier": persisted(uncertain, "MPFourier"),
        "logvar_linear": persisted(MPConv(4, 1), "MPConv"),
    }
    net = persisted(nn.Module(), "Precond", {**SHAPE, "use_fp16": True}, inside)
    scale = np.float32(FINAL) / STD
    encoder = persisted(
        nn.Module(), "StabilityVAEEncoder", {"vae_name": "stabilityai/sd-vae-ft-mse"},
        scale=scale, bias=-MEAN * scale,
    )  # fmt: skip
    snapshot(folder / "net.pkl", net, encoder=encoder)
    return folder


def per_channel(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values)[:, None, None]


def test_known_latents_become_the_autoencoders_images(place, vae):
    model = load(place / "net.pkl", {"decoder.folder": str(place / "vae")})
    assert (model.event, model.decoded_event) == ((4, 4, 4), (3, 16, 16))
    assert model.decoded_limits == (0, 1)
    raw = per_channel(MEAN) + per_channel(STD) * torch.randn(5, 4, 4, 4)
    final = (raw - per_channel(MEAN)) / per_channel(STD) * FINAL
    with torch.no_grad():
        right = vae.decode(raw).sample
    torch.testing.assert_close(model.decode(final), right, rtol=0, atol=1e-5)
    assert float(right.std()) > 0.01
    with torch.no_grad():  # and not those of its own settings
        assert (model.decode(final) - vae.decode(final / 0.18215).sample).abs().max() > 0.01


def test_without_its_folder_it_is_another_model(place):
    latents = load(place / "net.pkl", {})
    decoded = load(place / "net.pkl", {"decoder.folder": str(place / "vae")})
    assert (latents.name, decoded.name) == ("net-latents", "net")
    assert latents.decoder is None
    assert latents.identity != decoded.identity


def test_a_run_has_images_and_the_decoders_time(place, samplerbench, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(images / f"{number:02}.png")
    model = f"{place / 'net.pkl'}?decoder.folder={place / 'vae'}"
    words = ["--model", model, "--reference", str(images), "--extractor", "truncate:pixels"]
    words += ["--sampler", "heun", "--nfe", "3", "--samples", "8", "--out", str(tmp_path / "run")]
    code, _, err = samplerbench("run", "smoke", *words)
    assert code == 0, err
    (row,) = pd.read_csv(tmp_path / "run/table.csv").to_dict("records")
    assert (row["status"], row["model"]) == ("ok", model)
    assert "truncate" in row["estimator"]
    assert row["decoder_ms_per_sample"] > 0
    assert row["model_ms_per_sample"] > 0
    assert np.isfinite(row["fid_proxy"])
    assert np.isfinite(row["rmse"])
