"""Single files of latent diffusion whose U-Net attends to nothing but its latents, and what is refused."""

from __future__ import annotations

import pytest
import torch

from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.checkpoints.processes import betas_of
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.adm_unet import ADMUNet

SHAPE = {"in_channels": 3, "out_channels": 3, "embedding": 32, "stem": 32, "widths": (32, 64)}
SHAPE |= {"blocks": 1, "attention": (1,)}
BETAS = torch.tensor(betas_of("scaled_linear", 1000, 0.0015, 0.0195))


def single_file(network, **beside) -> dict[str, dict[str, torch.Tensor]]:
    """What a training saves, without its callbacks."""
    inside = {f"model.diffusion_model.{name}": t for name, t in network.state_dict().items()}
    return {
        "state_dict": {"betas": BETAS, "first_stage_model.a": torch.ones(2), **inside, **beside}
    }


def test_latent_diffusion__the_rates_of_the_file_are_its_levels(tmp_path):
    torch.manual_seed(0)
    network = ADMUNet(**SHAPE, head_width=32).eval()
    torch.save(single_file(network), tmp_path / "model.ckpt")
    spec = specify_checkpoint(open_checkpoint(tmp_path / "model.ckpt"))
    assert spec.family == "latent_diffusion"
    assert list(spec.open["attention"]) == ["32-wide", "8-heads", "1-head"]
    model = load(tmp_path / "model.ckpt", {"attention": "32-wide", "size": "16"})
    kept = float(torch.cumprod(1 - BETAS.double(), 0)[300])
    x, sigma = torch.randn(2, 3, 16, 16), (1 / kept - 1) ** 0.5
    with torch.no_grad():
        noise = network(x * kept**0.5, torch.full((2,), 300.0), None)
    torch.testing.assert_close(
        model.denoise(x, sigma, None), x - sigma * noise, rtol=1e-5, atol=1e-5
    )


def test_latent_diffusion__what_is_not_read_is_one_sentence(tmp_path):
    path, network = tmp_path / "a.ckpt", ADMUNet(**SHAPE, heads=1)
    held = single_file(network)
    del held["state_dict"]["betas"]
    torch.save(held, path)
    with pytest.raises(CheckpointError, match="without the betas"):
        specify_checkpoint(open_checkpoint(path))
    torch.save(single_file(ADMUNet(**{**SHAPE, "in_channels": 7}, heads=1)), path)
    with pytest.raises(CheckpointError, match="takes 7 channels and gives 3"):
        specify_checkpoint(open_checkpoint(path))


def test_latent_diffusion__marks_of_v_zero_snr_and_edm_count(tmp_path):
    """Tensors without numbers by which single files say how they were trained."""
    torch.manual_seed(0)
    network, mark = ADMUNet(**SHAPE, head_width=32).eval(), torch.zeros(0)
    torch.save(single_file(network, v_pred=mark, ztsnr=mark), tmp_path / "model.ckpt")
    model = load(tmp_path / "model.ckpt", {"attention": "32-wide", "size": "16"})
    root = torch.cumprod(1 - BETAS.double(), 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])  # arXiv:2305.08891, algorithm 1
    x, a = torch.randn(2, 3, 16, 16, dtype=torch.float64), float(root[900])
    s = (1 - a * a) ** 0.5
    with torch.no_grad():
        v = network(x.float() * a, torch.full((2,), 900.0), None).double()
    torch.testing.assert_close(
        model.denoise(x, s / a, None), a * (a * x) - s * v, rtol=1e-5, atol=1e-5
    )
    assert model.sigma_max > 1e4
    torch.save(single_file(network, **{"edm_vpred.sigma_max": mark}), tmp_path / "edm.ckpt")
    with pytest.raises(
        CheckpointError, match=r"edm_vpred.sigma_max says that it was trained as EDM"
    ):
        specify_checkpoint(open_checkpoint(tmp_path / "edm.ckpt"))


def test_latent_diffusion__the_scale_of_the_latents_in_the_file_is_the_decoders(tmp_path):
    held = single_file(ADMUNet(**SHAPE, head_width=32), scale_factor=torch.tensor(0.9))
    torch.save(held, tmp_path / "model.ckpt")
    spec = specify_checkpoint(open_checkpoint(tmp_path / "model.ckpt"))
    spec = spec.with_settings({"decoder.folder": "vae"})
    assert spec.decoder == {"scale": pytest.approx(0.9), "folder": "vae"}
    assert (spec.decode, spec.source("decoder")) == (True, "file")
    assert spec.with_settings({"decoder.scale": "0.5"}).decoder["scale"] == 0.5
