"""Network of a folder, made and called by the library."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .....checkpoints.conditions import given_conditions
from .....checkpoints.opening import CheckpointError, Opened
from .....checkpoints.specification import Specification
from .calls import CONVENTIONS, Labelled, Prompted
from .capture import Captured
from .folder import INDEX, PIPELINE, TEXT, refuse_code


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
