"""Files of denoising-diffusion-pytorch: the rates of noise and the prediction are read from them."""

from __future__ import annotations

import pytest
import torch

from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.linear_attention_unet import LinearAttentionUNet

SIDE = 4
SHAPE = {"in_channels": 1, "out_channels": 1, "embedding": 16, "stem": 16, "widths": [32]}
SHAPE |= {"heads": [1], "head_width": [16], "memory": [2], "full": [False], "middle": [1, 16, 2]}
BETAS = torch.linspace(1e-3, 0.2, 100)
KEPT = torch.cumprod(1 - BETAS.double(), 0)
SNR = KEPT / (1 - KEPT)
WEIGHTS = {"pred_noise": SNR / SNR, "pred_x0": SNR, "pred_v": SNR / (SNR + 1)}


def training_file(weights: dict[str, torch.Tensor], objective: str) -> dict:
    """What a training saves; the weights that are no average are spoilt."""

    def diffusion(factor: float) -> dict[str, torch.Tensor]:
        named = {f"model.{name}": factor * tensor for name, tensor in weights.items()}
        return {"betas": BETAS, "loss_weight": WEIGHTS[objective].float(), **named}

    average = {f"ema_model.{name}": tensor for name, tensor in diffusion(1).items()}
    last = {f"online_model.{name}": tensor for name, tensor in diffusion(0).items()}
    ema = {"initted": torch.tensor(True), "step": torch.tensor(3), **last, **average}
    return {"step": 3, "model": diffusion(0), "opt": {}, "ema": ema, "version": "2.3.4"}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LinearAttentionUNet(**SHAPE).eval()


def test_denoising_diffusion__the_average_denoises_by_what_the_file_says(tmp_path, network):
    torch.save(training_file(network.state_dict(), "pred_v"), tmp_path / "model-3.pt")
    model = load(tmp_path / "model-3.pt", {"size": str(SIDE)})
    assert model.spec.weights["entry"] == "ema.ema_model"
    x = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    for time in (3, 70):
        alpha, sigma = float(KEPT[time].sqrt()), float((1 - KEPT[time]).sqrt())
        with torch.no_grad():
            v = network(alpha * x, torch.full((2,), float(time)), None)
        found = model.denoise(x, sigma / alpha, None)
        torch.testing.assert_close(found, alpha * (alpha * x) - sigma * v, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("objective", "prediction"), [("pred_noise", "eps"), ("pred_x0", "x0")])
def test_denoising_diffusion__the_objective_is_in_the_weights_of_the_loss(
    tmp_path, network, objective, prediction
):
    held = training_file(network.state_dict(), objective)
    torch.save(held["model"], tmp_path / "diffusion.pt")
    assert specify_checkpoint(open_checkpoint(tmp_path / "diffusion.pt")).prediction == prediction
    del held["model"]["loss_weight"]
    torch.save(held["model"], tmp_path / "diffusion.pt")
    spec = specify_checkpoint(open_checkpoint(tmp_path / "diffusion.pt"))
    assert list(spec.open["objective"]) == ["pred_noise", "pred_x0", "pred_v"]


def test_denoising_diffusion__another_network_is_refused_by_name(tmp_path, network):
    held = training_file(network.state_dict(), "pred_v")["model"] | {
        "model.classes_emb.weight": torch.ones(3, 4)
    }
    torch.save(held, tmp_path / "classes.pt")
    with pytest.raises(CheckpointError, match=r"model\.classes_emb\.weight"):
        specify_checkpoint(open_checkpoint(tmp_path / "classes.pt"))
