"""Checkpoints of k-diffusion: ``image_v1``, a U-Net, and ``image_transformer_v1`` and ``_v2``.

A file is a ``.pth`` with ``config``, ``model`` and ``model_ema``, or safetensors with the configuration as metadata.
The configuration describes the network. Hidden widths, which it may omit, are read from the shapes of the weights.

Files: a training's ``.pth``, whose average is taken, or a slim safetensors file.
Process: EDM, with ``sigma_data`` and the range of levels from the file.
Prediction: EDM's F, with the time ln(sigma) / 4. Inputs for augmentation are 0.
Say: nothing. The transformers may have classes; the last label is "no label", which only networks trained with
    ``cond_dropout_rate`` know.
Refused: other conditions (``mapping_cond_dim``), transformers with a learned variance, and ``self_attns`` of other
    types than ``global``, ``shifted-window``, ``neighborhood`` and ``none``.
From noise alone: no. The network's time ln(sigma) is infinite there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ...adapters import Network
from ...nets.k_image_v1 import KImageV1
from ...nets.k_transformers import KTransformerV1, KTransformerV2
from ..opening import AGAIN, CheckpointError, OpenedCheckpoint, error_in_words
from ..processes import edm_fields
from ..specification import FILE, Specification
from ..weights import WRAP, Sets, Tensors, choice_in_words, find_sets, load_network

IMAGE_V1 = "image_v1"
NETWORKS: dict[str, type[nn.Module]] = {
    IMAGE_V1: KImageV1,
    "image_transformer_v1": KTransformerV1,
    "image_transformer_v2": KTransformerV2,
}
KEYS = {IMAGE_V1: ("proj_in.weight", "timestep_embed.weight")}
OTHER_KEYS = ("time_in_proj.weight",)
"""Names of weights that the transformers have."""
CONDITIONS = ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim", "skip_stages")
"""Settings for conditions or missing stages, of which only 0 or nothing is supported."""
ATTENTION = ("global", "neighborhood", "shifted-window", "none")
USUAL_ATTENTION = {"type": "neighborhood", "d_head": 64, "kernel_size": 7}
"""Default attention of the library, at all levels but the last, which has global attention."""


def recognise(opened: OpenedCheckpoint) -> Specification | None:
    """Return the specification of a file with k-diffusion's configuration; else None."""
    config = _model_config(opened)
    if not config:
        return None
    try:
        return _specification(opened, config, _weight_sets(opened, config))
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{opened.path}: its configuration of k-diffusion and its weights do not fit "
            f"({error_in_words(error)}); {AGAIN}"
        ) from None


def network(spec: Specification, opened: OpenedCheckpoint) -> Network:
    """Return the U-Net or transformer with its weights."""
    kinds = {kind.__name__: kind for kind in NETWORKS.values()}
    sets = _weight_sets(opened, _model_config(opened))
    return load_network(kinds[spec.network["class"]], spec, opened, sets)


def _model_config(opened: OpenedCheckpoint) -> Mapping[str, Any]:
    """Return ``config["model"]`` with classes and their dropout added; {} for other files."""
    config = opened.entries.get("config")
    if "config" in opened.metadata:
        try:
            config = json.loads(opened.metadata["config"])
        except ValueError:
            return {}
    config = config if isinstance(config, Mapping) else {}
    model, data = config.get("model"), config.get("dataset")
    if not isinstance(model, Mapping) or "sigma_data" not in model:
        return {}
    data = data if isinstance(data, Mapping) else {}
    dropout = float(data.get("cond_dropout_rate", 0.1))  # the library's default
    return {**model, "num_classes": int(data.get("num_classes") or 0), "dropout": dropout}


def _weight_sets(opened: OpenedCheckpoint, config: Mapping[str, Any]) -> Sets:
    return find_sets(opened, KEYS.get(str(config.get("type")), OTHER_KEYS))


