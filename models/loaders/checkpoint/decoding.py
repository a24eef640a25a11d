"""Autoencoders of diffusers for a checkpoint's latents, in its own folder or in a folder that the user names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...checkpoints.opening import CheckpointError, Opened, open_checkpoint
from ...checkpoints.specification import DECODER_PARTS, USER, Specification
from ..networks import moved
from .families.diffusers.folder import CONFIG, DECODERS_READ, scaling_of, weights_of
from .families.diffusers.library import pretrained

BATCH = 8
"""Default of ``decoder.batch``: for 256 x 256 pixels Stable Diffusion's decoder takes some 2 GiB."""

FOLDER = "decoder.folder=FOLDER behind the path, with config.json and weights of an AutoencoderKL"


class Autoencoder:
    """Autoencoder as a :class:`~samplerbench.models.denoiser.Decoder`, with an encoder for checks of a model.

    Args:
        network: of diffusers, in evaluation mode; its ``decode`` gives a tuple of images.
        event: shape of an image.
        scale, shift: it takes x / scale + shift; numbers, or one for each channel.
        limits: range of images.
        batch: latents at a time.
        identity: of its content; "" if the checkpoint's covers it.
        device: of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        event: tuple[int, ...],
        scale: Any,
        shift: Any,
        limits: tuple[float, float] | None,
        batch: int,
        identity: str,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.event = network, event
        self.limits: tuple[float, float] | None = limits
        self.scale, self.shift, self.batch, self.identity = scale, shift, batch, identity
        self.device: torch.device | str = device

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images ``(n, *event)``, computed in float32, in the dtype of the latents."""
        scale, shift = (_per_channel(value, latents) for value in (self.scale, self.shift))
        inside = (latents / scale + shift).float()
        return self.network.decode(inside, return_dict=False)[0].to(latents.dtype)  # pyright: ignore[reportCallIssue] - a method of the library

    @torch.no_grad()
    def encode(self, images: Tensor, seed: int = 0) -> Tensor:
        """Return latents ``(n, channels, h, w)`` float32 of images ``(n, *event)`` in ``limits``, on the CPU,
        in the scale of the model's samples.

        An ``AutoencoderKL``'s are drawn, by ``seed``, from the Gaussian that it makes of an image.
        """
        generator = torch.Generator().manual_seed(seed)
        scaled = []
        for part in images.split(self.batch):
            inside = part.to(self.device, torch.float32)
            coded = self.network.encode(inside)  # pyright: ignore[reportCallIssue] - a method of the library
            if hasattr(coded, "latents"):  # of a VQModel
                raw = coded.latents.cpu()
            else:
                gaussian = coded.latent_dist
                mean, std = gaussian.mean.cpu(), gaussian.std.cpu()
                raw = mean + std * torch.randn(mean.shape, generator=generator)
            scale, shift = (_per_channel(value, raw) for value in (self.scale, self.shift))
            scaled.append((raw - shift) * scale)
        return torch.cat(scaled)

    def to(self, device: torch.device | str) -> Autoencoder:
        """Return a copy on ``device``."""
        settings = (self.event, self.scale, self.shift, self.limits, self.batch, self.identity)
        return Autoencoder(moved(self.network, device), *settings, device)


def _per_channel(value: Any, latents: Tensor) -> Tensor:
    values = torch.as_tensor(value, dtype=latents.dtype, device=latents.device).flatten()
    return values.reshape(-1, *[1] * (latents.ndim - 2))


def decoder_of(spec: Specification, opened: Opened) -> Autoencoder | None:
    """Return the decoder of a checkpoint, on the CPU, or None if the specification applies none.

    Raises:
        CheckpointError: it is missing, damaged, of a class that is not read, or of other latents.
        ValueError: a part of it is invalid.
    """
    if not spec.decode:
        return None
    if not spec.decoder.get("folder"):
        raise CheckpointError(
            f"{opened.path}: decode=1, but nothing says what makes images; give {FOLDER}"
        )
    home, identity = _home(spec, opened)
    config = home.config(CONFIG)
    parts = {**scaling_of(config), "limits": [-1.0, 1.0], "batch": BATCH, **spec.decoder}
    cls = parts.get("class", config.get("_class_name"))
    if cls not in DECODERS_READ:
        raise CheckpointError(
            f"{home.path}: a decoder of the class {cls} is not read, only "
            f"{' and '.join(DECODERS_READ)}; say decode=0 to score latents"
        )
    _check(parts, spec.event)
    event = _image(config, spec.event, home.path)
    network = pretrained(cls, home.path, "", *weights_of(home, ""))
    network.eval().requires_grad_(False)
    low, high = parts["limits"]
    batch = parts["batch"]
    return Autoencoder(network, event, parts["scale"], parts["shift"], (low, high), batch, identity)


def _home(spec: Specification, opened: Opened) -> tuple[Opened, str]:
    """Return the decoder's folder, and its content's hash if the user named it (else the checkpoint's covers
    it).
    """
    folder = str(spec.decoder["folder"])
    is_users = spec.source("decoder.folder") == USER
    outside, inside = Path(os.path.expanduser(folder)), opened.path / folder
    for path in (outside, inside) if is_users else (inside,):
        if os.path.isdir(path):
            home = open_checkpoint(path)
            return home, home.content if is_users else ""
    raise CheckpointError(
        f"{opened.path}: there is no folder {folder} of its decoder here; give {FOLDER}, or "
        "decode=0 to score latents"
    )


def _check(parts: Mapping[str, Any], event: tuple[int, ...]) -> None:
    """Refuse invalid parts of a decoder."""
    if unknown := [part for part in parts if part not in DECODER_PARTS]:
        raise ValueError(f"a decoder has no {unknown[0]!r}; there are: {', '.join(DECODER_PARTS)}")
    for part in ("scale", "shift"):
        values = parts[part] if isinstance(parts[part], list) else [parts[part]]
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if not numbers or len(values) not in (1, event[0]) or (part == "scale" and 0 in values):
            raise ValueError(
                f"decoder.{part}={parts[part]}: it must be a number{' other than 0' * (part == 'scale')},"
                f" or a list of {event[0]}, one for each channel"
            )
    limits, batch = parts["limits"], parts["batch"]
    pair = isinstance(limits, list | tuple) and len(limits) == 2
    if not pair or not all(isinstance(v, int | float) for v in limits) or limits[0] >= limits[1]:
        raise ValueError(f"decoder.limits={limits}: it must be two numbers, such as [-1, 1]")
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"decoder.batch={batch}: it must be a whole number, at least 1")


def _image(config: Mapping[str, Any], event: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Return the shape of an image of latents of this shape."""
    channels, height, width = event
    takes = int(config.get("latent_channels", 4))
    if takes != channels:
        raise CheckpointError(
            f"{path}: the decoder takes latents of {takes} channels, but the model's have {channels}; "
            "give the decoder that it was trained with"
        )
    factor = 2 ** (len(config.get("block_out_channels") or (0,)) - 1)
    return (int(config.get("out_channels", 3)), height * factor, width * factor)
