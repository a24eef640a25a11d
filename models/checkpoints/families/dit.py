"""Transformers of DiT, SiT, REPA and MeanFlow: weights of the same names, from different trainings.

The shapes give the sizes. Prediction, path and direction of time are open questions, unless the file has the arguments
of its training. Published networks are for latents, and their files have no decoder. MeanFlow's networks have a second
time embedding, and are few-step maps.

Files: ``.pt``, a state dict or a training's file, whose ``ema`` is preferred. MeanFlow's PyTorch version is read too.
Process: the answer to ``training``. MeanFlow has a straight path with noise at t = 1.
Prediction: the answer to ``training``; the first half of the channels if the variance is learned. MeanFlow predicts
    the mean velocity from t to r, with time inputs t and t - r.
Say: ``training``, unless the file has its arguments (``args``). For a network that predicts the noise on a path of
    SiT, ``training=SiT&prediction=eps&sign=1``; for the score, ``training=SiT&prediction=score&sign=1``. ``heads``, if
    the width is none of S, B, L and XL. ``decoder.folder=FOLDER``, to score images. ``kind=denoiser`` makes MeanFlow an
    ordinary flow (r = t). Leave ``guidance`` out for MeanFlow: guidance was part of its training.
Refused: MeanFlow's JAX version, improved MeanFlow, and MeanFlow on the circular path.
From noise alone: SiT, SiT-GVP, REPA, REPA-cosine and MeanFlow with ``kind=denoiser``, whose paths end there. Not DiT,
    which predicts the noise, and not SiT-VP, whose highest level is finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...adapters import Network
from ...nets.dit import DiT
from ..opening import CheckpointError, OpenedCheckpoint
from ..processes import CIRCLE, ENDS, REVERSED, STRAIGHT, VP_LINEAR
from ..specification import FILE, Answers, Specification
from ..weights import WRAP, Tensors, choice_in_words, find_sets, load_network, training_arguments

KEYS = ("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "pos_embed", "blocks.0.mlp.fc1.weight")
KEYS += ("y_embedder.embedding_table.weight", "final_layer.linear.weight")
LATER = ("feat_rope.freqs_cos", "blocks.0.norm1.weight")
"""Weights that only later transformers have (:mod:`.lightning_dit`)."""
INTERVAL = "r_embedder.mlp.0.weight"
"""Name of a weight that only MeanFlow has, for the length of its interval of times."""
PROJECTORS = "projectors."
"""Prefix of REPA's auxiliary weights, which are not needed for sampling."""

IMAGENET = 1000
"""Number of classes unless the arguments of a training say another; one row more is "no label"."""
HEADS = {1152: 16, 1024: 16, 768: 12, 384: 6}
"""Number of heads by width: XL, L, B and S of the paper (Peebles & Xie 2023, Table 1)."""
OTHER_HEADS = (1, 2, 3, 4, 6, 8, 12, 16, 24)

TRAININGS: dict[str, dict[str, Any]] = {
    "DiT": {
        "process": {"name": "discrete", "schedule": "linear", "steps": 1000},
        "prediction": "eps",
        "snap": "nearest",
        "sigma_min": 0.0100005,
        "sigma_max": 157.407,
    },
    "SiT": {**STRAIGHT, "factor": -1.0, "time": REVERSED},
    "SiT-GVP": {**CIRCLE, "factor": -2 / math.pi, "time": REVERSED},
    "SiT-VP": {**VP_LINEAR, "prediction": "velocity", "factor": -1.0, "time": REVERSED},
    "REPA": {**STRAIGHT, "time": {"of": "t"}},
    "REPA-cosine": {**CIRCLE, "factor": 2 / math.pi, "time": {"of": "t"}},
}
"""Fields of each training. DiT predicts the noise at 1000 times.

SiT predicts the velocity of a path from noise at t = 0 to data at t = 1. The path is straight, a circle (GVP), or the
VP process with a linear rate. REPA predicts the velocity of the reverse path. On the circle the velocity is pi / 2
times ``v``.
"""
PREDICTED: dict[str, dict[str, Any]] = {
    "velocity": {},
    "noise": {"prediction": "eps", "factor": 1.0},
    "score": {"prediction": "score", "factor": 1.0},
}
"""Changes to the fields of SiT by its training argument ``prediction``."""
MEAN_FLOW: dict[str, Any] = {**ENDS, **STRAIGHT, "time": {"of": "t"}, "kind": "map"}
"""Fields of MeanFlow, on a straight path with noise at t = 1.

The mean velocity u from t to 0 takes a state to its end x0 = x_t - t u (Geng et al. 2025,
arXiv:2505.13447, eq. 12, r = 0).
"""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a DiT, SiT, REPA or MeanFlow checkpoint; None for other files."""
    sets = find_sets(opened, KEYS)
    if not sets or any(key in tensors for tensors in sets.values() for key in LATER):
        return None
    entry, tensors = next(iter(sets.items()))
    arguments = read_transformer_arguments(tensors, tensors["x_embedder.proj.weight"], opened)
    channels, doubled = arguments["in_channels"], arguments["out_channels"]
    repa, mean = any(name.startswith(PROJECTORS) for name in tensors), INTERVAL in tensors
    if mean:
        arguments["interval"] = "whole"
    trainings = {k: {**ENDS, **v} for k, v in TRAININGS.items() if not repa or k.startswith("REPA")}
    trainings = {"MeanFlow": MEAN_FLOW} if mean else trainings
    heads = heads_answers("DiT", arguments, HEADS)
    settings, rows = training_arguments(opened), arguments["labels"]
    null = rows != settings.get("num_classes", IMAGENET)
    spec = Specification(
        family="dit",
        network=next(iter(heads.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, arguments["side"], arguments["side"]),
        process={"name": ""},
        prediction="",
        half="first" if doubled == 2 * channels else "",
        limits=None,
        classes=rows - null,
        null_label=null,
        labels="random",
        evidence=(*_evidence(channels, doubled, repa=repa, mean=mean), *choice_in_words(sets)),
        sources=dict.fromkeys(("network", "weights", "event", "half", "classes"), FILE),
        open={"training": trainings, "heads": heads},
    )
    training = "MeanFlow" if mean else _named_training(settings, repa=repa)
    path = str(settings.get("path_type", "linear"))
    if mean and path != "linear":
        problem = f"{opened.path} is MeanFlow's, trained along the path {path!r}"
        raise CheckpointError(f"{problem}; the straight one (linear) is read: {WRAP}")
    if training in trainings:
        spec = spec.with_answer("training", training, FILE)
    if training.startswith("SiT"):
        spec = replace(spec, **PREDICTED[settings.get("prediction", "velocity")])
    return spec.with_forced_answers()


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the transformer with its weights."""
    return load_network(DiT, spec, opened, find_sets(opened, KEYS), dropped=PROJECTORS)


