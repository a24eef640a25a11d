"""Network of a folder, made and called by the library."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ...networks import moved
from ..conditions import Lookup, given_conditions
from ..opening import CheckpointError, Opened, open_checkpoint
from ..specification import DECODER_PARTS, USER, Specification
from .calls import CONVENTIONS, Labelled, Prompted
from .folder import (
    CONFIG,
    DECODERS_READ,
    INDEX,
    PIPELINE,
    TEXT,
    refuse_code,
    scaling_of,
    weights_of,
)

NOISE = "randn_tensor"
"""Name of the library's function that draws initial noise."""
USUAL = {
    "num_inference_steps": 1,
    "output_type": "latent",
    "use_resolution_binning": False,
    "guidance_scale": 1.0,
}
"""Defaults for pipelines that have such arguments: no guidance."""


class _Captured(Exception):  # noqa: N818 - ends the pipeline, and is no error
    """Signal that the pipeline has got to its scheduler's step."""


class OneStep:
    """Scheduler of one time, which stores the network's output for it and ends the pipeline.

    Args:
        scheduler: the original, whose settings pipelines read.
        time: in its units.
    """

    order, init_noise_sigma, begin_index = 1, 1.0, 0

    def __init__(self, scheduler: Any, time: float) -> None:
        self.config = scheduler.config
        self.timesteps = torch.tensor([time])
        self.sigmas = torch.tensor([1.0, 0.0])
        self.output: Tensor | None = None

    def set_timesteps(
        self,
        num_inference_steps: Any = None,  # noqa: ARG002 - pipelines look which of them there are
        device: Any = None,
        timesteps: Any = None,  # noqa: ARG002 - pipelines look which of them there are
        sigmas: Any = None,  # noqa: ARG002 - pipelines look which of them there are
        mu: Any = None,  # noqa: ARG002 - pipelines look which of them there are
        original_inference_steps: Any = None,  # noqa: ARG002 - of a latent consistency model
    ) -> None:
        """Move the time to ``device``; it does not change."""
        if device is not None:
            self.timesteps = self.timesteps.to(device)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing: there is one step."""

    def scale_model_input(self, sample: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the state, which is scaled already."""
        return sample

    def step(self, model_output: Tensor, *_: Any, **__: Any) -> None:
        """Store the output.

        Raises:
            _Captured: always.
        """
        self.output = model_output
        raise _Captured


