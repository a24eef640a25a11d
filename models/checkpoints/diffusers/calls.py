"""Calls of networks as in diffusers pipelines: by known conventions, or by running the pipeline.

``tests/parity/test_text_pipelines.py`` compares conventions for text with the pipelines themselves.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from ..conditions import Lookup
from ..opening import CheckpointError
from ..specification import Specification
from ..weights import Tensors
from .folder import DIT, FLUX, SANA, SD3, UNET, UNET_TEXT

Config = Mapping[str, Any]
Rows = Mapping[str, Any]
Scalars = Mapping[str, Any]
PROMPT, POOLED, MASK = "prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"
LABELS = "class_labels"

USUAL = {
    "num_inference_steps": 1,
    "output_type": "latent",
    "use_resolution_binning": False,
    "guidance_scale": 1.0,
}
"""Arguments for every pipeline that accepts them: one step, latents as output, no guidance."""


Call = Callable[[nn.Module, Tensor, Tensor, Rows, Scalars], Tensor]


def _call_with(**inputs: str) -> Call:
    """Return a :data:`Call` that passes the embedding ``inputs[key]`` as the argument ``key``."""

    def call(net: nn.Module, x: Tensor, t: Tensor, rows: Rows, _: Scalars) -> Tensor:
        named = {own: rows[name] for own, name in inputs.items()}
        return net(x, timestep=t, **named, return_dict=False)[0]

    return call


WITH_LABELS = _call_with(class_labels=LABELS)


@dataclass(frozen=True, kw_only=True)
class Convention:
    """Calling convention of diffusers' pipelines for one class of networks.

    Attributes:
        channels, size: number of input channels, and side of the state, for a ``config.json`` that lacks them.
        call: function that returns the network's output for a noisy state ``(batch, *event)``, times ``(batch,)``, rows
            of embeddings by name, and scalars.
        needs: function of the ``config.json`` that returns the names of the embeddings the network takes.
        scalars: function of the ``config.json`` that returns default values of further inputs, by name.
        packed: side of the squares of latents that the pipeline packs into one token; 1 for no packing.
        time_factor: function of the ``config.json`` that returns the factor by which pipelines multiply times.
        refused: function of the ``config.json`` that returns why the convention does not apply; "" if it does.
    """

    channels: int
    size: int | None
    call: Call = WITH_LABELS
    needs: Callable[[Config], tuple[str, ...]] = lambda _: ()
    scalars: Callable[[Config], dict[str, Any]] = lambda _: {}
    packed: int = 1
    time_factor: Callable[[Config], float] = lambda _: 1.0
    refused: Callable[[Config], str] = lambda _: ""


def _call_unet(net: nn.Module, x: Tensor, t: Tensor, rows: Rows, scalars: Scalars) -> Tensor:
    """Return the output of the U-Net of Stable Diffusion or DeepFloyd IF."""
    added = None
    if POOLED in rows:  # Stable Diffusion XL; ``time_ids`` are six sizes of the image
        time_ids = torch.tensor(scalars["time_ids"], dtype=x.dtype, device=x.device)
        added = {"text_embeds": rows[POOLED], "time_ids": time_ids.expand(len(x), -1)}
    options = {}
    if "guidance" in scalars:  # distilled networks take sinusoids of the scale
        width: int = net.config.time_cond_proj_dim  # type: ignore[union-attr, assignment]
        half, scale = width // 2, scalars["guidance"]
        places = torch.arange(half, dtype=x.dtype, device=x.device)
        angles = 1000 * (scale - 1) * torch.exp(-math.log(10_000) / (half - 1) * places)
        embedding = torch.cat([angles.sin(), angles.cos(), angles.new_zeros(width % 2)])
        options["timestep_cond"] = embedding.expand(len(x), -1)
    return net(x, t, rows[PROMPT], added_cond_kwargs=added, return_dict=False, **options)[0]


def _takes_sizes(config: Config) -> bool:
    return config.get("addition_embed_type") == "text_time"


def _why_unet_refused(config: Config) -> str:
    for key, usual in (
        ("class_embed_type", (None,)),
        ("num_class_embeds", (None,)),
        ("addition_embed_type", (None, "text", "text_time")),
        ("encoder_hid_dim_type", (None, "text_proj")),
    ):
        if config.get(key) not in usual:
            return f"its {key} is {config[key]!r}"
    return ""


def _unet_scalars(config: Config) -> dict[str, Any]:
    sizes = {"time_ids": None} if _takes_sizes(config) else {}
    guided = {"guidance": 8.5} if config.get("time_cond_proj_dim") is not None else {}
    return {**sizes, **guided}


def _call_flux(net: nn.Module, x: Tensor, t: Tensor, rows: Rows, scalars: Scalars) -> Tensor:
    """Return FLUX's output in the shape of ``x``, whose squares of 2 × 2 are FLUX's tokens."""
    batch, channels, height, width = x.shape
    tokens = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    sides = (height // 2, width // 2)
    axes = (torch.arange(side, dtype=x.dtype, device=x.device) for side in sides)
    y, column = torch.meshgrid(*axes, indexing="ij")
    places = torch.stack([torch.zeros_like(y), y, column], -1).reshape(-1, 3)
    guidance = scalars.get("guidance")
    out = net(
        hidden_states=tokens.reshape(batch, -1, channels * 4),
        timestep=t,
        guidance=None if guidance is None else torch.full_like(t, guidance),
        encoder_hidden_states=rows[PROMPT],
        pooled_projections=rows[POOLED],
        txt_ids=places.new_zeros(rows[PROMPT].shape[1], 3),
        img_ids=places,
        return_dict=False,
    )[0]
    squares = out.reshape(batch, height // 2, width // 2, channels, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


CONVENTIONS = {
    UNET: Convention(channels=3, size=None),
    DIT: Convention(channels=4, size=32),
    UNET_TEXT: Convention(
        channels=4,
        size=None,
        call=_call_unet,
        needs=lambda config: (PROMPT, POOLED) if _takes_sizes(config) else (PROMPT,),
        scalars=_unet_scalars,
        refused=_why_unet_refused,
    ),
    SD3: Convention(
        channels=16,
        size=128,
        call=_call_with(encoder_hidden_states=PROMPT, pooled_projections=POOLED),
        needs=lambda _: (PROMPT, POOLED),
    ),
    FLUX: Convention(
        channels=64,
        size=128,
        call=_call_flux,
        needs=lambda _: (PROMPT, POOLED),
        scalars=lambda config: {"guidance": 3.5} if config.get("guidance_embeds") else {},
        packed=2,
        time_factor=lambda _: 1e-3,
    ),
    SANA: Convention(
        channels=32,
        size=32,
        call=_call_with(encoder_hidden_states=PROMPT, encoder_attention_mask=MASK),
        needs=lambda _: (PROMPT, MASK),
        time_factor=lambda config: float(config.get("timestep_scale") or 1.0),
        refused=lambda config: (
            "it takes the scale of guidance as an input" if config.get("guidance_embeds") else ""
        ),
    ),
}


def scalars_of(spec: Specification, pixels: int) -> dict[str, Any]:
    """Return ``spec.scalars``; a ``time_ids`` of None becomes the six sizes of an uncropped image.

    The sides of the image are the sides of a sample, times ``pixels``.
    """
    if "time_ids" not in spec.scalars or spec.scalars["time_ids"] is not None:
        return dict(spec.scalars)
    height, width = (side * pixels for side in spec.event[1:])
    return {**spec.scalars, "time_ids": [height, width, 0, 0, height, width]}


class CalledNetwork(nn.Module):
    """Network of diffusers that is called by a known convention.

    Args:
        network: network of diffusers.
        convention: convention by which the network is called.
        tables: embeddings by name, with a row for each condition; empty if the network takes class numbers.
        scalars: further inputs by name, the same for all samples.
    """

    def __init__(
        self, network: nn.Module, convention: Convention, tables: Tensors, scalars: Scalars
    ) -> None:
        super().__init__()
        self.network, self.lookup = network, Lookup(tables)
        self.convention, self.scalars = convention, dict(scalars)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the network's output; ``labels`` are numbers of classes or of rows of tables."""
        rows: Rows = {LABELS: labels}
        if self.lookup.names and labels is not None:
            rows = self.lookup(labels)
        return self.convention.call(self.network, x_t, t, rows, self.scalars)


