"""Content of a diffusers folder: network, weights, scheduler and decoder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..opening import (
    AGAIN,
    CheckpointError,
    OpenedCheckpoint,
    first_bytes,
    open_checkpoint,
    shards_of,
)
from ..weights import WRAP
from .scheduler import SCHEDULER

INDEX, CONFIG = "model_index.json", "config.json"
UNET, DIT = "UNet2DModel", "DiTTransformer2DModel"
UNET_TEXT, SD3 = "UNet2DConditionModel", "SD3Transformer2DModel"
FLUX, SANA = "FluxTransformer2DModel", "SanaTransformer2DModel"
OF_TEXT = (UNET_TEXT, SD3, FLUX, SANA)
NETWORKS = {UNET: UNET, DIT: DIT, "Transformer2DModel": DIT, **{cls: cls for cls in OF_TEXT}}
"""Classes of networks in today's diffusers by the class names that files may give."""
DECODERS = ("vae", "vqvae")
TEXT = ("text_encoder", "tokenizer", "bert", "safety_checker", "feature_extractor", "image_encoder")
"""Name prefixes of pipeline parts that are never loaded, such as text encoders and tokenizers."""
DECODERS_READ = ("AutoencoderKL", "VQModel")
"""Classes of decoders that can be applied."""
STEM = "diffusion_pytorch_model"
PIPELINE = "pipeline"
"""Value of ``network.call`` for a network without a known convention, called by its pipeline."""


@dataclass(frozen=True)
class Folder:
    """Content of a diffusers folder.

    Attributes:
        pipeline: class of the pipeline; "" for a network alone.
        part: subfolder of the network; "" for the folder itself.
        network: class of the network: a value of :data:`NETWORKS`, or another class, which the pipeline calls.
        config: settings of the network.
        weights: path of the weights in the folder, such as ``unet/diffusion_pytorch_model.safetensors``.
        variant: variant of the weights, such as ``fp16``; "" for none.
        scheduler: settings of the scheduler, with its class as ``_class_name``.
        decoder: class, folder and scaling of the decoder; empty if there is none.
        decode: True if the decoder's class is supported and its weights are in the folder.
        by_pipeline: reason why only the pipeline itself can call the network; "" if its convention is known.
        prompts: True if ``model_index.json`` names a part in :data:`TEXT`, such as a text encoder, even if null.
    """

    pipeline: str
    part: str
    network: str
    config: Mapping[str, Any]
    weights: str
    variant: str
    scheduler: Mapping[str, Any]
    decoder: Mapping[str, Any]
    decode: bool = False
    by_pipeline: str = ""
    prompts: bool = False


def read_folder(opened: OpenedCheckpoint) -> Folder | None:
    """Return the content of a folder; None if it is no folder of diffusers.

    Raises a CheckpointError if a part of the folder is missing, damaged or unsupported.
    """
    if opened.container != "folder":
        return None
    if (opened.path / INDEX).is_file():
        return _read_pipeline(opened, opened.config(INDEX))
    if not (opened.path / CONFIG).is_file():
        return None
    config = opened.config(CONFIG)
    class_name = str(config.get("_class_name"))
    if class_name not in NETWORKS:
        if "_diffusers_version" in config:
            raise _unsupported_error(opened, f"a {class_name} of diffusers")
        return None
    weights, scheduler = weights_file_of(opened, ""), _read_scheduler(opened, "")
    return Folder("", "", NETWORKS[class_name], config, *weights, scheduler, {})


def _read_pipeline(opened: OpenedCheckpoint, index: Mapping[str, Any]) -> Folder:
    pipeline = str(index.get("_class_name"))
    parts = {
        name: _checked_class(opened.path, name, value[1])
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and value[1] is not None
    }
    networks = [name for name in parts if not name.startswith((*TEXT, *DECODERS, "scheduler"))]
    foreign = [parts[name] for name in networks if index[name][0] != "diffusers"]
    if len(networks) != 1 or foreign:
        what = ", ".join(foreign or [parts[name] for name in networks] or parts.values())
        raise _unsupported_error(opened, f"a {pipeline} ({what})")
    part = _folder_of_part(opened, networks[0], CONFIG)
    config = opened.config(posixpath.join(part, CONFIG))
    scheduler = _read_scheduler(opened, _folder_of_part(opened, "scheduler", SCHEDULER))
    scheduler = {"_class_name": parts.get("scheduler"), **scheduler}
    cls = NETWORKS.get(parts[networks[0]], parts[networks[0]])
    weights, decoder = weights_file_of(opened, part), _decoder_fields(opened, parts)
    decode = decoder.get("class") in DECODERS_READ and any(
        (opened.path / decoder["folder"]).glob(f"{STEM}*")
    )
    prompts = any(name.startswith(TEXT) for name in index)
    why = ""
    if cls not in NETWORKS.values():
        why = f"the way in which a {pipeline} calls its {cls} is unknown"
    elif prompts and cls not in OF_TEXT:
        why = f"a {pipeline} gives its {cls} more than class numbers"
    return Folder(pipeline, part, cls, config, *weights, scheduler, decoder, decode, why, prompts)


