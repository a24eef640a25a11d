"""Computation of reference statistics from real samples, for other evaluators and later runs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...models.denoiser import Denoiser
from ...models.extractors import Samples, make_extractor
from ...models.reference import Extractor, Reference
from ..sampling.shard import clamp
from ..suites.files import DATA_SETS
from .real_data import read_samples
from .real_files import PREFIX, image_files, name_of_samples, open_arrays, open_image
from .statistics_files import write_statistics

BYTES = (-1.0, 1.0)
"""Range of 8-bit images without a model; features of such images do not depend on the range."""


class WrittenStatistics(NamedTuple):
    """Number ``n`` of samples in a written file, and the extractor of their features."""

    n: int
    extractor: Extractor


def make_statistics(
    source: str, spec: str, out: Path, model: Denoiser | None = None
) -> WrittenStatistics:
    """Write mean and covariance of the features of real samples for :func:`.read_statistics`.

    Args:
        source: value of ``--reference``: a file, a folder or a data set (its training images).
        spec: name of the extractor, a value of ``--extractor``.
        out: ``.npz`` file to write.
        model: model that gives shape and range of the samples; None takes both from the images.

    Raises:
        ValueError: ``out`` has another suffix, or samples or extractor cannot be used.
    """
    if out.suffix != ".npz":
        raise ValueError(f"--out {out}: statistics go into a .npz file, such as {out.stem}.npz")
    event, limits = (
        _image_shape_and_range(source, spec)
        if model is None
        else (model.decoded_event, model.decoded_limits)
    )
    own = None if model is None else model.reference()
    space = make_extractor(spec, Samples(event, limits, own))
    extractor = space.extractor if isinstance(space, Reference) else space
    samples, _ = read_samples(source, event, limits, "the data" if model is None else model.name)
    features = extractor(clamp(samples, limits)[0])
    write_statistics(out, features, extractor, limits)
    return WrittenStatistics(len(features), extractor)


def _image_shape_and_range(
    source: str, spec: str
) -> tuple[tuple[int, ...], tuple[float, float] | None]:
    """Return the shape and range of a source's samples; raises a ValueError for an unknown shape.

    The range is None for arrays of other dtypes than uint8, which need ``pixels`` as ``spec``.
    """
    path = Path(source)
    if path.is_dir():
        with open_image(image_files(path)[0]) as image:
            channels = 1 if image.mode in ("1", "L", "I", "F", "I;16") else 3
            return (channels, image.height, image.width), BYTES
    if path.suffix in (".npy", ".npz") and path.is_file():
        samples = _samples_in_file(path)
        if samples is not None and samples.dtype == np.uint8:
            return _channels_first_shape(samples.shape), BYTES
        if samples is not None and spec == "pixels":
            return samples.shape[1:], None
    if not path.exists() and source not in DATA_SETS and not source.startswith(PREFIX):
        raise ValueError(f"there is no file or folder {source}")
    raise ValueError(
        f"{source} does not say which shape and range its samples have, as images in a folder or in "
        "bytes do; say whose data they are with --model"
    )


def _channels_first_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (channels, h, w) of images of a shape (n, …) with channels last, first or absent."""
    if len(shape) == 3:
        return (1, *shape[1:])
    return (shape[3], *shape[1:3]) if len(shape) == 4 and shape[3] in (1, 3) else shape[1:]


def _samples_in_file(path: Path) -> np.ndarray | None:
    try:
        stored = open_arrays(path)
        return stored if isinstance(stored, np.ndarray) else stored[name_of_samples(stored)]
    except Exception:  # a damaged file can raise anything
        return None
