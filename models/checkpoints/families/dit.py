"""Transformers of DiT, SiT, REPA and MeanFlow: the same weights by name, trained in different ways.

The shapes give the sizes. Prediction, path and direction of time are open, unless the file has the
arguments of its training. Published networks are for latents; their files hold no decoder. MeanFlow's
have a second embedding of times, and are few-step maps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...adapters import Network
from ...nets.dit import DiT
from ...process import VPLinear
from ..opening import CheckpointError, Opened
from ..specification import FAMILY, FILE, Specification
from ..weights import WRAP, Sets, choice_among, entries_of, loaded, settings_of

KEYS = ("x_embedder.proj.weight", "t_embedder.mlp.0.weight", "pos_embed")
KEYS += (
    "y_embedder.embedding_table.weight",
    "blocks.0.mlp.fc1.weight",
    "final_layer.linear.weight",
)
LATER = ("feat_rope.freqs_cos", "blocks.0.norm1.weight")
"""Weights of later transformers (:mod:`.lightning_dit`)."""
INTERVAL = "r_embedder.mlp.0.weight"
"""Weight of MeanFlow, whose input is also the length of the interval of its mean velocity."""
PROJECTORS = "projectors."
"""Prefix of REPA's auxiliary weights, which sampling does not need."""

HEADS = {1152: 16, 1024: 16, 768: 12, 384: 6}
"""Heads by width: XL, L, B and S of the paper (Peebles & Xie 2023, Table 1)."""
OTHER_HEADS = (1, 2, 3, 4, 6, 8, 12, 16, 24)

ENDS = {"sigma_min": 1e-3, "sigma_max": 1e4}
"""Levels of paths whose level is infinite at the end."""
REVERSED = {"of": "t", "scale": -1.0, "offset": 1.0}

TRAININGS: dict[str, dict[str, Any]] = {
    "DiT": {
        "process": {"name": "discrete", "schedule": "linear", "steps": 1000},
        "prediction": "eps",
        "snap": "nearest",
        "sigma_min": 0.0100005,
        "sigma_max": 157.407,
    },
    "SiT": {"process": {"name": "flow"}, "prediction": "flow", "factor": -1.0, "time": REVERSED},
    "SiT-GVP": {
        "process": {"name": "trigonometric"},
        "prediction": "v",
        "factor": -2 / math.pi,
        "time": REVERSED,
    },
    "SiT-VP": {
        "process": {"name": "vp_linear"},
        "prediction": "velocity",
        "factor": -1.0,
        "time": REVERSED,
        "sigma_min": VPLinear().level(1e-3),
        "sigma_max": VPLinear().level(1.0),
    },
    "REPA": {"process": {"name": "flow"}, "prediction": "flow", "time": {"of": "t"}},
    "REPA-cosine": {
        "process": {"name": "trigonometric"},
        "prediction": "v",
        "factor": 2 / math.pi,
        "time": {"of": "t"},
    },
}
"""Predictions of each: DiT, the noise at 1000 times; SiT, the velocity of a path from noise at t = 0 to
data at t = 1, on a line, a circle, or with a linear rate of noise; REPA, of the reverse path. On the
circle the velocity is pi / 2 times ``v``.
"""
PREDICTED: dict[str, dict[str, Any]] = {
    "velocity": {},
    "noise": {"prediction": "eps", "factor": 1.0},
    "score": {"prediction": "score", "factor": 1.0},
}
"""Changes to SiT's training by its argument ``prediction``."""
MEAN_FLOW: dict[str, Any] = {
    **ENDS,
    "process": {"name": "flow"},
    "prediction": "flow",
    "time": {"of": "t"},
    "kind": "map",
}
"""Training of MeanFlow. The mean velocity u from t to 0 on a straight path with noise at t = 1 takes a
state to its end, x0 = x_t - t u (Geng et al. 2025, arXiv:2505.13447, eq. 12 with r = 0).
"""

Answers = dict[str, dict[str, Any]]
Tensors = Mapping[str, Tensor]


def recognise(opened: Opened) -> Specification | None:
    """Recognise a state dict of the transformer, alone or as an entry such as ``ema``."""
    sets = entries_of(opened, KEYS)
    later = any(key in tensors for tensors in sets.values() for key in LATER)
    return _specification(opened, sets) if sets and not later else None


def network(spec: Specification, opened: Opened) -> Network:
    """Make the transformer."""
    return loaded(DiT, spec, opened, entries_of(opened, KEYS), (PROJECTORS,))


