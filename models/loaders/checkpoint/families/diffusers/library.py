"""Network of a folder, made and called by the library."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from .....checkpoints.conditions import Lookup, given_conditions
from .....checkpoints.opening import CheckpointError, Opened
from .....checkpoints.specification import Specification
from .calls import CONVENTIONS, Labelled, Prompted
from .folder import INDEX, PIPELINE, TEXT, refuse_code

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

    Raises:
        CheckpointError: the pipeline is not the library's own, has parts of other libraries, or cannot
            be made.
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
