"""Real samples of a model's data, for feature spaces that its card does not know: from a file,
a folder of images, or a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...models import Denoiser
from ...models.cards.datasets import digits, emoji, fashion_mnist
from ..suites.paths import DATA_SETS

HELD_OUT = 6
"""Every sixth sample of a file is held out, as in Fashion-MNIST's 60 000 and 10 000."""

MODEL_SAMPLES = 10_000
"""Of a model that can draw its own data: for the reference, and as many held out."""

SEED, HELD_OUT_SEED = 3_000_000, 3_000_001

SETS: dict[str, Callable[[str], tuple[Tensor, Tensor]]] = dict(
    zip(DATA_SETS, (fashion_mnist, digits, emoji), strict=True)
)  # pyright: ignore[reportAssignmentType]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class RealData(NamedTuple):
    """Samples of the truth, ``(n, *event)`` each.

    Attributes:
        reference: for the moments.
        held_out: others.
        name: where they come from.
    """

    reference: Tensor
    held_out: Tensor
    name: str


def real_data(model: Denoiser, source: str | None) -> RealData:
    """Real samples for a model: of a latent model with a decoder, images.

    Args:
        model: whose data it is.
        source: ``.npy`` or ``.npz`` file (:func:`read_array`); a folder of images
            (:func:`read_folder`); or
            ``fashion-mnist``, ``digits`` or ``emoji``, where those are installed
            (:mod:`samplerbench.models.cards.datasets`); None has the model draw them.

    Raises:
        ValueError: there is no such source, its samples are not like the model's, or the model
            cannot draw its data.
    """
    if source is None:
        try:
            reference, held_out = (
                model.data(MODEL_SAMPLES, seed) for seed in (SEED, HELD_OUT_SEED)
            )
        except Exception as error:  # of a user's model
            raise ValueError(
                f"model {model.name} cannot draw {MODEL_SAMPLES} samples "
                f"({type(error).__name__}: {error})"
            ) from error
        if reference is None or held_out is None:
            raise ValueError(
                f"model {model.name} cannot draw its own data, and its card knows them in "
                "the card's features only: "
                "give real samples with --real FILE.npy"
            )
        called = f"{model.identity}-{MODEL_SAMPLES}-exact"
        return RealData(model.decode(reference), model.decode(held_out), called)
    if source in SETS:
        try:
            train, test = (
                _fitting(SETS[source](split)[0], model, source) for split in ("train", "test")
            )
        except (FileNotFoundError, ImportError) as error:
            raise ValueError(f"--real {source}: {error}") from error
        return RealData(train, test, source)
    path = Path(source)
    samples = _fitting(
        read_folder(path, model.decoded_event, model.decoded_limits)
        if path.is_dir()
        else read_array(path, model.decoded_event, model.decoded_limits),
        model,
        source,
    )
    held = torch.arange(len(samples)) % HELD_OUT == HELD_OUT - 1
    if held.sum() < 2:
        raise ValueError(
            f"--real {source} has {len(samples)} samples; give at least {2 * HELD_OUT}"
        )
    return RealData(samples[~held], samples[held], Path(source).name)