def _specification(opened: Opened, sets: Sets) -> Specification:
    entry, tensors = next(iter(sets.items()))
    layout = _layout(opened, tensors)
    channels, doubled = layout["in_channels"], layout["out_channels"]
    repa, mean = any(name.startswith(PROJECTORS) for name in tensors), INTERVAL in tensors
    trainings = {k: {**ENDS, **v} for k, v in TRAININGS.items() if not repa or k.startswith("REPA")}
    trainings = {"MeanFlow": MEAN_FLOW} if mean else trainings
    heads = _heads(layout)
    spec = Specification(
        family="dit",
        network=next(iter(heads.values()))["network"],
        weights={"file": str(opened.path), "entry": entry},
        event=(channels, layout["side"], layout["side"]),
        process={"name": ""},
        prediction="",
        half="first" if doubled == 2 * channels else "",
        limits=None,
        classes=layout["labels"] - 1,
        null_label=True,
        labels="random",
        evidence=(*_evidence(layout, repa=repa, mean=mean), *choice_among(sets)),
        sources=dict.fromkeys(("network", "weights", "event", "half", "classes"), FILE),
        open={"training": trainings, "heads": heads},
    )
    if len(heads) == 1:
        spec = spec.answered("heads", next(iter(heads)), FAMILY)
    if mean:
        path = str(settings_of(opened).get("path_type", "linear"))
        if path != "linear":
            raise CheckpointError(
                f"{opened.path} is MeanFlow's, trained along the path {path!r}; the straight one "
                f"(linear) is read: {WRAP}"
            )
        return spec.answered("training", "MeanFlow", FILE)
    settings = settings_of(opened)
    training = _named_training(settings, repa=repa)
    if training not in trainings:
        return spec
    return replace(spec.answered("training", training, FILE), **_predicted(settings, training))


def _evidence(dit_arguments: Mapping[str, Any], *, repa: bool, mean: bool) -> tuple[str, ...]:
    channels = dit_arguments["in_channels"]
    doubled = dit_arguments["out_channels"] == 2 * channels
    return (
        "the names of its weights are those of DiT, SiT and REPA",
        *(["REPA's projectors are beside them"] if repa else []),
        *(
            [
                "it is told the length of an interval of times too, as MeanFlow is: a few-step map; with "
                "kind=denoiser, the interval is 0, and it is an ordinary flow"
            ]
            if mean
            else []
        ),
        f"it gives {dit_arguments['out_channels']} channels for {channels}: "
        + ("the prediction, then a learned variance" if doubled else "no learned variance"),
        *(
            ["samples are latents of 4 channels, and no decoder is in the file"]
            if channels == 4
            else []
        ),
    )


def _layout(opened: Opened, tensors: Tensors) -> dict[str, Any]:
    """Return the arguments of the transformer without its heads."""
    width, channels, patch, _ = tensors["x_embedder.proj.weight"].shape
    tokens = tensors["pos_embed"].shape[1]
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    numbers = len(tensors["final_layer.linear.weight"])
    side = math.isqrt(tokens)
    if side**2 != tokens or numbers not in (patch**2 * channels, 2 * patch**2 * channels):
        raise CheckpointError(
            f"{opened.path}: its transformer has {tokens} tokens and gives {numbers} numbers for each "
            f"patch of {channels} x {patch} x {patch}, which is not DiT's; {WRAP}"
        )
    return {
        "side": side * patch,
        "in_channels": channels,
        "out_channels": numbers // patch**2,
        "patch": patch,
        "width": width,
        "depth": depth,
        "hidden": len(tensors["blocks.0.mlp.fc1.weight"]),
        "labels": len(tensors["y_embedder.embedding_table.weight"]),
        "frequencies": tensors["t_embedder.mlp.0.weight"].shape[1],
        "normed": "blocks.0.attn.q_norm.weight" in tensors,
        **({"interval": "whole"} if INTERVAL in tensors else {}),
    }


def _heads(dit_arguments: Mapping[str, Any]) -> Answers:
    """Return the possible numbers of heads: of a published width, or all that divide it."""
    width = dit_arguments["width"]
    heads = (HEADS[width],) if width in HEADS else (n for n in OTHER_HEADS if width % n == 0)
    return {
        str(n): {"network": {"class": "DiT", "arguments": {**dit_arguments, "heads": n}}}
        for n in heads
    }


def _named_training(settings: Mapping[str, Any], *, repa: bool) -> str:
    """Return the training that the file's arguments name; "" for none or another."""
    path = str(settings.get("path_type", "")).lower()
    if repa or "proj_coeff" in settings:
        return {"linear": "REPA", "cosine": "REPA-cosine"}.get(path, "")
    if path:
        is_known = settings.get("prediction", "velocity") in PREDICTED
        return {"linear": "SiT", "gvp": "SiT-GVP", "vp": "SiT-VP"}.get(path, "") if is_known else ""
    return "DiT" if {"model", "image_size", "vae"} <= set(settings) else ""


def _predicted(settings: Mapping[str, Any], training: str) -> dict[str, Any]:
    """Return the fields of a SiT that was trained to predict something else than the velocity."""
    return PREDICTED[settings.get("prediction", "velocity")] if training.startswith("SiT") else {}
