"""Construction of a checkpoint's network, and loading of its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .entries import entry_named
from .files import shards_of
from .opening import CheckpointError, Opened
from .specification import Specification

M = TypeVar("M", bound=nn.Module)

WRAP = "wrap the network in a Python file (docs/adding-a-model.md)"


def built(kind: Callable[..., M], arguments: Mapping[str, Any], path: Path) -> M:
    """Make a network of a class with these arguments, on the CPU.

    Raises:
        CheckpointError: it does not take them, or would be larger than its file.
    """
    try:
        with _SizeLimit(path):
            return kind(**arguments)
    except CheckpointError:
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its network cannot be built as the file describes it "
            f"({' '.join(str(error).split())[:120]}); if its code was changed, {WRAP}"
        ) from None


class _SizeLimit(TorchFunctionMode):
    """Context that refuses networks of more numbers than a file has bytes: a kilobyte may describe any size.

    Args:
        path: of the file or folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        files = path.rglob("*") if path.is_dir() else [path]
        files = shards_of(path) if path.suffix == ".json" else files
        self._bytes = sum(file.stat().st_size for file in files if file.is_file())
        self._path, self._numbers = path, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse excessive memory of layers."""
        if func is torch.empty:
            sizes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            self._numbers += math.prod(sizes)
            if self._numbers > self._bytes:
                raise CheckpointError(
                    f"{self._path} describes a network of more numbers than the {self._bytes:,} bytes "
                    "that it has of weights; compare it with the source's, and download it again"
                )
        return func(*args, **(kwargs or {}))


def filled(network: M, tensors: Mapping[str, Tensor], path: Path) -> M:
    """Return the network with these weights, in evaluation mode and frozen.

    Args:
        network: is changed.
        tensors: by their names in its state dict, all of them and no others.
        path: of the checkpoint, for the message.

    Raises:
        CheckpointError: they are of other names or shapes.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in tensors]
    unknown = [name for name in tensors if name not in own]
    other = [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    wrong = [
        *(f"{len(missing)} weights are missing, such as {name}" for name in missing[:1]),
        *(f"{len(unknown)} weights are unknown, such as {name}" for name in unknown[:1]),
        *other[:1],
    ]
    if wrong:
        raise CheckpointError(
            f"{path}: the weights do not fit the network that the file describes: "
            f"{'; '.join(wrong)}; if the file is whole, its code was changed: {WRAP}"
        )
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def loaded(
    kind: Callable[..., M],
    spec: Specification,
    opened: Opened,
    sets: Mapping[str, dict[str, Tensor]],
    without: tuple[str, ...] = (),
) -> M:
    """Return a specification's network with its weights, in float32.

    Args:
        kind: the network's class.
        spec: ``network["arguments"]`` go to the class; ``weights["entry"]`` is one of ``sets``.
        opened: the checkpoint.
        sets: sets of weights by entry.
        without: prefixes of the names of foreign tensors.

    Raises:
        CheckpointError: the class does not take the arguments, or the weights do not fit it.
    """
    raw = built(kind, spec.network["arguments"], opened.path)
    tensors = entry_named(sets, spec.weights["entry"], opened)
    own = {k: v for k, v in tensors.items() if not k.startswith(without)}
    return filled(raw, own, opened.path)