def read_array(path: Path, event: tuple[int, ...], limits: tuple[float, float] | None) -> Tensor:
    """The samples of a file, ``(n, …)`` float32.

    Args:
        path: ``.npy``, or ``.npz`` with one array, ``x`` or ``arr_0``, ``(n, *event)`` in the model's
            own range. Bytes (uint8) of a model with ``limits`` are images, from ``limits[0]`` for 0
            to ``limits[1]`` for 255; of ``(n, h, w)`` or ``(n, h, w, channels)`` the channels are
            put first.
        event: shape of a sample.
        limits: range of the model's data; None leaves bytes as they are.

    Raises:
        ValueError: there is no such file, or it holds no numbers.
    """
    if not path.is_file():
        raise ValueError(
            f"--real {path}: there is no such file; give a .npy or .npz "
            f"file, a folder of images, or one of {', '.join(SETS)}"
        )
    try:
        stored = np.load(path, allow_pickle=False)
        arrays: dict[str, np.ndarray] = (
            {"x": stored} if isinstance(stored, np.ndarray) else dict(stored)
        )
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(
            f"--real {path.name} is no NumPy file of numbers ({type(error).__name__}: {error})"
        ) from error
    name = next((name for name in ("x", "arr_0") if name in arrays), None)
    if name is None and len(arrays) != 1:
        raise ValueError(
            f"--real {path.name} has the arrays {', '.join(arrays)}; call the one that is meant x"
        )
    found = next(iter(arrays.values())) if name is None else arrays[name]
    if found.dtype.kind not in "fiu":
        raise ValueError(f"--real {path.name} holds {found.dtype}, not numbers")
    values = found.astype(np.float32)
    if found.dtype == np.uint8 and limits is not None and len(event) == 3:
        low, high = limits
        values = values / 255 * (high - low) + low
        if event[0] == 1 and values.shape[1:] == event[1:]:
            values = values[:, None]
        elif values.shape[1:] == (*event[1:], event[0]):
            values = values.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(values))


def _fitting(samples: Tensor, model: Denoiser, source: str) -> Tensor:
    if samples.shape[1:] != model.decoded_event:
        raise ValueError(
            f"--real {source} has samples of shape "
            f"{tuple(samples.shape[1:])}, but those of {model.name} are "
            f"{model.decoded_event}"
        )
    if not samples.isfinite().all():
        raise ValueError(f"--real {source} has values that are not finite")
    return samples


def read_folder(folder: Path, event: tuple[int, ...], limits: tuple[float, float] | None) -> Tensor:
    """The images of a folder and of the folders in it, sorted by path, ``(n, *event)`` float32 from
    ``limits[0]`` for black on.

    Args:
        folder: with files whose names end in one of :data:`SUFFIXES`; others are left alone.
        event: (1, h, w) for grey images, or (3, h, w) for RGB; colours become what the model has.
        limits: range of the model's data.

    Raises:
        ValueError: the model's samples are no images of a known range, Pillow is missing, or an
            image cannot be read or has another size.
    """
    if len(event) != 3 or event[0] not in (1, 3):
        raise ValueError(
            f"--real {folder} is a folder of images, but the model's samples {event} are "
            "no grey or RGB images; give a .npy file"
        )
    if limits is None:
        raise ValueError(
            f"--real {folder} is a folder of images, and the model does not say which "
            "range its values have; give it an attribute limits, "
            "such as limits = (-1.0, 1.0), or give a .npy file"
        )
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not paths:
        raise ValueError(
            f"--real {folder}: there are no images in this folder; it takes {', '.join(SUFFIXES)}"
        )
    pixels = np.stack([_read_image(path, event) for path in paths])
    low, high = limits
    return torch.from_numpy(pixels.astype(np.float32) / 255 * (high - low) + low)


def _read_image(path: Path, event: tuple[int, ...]) -> np.ndarray:
    """An image as ``event`` of 8-bit numbers.

    Raises:
        ValueError: it is none, or has another size.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(
            "--real with a folder of images needs Pillow; pip install pillow, or give a .npy file"
        ) from error
    channels, height, width = event
    try:
        with Image.open(path) as image:
            size = image.size
            converted = (
                np.asarray(image.convert("L" if channels == 1 else "RGB"))
                if size == (width, height)
                else None
            )
    except Exception as error:  # a file of anything can raise anything
        raise ValueError(
            f"--real: {path} cannot be read as an image ({type(error).__name__}: {error})"
        ) from error
    if converted is None:
        raise ValueError(
            f"--real: {path} has {size[0]} x {size[1]} pixels, but the "
            f"model's images have {width} x {height}; resize it"
        )
    return converted.reshape(height, width, channels).transpose(2, 0, 1)
