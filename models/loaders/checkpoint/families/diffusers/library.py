"""The network of a folder, made and called by the library."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .....checkpoints.opening import CheckpointError, Opened
from .....checkpoints.specification import Specification


class Called(nn.Module):
    """A ``UNet2DModel`` or ``DiTTransformer2DModel``, called as pipelines call them.

    Args:
        network: of the library.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        """Its output for states ``(batch, *event)``, times ``(batch,)`` and class numbers."""
        return self.network(x_t, timestep=t, class_labels=labels, return_dict=False)[0]


def network(spec: Specification, opened: Opened) -> Called:
    """The network with its weights, in float32 on the CPU.

    Raises:
        CheckpointError: the library is missing, or the weights are damaged or do not fit.
    """
    weights = (spec.weights["file"], spec.weights["variant"])
    folder = spec.network["folder"]
    return Called(pretrained(spec.network["class"], opened.path, folder, *weights))


def pretrained(cls: str, path: Path, part: str, file: str, variant: str) -> nn.Module:
    """A network of the library with its weights, in float32 on the CPU.

    Args:
        cls: name of its class.
        path: of the checkpoint.
        part: folder of the network inside, "" for the checkpoint itself.
        file: of its weights, from ``path``.
        variant: of the weights; "" for none.

    Raises:
        CheckpointError: the library is missing, or the weights are damaged or do not fit.
    """
    kind = getattr(_library(), cls)
    with _quietly():
        try:
            made, loading = kind.from_pretrained(
                path / part,
                variant=variant or None,
                use_safetensors=".safetensors" in file,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
        except Exception as error:  # whatever the library raises of files
            raise _unreadable(path / file, error) from error
    wrong = [str(name) for what in _MISFITS for name in loading.get(what) or ()]
    if wrong:
        raise CheckpointError(
            f"{path / file} does not fit the network of its config.json "
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