def _checked_class(path: Path, name: str, cls: Any) -> str:
    """Return ``cls``; raise a CheckpointError if it is no text, or ``name`` is no folder name."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        problem = f"{path}: {INDEX} has a part called {name!r}, which is no name of a folder in it"
        raise CheckpointError(f"{problem}; download the folder again, from where you trust it")
    if not isinstance(cls, str):
        raise CheckpointError(f"{path}: {INDEX} has a part of the class {cls!r}; {AGAIN}")
    return cls


def _unsupported_error(opened: OpenedCheckpoint, what: str) -> CheckpointError:
    return CheckpointError(
        f"{opened.path} is {what}, which is not read: only pipelines of one network of diffusers are, "
        f"and folders of one {UNET} or {DIT}; {WRAP}"
    )


def _folder_of_part(opened: OpenedCheckpoint, name: str, file: str) -> str:
    """Return ``name``, the subfolder of a part; "" if only the folder itself has ``file``."""
    return "" if not (opened.path / name).is_dir() and (opened.path / file).is_file() else name


def _read_scheduler(opened: OpenedCheckpoint, part: str) -> dict[str, Any]:
    wanted = posixpath.join(part, SCHEDULER)
    for inside in (wanted, posixpath.join(part or "scheduler", SCHEDULER)):
        if (opened.path / inside).is_file():
            return opened.config(inside)
    raise CheckpointError(
        f"{opened.path} has no {SCHEDULER}, and without it the prediction at each noise level is unknown; "
        f"copy it there as {wanted}, or give the folder above if that has {INDEX}"
    )


def weights_file_of(opened: OpenedCheckpoint, part: str) -> tuple[str, str]:
    """Return the path of a part's weights in the folder, and their variant, such as ``fp16`` or "".

    For weights in several files, it is the path of their index. Files without a variant are
    preferred, then safetensors. Raises a CheckpointError for missing or incomplete weights.
    """
    folder = opened.path / part
    candidates = []
    for path in sorted(folder.glob(f"{STEM}*")):
        words = path.name.split(".")[1:]
        variant = ".".join(w for w in words if w not in ("safetensors", "bin", "index", "json"))
        if {"safetensors", "bin"} & set(words) and "-of-" not in path.name:
            candidates.append((variant, "bin" in words, path))
    if not candidates:
        raise CheckpointError(
            f"{folder} has no weights: there is no {STEM}.safetensors or .bin in it; "
            "download them too (a clone without Git LFS leaves them out)"
        )
    variant, _, path = min(candidates)
    if path.suffix == ".json":
        shards_of(path)
    else:
        first_bytes(path)
    return posixpath.join(part, path.name), variant


def check_no_code(weights: Path) -> None:
    """Check that ``weights``, a file or an index of files, contains no pickle with code.

    Raises a CheckpointError if a ``.bin`` file has code or is unreadable, or the index is damaged.
    """
    for file in shards_of(weights) if weights.suffix == ".json" else [weights]:
        if file.suffix == ".bin":
            open_checkpoint(file)


def _decoder_fields(opened: OpenedCheckpoint, parts: Mapping[str, str]) -> dict[str, Any]:
    name = next((name for name in DECODERS if name in parts), None)
    if name is None:
        return {}
    return {"class": parts[name], "folder": name, **scaling_of(opened.config(f"{name}/{CONFIG}"))}


def scaling_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``scale`` and ``shift``, numbers or lists, of a decoder of latents / scale + shift."""
    scale, shift = config.get("scaling_factor") or 0.18215, config.get("shift_factor") or 0.0
    means, stds = config.get("latents_mean"), config.get("latents_std")
    if means and stds:
        return {"scale": [scale / std for std in stds], "shift": list(means)}
    return {"scale": float(scale), "shift": float(shift)}
