"""``torchvision:NAME:FOLDER``: a data set that torchvision knows and the user has."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .reading import pixels_of

PREFIX = "torchvision:"


def torchvision_set(
    source: str, event: tuple[int, ...], limits: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Return the training and the test images of a local data set, ``(n, *event)`` float32 each,
    without downloads.

    Args:
        source: ``torchvision:NAME:FOLDER``, such as ``torchvision:CIFAR10:data``, with the name
            of the class and its ``root``.
        event: (1, h, w) for grey images or (3, h, w) for RGB; colours are converted.
        limits: range of the model's data.

    Raises:
        ValueError: torchvision or its files are missing, there is no such data set or it has no
            training and test images, the model's samples are no images, or images have other sizes.
    """
    name, colon, folder = source.removeprefix(PREFIX).partition(":")
    if not (name and colon and folder):
        raise ValueError(
            f"--reference {source!r}: write torchvision:NAME:FOLDER, such as torchvision:CIFAR10:data"
        )
    if limits is None or len(event) != 3 or event[0] not in (1, 3):
        raise ValueError(
            f"--reference {source}: the model's samples {event} are no grey or RGB images of a known "
            "range; give a .npy file"
        )
    parts = [
        _images(_load_part(source, name, folder, part), source, event) for part in (True, False)
    ]
    low, high = limits
    train, test = (
        torch.from_numpy(part.astype(np.float32) / 255 * (high - low) + low) for part in parts
    )
    return train, test


def _load_part(source: str, name: str, folder: str, train: bool) -> Any:
    try:
        from torchvision import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"--reference {source} needs torchvision; pip install 'samplerbench[torchvision]'"
        ) from error
    kind: Any = getattr(datasets, name, None)
    takes = inspect.signature(kind).parameters if inspect.isclass(kind) else {}
    if "train" in takes:
        options: dict[str, Any] = {"train": train}
    elif "split" in takes:
        options = {"split": "train" if train else "test"}
    else:
        raise ValueError(
            f"--reference {source}: torchvision.datasets has no {name} with training and test "
            "images; names are those of its classes, such as CIFAR10"
        )
    try:
        return kind(folder, **options)  # pyright: ignore[reportCallIssue] - looked at above
    except Exception as error:  # each set has its own ways to miss its files
        words = " ".join(str(error).split())[:200]
        raise ValueError(
            f"--reference {source}: {words or type(error).__name__}; put its files into {folder}, as "
            "torchvision does with download=True"
        ) from error


def _images(data_set: Any, source: str, event: tuple[int, ...]) -> np.ndarray:
    return np.stack([pixels_of(image, event, source) for image, *_ in data_set])
