"""Every fixed-grid sampler on files of several families: three steps, and finite.

All files are called in one way, so each family runs every fifth sampler, from another one on: a
sampler meets four families, and a family some twenty samplers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import test_denoising_diffusion
import test_k_transformers
import test_latent_diffusion
import torch
from edm_pickles import persisted, snapshot
from k_diffusion_files import made, training_file
from score_sde_files import DDPM, NCSN, as_saved
from small_programs import to_exported, to_onnx
from torch import nn

from samplerbench import samplers
from samplerbench.models.checkpoints.families import family_names
from samplerbench.models.loaders.checkpoint import load, write_converted
from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.models.nets.dit import DiT, RotaryDiT
from samplerbench.models.nets.edm2_unet import EDM2UNet, MPConv
from samplerbench.models.nets.edm_unets import SongUNet
from samplerbench.models.nets.linear_attention_unet import LinearAttentionUNet
from samplerbench.models.nets.uvit import UViT

ADM = {"in_channels": 1, "out_channels": 1, "embedding": 32, "stem": 32, "widths": (32,)}
ADM |= {"blocks": 1, "attention": (), "heads": 1}
SIZES = {"side": 4, "in_channels": 1, "out_channels": 1, "patch": 2, "width": 16, "depth": 1}
SIZES |= {"heads": 2, "hidden": 16, "labels": 3}
LATER = {"rms": True, "swiglu": True, "rotary": True}
EDM = {"img_resolution": 4, "in_channels": 1, "out_channels": 1, "model_channels": 8}
EDM |= {"channel_mult": [1], "num_blocks": 1, "attn_resolutions": []}
EDM2 = {"img_resolution": 4, "img_channels": 1, "label_dim": 2, "model_channels": 8}
EDM2 |= {"channel_mult": [1], "num_blocks": 1, "attn_resolutions": [], "channels_per_head": 8}

Saved = tuple[Path, dict[str, str]]
"""A file, and what it does not say."""


def state(value: object, **given: str) -> Callable[[Path], Saved]:
    def save(folder: Path) -> Saved:
        torch.save(value() if callable(value) else value, folder / "model.pt")
        return folder / "model.pt", given

    return save


def edm(folder: Path) -> Saved:
    inside = {"model": persisted(SongUNet(**EDM), "SongUNet", EDM)}
    given = {"img_resolution": 4, "img_channels": 1, "label_dim": 0, "use_fp16": False}
    given |= {"model_type": "SongUNet", "sigma_data": 0.5, "sigma_min": 0, "sigma_max": math.inf}
    net = persisted(nn.Module(), "EDMPrecond", given, inside, sigma_data=0.5)
    return snapshot(folder / "net.pkl", net), {}


def edm2(folder: Path) -> Saved:
    uncertain = nn.Module()
    uncertain.register_buffer("freqs", torch.ones(4))
    inside = {
        "unet": persisted(EDM2UNet(**EDM2), "UNet", EDM2),
        "logvar_fourier": persisted(uncertain, "MPFourier"),
        "logvar_linear": persisted(MPConv(4, 1), "MPConv"),
    }
    net = persisted(nn.Module(), "Precond", {**EDM2, "use_fp16": True}, inside)
    encoder = persisted(nn.Module(), "StandardRGBEncoder")
    return snapshot(folder / "net.pkl", net, encoder=encoder), {}


def k_transformer(folder: Path) -> Saved:
    network = test_k_transformers.made(test_k_transformers.V2)
    return test_k_transformers.slim(folder, test_k_transformers.V2, network.state_dict()), {}


def diffusers(folder: Path) -> Saved:
    library = pytest.importorskip("diffusers", reason="diffusers is not installed")
    shape = {"block_out_channels": (16,), "down_block_types": ("DownBlock2D",)}
    shape |= {"up_block_types": ("UpBlock2D",), "layers_per_block": 1, "norm_num_groups": 4}
    shape |= {"sample_size": 4, "in_channels": 1, "out_channels": 1, "add_attention": False}
    library.UNet2DModel(**shape).save_pretrained(folder)
    library.DDPMScheduler().save_pretrained(folder)
    assert json.loads((folder / "scheduler_config.json").read_text())
    return folder, {}


class Straight(nn.Module):
    """A network for export."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * t.reshape(-1, 1, 1, 1)


