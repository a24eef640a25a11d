"""Clean images that a checkpoint is checked on, with their classes where they are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....models.checkpoints.diffusers.library import Autoencoder
from ...scoring.real_data import SETS
from ...scoring.real_files import SUFFIXES, open_arrays, read_array, read_folder


def read_images(
    source: str | Path, event: tuple[int, ...], limits: tuple[float, float] | None, most: int
) -> tuple[Tensor, Tensor | None]:
    """Read some samples of a folder or file, spread over all of it.

    Args:
        source: path of a folder of images, in a folder for each class (numbered in the order of the
            folders' names) or not; or of a ``.npy`` or ``.npz`` file
            (:func:`~samplerbench.benchmarks.scoring.real_files.read_array`), of the latter with class
            numbers in ``y`` or ``arr_1``, or not; or a data set by its name, whose test images are read.
        event: shape of a sample.
        limits: range of the model's data.
        most: samples at most.

    Returns:
        ``(n, *event)`` float32, and ``(n,)`` int64 or None.

    Raises:
        ValueError: there is nothing of this kind, or of this shape.
    """
    path, labels = Path(source), None
    try:
        if source in SETS:
            samples, labels = SETS[str(source)]("test")
        else:
            read = read_folder if path.is_dir() else read_array
            samples = read(path, event, limits)
    except (ValueError, FileNotFoundError, ImportError) as error:
        raise ValueError(str(error).replace("--reference", "--images")) from None
    if samples.shape[1:] != event:
        raise ValueError(
            f"--images {path} has samples of shape {tuple(samples.shape[1:])}, but the model's are "
            f"{event}"
        )
    if source not in SETS:
        labels = _of_folders(path) if path.is_dir() else _of_array(path)
    chosen = torch.linspace(0, len(samples) - 1, min(most, len(samples))).round().long()
    return samples[chosen], None if labels is None else labels[chosen]


def read_latents(
    path: Path,
    event: tuple[int, ...],
    most: int,
    autoencoder: Callable[[], Autoencoder | None],
) -> tuple[Tensor | None, Tensor | None, str]:
    """Read latents of a model from a file, or encode images with its autoencoder.

    Args:
        path: as in :func:`read_images`; a folder has images, an array images or latents.
        event: shape of a latent.
        most: samples at most.
        autoencoder: loads the model's; None where it has none.

    Returns:
        Latents ``(n, *event)`` float32, class numbers or None, and a sentence that says what was done
        with images; no latents, but the sentence, for images that nothing encodes.

    Raises:
        ValueError: there is nothing of this kind, or of the shape of an image or a latent.
    """
    if not path.is_dir():
        try:
            return *read_images(path, event, None, most), ""
        except ValueError:
            coder = autoencoder()
            if coder is None:
                raise
    else:
        coder = autoencoder()
    if coder is None:
        return None, None, _NEEDS_LATENTS.format(images=path, event=event)
    images, labels = read_images(path, coder.event, coder.limits, most)
    latents = coder.encode(images)
    if tuple(latents.shape[1:]) != event:
        raise ValueError(
            f"--images {path}: the autoencoder makes latents of shape {tuple(latents.shape[1:])} of them, "
            f"but the model's are {event}; give the autoencoder that it was trained with"
        )
    return latents, labels, f"{len(images)} images were encoded by the model's autoencoder."


_NEEDS_LATENTS = (
    "--images {images} are images, and the model's samples are latents {event}: give these as an array "
    "(.npy or .npz), or name the autoencoder with ?decoder.folder=FOLDER; the check goes on with the "
    "model's own samples."
)


def _of_folders(path: Path) -> Tensor | None:
    """Return the class of each image, in the order in which they are read."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    names = sorted({p.parent for p in files})
    return torch.tensor([names.index(p.parent) for p in files]) if len(names) > 1 else None


def _of_array(path: Path) -> Tensor | None:
    stored = open_arrays(path)
    if isinstance(stored, np.ndarray):
        return None
    arrays = [stored[name] for name in ("y", "arr_1") if name in stored]
    return torch.from_numpy(arrays[0].astype(np.int64)) if arrays else None
