"""Checkpoints of k-diffusion's U-Net ``image_v1`` and transformers ``image_transformer_v1`` and ``_v2``: a
``.pth`` with ``config``, ``model`` and ``model_ema``, or safetensors with the configuration in its metadata.

The configuration is complete, with the shapes in place of the library's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ...adapters import Network
from ...nets.k_image_v1 import KImageV1
from ...nets.k_transformers import KTransformerV1, KTransformerV2
from ..opening import AGAIN, CheckpointError, Opened
from ..specification import FILE, Specification
from ..weights import WRAP, Sets, built, choice_among, entries_of, entry_named, filled

IMAGE_V1 = "image_v1"
KEYS = {IMAGE_V1: ("proj_in.weight", "timestep_embed.weight")}
OTHER_KEYS = ("time_in_proj.weight",)
"""Names of weights of transformers."""
AUGMENTED = 9
"""Input numbers that describe an augmentation."""
CONDITIONS = ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim", "skip_stages")
"""Settings of unsupported conditions or missing stages, unless they are 0."""
CLASSES: dict[str, type[nn.Module]] = {
    "KImageV1": KImageV1,
    "KTransformerV1": KTransformerV1,
    "KTransformerV2": KTransformerV2,
}
ATTENTION = ("global", "neighborhood", "shifted-window", "none")
USUAL_ATTENTION = {"type": "neighborhood", "d_head": 64, "kernel_size": 7}
"""Default of the library, at all levels but the last, which attends everywhere."""


def recognise(opened: Opened) -> Specification | None:
    """Recognise a file with a configuration of k-diffusion."""
    config = _config(opened)
    if not config:
        return None
    try:
        return _specification(opened, config, _sets(opened, config))
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{opened.path}: its configuration of k-diffusion lacks {error}; {AGAIN}"
        ) from None


def network(spec: Specification, opened: Opened) -> Network:
    """Make the network."""
    raw = built(CLASSES[spec.network["class"]], spec.network["arguments"], opened.path)
    tensors = entry_named(_sets(opened, _config(opened)), spec.weights["entry"], opened)
    return filled(raw, tensors, opened.path)


def _config(opened: Opened) -> Mapping[str, Any]:
    """Return the configuration's part ``model``, with its dataset's number of classes; empty without one."""
    config = opened.value.get("config") if isinstance(opened.value, Mapping) else None
    if "config" in opened.metadata:
        try:
            config = json.loads(opened.metadata["config"])
        except ValueError:
            return {}
    model = config.get("model") if isinstance(config, Mapping) else None
    if not isinstance(model, Mapping) or "sigma_data" not in model:
        return {}
    data = config.get("dataset") if isinstance(config, Mapping) else None
    classes = data.get("num_classes") if isinstance(data, Mapping) else 0
    return {**model, "num_classes": int(classes or 0)}


def _sets(opened: Opened, config: Mapping[str, Any]) -> Sets:
    return entries_of(opened, KEYS.get(str(config.get("type")), OTHER_KEYS))


def _specification(opened: Opened, config: Mapping[str, Any], sets: Sets) -> Specification:
    kind = config["type"]
    more = [name for name in CONDITIONS if config.get(name)]
    if kind != IMAGE_V1 and config.get("has_variance"):
        more.append("has_variance")
    if kind not in _READ or more:
        what = f"told or built with {', '.join(more)}" if kind in _READ else f"a network {kind!r}"
        raise CheckpointError(
            f"{opened.path} is k-diffusion's, but {what}; {', '.join(_READ)} are read, without "
            f"conditions but classes: {WRAP}"
        )
    if not sets:
        raise CheckpointError(
            f"{opened.path} has k-diffusion's configuration but no {kind}; {AGAIN}"
        )
    entry, tensors = next(iter(sets.items()))
    sides = config["input_size"]
    height, width = sides if isinstance(sides, list) else (sides, sides)
    cls, arguments = _READ[kind](opened, config, tensors)
    classes = 0 if kind == IMAGE_V1 else config["num_classes"]
    return Specification(
        family="k_diffusion",
        network={"class": cls, "arguments": arguments},
        weights={"file": str(opened.path), "entry": entry},
        event=(config["input_channels"], height, width),
        process={"name": "edm", "sigma_data": config["sigma_data"]},
        prediction="edm",
        time={"of": "log_level", "scale": 0.25},
        sigma_min=config["sigma_min"],
        sigma_max=config["sigma_max"],
        classes=classes,
        null_label=classes > 0,
        labels="random" if classes else "none",
        evidence=(
            f"it has a configuration of k-diffusion, of its network {kind}",
            *choice_among(sets),
        ),
        sources=dict.fromkeys(
            ("network", "weights", "event", "process", "sigma_min", "sigma_max", "classes"), FILE
        ),
    )


Made = tuple[str, dict[str, Any]]
"""Pair of a class's name and its arguments."""


