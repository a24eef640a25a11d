"""Samples from files of arrays, folders of images, and data sets of torchvision."""

from __future__ import annotations

import inspect
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..suites.files import DATA_SETS

Limits = tuple[float, float] | None
"""Range (low, high) of the values of samples; None for no range."""

MOST_TIMES, SMALL = 100, 64 << 20
"""Largest ratio of an archive's unpacked size to its size, and unpacked bytes always allowed.

Photographs compress to a half of their size, drawings to a twentieth.
"""


def open_arrays(path: Path) -> Any:
    """Return ``numpy.load`` of a ``.npy`` or ``.npz`` file, without Python objects.

    Raises a ValueError for an archive that would be suspiciously large when unpacked.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(SMALL, MOST_TIMES * path.stat().st_size):
            raise ValueError(
                f"it is {unpacked / 2**30:.2g} GiB unpacked, {unpacked / path.stat().st_size:,.0f} "
                "times its size; save the samples with numpy.savez, which packs nothing"
            )
    return np.load(path, allow_pickle=False)


def why_unreadable(error: Exception) -> str:
    """Return the reason why a file cannot be read, without NumPy's advice to allow pickles."""
    if "allow_pickle" in str(error):
        return "it holds Python objects, which are not read; save numbers"
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


def read_array(
    path: Path, event: tuple[int, ...], limits: Limits, most: int | None = None
) -> Tensor:
    """Read the samples of a file, ``(n, …)`` float32: all, or at most ``most``, evenly spread.

    The file is ``.npy``, or ``.npz`` with one array, or with ``x`` or ``arr_0``. Bytes (uint8) of
    images are rescaled from 0 … 255 to ``limits``, unless this is None. Their shape may be ``(n, h,
    w)`` or ``(n, h, w, channels)`` in place of ``(n, *event)``. Other shapes and ranges are not
    checked. Raises a ValueError for a missing, damaged or ambiguous file.
    """
    if not path.is_file():
        raise ValueError(
            f"--reference {path}: there is no such file; give a .npy or .npz "
            f"file, a folder of images, or one of {', '.join(DATA_SETS)}"
        )
    try:
        stored = open_arrays(path)
        arrays = {"x": stored} if isinstance(stored, np.ndarray) else dict(stored)
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(
            f"--reference {path.name} is no NumPy file of numbers ({why_unreadable(error)})"
        ) from error
    if not arrays.keys() & {"x", "arr_0"} and len(arrays) != 1:
        raise ValueError(
            f"--reference {path.name} has the arrays {', '.join(arrays)}; call the one that is meant x"
        )
    array = arrays[samples_array_name(arrays)]
    if array.dtype.kind not in "fiu":
        raise ValueError(f"--reference {path.name} holds {array.dtype}, not numbers")
    if most is not None:
        array = array[evenly_spread_indices(len(array), most)]
    values = array.astype(np.float32)
    if array.dtype == np.uint8 and limits is not None and len(event) == 3:
        values = rescale_from_bytes(values, limits)
        if event[0] == 1 and values.shape[1:] == event[1:]:
            values = values[:, None]
        elif values.shape[1:] == (*event[1:], event[0]):
            values = values.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(values))


def read_folder(folder: Path, event: tuple[int, ...], limits: Limits) -> Tensor:
    """Read the images of a folder and its subfolders, sorted by path, ``(n, *event)`` float32.

    Black becomes ``limits[0]``, and colours become grey or RGB. Files that are no images are
    skipped. Raises a ValueError without images or ``limits``, or for a damaged or unfitting image.
    """
    if len(event) != 3 or event[0] not in (1, 3):
        raise ValueError(
            f"--reference {folder} is a folder of images, but the model's samples {event} are "
            "no grey or RGB images; give a .npy file"
        )
    if limits is None:
        raise ValueError(
            f"--reference {folder} is a folder of images, and the model does not say which "
            "range its values have; say it behind a checkpoint, as in 'PATH?limits=[-1,1]', or give a model of "
            "yours an attribute limits = (-1.0, 1.0)"
        )
    pixels = []
    for path in image_files(folder, "--reference "):
        with open_image(path, "--reference: ") as image:
            image.load()
        pixels.append(_pixels_of(image, event, str(path)))
    return torch.from_numpy(rescale_from_bytes(np.stack(pixels).astype(np.float32), limits))


