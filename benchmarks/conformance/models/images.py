"""Clean images that a checkpoint is checked on, with their classes where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...scoring.real.reading import SUFFIXES, read_array, read_folder


def read_images(
    path: Path, event: tuple[int, ...], limits: tuple[float, float] | None, most: int
) -> tuple[Tensor, Tensor | None]:
    """Some samples of a folder or file, spread over all of it.

    Args:
        path: of a folder of images, in a folder for each class (numbered in the order of the
            folders' names) or not; or of a ``.npy`` or ``.npz`` file
            (:func:`~samplerbench.benchmarks.scoring.real.reading.read_array`), of the latter with class
            numbers in ``y`` or ``arr_1``, or not.
        event: shape of a sample.
        limits: range of the model's data.
        most: samples at most.

    Returns:
        ``(n, *event)`` float32, and ``(n,)`` int64 or None.

    Raises:
        ValueError: there is nothing of this kind, or of this shape.
    """
    try:
        read = read_folder if path.is_dir() else read_array
        samples = read(path, event, limits)
    except ValueError as error:
        raise ValueError(str(error).replace("--reference", "--images")) from None
    if samples.shape[1:] != event:
        raise ValueError(
            f"--images {path} has samples of shape {tuple(samples.shape[1:])}, but the model's are "
            f"{event}"
        )
    labels = _of_folders(path) if path.is_dir() else _of_array(path)
    chosen = torch.linspace(0, len(samples) - 1, min(most, len(samples))).round().long()
    return samples[chosen], None if labels is None else labels[chosen]


def _of_folders(path: Path) -> Tensor | None:
    """The class of each image, in the order in which they are read."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    names = sorted({p.parent for p in files})
    return torch.tensor([names.index(p.parent) for p in files]) if len(names) > 1 else None


def _of_array(path: Path) -> Tensor | None:
    stored = np.load(path, allow_pickle=False)
    if isinstance(stored, np.ndarray):
        return None
    found = [stored[name] for name in ("y", "arr_1") if name in stored]
    return torch.from_numpy(found[0].astype(np.int64)) if found else None
