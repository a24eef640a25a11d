"""Checkpoints of denoising-diffusion-pytorch 1.9 or later: a ``GaussianDiffusion`` of a ``Unet``.

The file, of a training or a state dict, holds the betas. It also holds the weights of the loss, which reveal the
prediction. The side of the images is an open question.

Files: ``model-*.pt`` of a ``Trainer``, whose average is taken, or the ``state_dict()`` of a ``GaussianDiffusion``.
Process: the table of betas in the file.
Prediction: the noise, the image or v, as ``loss_weight`` shows. The time input is the number of the step.
Say: ``size``. ``objective``, if ``loss_weight`` fits none or several. ``limits=[0,1]``, if the network was trained
    without ``auto_normalize``. Networks trained with self-conditioning get zeros for the condition.
Refused: networks with classes, for continuous time or for one-dimensional data, a ``Unet`` without the betas, and
    files of older releases.
From noise alone: no. The last level of the table is finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ...adapters import Network
from ...nets.linear_attention_unet import LinearAttentionUNet
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import range_of_betas
from ..specification import FILE, SIDES, Specification, size_answers
from ..weights import WRAP, Sets, Tensors, choice_in_words, find_sets, load_network, without_prefix

WITHIN = "model."
"""Prefix of the U-Net's weights in ``GaussianDiffusion``."""
KEYS = ("betas", "model.init_conv.weight", "model.downs.0.0.block1.proj.weight")
KEYS += ("model.mid_attn.mem_kv",)
OTHERS = ("model.time_mlp.0.weights", "model.classes_emb.weight")
"""Weights that only networks with classes or another time input have."""
GROUPS = 8
"""Default number of normalisation groups before release 2."""
PREDICTIONS = {"pred_noise": "eps", "pred_x0": "x0", "pred_v": "v"}


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a ``GaussianDiffusion`` of a ``Unet``; None for other files."""
    sets = find_sets(opened, KEYS)
    if not sets:
        return None
    entry, tensors = next(iter(sets.items()))
    if more := [name for name in OTHERS if name in tensors]:
        raise CheckpointError(
            f"{opened.path} is denoising-diffusion-pytorch's, but a network with {more[0]}, and only "
            f"its Unet in a GaussianDiffusion is read: {WRAP}"
        )
    layout = _read_unet_arguments(opened, without_prefix(tensors, WITHIN))
    channels, doubled = layout["in_channels"], layout["out_channels"] == 2 * layout["in_channels"]
    betas = tensors["betas"].double().tolist()
    objective = _find_objective(tensors)
    possible = (objective,) if objective else tuple(PREDICTIONS)
    read = ("network", "weights", "process", "half", "sigma_min", "sigma_max")
    spec = Specification(
        family="denoising_diffusion",
        network={"class": "LinearAttentionUNet", "arguments": layout},
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, 0, 0),
        process={"name": "discrete", "betas": betas},
        prediction="",
        half="first" if doubled else "",
        snap="nearest",
        **range_of_betas(betas),
        evidence=_evidence(layout, objective, sets),
        sources=dict.fromkeys(read, FILE),
        open={
            "objective": {of: {"prediction": PREDICTIONS[of]} for of in possible},
            "size": size_answers(channels, SIDES, len(layout["widths"])),
        },
    )
    if objective:
        spec = spec.with_answer("objective", objective, FILE)
    return spec.with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net with its weights."""
    within = partial(without_prefix, prefix=WITHIN)
    return load_network(LinearAttentionUNet, spec, opened, find_sets(opened, KEYS), within)


def _evidence(unet_arguments: Mapping[str, Any], objective: str, sets: Sets) -> tuple[str, ...]:
    groups = f"its blocks normalise in groups, which are taken to be {GROUPS}"
    zeros = "it was trained with self-conditioning, of which it is shown none"
    return (
        "the names of its weights are those of denoising-diffusion-pytorch",
        "the rates of noise are in the file",
        *([f"the weights of its loss are those of {objective}"] if objective else []),
        "images that the network is shown are in [-1, 1], as auto_normalize has it",
        "its frequencies of time are taken to have sinusoidal_pos_emb_theta = 10000, the default",
        *([groups] if unet_arguments["groups"] else []),
        *([zeros] if unet_arguments["self_conditioned"] else []),
        *choice_in_words(sets),
    )


def _find_objective(tensors: Tensors) -> str:
    """Return the training objective that fits the file's loss weights; "" if none or several fit.

    With r the signal-to-noise ratio of a step, its loss weight is r, perhaps clipped from above,
    over a divisor. The divisor is 1 for pred_x0, unclipped r for pred_noise, r + 1 for pred_v.
    """
    weight = tensors.get("loss_weight")
    if weight is None or weight.shape != tensors["betas"].shape:
        return ""
    signal_power = torch.cumprod(1 - tensors["betas"].double(), 0)
    snr = signal_power / (1 - signal_power)
    divisors = {"pred_noise": snr, "pred_x0": torch.ones_like(snr), "pred_v": snr + 1}
    clipped = {objective: weight * divisor for objective, divisor in divisors.items()}
    fit = [
        objective
        for objective, ratio in clipped.items()
        if torch.allclose(ratio, snr.clamp(max=float(ratio.max())), rtol=1e-2)
    ]
    return fit[0] if len(fit) == 1 else ""


def _read_unet_arguments(opened: OpenedCheckpoint, tensors: Tensors) -> dict[str, Any]:
    count = 1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("downs."))
    channels_in, out = tensors["init_conv.weight"].shape[1], tensors["final_conv.weight"].shape[0]
    self_conditioned = channels_in == 2 * out
    channels = out if self_conditioned else channels_in
    if out not in (channels, 2 * channels):
        raise CheckpointError(
            f"{opened.path}: its U-Net takes {channels_in} channels and gives {out}, which is no prediction of "
            f"one image; {WRAP}"
        )
    full = [f"downs.{i}.2.to_out.weight" in tensors for i in range(count)]
    memories = [tensors[f"downs.{i}.2.mem_kv"].shape for i in range(count)]
    last = [f"downs.{i}.3.{'' if i == count - 1 else '1.'}weight" for i in range(count)]
    middle = tensors["mid_attn.mem_kv"].shape
    return {
        "in_channels": channels,
        "out_channels": out,
        "embedding": tensors["time_mlp.1.weight"].shape[1],
        "stem": len(tensors["init_conv.weight"]),
        "widths": [len(tensors[name]) for name in last],
        "heads": [shape[1] for shape in memories],
        "head_width": [shape[3 if of else 2] for shape, of in zip(memories, full, strict=True)],
        "memory": [shape[2 if of else 3] for shape, of in zip(memories, full, strict=True)],
        "full": full,
        "middle": [middle[1], middle[3], middle[2]],
        "groups": GROUPS if "downs.0.0.block1.norm.weight" in tensors else 0,
        "self_conditioned": self_conditioned,
    }
