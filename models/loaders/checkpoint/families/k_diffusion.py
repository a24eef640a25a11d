"""k-diffusion's trainings of its U-Net ``image_v1``: a ``.pth`` with ``config``, ``model`` and
``model_ema``, or a slim safetensors file with the configuration in its metadata.

The configuration says everything. Its transformers are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ....adapters import Network
from ....checkpoints.entries import entries_of
from ....checkpoints.opening import AGAIN, CheckpointError, Opened
from ....checkpoints.specification import FILE, Specification
from ....checkpoints.weights import WRAP, built, filled
from ....nets.k_image_v1 import KImageV1

WITHIN = "inner_model."
"""Before all names, where training augmented its images."""
AUGMENTED = 9
"""Numbers that the network is told of an augmentation."""
READ = "image_v1"
CONDITIONS = ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim", "skip_stages")
"""What a network is told besides, or leaves out, unless it is 0."""


def recognise(opened: Opened) -> Specification | None:
    """A file with a configuration of k-diffusion.

    Raises:
        CheckpointError: it is of another network, or the configuration lacks something.
    """
    config = _config(opened)
    sets = _sets(opened)
    if not config or not sets:
        return None
    entry = next(iter(sets))
    try:
        return _specification(opened, config, entry)
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{opened.path}: its configuration of k-diffusion lacks {error}; {AGAIN}"
        ) from None


def network(spec: Specification, opened: Opened) -> Network:
    """The U-Net.

    Raises:
        CheckpointError: its weights do not fit it.
    """
    raw = built(KImageV1, spec.network["arguments"], opened.path)
    tensors = _sets(opened).get(spec.weights["entry"], {})
    return filled(raw, {k: v.float() for k, v in tensors.items()}, opened.path)


def _config(opened: Opened) -> Mapping[str, Any]:
    """The configuration's part ``model``; empty where there is none."""
    held = opened.value.get("config") if isinstance(opened.value, Mapping) else None
    if "config" in opened.metadata:
        try:
            held = json.loads(opened.metadata["config"])
        except ValueError:
            return {}
    model = held.get("model") if isinstance(held, Mapping) else None
    return model if isinstance(model, Mapping) and "sigma_data" in model else {}


def _sets(opened: Opened) -> dict[str, dict[str, Tensor]]:
    return {
        entry: {name.removeprefix(WITHIN): t for name, t in tensors.items()}
        for entry, tensors in entries_of(opened).items()
    }


def _specification(opened: Opened, config: Mapping[str, Any], entry: str) -> Specification:
    kind = config["type"]
    more = [name for name in CONDITIONS if config.get(name)]
    if kind != READ or more:
        what = f"told or built with {', '.join(more)}" if kind == READ else f"a network {kind!r}"
        raise CheckpointError(
            f"{opened.path} is k-diffusion's, but {what}; {READ} alone, without conditions, is read: "
            f"{WRAP}"
        )
    sides = config["input_size"]
    height, width = sides if isinstance(sides, list) else (sides, sides)
    arguments = {
        "channels": config["input_channels"],
        "embedding": config["mapping_out"],
        "depths": config["depths"],
        "widths": config["channels"],
        "attention": config["self_attn_depths"],
        "patch": config.get("patch_size", 1),
        "conditions": AUGMENTED if config.get("augment_wrapper", True) else 0,
        "variance": bool(config.get("has_variance", False)),
    }
    return Specification(
        family="k_diffusion",
        network={"class": "KImageV1", "arguments": arguments},
        weights={"file": str(opened.path), "entry": entry},
        event=(config["input_channels"], height, width),
        process={"name": "edm", "sigma_data": config["sigma_data"]},
        prediction="edm",
        time={"of": "log_level", "scale": 0.25},
        sigma_min=config["sigma_min"],
        sigma_max=config["sigma_max"],
        evidence=("it has a configuration of k-diffusion, of its network image_v1",),
        sources=dict.fromkeys(
            ("network", "weights", "event", "process", "sigma_min", "sigma_max"), FILE
        ),
    )
