"""The network of a folder, made and called by the library."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from .....checkpoints.conditions import given_conditions
from .....checkpoints.opening import CheckpointError, Opened
from .....checkpoints.specification import Specification
from .calls import CONVENTIONS, Labelled, Prompted


def network(spec: Specification, opened: Opened) -> Labelled | Prompted:
    """The network with its weights, in float32 on the CPU.

    Raises:
        CheckpointError: the library is missing, the weights are damaged or do not fit, or the network
            takes embeddings and none are given.
    """
    if not spec.embeddings:
        return Labelled(_loaded(spec, opened))
    conditions = given_conditions(spec.embeddings, opened.path)
    return Prompted(
        _loaded(spec, opened),
        CONVENTIONS[spec.network["class"]],
        conditions.tables,
        _scalars(spec),
    )


def _scalars(spec: Specification) -> dict[str, Any]:
    """What the network is told, with sizes in pixels of what is sampled where nobody says others."""
    told = dict(spec.scalars)
    if "time_ids" in told and told["time_ids"] is None:
        height, width = (side * int(spec.network["pixels"]) for side in spec.event[1:])
        told["time_ids"] = [height, width, 0, 0, height, width]
    return told


def _loaded(spec: Specification, opened: Opened) -> nn.Module:
    cls = getattr(_library(), spec.network["class"])
    folder = opened.path / spec.network["folder"]
    with _quietly():
        try:
            made, loading = cls.from_pretrained(
                folder,
                variant=spec.weights["variant"] or None,
                use_safetensors=".safetensors" in spec.weights["file"],
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        except Exception as error:  # whatever the library raises of files
            raise _unreadable(opened.path / spec.weights["file"], error) from error
    wrong = [str(name) for kind in _MISFITS for name in loading.get(kind) or ()]
    if wrong:
        raise CheckpointError(
            f"{opened.path / spec.weights['file']} does not fit the network of its config.json "
            f"({len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}); "
            "take both from one source"
        )
    return made.float()


_MISFITS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return CheckpointError(
        f"diffusers cannot read {path} ({what}); compare its size and its config.json with the "
        "source's, and download it again"
    )


def _library() -> Any:
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise CheckpointError(
            "the networks of diffusers folders need the diffusers library "
            f"({error}); install it with pip install 'samplerbench[diffusers]'"
        ) from None


@contextmanager
def _quietly() -> Iterator[None]:
    """What the library logs of files is said by our errors."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