def _specification(
    opened: OpenedCheckpoint, config: Mapping[str, Any], sets: Sets
) -> Specification:
    path, kind = opened.path, config["type"]
    more = [name for name in CONDITIONS if config.get(name)]
    if kind != IMAGE_V1 and config.get("has_variance"):
        more.append("has_variance")
    if kind not in NETWORKS or more:
        conditions = f"conditioned on or built with {', '.join(more)}"
        what = conditions if kind in NETWORKS else f"a network {kind!r}"
        raise CheckpointError(
            f"{path} is k-diffusion's, but {what}; {', '.join(NETWORKS)} are read, without "
            f"conditions but classes: {WRAP}"
        )
    if not sets:
        raise CheckpointError(f"{path} has k-diffusion's configuration but no {kind}; {AGAIN}")
    entry, tensors = next(iter(sets.items()))
    height, width = _as_pair(config["input_size"])
    classes = 0 if kind == IMAGE_V1 else config["num_classes"]
    arguments = _read_arguments(opened, config, tensors)
    read = ("network", "weights", "event", "process", "sigma_min", "sigma_max", "classes")
    return Specification(
        family="k_diffusion",
        network={"class": NETWORKS[kind].__name__, "arguments": arguments},
        weights={"file": str(path), "entry": entry},
        event=(config["input_channels"], height, width),
        **edm_fields(config["sigma_data"]),
        sigma_min=config["sigma_min"],
        sigma_max=config["sigma_max"],
        classes=classes,
        null_label=classes > 0 and config["dropout"] > 0,
        labels="random" if classes else "none",
        evidence=(
            f"it has a configuration of k-diffusion, of its network {kind}",
            *choice_in_words(sets),
        ),
        sources=dict.fromkeys(read, FILE),
    )


def _read_arguments(
    opened: OpenedCheckpoint, config: Mapping[str, Any], tensors: Tensors
) -> dict[str, Any]:
    if config["type"] == IMAGE_V1:
        return {
            "channels": config["input_channels"],
            "embedding": config["mapping_out"],
            "depths": config["depths"],
            "widths": config["channels"],
            "attention": config["self_attn_depths"],
            "patch": config.get("patch_size", 1),
            # parameters of a data augmentation
            "conditions": 9 if config.get("augment_wrapper", True) else 0,
            "variance": bool(config.get("has_variance", False)),
        }

    def hidden(layer: str) -> int:
        return tensors[f"{layer}.down_proj.weight"].shape[1]

    shared = {
        "channels": config["input_channels"],
        "patch": _as_pair(config["patch_size"]),
        # plus one for "no label"
        "labels": config["num_classes"] + 1 if config["num_classes"] else 0,
    }
    if config["type"] == "image_transformer_v1":
        sizes = {"width": config["width"], "depth": config["depth"]}
        return {**shared, **sizes, "hidden": hidden("blocks.0.ff")}
    attention = _attention_by_level(opened, config)
    last = len(config["widths"]) - 1
    levels = [*(f"down_levels.{i}.0" for i in range(last)), "mid_level.0"]
    return {
        **shared,
        "widths": config["widths"],
        "depths": config["depths"],
        "hidden": [hidden(f"{level}.ff") for level in levels],
        "attention": attention,
        "embedding": config.get("mapping_width", 256),
        "embedding_hidden": hidden("mapping.blocks.0"),
        "embedding_depth": config.get("mapping_depth", 2),
    }


def _as_pair(size: Any) -> list[int]:
    return list(size) if isinstance(size, list) else [size, size]


def _attention_by_level(
    opened: OpenedCheckpoint, config: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]]:
    """Return the settings of attention for each level; refuse types that are unknown or misfit."""
    usual = [USUAL_ATTENTION] * (len(config["widths"]) - 1) + [{"type": "global", "d_head": 64}]
    attention = config.get("self_attns") or usual
    if unknown := [of["type"] for of in attention if of["type"] not in ATTENTION]:
        raise CheckpointError(
            f"{opened.path}: self_attns of type {unknown[0]!r} is none of {', '.join(ATTENTION)}; {WRAP}"
        )
    if wrong := _why_misfit(config, attention):
        raise CheckpointError(f"{opened.path}: {wrong}; {AGAIN}")
    return attention


def _why_misfit(config: Mapping[str, Any], attention: Sequence[Mapping[str, Any]]) -> str:
    """Return the reason why a level's attention does not fit its image side; "" if all fit."""
    sides, patch = _as_pair(config["input_size"]), _as_pair(config["patch_size"])
    if len(attention) != len(config["widths"]) or len(attention) != len(config["depths"]):
        return "widths, depths and self_attns of its configuration are not as many"
    for i, of in enumerate(attention):
        at = [side // (size * 2**i) for side, size in zip(sides, patch, strict=True)]
        if of["type"] == "neighborhood" and min(at) < of.get("kernel_size", 7):
            return f"level {i} has {at[0]} x {at[1]} places, fewer than its neighbourhoods"
        if of["type"] == "shifted-window" and any(n % of["window_size"] for n in at):
            return f"level {i} has {at[0]} x {at[1]} places, no multiple of its windows"
    return ""