class _CapturedSignal(Exception):  # noqa: N818 - ends the pipeline, and is no error
    """Exception that ends a pipeline's run at the first call of its scheduler's ``step``."""


class OneStepScheduler:
    """Scheduler that makes a pipeline call its network once, at a single time.

    It stores the network's output and ends the run. It has the ``config`` of the real scheduler.
    """

    order, init_noise_sigma, begin_index = 1, 1.0, 0

    def __init__(self, scheduler: Any, time: float) -> None:
        self.config = scheduler.config
        self.timesteps = torch.tensor([time])
        self.sigmas = torch.tensor([1.0, 0.0])
        self.output: Tensor | None = None

    def set_timesteps(
        self,
        num_inference_steps: Any = None,  # noqa: ARG002 - pipelines inspect the signature
        device: Any = None,
        timesteps: Any = None,  # noqa: ARG002
        sigmas: Any = None,  # noqa: ARG002
        mu: Any = None,  # noqa: ARG002
        original_inference_steps: Any = None,  # noqa: ARG002 - of a latent consistency model
    ) -> None:
        """Move the time to ``device``, and ignore the other arguments."""
        if device is not None:
            self.timesteps = self.timesteps.to(device)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing: there is one step."""

    def scale_model_input(self, sample: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the state unchanged, since it is scaled already."""
        return sample

    def step(self, model_output: Tensor, *_: Any, **__: Any) -> None:
        """Store the output of the network and end the pipeline."""
        self.output = model_output
        raise _CapturedSignal


