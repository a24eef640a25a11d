"""Decoders of checkpoints: diffusers' autoencoders, in the folder or named by the user."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.conformance.models import read_latents
from samplerbench.models.checkpoints.diffusers.library import decoder_of
from samplerbench.models.checkpoints.opening import CheckpointError, OpenedCheckpoint
from samplerbench.models.checkpoints.specification import Specification
from samplerbench.models.loaders.checkpoint import load

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

EVENT, SCALE = (2, 4, 4), 0.3
LATENTS = torch.randn(5, *EVENT, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def vae():
    """A small autoencoder of images four times as wide as its latents."""
    torch.manual_seed(0)
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=2, latent_channels=2,
        scaling_factor=SCALE,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def folder(vae, tmp_path_factory) -> Path:
    """A pipeline of a network, a scheduler and the autoencoder."""
    torch.manual_seed(0)
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, sample_size=4, in_channels=2,
        out_channels=4, patch_size=2, num_embeds_ada_norm=3,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("dit")
    diffusers.DiTPipeline(net, vae, diffusers.DDIMScheduler()).save_pretrained(path)
    return path


def images(vae, scaled: Tensor) -> Tensor:
    """What the library makes of latents that are scaled already."""
    with torch.no_grad():
        return vae.decode(scaled).sample


def spec_with(**decoder) -> Specification:
    """A file of another family, which holds no decoder."""
    spec = Specification(
        family="dit", network={}, weights={"file": "x.pt"}, event=EVENT,
        process={"name": "flow"}, prediction="flow", limits=None,
    )  # fmt: skip
    return spec.with_settings({f"decoder.{name}": str(value) for name, value in decoder.items()})


def decoder_with(**decoder):
    return decoder_of(spec_with(**decoder), OpenedCheckpoint(Path("x.pt"), "torch"))


def test_the_decoder_of_the_folder_is_applied(folder, vae):
    model = load(folder, {})
    assert (model.event, model.decoded_event) == (EVENT, (3, 16, 16))
    assert (model.limits, model.decoded_limits) == (None, (-1, 1))
    assert model.name == folder.name
    assert (model.decode(LATENTS) - images(vae, LATENTS / SCALE)).abs().max() < 1e-5
    assert model.decode(LATENTS.double()).dtype == torch.float64
    assert "AutoencoderKL beside it makes images" in " ".join(model.spec.evidence)


def test_it_can_be_left_out_which_is_another_model(folder):
    decoded, latents = load(folder, {}), load(folder, {"decode": "0"})
    assert latents.decoder is None
    assert latents.name == f"{folder.name}-latents"
    assert torch.equal(latents.decode(LATENTS), LATENTS)
    assert len({decoded.identity, latents.identity}) == 2


def test_how_many_are_decoded_at_a_time_changes_no_image_and_no_identity(folder):
    one, all_ = load(folder, {"decoder.batch": "1"}), load(folder, {})
    assert (one.decoder.batch, all_.decoder.batch) == (1, 8)
    assert one.identity == all_.identity
    assert (one.decode(LATENTS) - all_.decode(LATENTS)).abs().max() < 1e-5
    assert load(folder, {"decoder.scale": "0.5"}).identity != all_.identity


def test_a_decoder_named_by_the_user_is_pinned_by_its_content(folder, vae, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(folder / "vae", own)
    decoder = decoder_with(folder=own)
    assert (decoder(LATENTS) - images(vae, LATENTS / SCALE)).abs().max() < 1e-5
    assert load(folder, {"decoder.folder": str(own)}).decoder.identity == decoder.identity != ""
    before = load(folder, {"decoder.folder": str(own)}).identity
    shutil.copytree(own, tmp_path / "elsewhere")
    assert load(folder, {"decoder.folder": str(tmp_path / "elsewhere")}).identity == before
    diffusers.AutoencoderKL.from_pretrained(own).half().save_pretrained(own)
    assert load(folder, {"decoder.folder": str(own)}).identity != before


def test_a_decoder_named_by_the_user_may_be_of_another_class(folder, tmp_path):
    torch.manual_seed(0)
    vq = diffusers.VQModel(latent_channels=2, norm_num_groups=32, scaling_factor=0.7).eval()
    vq.save_pretrained(tmp_path)
    decoder = load(folder, {"decoder.folder": str(tmp_path)}).decoder
    with torch.no_grad():
        expected = vq.decode(LATENTS / SCALE).sample
    assert (decoder(LATENTS) - expected).abs().max() < 1e-5
    with pytest.raises(CheckpointError, match="class AutoencoderTiny is not read"):
        load(folder, {"decoder.folder": str(tmp_path), "decoder.class": "AutoencoderTiny"})


def test_each_channel_can_have_its_own_scale_and_shift(folder, vae):
    """As the encoder of EDM2 says: it takes a latent to scale * latent + bias, of images in [0, 1]."""
    scale, bias = torch.tensor([0.5, 0.25]), torch.tensor([0.1, -0.3])
    told = {"scale": scale.tolist(), "shift": (-bias / scale).tolist(), "limits": "[0, 1]"}
    decoder = decoder_with(folder=folder / "vae", **told)
    raw = (LATENTS - bias[:, None, None]) / scale[:, None, None]
    assert (decoder(LATENTS) - images(vae, raw)).abs().max() < 1e-5
    assert decoder.limits == (0, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"decode": "maybe"}, "decode=maybe: it must be 0 or 1"),
        ({"decoder.colour": "red"}, "a decoder has no 'colour'; there are: class, folder, scale"),
        ({"decoder.scale": "0"}, "it must be a number other than 0, or a list of 2"),
        ({"decoder.shift": "[1, 2, 3]"}, "or a list of 2, one for each channel"),
        ({"decoder.limits": "1"}, "it must be two numbers"),
        ({"decoder.batch": "0"}, "it must be a whole number, at least 1"),
        ({"decoder.folder": "nowhere"}, "there is no folder nowhere of its decoder here"),
        ({"decoder.class": "AutoencoderDC"}, "a decoder of the class AutoencoderDC is not read"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, given, said):
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        load(folder, given)


def test_a_file_without_a_decoder_needs_its_folder(folder):
    with pytest.raises(
        CheckpointError, match=r"nothing says what makes images; give decoder\.fold"
    ):
        decoder_of(
            spec_with().with_settings({"decode": "1"}), OpenedCheckpoint(Path("x.pt"), "torch")
        )
    assert decoder_of(spec_with(), OpenedCheckpoint(Path("x.pt"), "torch")) is None
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        decoder_with(folder=folder)


@pytest.mark.parametrize("damage", ["cut", "pointer", "other channels"])
def test_damaged_weights_of_the_decoder_are_one_sentence(folder, tmp_path, damage):
    path = tmp_path / "it"
    shutil.copytree(folder, path)
    weights = path / "vae" / "diffusion_pytorch_model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
        said = "diffusers cannot read .*vae"
    elif damage == "pointer":
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\n")
        said = "is a pointer of Git LFS"
    else:
        config = path / "vae" / "config.json"
        config.write_text(
            config.read_text().replace('"latent_channels": 2', '"latent_channels": 4')
        )
        said = "takes latents of 4 channels, but the model's have 2"
    with pytest.raises(CheckpointError, match=said):
        load(path, {})
    assert load(path, {"decode": "0"}).decoder is None


def test_a_run_of_a_folder_has_images_and_the_decoders_time(folder, samplerbench, tmp_path):
    (tmp_path / "png").mkdir()
    rng = np.random.default_rng(0)
    for k in range(24):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / f"png/{k}.png")
    code, _, err = samplerbench(
        *(
            "run",
            "smoke",
            "--model",
            folder,
            "--reference",
            tmp_path / "png",
            "--extractor",
            "pixels",
        ),
        *("--sampler", "euler", "--steps", 2, "--samples", 8, "--out", tmp_path / "out"),
    )
    assert code == 0, err
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    (row,) = table.to_dict("records")
    assert row["status"] == "ok", row["reason"]
    assert row["decoder_ms_per_sample"] > 0
    assert "identity-768" in row["estimator"]
    assert row["rmse"] > 0
    assert ">decoder</th>" in (tmp_path / "out" / "report.html").read_text()


def pngs(folder: Path, count: int) -> tuple[Path, Tensor]:
    """Images of two classes in folders, and what they are in [-1, 1]."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        place = folder / "pngs" / f"class-{2 * i // count}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return folder / "pngs", torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def test_images_become_what_the_library_encodes(folder, vae):
    pixels = torch.rand(11, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        gaussian = vae.encode(pixels).latent_dist
    drawn = load(folder, {}).decoder.encode(pixels)
    assert drawn.shape == (11, *EVENT)
    z = (drawn / SCALE - gaussian.mean) / gaussian.std
    assert z.std() == pytest.approx(1.0, abs=0.1)
    other = load(folder, {"decoder.batch": "3"}).decoder.encode(pixels, seed=1)
    assert not torch.equal(drawn, other)
    assert (other / SCALE - gaussian.mean).abs().max() < 6 * gaussian.std.max()
    shifted = load(folder, {"decoder.shift": "0.5"}).decoder.encode(pixels)
    assert (shifted - (drawn - 0.5 * SCALE)).abs().max() < 1e-5


def test_the_check_takes_images_of_a_latent_model(folder, tmp_path):
    images, pixels = pngs(tmp_path, 24)
    decoder = load(folder, {}).decoder
    latents, labels, told = read_latents(images, EVENT, 256, lambda: decoder)
    assert (latents - decoder.encode(pixels)).abs().max() < 1e-5
    assert labels.tolist() == [0] * 12 + [1] * 12
    assert told == "24 images were encoded by the model's autoencoder."
    np.save(tmp_path / "images.npy", (pixels.permute(0, 2, 3, 1).numpy() + 1) * 127.5)
    np.savez(tmp_path / "bytes.npz", x=((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 1))
    again, _, _ = read_latents(tmp_path / "bytes.npz", EVENT, 256, lambda: decoder)
    assert (again - latents).abs().max() < 1e-5
    np.save(tmp_path / "latents.npy", latents.numpy())
    given, _, told = read_latents(tmp_path / "latents.npy", EVENT, 256, lambda: decoder)
    assert (told, torch.equal(given, latents)) == ("", True)
    with pytest.raises(ValueError, match=r"--images .*images.npy has samples of shape"):
        read_latents(tmp_path / "images.npy", EVENT, 256, lambda: decoder)
    found = CliRunner().invoke(app, ["check-model", str(folder), "--images", str(images)])
    assert "24 images were encoded by the model's autoencoder." in found.stderr
    assert found.exit_code == 1  # it is not trained
    assert "usual mistakes" in found.stdout  # which are looked for on images alone


def test_without_an_autoencoder_the_check_goes_on_with_own_samples(folder, tmp_path):
    images, _ = pngs(tmp_path, 4)
    given = ["check-model", f"{folder}?decode=0", "--images", str(images), "--samples", "16"]
    found = CliRunner().invoke(app, given)
    assert "samples are latents (2, 4, 4): give these as an array" in found.stderr
    assert "the check goes on with the model's own samples" in found.stderr
    assert found.exit_code in (1, 3)
    assert "usual mistakes" not in found.stdout
