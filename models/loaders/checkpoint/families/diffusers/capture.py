"""Calls of a network through its pipeline, for pipelines without a known calling convention.

For each evaluation the pipeline runs for one step: its initial noise is the state, its scheduler has one
time, and the input of the scheduler's step is the answer. This is slow, and right for any pipeline.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from .....checkpoints.conditions import Lookup
from .....checkpoints.opening import CheckpointError

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