class PipelineNetwork(nn.Module):
    """Network that is called by running its pipeline for one step.

    Args:
        pipeline: pipeline of the library, without text encoders.
        event: shape of one state.
        tables: embeddings by the name of the pipeline's argument, with a row for each condition.
        scalars: further arguments by name. A name here or in ``tables`` that is no argument raises a CheckpointError.
    """

    def __init__(
        self, pipeline: Any, event: tuple[int, ...], tables: Tensors, scalars: Scalars
    ) -> None:
        super().__init__()
        self.pipeline, self.event, self.lookup = pipeline, event, Lookup(tables)
        self.parts = nn.ModuleDict(
            {k: v for k, v in pipeline.components.items() if isinstance(v, nn.Module)}
        )
        self._takes = tuple(inspect.signature(type(pipeline).__call__).parameters)
        unknown = [name for name in (*tables, *scalars) if name not in self._takes]
        if unknown:
            problem = f"{type(pipeline).__name__} takes no {', '.join(unknown)}"
            raise CheckpointError(f"{problem}; its arguments are: {', '.join(self._takes[1:])}")
        side = int(getattr(pipeline, "vae_scale_factor", 1))
        sizes = {"height": event[-2] * side, "width": event[-1] * side} if len(event) > 1 else {}
        self._arguments = {k: v for k, v in (USUAL | sizes).items() if k in self._takes}
        self._arguments |= {k: v for k, v in scalars.items() if v is not None}
        pipeline.set_progress_bar_config(disable=True)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Return the output, shaped like ``x_t``; the pipeline runs once for each distinct time."""
        out = torch.empty_like(x_t)
        for time in t.unique().tolist():
            rows = t == time
            own = None if labels is None else labels[rows]
            out[rows] = self._run_pipeline_at_time(x_t[rows], time, own)
        return out

    def _run_pipeline_at_time(self, x: Tensor, time: float, labels: Tensor | None) -> Tensor:
        arguments = dict(self._arguments)
        if labels is not None and self.lookup.names:
            arguments |= self.lookup(labels)
        elif labels is not None:
            arguments["class_labels"] = labels.tolist()
        elif "batch_size" in self._takes:
            arguments["batch_size"] = len(x)
        own = self.pipeline.scheduler
        once = OneStepScheduler(own, time)
        object.__setattr__(self.pipeline, "scheduler", once)
        try:
            with _with_initial_noise(self.pipeline, x), suppress(_CapturedSignal):
                self.pipeline(**arguments)
        finally:
            object.__setattr__(self.pipeline, "scheduler", own)
        if once.output is None:
            raise CheckpointError(
                f"{type(self.pipeline).__name__} never came to a step of its scheduler, so its network "
                "cannot be called by it; wrap it in a Python file (docs/how-to/adding-a-model.md)"
            )
        return self._match_state_shape(once.output, x)

    def _match_state_shape(self, output: Tensor, x: Tensor) -> Tensor:
        """Return ``output`` in the shape of the states ``x``; tokens are unpacked to images."""
        if len(output) == 2 * len(x):  # as under guidance
            output = output[: len(x)]
        if output.ndim != x.ndim and hasattr(self.pipeline, "_unpack_latents"):
            side = self.pipeline.vae_scale_factor
            height, width = self.event[-2] * side, self.event[-1] * side
            output = self.pipeline._unpack_latents(output, height, width, side)
        if output.shape != x.shape:
            raise CheckpointError(
                f"{type(self.pipeline).__name__} hands {tuple(output.shape)} to its scheduler for a "
                f"state {tuple(x.shape)}; wrap it in a Python file (docs/how-to/adding-a-model.md)"
            )
        return output


@contextmanager
def _with_initial_noise(pipeline: Any, x: Tensor) -> Iterator[None]:
    """Make the pipeline draw ``x`` as its initial noise, by diffusers' ``randn_tensor``."""

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
            if hasattr(module, "randn_tensor"):
                stack.enter_context(mock.patch.object(module, "randn_tensor", drawn))
        yield