def program(suffix: str) -> Callable[[Path], Saved]:
    def save(folder: Path) -> Saved:
        path = folder / f"net{suffix}"
        if suffix == ".onnx":
            pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        write = to_onnx if suffix == ".onnx" else to_exported
        return write(Straight(), path, torch.randn(2, 1, 4, 4), torch.rand(2)), {"training": "flow"}

    return save


def converted(folder: Path) -> Saved:
    path, given = FILES["openai"](folder)
    write_converted(path, given, None, folder / "converted")
    return folder / "converted", {}


FILES: dict[str, Callable[[Path], Saved]] = {
    "converted": converted,
    "diffusers": diffusers,
    "exported": program(".pt2"),
    "onnx": program(".onnx"),
    "dit": state(lambda: DiT(**SIZES).state_dict(), training="SiT", heads="2"),
    "dit, MeanFlow": state(
        lambda: DiT(**SIZES, interval="none").state_dict(), kind="denoiser", heads="2"
    ),
    "dit, VP": state(lambda: DiT(**SIZES).state_dict(), training="SiT-VP", heads="2"),
    "denoising_diffusion": state(
        lambda: test_denoising_diffusion.training_file(
            LinearAttentionUNet(**test_denoising_diffusion.SHAPE).state_dict(), "pred_v"
        ),
        size="4",
    ),
    "edm": edm,
    "edm2": edm2,
    "flow_matching": state(
        lambda: {"net_model": ADMUNet(**ADM).state_dict()},
        training="straight",
        size="4",
        attention="1-head",
    ),
    "jit": state(
        lambda: {
            f"net.{k}": w
            for k, w in RotaryDiT(**SIZES, **LATER, normed=True, narrow=4, told=1)
            .state_dict()
            .items()
        },
        noise_scale="2",
    ),
    "k_diffusion": lambda folder: (
        training_file(folder, made().state_dict()),
        {},
    ),
    "k_diffusion, transformer": k_transformer,
    "latent_diffusion": state(
        lambda: test_latent_diffusion.single_file(ADMUNet(**ADM)), attention="1-head", size="16"
    ),
    "lightning_dit": state(
        lambda: RotaryDiT(**SIZES, **LATER, normed=False, shift=False).state_dict()
    ),
    "openai": state(
        lambda: ADMUNet(**ADM).state_dict(), schedule="cosine", size="4", attention="1-head"
    ),
    "score_sde": state(lambda: {"model": as_saved(SongUNet(**NCSN), NCSN)}, size="4"),
    "score_sde, subVP": state(
        lambda: {"model": as_saved(SongUNet(**DDPM), DDPM)}, training="subVP", size="4"
    ),
    "uvit": state(
        lambda: UViT(
            side=4, channels=1, patch=2, width=16, half_depth=1, heads=2, hidden=16
        ).state_dict(),
        training="VP",
        heads="2",
    ),
}

GRID = samplers.karras(3, 0.05, 5.0)
STEPPERS = [
    sampler
    for name in samplers.names()
    if not (sampler := samplers.make(name)).adaptive and sampler.nfe(GRID) is not None
]


EVERY = 5


def test_every_family_has_a_file():
    assert {name.partition(",")[0] for name in FILES} == set(family_names())


@pytest.mark.parametrize("name", list(FILES))
def test_every_fixed_grid_sampler_runs(tmp_path, name):
    torch.manual_seed(0)
    path, given = FILES[name](tmp_path)
    model = load(path, given)
    assert model.spec.family == name.partition(",")[0]
    ids = torch.arange(2)
    bound = model.bind(ids, 0)
    z = samplers.SampleNoise(0, ids, model.event, model.dtype).initial()
    wrong, first = [], list(FILES).index(name) % EVERY
    for sampler in STEPPERS[first::EVERY]:
        noise = samplers.SampleNoise(1, ids, model.event, model.dtype)
        out = sampler.sample(bound, GRID.sigma[0] * z, GRID, noise)
        if out.shape != z.shape or out.dtype != model.dtype or not torch.isfinite(out).all():
            wrong.append(sampler.name)
    assert not wrong
    assert len(STEPPERS[first::EVERY]) > 18
