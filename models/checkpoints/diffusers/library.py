"""Networks and autoencoders of folders, made by the diffusers library."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...networks import copy_to_device
from ..conditions import read_tables
from ..opening import AGAIN, CheckpointError, OpenedCheckpoint, error_in_words, open_checkpoint
from ..specification import DECODER_PARTS, USER, Specification, is_number, is_range
from .calls import CONVENTIONS, CalledNetwork, PipelineNetwork, scalars_of
from .folder import (
    CONFIG,
    DECODERS_READ,
    INDEX,
    PIPELINE,
    TEXT,
    check_no_code,
    scaling_of,
    weights_file_of,
)

BATCH = 8
"""Default number of latents decoded at a time: 2 GiB for Stable Diffusion at 256 × 256 pixels."""
DECODER_REMEDY = (
    "decoder.folder=FOLDER behind the path, with config.json and weights of an AutoencoderKL"
)


def network(spec: Specification, opened: OpenedCheckpoint) -> CalledNetwork | PipelineNetwork:
    """Return the network of a folder with its weights, in float32 on the CPU.

    Raises a CheckpointError if the library is missing, the weights are damaged or do not fit, or
    embeddings are needed and not given.
    """
    of, weights = spec.network, (spec.weights["file"], spec.weights["variant"])
    if of.get("call") == PIPELINE:
        return make_captured_network(spec, opened)
    tables = read_tables(spec.embeddings, opened.path)
    scalars = scalars_of(spec, int(of.get("pixels", 1)))
    loaded = load_pretrained(of["class"], opened.path, of["folder"], *weights)
    return CalledNetwork(loaded, CONVENTIONS[of["class"]], tables, scalars)


def make_captured_network(spec: Specification, opened: OpenedCheckpoint) -> PipelineNetwork:
    """Return a folder's network, called by running the pipeline for a step, in float32 on the CPU.

    Only classes of diffusers itself are used, and text encoders are not loaded. The network takes
    times of the scheduler, and its output has the shape of the state. Raises a CheckpointError
    as :func:`network` does, or if a part of the pipeline is not the library's own.
    """
    tables = read_tables(spec.embeddings, opened.path)
    for weights in sorted(opened.path.rglob("*.bin")):
        if not weights.relative_to(opened.path).parts[0].startswith(TEXT):
            check_no_code(weights)
    index = opened.config(INDEX)
    name = index.get("_class_name")
    cls = getattr(import_diffusers(), name, None) if isinstance(name, str) else None
    pairs = {
        k: v for k, v in index.items() if isinstance(v, list) and len(v) == 2 and v[1] is not None
    }
    foreign = [k for k, v in pairs.items() if str(v[0]) != "diffusers" and not k.startswith(TEXT)]
    if cls is None or foreign:
        what = f"its {', '.join(foreign)}" if foreign else f"its pipeline {name}"
        raise CheckpointError(
            f"{opened.path}: {what} is not of the diffusers that is installed, and code of other places is "
            "not run; wrap the network in a Python file (docs/how-to/adding-a-model.md)"
        )
    parts: dict[str, Any] = {part: None for part in index if part.startswith(TEXT)}
    folder, file, variant = spec.network["folder"], spec.weights["file"], spec.weights["variant"]
    # the pipeline would fill tensors that the file lacks with random numbers
    parts[folder] = load_pretrained(spec.network["class"], opened.path, folder, file, variant)
    pipeline = _from_pretrained(cls, opened.path, file, variant, opened.path, **parts)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.float().eval().requires_grad_(False)
    names = {"guidance": "guidance_scale"}
    scalars = {names.get(k, k): v for k, v in spec.scalars.items() if k != "time_ids"}
    return PipelineNetwork(pipeline, spec.event, tables, scalars)


def load_pretrained(cls: str, path: Path, part: str, file: str, variant: str) -> nn.Module:
    """Load a network of the library with its weights, in float32 on the CPU.

    ``cls`` is the network's class name, and ``part`` its folder in the checkpoint ``path``. ``file``
    is the weights' path relative to ``path``, and ``variant`` their variant, such as ``fp16`` or "".
    Raises a CheckpointError if the library is missing, or the weights are damaged or do not fit.
    """
    check_no_code(path / file)
    kind = getattr(import_diffusers(), cls)
    loaded_network, loading = _from_pretrained(
        kind, path / part, file, variant, path / file, output_loading_info=True
    )
    misfits = ("missing_keys", "unexpected_keys", "mismatched_keys")
    wrong = [str(name) for what in misfits for name in loading.get(what) or ()]
    if wrong:
        raise CheckpointError(
            f"{path / file} does not fit the network of its config.json "
            f"({len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}); "
            "take both from one source"
        )
    return loaded_network.float()


def _from_pretrained(
    kind: Any, folder: Path, file: str, variant: str, named: Path, **options: Any
) -> Any:
    """Return ``kind.from_pretrained(folder)``; if it fails, a CheckpointError names ``named``."""
    logger, bars = logging.getLogger("diffusers"), import_diffusers().utils.logging
    level, had_bars = logger.level, bars.is_progress_bar_enabled()
    logger.setLevel(logging.CRITICAL)  # our errors replace its logs
    bars.disable_progress_bar()
    try:
        return kind.from_pretrained(
            folder,
            variant=variant or None,
            use_safetensors=".safetensors" in file,
            local_files_only=True,
            low_cpu_mem_usage=False,
            **options,
        )
    except Exception as error:  # the library may raise anything on files
        remedy = f"compare its size and its config.json with the source's, and {AGAIN}"
        what = error_in_words(error, 160)
        raise CheckpointError(f"diffusers cannot read {named} ({what}); {remedy}") from error
    finally:
        logger.setLevel(level)
        if had_bars:
            bars.enable_progress_bar()


def import_diffusers() -> Any:
    """Return the module ``diffusers``; raise a CheckpointError if it is not installed."""
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise CheckpointError(
            "the networks of diffusers folders need the diffusers library "
            f"({error}); install it with pip install 'samplerbench[diffusers]'"
        ) from None


@dataclass(eq=False)
class Autoencoder:
    """Autoencoder of diffusers: a :class:`.decoding.Decoder`, and an encoder to check models.

    Attributes:
        network: autoencoder of the library, in evaluation mode.
        event: shape of an image.
        scale, shift: numbers, or lists with one per channel. The network decodes latents / scale + shift.
        limits: range of the values of images.
        batch: largest number of latents in a call, and of images encoded at a time.
        identity: hash of a decoder's folder that the user gave; "" for a decoder inside the checkpoint.
        device: device of the network.
    """

    network: nn.Module
    event: tuple[int, ...]
    scale: Any
    shift: Any
    limits: tuple[float, float] | None
    batch: int
    identity: str
    device: torch.device | str = "cpu"

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)`` of latents ``(n, channels, h, w)``, in the same dtype."""
        scale, shift = self._scaling(latents)
        inside = (latents / scale + shift).float()
        return self.network.decode(inside, return_dict=False)[0].to(latents.dtype)  # pyright: ignore[reportCallIssue] - a method of the library

    @torch.no_grad()
    def encode(self, images: Tensor, seed: int = 0) -> Tensor:
        """Return latents ``(n, channels, h, w)`` of images ``(n, *event)``, in float32 on the CPU.

        Images are in ``limits``, and latents have the scale of the model's samples. An ``AutoencoderKL`` gives a
        Gaussian for each image, from which the latent is drawn with ``seed``.
        """
        generator = torch.Generator().manual_seed(seed)
        scaled = []
        for part in images.split(self.batch):
            inside = part.to(self.device, torch.float32)
            coded = self.network.encode(inside)  # pyright: ignore[reportCallIssue] - a method of the library
            if hasattr(coded, "latents"):  # the output of a VQModel
                raw = coded.latents.cpu()
            else:
                gaussian = coded.latent_dist
                mean, std = gaussian.mean.cpu(), gaussian.std.cpu()
                raw = mean + std * torch.randn(mean.shape, generator=generator)
            scale, shift = self._scaling(raw)
            scaled.append((raw - shift) * scale)
        return torch.cat(scaled)

    def _scaling(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift in a shape that fits ``latents``."""
        shape = (-1, *[1] * (latents.ndim - 2))
        scale, shift = latents.new_tensor(self.scale), latents.new_tensor(self.shift)
        return scale.reshape(shape), shift.reshape(shape)

    def to(self, device: torch.device | str) -> Autoencoder:
        """Return a copy on ``device``."""
        return replace(self, network=copy_to_device(self.network, device), device=device)


def decoder_of(spec: Specification, opened: OpenedCheckpoint) -> Autoencoder | None:
    """Return the decoder of a checkpoint, on the CPU; None if ``spec.decode`` is False.

    Raises a ValueError if a setting of the decoder is invalid. Raises a CheckpointError if the
    decoder is missing, damaged, unsupported, or for latents of another number of channels.
    """
    if not spec.decode:
        return None
    if not spec.decoder.get("folder"):
        raise CheckpointError(
            f"{opened.path}: decode=1, but nothing says what makes images; give {DECODER_REMEDY}"
        )
    home, identity = _decoder_folder(spec, opened)
    config = home.config(CONFIG)
    parts = {**scaling_of(config), "limits": [-1.0, 1.0], "batch": BATCH}
    parts |= _as_scale_and_shift(spec.decoder)
    if spec.source("decoder.class") != USER:  # a user's folder may be of another class
        parts["class"] = config.get("_class_name", parts.get("class"))
    cls = parts.get("class")
    if cls not in DECODERS_READ:
        raise CheckpointError(
            f"{home.path}: a decoder of the class {cls} is not read, only "
            f"{' and '.join(DECODERS_READ)}; say decode=0 to score latents"
        )
    _check_decoder_parts(parts, spec.event)
    event = _image_shape(config, spec.event, home.path)
    network = load_pretrained(cls, home.path, "", *weights_file_of(home, ""))
    network.eval().requires_grad_(False)
    limits, scaling = tuple(parts["limits"]), (parts["scale"], parts["shift"])
    return Autoencoder(network, event, *scaling, limits, parts["batch"], identity)


def _as_scale_and_shift(decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decoder's settings; LightningDiT's ``mean`` and ``std`` become shift and scale."""
    # the library has no class VA-VAE
    others = {part: of for part, of in decoder.items() if of != "VA-VAE"}
    if "std" in others:
        scale = 1 / torch.tensor(others.pop("std"), dtype=torch.float64)
        others = {"scale": scale.tolist(), "shift": others.pop("mean"), **others}
    return others


def _decoder_folder(spec: Specification, opened: OpenedCheckpoint) -> tuple[OpenedCheckpoint, str]:
    """Return the decoder's opened folder, and the hash of a folder that the user gave, else ""."""
    folder = str(spec.decoder["folder"])
    is_users = spec.source("decoder.folder") == USER
    outside, inside = Path(os.path.expanduser(folder)), opened.path / folder
    for path in (outside, inside) if is_users else (inside,):
        if os.path.isdir(path):
            home = open_checkpoint(path)
            return home, home.sha256 if is_users else ""
    problem = f"{opened.path}: there is no folder {folder} of its decoder here"
    raise CheckpointError(f"{problem}; give {DECODER_REMEDY}, or decode=0 to score latents")


def _check_decoder_parts(parts: Mapping[str, Any], event: tuple[int, ...]) -> None:
    if unknown := [part for part in parts if part not in DECODER_PARTS]:
        raise ValueError(f"a decoder has no {unknown[0]!r}; there are: {', '.join(DECODER_PARTS)}")
    for part in ("scale", "shift"):
        values = parts[part] if isinstance(parts[part], list) else [parts[part]]
        wrong = not all(map(is_number, values)) or len(values) not in (1, event[0])
        if wrong or (part == "scale" and 0 in values):
            raise ValueError(
                f"decoder.{part}={parts[part]}: it must be a number{' other than 0' * (part == 'scale')},"
                f" or a list of {event[0]}, one for each channel"
            )
    if not is_range(limits := parts["limits"]):
        raise ValueError(f"decoder.limits={limits}: it must be two numbers, such as [-1, 1]")
    if not isinstance(batch := parts["batch"], int) or batch < 1:
        raise ValueError(f"decoder.batch={batch}: it must be a whole number, at least 1")


def _image_shape(config: Mapping[str, Any], event: tuple[int, ...], path: Path) -> tuple[int, ...]:
    channels, height, width = event
    takes = int(config.get("latent_channels", 4))
    if takes != channels:
        raise CheckpointError(
            f"{path}: the decoder takes latents of {takes} channels, but the model's have {channels}; "
            "give the decoder that it was trained with"
        )
    factor = 2 ** (len(config.get("block_out_channels") or (0,)) - 1)
    return (int(config.get("out_channels", 3)), height * factor, width * factor)