def _evidence(channels: int, out: int, *, repa: bool, mean: bool) -> list[str]:
    variance = "no learned variance"
    if out == 2 * channels:
        variance = "the prediction, then a learned variance"
    interval = (
        "it is told the length of an interval of times too, as MeanFlow is: a few-step map; with "
        "kind=denoiser, the interval is 0, and it is an ordinary flow"
    )
    return [
        "the names of its weights are those of DiT, SiT and REPA",
        *["REPA's projectors are beside them"] * repa,
        *[interval] * mean,
        f"it gives {out} channels for {channels}: {variance}",
        *["samples are latents of 4 channels, and no decoder is in the file"] * (channels == 4),
    ]


def read_transformer_arguments(
    tensors: Tensors, stem: Tensor, opened: OpenedCheckpoint
) -> dict[str, Any]:
    """Return the arguments of a transformer with DiT's weight names, except its number of heads.

    ``stem`` is the weight of the first convolution. Raises a CheckpointError if the tokens form no
    square, or the number of outputs fits no prediction.
    """
    channels, patch = stem.shape[1], stem.shape[2]
    tokens, width = (tensors["pos_embed"].shape[i] for i in (1, 2))
    side, numbers = math.isqrt(tokens), len(tensors["final_layer.linear.weight"])
    if side**2 != tokens or numbers not in (patch**2 * channels, 2 * patch**2 * channels):
        raise CheckpointError(
            f"{opened.path}: its transformer has {tokens} tokens and gives {numbers} numbers for each "
            f"patch of {channels} x {patch} x {patch}, which is not DiT's; {WRAP}"
        )
    gated = tensors.get("blocks.0.mlp.w3.weight")
    return {
        "side": side * patch,
        "in_channels": channels,
        "out_channels": numbers // patch**2,
        "patch": patch,
        "width": width,
        "depth": 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")),
        "hidden": len(tensors["blocks.0.mlp.fc1.weight"]) if gated is None else gated.shape[1],
        "labels": len(tensors["y_embedder.embedding_table.weight"]),
        "frequencies": tensors["t_embedder.mlp.0.weight"].shape[1],
        "normed": "blocks.0.attn.q_norm.weight" in tensors,
    }


def heads_answers(
    network: str, arguments: Mapping[str, Any], published: Mapping[int, int]
) -> Answers:
    """Return answers to ``heads``: the ``published`` number by width, or else its usual divisors."""
    width = arguments["width"]
    divisors = [n for n in OTHER_HEADS if width % n == 0]
    return {
        str(n): {"network": {"class": network, "arguments": {**arguments, "heads": n}}}
        for n in ([published[width]] if width in published else divisors)
    }


def _named_training(settings: Mapping[str, Any], *, repa: bool) -> str:
    """Return the key in TRAININGS by training arguments, a REPA one if ``repa``; "" if unknown."""
    path = str(settings.get("path_type", "")).lower()
    if repa or "proj_coeff" in settings:
        return {"linear": "REPA", "cosine": "REPA-cosine"}.get(path, "")
    if path:
        is_known = settings.get("prediction", "velocity") in PREDICTED
        return {"linear": "SiT", "gvp": "SiT-GVP", "vp": "SiT-VP"}.get(path, "") if is_known else ""
    return "DiT" if {"model", "image_size", "vae"} <= set(settings) else ""