class Captured(nn.Module):
    """Network called by its pipeline.

    Args:
        pipeline: of the library, without text encoders.
        event: shape of one state.
        tables: embeddings by the names of the pipeline's arguments.
        scalars: its other arguments.

    Raises:
        CheckpointError: the pipeline takes no such argument.
    """

    def __init__(
        self,
        pipeline: Any,
        event: tuple[int, ...],
        tables: Mapping[str, Tensor],
        scalars: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.pipeline, self.event, self.lookup = pipeline, event, Lookup(tables)
        self.parts = nn.ModuleDict(
            {k: v for k, v in pipeline.components.items() if isinstance(v, nn.Module)}
        )
        self._takes = tuple(inspect.signature(type(pipeline).__call__).parameters)
        unknown = [name for name in (*tables, *scalars) if name not in self._takes]
        if unknown:
            raise CheckpointError(
                f"{type(pipeline).__name__} takes no {', '.join(unknown)}; its arguments are: "
                f"{', '.join(self._takes[1:])}"
            )
        side = int(getattr(pipeline, "vae_scale_factor", 1))
        sizes = {"height": event[-2] * side, "width": event[-1] * side} if len(event) > 1 else {}
        self._arguments = {k: v for k, v in (USUAL | sizes).items() if k in self._takes} | {
            k: v for k, v in scalars.items() if v is not None
        }
        pipeline.set_progress_bar_config(disable=True)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return its output for states ``(batch, *event)``, times and rows of embeddings or class numbers,
        ``(batch,)``.

        The pipeline runs once for each distinct time of the batch.
        """
        out = torch.empty_like(x_t)
        for time in t.unique().tolist():
            rows = t == time
            out[rows] = self._at(x_t[rows], time, None if labels is None else labels[rows])
        return out

    def _at(self, x: Tensor, time: float, labels: Tensor | None) -> Tensor:
        arguments = dict(self._arguments)
        if labels is not None and self.lookup.names:
            arguments |= self.lookup(labels)
        elif labels is not None:
            arguments["class_labels"] = labels.tolist()
        elif "batch_size" in self._takes:
            arguments["batch_size"] = len(x)
        own = self.pipeline.scheduler
        once = OneStep(own, time)
        object.__setattr__(self.pipeline, "scheduler", once)
        try:
            with _with_initial_noise(self.pipeline, x), suppress(_Captured):
                self.pipeline(**arguments)
        finally:
            object.__setattr__(self.pipeline, "scheduler", own)
        if once.output is None:
            raise CheckpointError(
                f"{type(self.pipeline).__name__} never came to a step of its scheduler, so its network "
                "cannot be called by it; wrap it in a Python file (docs/adding-a-model.md)"
            )
        return self._unpack(once.output, x)

    def _unpack(self, output: Tensor, x: Tensor) -> Tensor:
        """Unpack an output of tokens into a state.

        Under guidance some pipelines step both halves of the batch, equal then.
        """
        if len(output) == 2 * len(x):
            output = output[: len(x)]
        if output.ndim != x.ndim and hasattr(self.pipeline, "_unpack_latents"):
            side = self.pipeline.vae_scale_factor
            height, width = self.event[-2] * side, self.event[-1] * side
            output = self.pipeline._unpack_latents(output, height, width, side)
        if output.shape != x.shape:
            raise CheckpointError(
                f"{type(self.pipeline).__name__} hands {tuple(output.shape)} to its scheduler for a "
                f"state {tuple(x.shape)}; wrap it in a Python file (docs/adding-a-model.md)"
            )
        return output


@contextmanager
def _with_initial_noise(pipeline: Any, x: Tensor) -> Iterator[None]:
    """Make the pipeline draw ``x`` as its initial noise."""

    def drawn(shape: Any, *_: Any, **__: Any) -> Tensor:
        if tuple(shape) != tuple(x.shape):
            raise CheckpointError(
                f"{type(pipeline).__name__} draws noise of shape {tuple(shape)[1:]}, not "
                f"{tuple(x.shape[1:])}; give that behind the path as event="
            )
        return x.clone()

    modules = {sys.modules[cls.__module__] for cls in type(pipeline).__mro__}
    with ExitStack() as stack:
        for module in modules:
            if hasattr(module, NOISE):
                stack.enter_context(mock.patch.object(module, NOISE, drawn))
        yield


def network(spec: Specification, opened: Opened) -> Labelled | Prompted | Captured:
    """Make the network with its weights, in float32 on the CPU.

    Raises:
        CheckpointError: the library is missing, the weights are damaged or do not fit, or the network
            takes embeddings and none are given.
    """
    takes = spec.embeddings
    tables = given_conditions(takes, opened.path).tables if takes else {}
    if spec.network.get("call") == PIPELINE:
        return _captured(spec, opened, tables)
    if not takes:
        return Labelled(_loaded(spec, opened))
    return Prompted(
        _loaded(spec, opened), CONVENTIONS[spec.network["class"]], tables, _scalars(spec)
    )


def _captured(spec: Specification, opened: Opened, tables: Mapping[str, Tensor]) -> Captured:
    """Make the network of a folder, called by its pipeline, in float32 on the CPU.

    Only classes of diffusers itself are made, and text encoders are not.
    """
    for weights in sorted(opened.path.rglob("*.bin")):
        if not weights.relative_to(opened.path).parts[0].startswith(TEXT):
            refuse_code(weights)
    index = opened.config(INDEX)
    name, parts = index.get("_class_name"), _parts(index)
    cls = getattr(imported_library(), name, None) if isinstance(name, str) else None
    foreign = [
        part for part, of in parts.items() if of != "diffusers" and not part.startswith(TEXT)
    ]
    if cls is None or foreign:
        what = f"its {', '.join(foreign)}" if foreign else f"its pipeline {name}"
        raise CheckpointError(
            f"{opened.path}: {what} is not of the diffusers that is installed, and code of other places is "
            "not run; wrap the network in a Python file (docs/adding-a-model.md)"
        )
    left_out = {part: None for part in index if part.startswith(TEXT)}
    with _quietly():
        try:
            pipeline = cls.from_pretrained(
                opened.path,
                **left_out,
                variant=spec.weights["variant"] or None,
                use_safetensors=".safetensors" in spec.weights["file"],
                local_files_only=True,
                low_cpu_mem_usage=False,
            )
        except Exception as error:  # the library may raise anything on files
            raise _unreadable(opened.path, error) from error
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.float().eval().requires_grad_(False)
    return Captured(pipeline, spec.event, tables, _arguments(spec))


def _arguments(spec: Specification) -> dict[str, Any]:
    """Return scalars by the names in pipelines."""
    names = {"guidance": "guidance_scale"}
    return {names.get(k, k): v for k, v in spec.scalars.items() if k != "time_ids"}


def _parts(index: Mapping[str, Any]) -> dict[str, str]:
    """Return the library of each part of a pipeline."""
    pairs = {k: v for k, v in index.items() if isinstance(v, list) and len(v) == 2}
    return {name: str(pair[0]) for name, pair in pairs.items() if pair[1] is not None}


def called_by_pipeline(spec: Specification, opened: Opened) -> Captured:
    """Make the network of a folder with a known call, called by its pipeline, to check that call.

    It takes the scheduler's time, and its output has the channels of the state.

    Raises:
        CheckpointError: as :func:`network`.
    """
    takes = spec.embeddings
    return _captured(spec, opened, given_conditions(takes, opened.path).tables if takes else {})


def _scalars(spec: Specification) -> dict[str, Any]:
    """Return the scalar inputs of the network; sizes in pixels default to the sample's."""
    values = dict(spec.scalars)
    if "time_ids" in values and values["time_ids"] is None:
        height, width = (side * int(spec.network["pixels"]) for side in spec.event[1:])
        values["time_ids"] = [height, width, 0, 0, height, width]
    return values


def _loaded(spec: Specification, opened: Opened) -> nn.Module:
    weights = (spec.weights["file"], spec.weights["variant"])
    return pretrained(spec.network["class"], opened.path, spec.network["folder"], *weights)


def pretrained(cls: str, path: Path, part: str, file: str, variant: str) -> nn.Module:
    """Load a network of the library with its weights, in float32 on the CPU.

    Args:
        cls: name of its class.
        path: of the checkpoint.
        part: folder of the network inside, "" for the checkpoint itself.
        file: of its weights, from ``path``.
        variant: of the weights; "" for none.

    Raises:
        CheckpointError: the library is missing, or the weights are damaged or do not fit.
    """
    refuse_code(path / file)
    kind = getattr(imported_library(), cls)
    with _quietly():
        try:
            loaded_network, loading = kind.from_pretrained(
                path / part,
                variant=variant or None,
                use_safetensors=".safetensors" in file,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        except Exception as error:  # the library may raise anything on files
            raise _unreadable(path / file, error) from error
    wrong = [str(name) for what in _MISFITS for name in loading.get(what) or ()]
    if wrong:
        raise CheckpointError(
            f"{path / file} does not fit the network of its config.json "
            f"({len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}); "
            "take both from one source"
        )
    return loaded_network.float()


_MISFITS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return CheckpointError(
        f"diffusers cannot read {path} ({what}); compare its size and its config.json with the "
        "source's, and download it again"
    )


def imported_library() -> Any:
    """Import diffusers.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise CheckpointError(
            "the networks of diffusers folders need the diffusers library "
            f"({error}); install it with pip install 'samplerbench[diffusers]'"
        ) from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the library's logs of files: errors here replace them."""
    logger = logging.getLogger("diffusers")
    level, bars = logger.level, imported_library().utils.logging
    logger.setLevel(logging.CRITICAL)
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bars:
            bars.enable_progress_bar()


BATCH = 8
"""Default of ``decoder.batch``: for 256 x 256 pixels Stable Diffusion's decoder takes some 2 GiB."""

FOLDER = "decoder.folder=FOLDER behind the path, with config.json and weights of an AutoencoderKL"


class Autoencoder:
    """Autoencoder as a :class:`~samplerbench.models.decoder.Decoder`, with an encoder for checks of a model.

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
