"""Single files of latent diffusion and Stable Diffusion, ``.ckpt`` or ``.safetensors``.

A U-Net with self-attention only is OpenAI's, read as in :mod:`.openai`. A U-Net that attends to embeddings is made by
diffusers, which can convert these weights. Embeddings of classes are in the file; the user gives
embeddings of prompts. Most files have the betas, and some the scale of their latents. Decoders are read from
``decoder.folder`` only.

Files: ``.ckpt`` and ``.safetensors`` with ``model.diffusion_model``. Lightning's average is taken if there is one.
Process: the file's ``betas`` or ``alphas_cumprod``, else Stable Diffusion's betas. With a tensor ``ztsnr`` the
    signal is rescaled to end at 0.
Prediction: the noise, or v for some networks of Stable Diffusion 2 and files with a tensor ``v_pred``. The time input
    is the number of the step.
Say: ``attention`` (num_head_channels ``32-wide``; num_heads ``8-heads``, ``1-head``) and ``size`` for a network
    without conditions. ``size`` for latent diffusion's networks with classes or text. ``embeddings=FILE`` for text,
    ``training`` (``eps`` or ``v``) for Stable Diffusion 2, and ``event=[4,96,96]`` for another size.
    ``decoder.folder=FOLDER``, to score images.
Refused: networks that take another image too (inpainting, enlarging, XL's refiner), networks of EDM's process
    (``edm_mean``, ``edm_vpred.sigma_max``), and latent diffusion without betas. The error says what to give in place
    of SD3, FLUX, AuraFlow, Lumina 2, Z-Image, PixArt, HunyuanVideo, Wan, LTX-Video, ControlNets and autoencoders.
From noise alone: only networks that predict v, with ``ztsnr``. Other tables end at a finite level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...adapters import Network
from ...denoiser import CAP
from ...nets.adm_unet import HeadCountRule
from ..conditions import read_tables
from ..diffusers.calls import CONVENTIONS, PROMPT, CalledNetwork, scalars_of
from ..diffusers.folder import UNET_TEXT
from ..diffusers.library import import_diffusers
from ..opening import CheckpointError, OpenedCheckpoint, state_dict
from ..processes import PROCESSES, betas_of, range_of_betas, range_of_process
from ..specification import FAMILY, FILE, Answers, Specification, size_answers
from ..weights import WRAP, Sets, Tensors, choice_in_words, find_sets, load_network, without_prefix
from .dit import IMAGENET
from .openai import KEYS as OF_UNET
from .openai import WITHIN_LATENT as WITHIN
from .openai import make_unet, read_unet_arguments
from .uvit import SD

KEYS = tuple(WITHIN + key for key in OF_UNET)
CLASSES = "cond_stage_model.embedding.weight"
"""Name of the table of class embeddings. Its last row is "no class", unless it has ImageNet's 1000."""
SCALE = "scale_factor"
"""Name of the multiplier of the latents, in files of trainings that measured it (``scale_by_std``)."""
TEXT = "input_blocks.{}.1.transformer_blocks.0.attn2.to_k.weight"
POOLED = "label_emb.0.0.weight"
"""Name of a weight that only Stable Diffusion XL has, for a pooled embedding and sizes."""
PIXELS = 8
LATENT_SIDES = (16, 32, 64, 128)
HEADS = {
    "32-wide": HeadCountRule(head_width=32),
    "8-heads": HeadCountRule(heads=8),
    "1-head": HeadCountRule(heads=1),
}
WIDE = {"64-wide": HeadCountRule(head_width=64)}
PUBLISHED = {768: ("8-heads", 64), 1024: ("64-wide", 64), 2048: ("64-wide", 128)}
PUBLISHED |= {512: ("1-head", 0), 1280: ("8-heads", 0)}
"""Heads, and side of the latents (0 if there are several), by the width of the embeddings.

The networks are Stable Diffusion 1, 2 and XL, and latent diffusion's for ImageNet and for text.
"""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of latent diffusion's single file; None for other files."""
    sets = find_sets(opened, KEYS)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    unet, stored = without_prefix(tensors, WITHIN), _stored_tensors(opened)
    if of_edm := [name for name in stored if name.startswith("edm_")]:
        raise CheckpointError(
            f"{opened.path}: {of_edm[0]} says that it was trained as EDM's networks are, which is not read "
            "from a single file; give the folder of diffusers, whose scheduler says how"
        )
    arguments = read_unet_arguments(unet, opened.path)
    channels, out = arguments["in_channels"], arguments["out_channels"]
    if out != channels:
        raise CheckpointError(
            f"{opened.path}: its U-Net takes {channels} channels and gives {out}, so it is given more than "
            f"the noisy latents, such as another image; {WRAP}"
        )
    context = _context_width(unet, arguments)
    usual, side = PUBLISHED.get(context, ("", 0))
    heads = {k: v for k, v in {**HEADS, **(WIDE if context else {})}.items() if usual in ("", k)}
    sides = (side,) if side else LATENT_SIDES
    networks = _network_answers(opened.path, unet, arguments, context, heads)
    predictions = ("eps", "v") if context == 1024 else ("eps",)  # Stable Diffusion 2 has both
    if "v_pred" in stored:
        predictions = ("v",)
    process, betas, source = _process_and_betas(opened, stored, context)
    scale = {"scale": float(stored[SCALE])} if SCALE in stored else {}
    ends = range_of_betas(betas)
    if "ztsnr" in stored:
        process |= {"zero_snr": True, "cap": CAP}
        ends = range_of_process(PROCESSES["discrete"](**process))
    return Specification(
        family="latent_diffusion",
        network=next(iter(networks.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, 0, 0),
        process={"name": "discrete", **process},
        prediction="eps",
        snap="nearest",
        **ends,
        limits=None,
        decoder=scale,
        evidence=_evidence(context, source, sets),
        sources={
            **dict.fromkeys(("network", "weights", "decoder"), FILE),
            **dict.fromkeys(("process", "sigma_min", "sigma_max"), source),
        },
        open={
            "training": {name: {"prediction": name} for name in predictions},
            "attention": networks,
            "size": size_answers(channels, sides, len(arguments["widths"])),
        },
        **_condition_fields(unet, stored, context),
    ).with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net with its weights, made by diffusers if it attends to embeddings."""
    sets = find_sets(opened, KEYS)
    if spec.network["class"] != UNET_TEXT:
        return make_unet(spec, opened, {n: without_prefix(t, WITHIN) for n, t in sets.items()})
    library = import_diffusers()
    convert = library.loaders.single_file_utils.convert_ldm_unet_checkpoint

    def converted(tensors: Tensors) -> dict[str, Tensor]:
        unet = {name: tensor for name, tensor in tensors.items() if name.startswith(WITHIN)}
        return convert(unet, spec.network["arguments"])

    full = load_network(library.UNet2DConditionModel, spec, opened, sets, converted)
    tables = read_tables(spec.embeddings, opened.path)
    tables = tables or {PROMPT: _stored_tensors(opened)[CLASSES].float()[:, None]}
    return CalledNetwork(full, CONVENTIONS[UNET_TEXT], tables, scalars_of(spec, PIXELS)).eval()


def _stored_tensors(opened: OpenedCheckpoint) -> dict[str, Tensor]:
    return state_dict(opened.entries.get("state_dict", opened.entries))


def _context_width(unet: Tensors, unet_arguments: Mapping[str, Any]) -> int:
    """Return the width of the embeddings that the U-Net attends to; 0 if it attends to none."""
    blocks = len(unet_arguments["widths"]) * (unet_arguments["blocks"] + 1)
    names = (TEXT.format(i) for i in range(blocks))
    return next((unet[name].shape[1] for name in names if name in unet), 0)


def _condition_fields(unet: Tensors, stored: Tensors, context: int) -> dict[str, Any]:
    """Return specification fields for the U-Net's classes or embeddings; empty without them."""
    if not context:
        return {}
    if CLASSES in stored:
        rows = len(stored[CLASSES])
        null = rows != IMAGENET
        return {"classes": rows - null, "null_label": null, "labels": "random"}
    pooled = POOLED in unet
    return {
        "embeddings": {"needs": [PROMPT, f"pooled_{PROMPT}"] if pooled else [PROMPT]},
        "scalars": {"time_ids": None} if pooled else {},
    }


def _process_and_betas(
    opened: OpenedCheckpoint, stored: Tensors, context: int
) -> tuple[dict[str, Any], list[float], str]:
    """Return process arguments, betas and source: FILE, or FAMILY for Stable Diffusion's betas."""
    if "betas" in stored or "alphas_cumprod" in stored:
        if (betas := stored.get("betas")) is None:
            start = torch.ones(1, dtype=torch.float64)
            signal_power = torch.cat([start, stored["alphas_cumprod"].double()])
            betas = 1 - signal_power[1:] / signal_power[:-1]
        rates = betas.double().tolist()
        return {"betas": rates}, rates, FILE
    if context not in PUBLISHED or CLASSES in stored:
        problem = f"{opened.path} is latent diffusion's without the betas that its training saves"
        raise CheckpointError(f"{problem}; take the whole .ckpt, or {WRAP}")
    return dict(SD), betas_of(**SD), FAMILY


def _network_answers(
    path: Path,
    unet: Tensors,
    arguments: Mapping[str, Any],
    context: int,
    heads: Mapping[str, HeadCountRule],
) -> Answers:
    """Return answers to ``attention``: a network for each of ``heads`` that fits the widths."""
    answers: Answers = {}
    for name, of in heads.items():
        try:
            counts = [of.count_heads(width) for width in arguments["widths"]]
        except ValueError:
            continue
        network = {"class": "ADMUNet", "arguments": {**arguments, **asdict(of)}}
        if context:
            of_library = _library_arguments(path, unet, arguments, context, counts)
            network = {"class": UNET_TEXT, "arguments": of_library}
        answers[name] = {"network": network}
    return answers


def _library_arguments(
    path: Path, unet: Tensors, unet_arguments: Mapping[str, Any], context: int, heads: list[int]
) -> dict[str, Any]:
    if "label_emb.weight" in unet or (POOLED in unet and unet[POOLED].shape[1] != context + 768):
        raise CheckpointError(
            f"{path} enlarges or refines images, and is given more of them; {WRAP}"
        )
    depths = [
        _transformer_count(unet, f"input_blocks.{1 + level * (unet_arguments['blocks'] + 1)}.1.")
        for level in range(len(unet_arguments["widths"]))
    ]
    projected = next(t for name, t in unet.items() if name.endswith(".1.proj_in.weight"))
    attends = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths]
    pooled = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": context + 768,
    }
    return {
        "in_channels": unet_arguments["in_channels"],
        "out_channels": unet_arguments["out_channels"],
        "block_out_channels": list(unet_arguments["widths"]),
        "layers_per_block": unet_arguments["blocks"],
        "down_block_types": attends,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(attends)],
        "cross_attention_dim": context,
        "attention_head_dim": heads,
        "transformer_layers_per_block": [
            *(depth or 1 for depth in depths[:-1]),
            _transformer_count(unet, "middle_block.1."),
        ],
        "use_linear_projection": projected.ndim == 2,
        **(pooled if POOLED in unet else {}),
    }


def _transformer_count(unet: Tensors, at: str) -> int:
    inside = f"{at}transformer_blocks."
    return len({n.removeprefix(inside).split(".")[0] for n in unet if n.startswith(inside)})


def _evidence(context: int, source: str, sets: Sets) -> tuple[str, ...]:
    owner = {768: "1", 1024: "2", 2048: "XL"}.get(context)
    embeddings = f"embeddings of {context} channels"
    embeddings += f", as Stable Diffusion {owner}" if owner else ""
    missing = "not in the file, and taken to be Stable Diffusion's"
    return (
        "the names of its weights are those of latent diffusion's single files",
        f"it attends to {embeddings if context else 'nothing but its latents'}",
        f"its rates of noise are {'in the file' if source == FILE else missing}",
        "samples are latents, and the decoder in the file is not read: decoder.folder=FOLDER names one",
        *choice_in_words(sets),
    )