def image_files(folder: Path, option: str = "") -> list[Path]:
    """Return the paths of all images in a folder and its subfolders, sorted.

    Raises a ValueError if there are none, with a message that begins with ``option``.
    """
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = sorted(path for path in files if path.is_file())
    if not paths:
        raise ValueError(
            f"{option}{folder}: there are no images in this folder; it takes {', '.join(SUFFIXES)}"
        )
    return paths


def samples_array_name(arrays: Mapping[str, Any]) -> str:
    """Return the name of the array with the samples of a file: x, arr_0, or the first."""
    return next((name for name in ("x", "arr_0") if name in arrays), next(iter(arrays)))


def evenly_spread_indices(available: int, n: int) -> NDArray[np.int_]:
    """Return indices of at most ``n`` evenly spread samples, since files may be sorted by class.

    They are in a fixed random order, so that the first and the second half are alike, too.
    """
    places = np.linspace(0, available - 1, min(n, available)).round().astype(int)
    return np.random.default_rng(0).permutation(places)


def rescale_from_bytes(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return values in [0, 255] rescaled to the range ``limits``."""
    low, high = limits
    return values / 255 * (high - low) + low


@contextmanager
def open_image(path: Path, option: str = "") -> Iterator[Any]:
    """Yield an image file opened by Pillow, and close it after the ``with`` block.

    Any error, also inside the block, becomes a ValueError, whose message begins with ``option``.
    """
    try:
        from PIL import Image

        with Image.open(path) as image:
            yield image
    except ImportError as error:
        raise ValueError(
            f"{option}a folder of images needs Pillow; pip install pillow, or give a .npy file"
        ) from error
    except Exception as error:  # a damaged image can raise anything
        raise ValueError(
            f"{option}{path} cannot be read as an image ({type(error).__name__}: {error})"
        ) from error


def _pixels_of(image: Any, event: tuple[int, ...], where: str) -> np.ndarray:
    """Return a Pillow image as bytes of shape ``event`` (channels, h, w), converted to grey or RGB."""
    channels, height, width = event
    size = getattr(image, "size", None)
    if not isinstance(size, tuple):
        raise ValueError(f"--reference {where} has no images")
    if size != (width, height):
        raise ValueError(
            f"--reference: {where} has {size[0]} x {size[1]} pixels, but the "
            f"model's images have {width} x {height}; resize it"
        )
    if image.mode[0] in "IF":  # 16 bits or floats, which Pillow cuts off at 255
        raise ValueError(f"--reference: {where} has more than 8 bits a channel; save it with 8")
    converted = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return converted.reshape(height, width, channels).transpose(2, 0, 1)


PREFIX = "torchvision:"


def read_torchvision(source: str, event: tuple[int, ...], limits: Limits) -> tuple[Tensor, Tensor]:
    """Return training and test images ``(n, *event)`` of a local ``torchvision:NAME:FOLDER``.

    NAME is a class of ``torchvision.datasets`` and FOLDER its ``root``. Colours become grey or RGB.
    Raises a ValueError if the data set cannot be loaded or does not fit the model.
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
    parts = []
    for is_training in (True, False):
        images = _load_part(source, name, folder, is_training)
        pixels = np.stack([_pixels_of(image, event, source) for image, *_ in images])
        parts.append(torch.from_numpy(rescale_from_bytes(pixels.astype(np.float32), limits)))
    return parts[0], parts[1]


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
        return kind(folder, **options)  # pyright: ignore[reportCallIssue] - signature checked above
    except Exception as error:  # each set raises its own errors for missing files
        words = " ".join(str(error).split())[:200]
        raise ValueError(
            f"--reference {source}: {words or type(error).__name__}; put its files into {folder}, as "
            "torchvision does with download=True"
        ) from error
