"""Single files of latent diffusion and Stable Diffusion against networks of diffusers with the same weights,
which are renamed here by the published layout of input, middle and output blocks.
"""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from samplerbench.models.checkpoints.processes import betas_of
from samplerbench.models.loaders.checkpoint import load

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

LAYERS, SIDE = 1, 16
WIDTHS = (64, 128)
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1"}
RESNET |= {"norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
TOP = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
TOP |= {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
TOP |= {"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
BETAS = torch.tensor(betas_of("scaled_linear", 1000, 0.0015, 0.0195))


def renamed(name: str) -> str:
    """A name of diffusers' U-Net by latent diffusion."""
    for theirs, single in TOP.items():
        if name.startswith(f"{theirs}."):
            return name.replace(theirs, single)
    stage, *rest = name.split(".")
    if stage == "mid_block":
        kind, number, *inner = rest
        block, place = f"middle_block.{1 if kind == 'attentions' else 2 * int(number)}", ""
    else:
        level, kind, number, *inner = rest
        first = int(level) * (LAYERS + 1)
        if stage == "down_blocks":
            last = kind == "downsamplers"
            block = f"input_blocks.{first + LAYERS + 1 if last else first + 1 + int(number)}"
            place = ".1" if kind == "attentions" else ".0"
        else:
            last = kind == "upsamplers"
            block = f"output_blocks.{first + (LAYERS if last else int(number))}"
            place = {"resnets": ".0", "attentions": ".1", "upsamplers": ".UP"}[kind]
    if kind == "resnets":
        inner[0] = RESNET[inner[0]]
    if kind == "downsamplers":
        inner[0] = "op"
    return ".".join([block + place, *inner])


def single_file(net: torch.nn.Module, **beside: torch.Tensor) -> dict[str, torch.Tensor]:
    named = {renamed(name): tensor for name, tensor in net.state_dict().items()}
    for name in list(named):  # behind the attention, if the level has any
        if ".UP." in name:
            attends = f"{name.partition('.UP.')[0]}.1.norm.weight" in named
            named[name.replace(".UP.", f".{1 + attends}.")] = named.pop(name)
    return {f"model.diffusion_model.{name}": tensor for name, tensor in named.items()} | beside


def made(context: int, attends: tuple[bool, bool], heads, **more) -> torch.nn.Module:
    torch.manual_seed(0)
    kinds = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    return diffusers.UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=WIDTHS, layers_per_block=LAYERS,
        down_block_types=kinds, up_block_types=[k.replace("Down", "Up") for k in reversed(kinds)],
        cross_attention_dim=context, attention_head_dim=heads, sample_size=SIDE, **more,
    ).eval()  # fmt: skip


LINEAR = {"use_linear_projection": True}
XL = {**LINEAR, "addition_embed_type": "text_time", "addition_time_embed_dim": 256}
XL |= {"projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2]}
KINDS = {
    "1": (lambda: made(768, (True, False), 8), "pt", {}),
    "2": (lambda: made(1024, (True, False), [1, 2], **LINEAR), "safetensors", {"training": "v"}),
    "XL": (lambda: made(2048, (False, True), [1, 2], **XL), "safetensors", {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_stable_diffusion(tmp_path, kind):
    make, suffix, given = KINDS[kind]
    net, path = make(), tmp_path / f"model.{suffix}"
    held = single_file(net, betas=BETAS.float())
    if suffix == "pt":
        torch.save({"state_dict": held, "callbacks": {}}, path)
    else:
        save_file(held, path)
    embeddings = {"prompt_embeds": torch.randn(2, 5, net.config.cross_attention_dim)}
    if kind == "XL":
        embeddings["pooled_prompt_embeds"] = torch.randn(2, 1280)
    save_file(embeddings, tmp_path / "prompts.safetensors")
    given = {
        **given,
        "event": f"[4,{SIDE},{SIDE}]",
        "embeddings": str(tmp_path / "prompts.safetensors"),
    }
    model = load(path, given)
    x, n = torch.randn(2, 4, SIDE, SIDE), 601
    kept = float(torch.cumprod(1 - BETAS.float().double(), 0)[n])
    alpha, sigma = kept**0.5, (1 - kept) ** 0.5
    side = 8.0 * SIDE
    sizes = torch.tensor([[side, side, 0, 0, side, side]]).expand(2, -1)
    pooled = embeddings.get("pooled_prompt_embeds")
    added = None if pooled is None else {"text_embeds": pooled, "time_ids": sizes}
    with torch.no_grad():
        output = net(x * alpha, n, embeddings["prompt_embeds"], added_cond_kwargs=added).sample
    found = model.denoise(x, sigma / alpha, torch.arange(2))
    x_t = alpha * x
    expected = alpha * x_t - sigma * output if kind == "2" else (x_t - sigma * output) / alpha
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_latent_diffusion_of_classes(tmp_path):
    net = made(512, (True, True), 1)
    table = torch.randn(11, 512)
    held = single_file(net, betas=BETAS.float(), **{"cond_stage_model.embedding.weight": table})
    average = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): tensor
        for name, tensor in held.items()
        if name.startswith("model.")
    }
    spoilt = {name: 0 * t if name.startswith("model.") else t for name, t in held.items()}
    torch.save({"state_dict": {**spoilt, **average}}, tmp_path / "cin.ckpt")
    model = load(tmp_path / "cin.ckpt", {"size": str(SIDE)})
    assert (model.classes, model.spec.null_label) == (10, True)
    assert "model_ema (an average) is taken" in model.spec.evidence[-1]
    x, labels, n = torch.randn(3, 4, SIDE, SIDE), torch.tensor([0, 9, 10]), 100
    kept = float(torch.cumprod(1 - BETAS.float().double(), 0)[n])
    sigma = (1 / kept - 1) ** 0.5
    with torch.no_grad():
        output = net(x * kept**0.5, n, table[labels][:, None]).sample
    found = model.denoise(x, sigma, labels)
    assert (found - (x - sigma * output)).abs().max() <= 1e-5 * found.abs().max()
