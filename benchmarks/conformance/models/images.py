"""Clean samples from files: a folder of images, or an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_images(
    path: Path, event: tuple[int, ...], limits: tuple[float, float] | None, most: int
) -> tuple[Tensor, Tensor | None]:
    """The first samples of a folder or file, and their class numbers if it has them.

    Args:
        path: a folder of images, in folders by class or not (classes are numbered in the order of
            the folders' names); a ``.npy`` file ``(n, …)``; or a ``.npz`` file with ``arr_0``, and
            perhaps labels in ``arr_1``. Channels are first or last.
        event: shape of a sample.
        limits: values that 0 and 255 of bytes become; None leaves values as they are.
        most: samples at most. Of images in folders, they are spread over the classes.

    Returns:
        ``(n, *event)`` float64, and ``(n,)`` int64 or None.

    Raises:
        ValueError: there is nothing of this kind, or of this shape.
    """
    if path.is_dir():
        values, labels = _folder(path, most)
    elif path.suffix in (".npy", ".npz") and path.is_file():
        values, labels = _array(path, most)
    else:
        raise ValueError(
            f"--images {path}: it must be a folder of images ({', '.join(SUFFIXES)}), or a .npy or "
            ".npz file"
        )
    return _as_samples(path, values, event, limits), labels


def _folder(path: Path, most: int) -> tuple[np.ndarray, Tensor | None]:
    from PIL import Image

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"--images {path}: no images there ({', '.join(SUFFIXES)})")
    names = sorted({p.parent.name for p in files if p.parent != path})
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, most).astype(int))]
    pictures = [np.asarray(Image.open(p)) for p in chosen]
    shapes = {p.shape for p in pictures}
    if len(shapes) > 1:
        raise ValueError(
            f"--images {path}: images of several sizes, {' and '.join(map(str, sorted(shapes)[:2]))}; "
            "bring them to one"
        )
    labels = [names.index(p.parent.name) for p in chosen] if names else None
    return np.stack(pictures), None if labels is None else torch.tensor(labels)


def _array(path: Path, most: int) -> tuple[np.ndarray, Tensor | None]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"--images {path} cannot be read ({error})") from None
    if isinstance(loaded, np.ndarray):
        return loaded[:most], None
    if "arr_0" not in loaded:
        raise ValueError(
            f"--images {path}: an .npz file needs an array arr_0; it has {', '.join(loaded) or 'none'}"
        )
    labels = torch.from_numpy(loaded["arr_1"][:most]).long() if "arr_1" in loaded else None
    return loaded["arr_0"][:most], labels


def _as_samples(
    path: Path, values: np.ndarray, event: tuple[int, ...], limits: tuple[float, float] | None
) -> Tensor:
    scaled = values.astype(np.float64)
    if values.dtype == np.uint8 and limits is not None:
        scaled = limits[0] + scaled * ((limits[1] - limits[0]) / 255)
    if len(event) == 3:
        if scaled.ndim == 3:
            scaled = scaled[:, None]
        elif scaled.shape[1:] != event and scaled.shape[1:] == (*event[1:], event[0]):
            scaled = scaled.transpose(0, 3, 1, 2)
    if scaled.shape[1:] != event:
        raise ValueError(
            f"--images {path}: samples of shape {values.shape[1:]}, and the model's are {event}; "
            "resize them, or give those it was trained on"
        )
    return torch.from_numpy(np.ascontiguousarray(scaled))