def _image_v1(
    opened: Opened,  # noqa: ARG001 - as the others
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],  # noqa: ARG001 - as the others
) -> Made:
    return "KImageV1", {
        "channels": config["input_channels"],
        "embedding": config["mapping_out"],
        "depths": config["depths"],
        "widths": config["channels"],
        "attention": config["self_attn_depths"],
        "patch": config.get("patch_size", 1),
        "conditions": AUGMENTED if config.get("augment_wrapper", True) else 0,
        "variance": bool(config.get("has_variance", False)),
    }


def _patch(config: Mapping[str, Any]) -> list[int]:
    patch = config["patch_size"]
    return list(patch) if isinstance(patch, list) else [patch, patch]


def _labels(config: Mapping[str, Any]) -> int:
    """Return the rows of the table of classes, which has one for "no label"."""
    return config["num_classes"] + 1 if config["num_classes"] else 0


def _hidden(tensors: Mapping[str, Tensor], layer: str) -> int:
    """Return the width of a perceptron, from the shapes: the configuration may leave it to the library's
    rule.
    """
    return tensors[f"{layer}.down_proj.weight"].shape[1]


def _transformer_v1(
    opened: Opened,  # noqa: ARG001 - as the others
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Made:
    return "KTransformerV1", {
        "channels": config["input_channels"],
        "width": config["width"],
        "hidden": _hidden(tensors, "blocks.0.ff"),
        "depth": config["depth"],
        "patch": _patch(config),
        "labels": _labels(config),
    }


def _transformer_v2(
    opened: Opened, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Made:
    widths, depths = config["widths"], config["depths"]
    last = len(widths) - 1
    usual = [USUAL_ATTENTION] * last + [{"type": "global", "d_head": 64}]
    attention = config.get("self_attns") or usual
    unknown = [of["type"] for of in attention if of["type"] not in ATTENTION]
    if unknown:
        raise CheckpointError(
            f"{opened.path}: self_attns of type {unknown[0]!r} is none of {', '.join(ATTENTION)}; {WRAP}"
        )
    if wrong := _misfit(config, attention):
        raise CheckpointError(f"{opened.path}: {wrong}; {AGAIN}")
    levels = [f"down_levels.{i}.0" if i < last else "mid_level.0" for i in range(last + 1)]
    return "KTransformerV2", {
        "channels": config["input_channels"],
        "patch": _patch(config),
        "widths": widths,
        "depths": depths,
        "hidden": [_hidden(tensors, f"{level}.ff") for level in levels],
        "attention": attention,
        "embedding": config.get("mapping_width", 256),
        "embedding_hidden": _hidden(tensors, "mapping.blocks.0"),
        "embedding_depth": config.get("mapping_depth", 2),
        "labels": _labels(config),
    }


def _misfit(config: Mapping[str, Any], attention: Sequence[Mapping[str, Any]]) -> str:
    """Return the reason why the places of a level cannot be attended to; "" if they can."""
    sides, patch = config["input_size"], _patch(config)
    sides = sides if isinstance(sides, list) else [sides, sides]
    if len(attention) != len(config["widths"]) or len(attention) != len(config["depths"]):
        return "widths, depths and self_attns of its configuration are not as many"
    for i, of in enumerate(attention):
        at = [side // (size * 2**i) for side, size in zip(sides, patch, strict=True)]
        if of["type"] == "neighborhood" and min(at) < of.get("kernel_size", 7):
            return f"level {i} has {at[0]} x {at[1]} places, fewer than its neighbourhoods"
        if of["type"] == "shifted-window" and any(n % of["window_size"] for n in at):
            return f"level {i} has {at[0]} x {at[1]} places, no multiple of its windows"
    return ""


_READ: dict[str, Callable[[Opened, Mapping[str, Any], Mapping[str, Tensor]], Made]] = {
    "image_v1": _image_v1,
    "image_transformer_v1": _transformer_v1,
    "image_transformer_v2": _transformer_v2,
}
"""Readers by the network's ``type``."""
