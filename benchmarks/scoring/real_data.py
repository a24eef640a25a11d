"""Real samples from a file, a folder of images, a data set or a model; their features and statistics."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ...models.cards.datasets import digits, emoji, fashion_mnist
from ...models.denoiser import Denoiser, innermost_model
from ...models.extractors import Samples, make_extractor
from ...models.loaders.user_files import change_in_words, file_hash, record_files
from ...models.reference import MOST_OUTSIDE, Extractor, FloatArray, Reference, split_held_out
from ...results.run_directory.behaviour_fingerprint import Fingerprint, difference
from ...results.run_directory.files import read_npz, write_npz
from ..identity.model import extractor_fingerprint
from ..metrics.estimators.rows import Moments
from ..sampling.shard import clamp
from ..suites.files import DATA_SETS
from .real_files import (
    PREFIX,
    Limits,
    image_files,
    open_arrays,
    open_image,
    read_array,
    read_folder,
    read_torchvision,
    samples_array_name,
)
from .statistics_files import read_statistics, write_statistics

MODEL_SAMPLES = 10_000
"""Size of the reference set, and of the held-out set, from a model that draws its own data."""

SEED, HELD_OUT_SEED = 3_000_000, 3_000_001

SETS: dict[str, Callable[[str], tuple[Tensor, Tensor]]] = dict(
    zip(DATA_SETS, (fashion_mnist, digits, emoji), strict=True)
)  # pyright: ignore[reportAssignmentType]


class RealData(NamedTuple):
    """Real samples ``(n, *event)``, ``reference`` for moments and others held out; their source."""

    reference: Tensor
    held_out: Tensor
    name: str


def load_real_data(model: Denoiser, source: str | None) -> RealData:
    """Return real samples for a model; for a latent model with a decoder, images.

    ``source`` is a file (:func:`read_array`), a folder of images (:func:`read_folder`), an
    installed ``fashion-mnist``, ``digits`` or ``emoji`` (:mod:`samplerbench.models.cards.datasets`)
    or ``torchvision:NAME:FOLDER`` (:func:`read_torchvision`). For None the model draws the samples.
    Raises a ValueError if samples cannot be read or drawn, do not fit the model, or are too few.
    """
    if source is None:
        if (fixed := getattr(innermost_model(model), "fixed_data", None)) is not None:
            return RealData(fixed[0], fixed[1], f"{model.identity}-data")
        try:
            reference = model.data(MODEL_SAMPLES, SEED)
            held_out = model.data(MODEL_SAMPLES, HELD_OUT_SEED)
        except Exception as error:  # a user's model can raise anything
            raise ValueError(
                f"model {model.name} cannot draw {MODEL_SAMPLES} samples "
                f"({type(error).__name__}: {error})"
            ) from error
        if reference is None or held_out is None:
            raise ValueError(
                f"model {model.name} cannot draw its own data; give real samples with "
                "--reference FILE.npy"
            )
        called = f"{model.identity}-{MODEL_SAMPLES}-exact"
        return RealData(model.decode(reference), model.decode(held_out), called)
    samples, held_out = read_samples(source, model.decoded_event, model.decoded_limits, model.name)
    name = source.rpartition(":")[0] if source.startswith(PREFIX) else Path(source).name
    if held_out is not None:
        return RealData(samples, held_out, name)
    return RealData(*split_held_out(samples, f"--reference {source}"), name)


def read_samples(
    source: str, event: tuple[int, ...], limits: Limits, whose: str
) -> tuple[Tensor, Tensor | None]:
    """Return a source's samples ``(n, *event)``, and its test samples; None without a test set.

    Raises a ValueError if samples are unreadable, are not finite, or do not fit model ``whose``.
    """
    if source.startswith(PREFIX):
        return read_torchvision(source, event, limits)
    if source in SETS:
        try:
            train, test = (
                _check_samples(SETS[source](split)[0], event, source, whose)
                for split in ("train", "test")
            )
        except (FileNotFoundError, ImportError) as error:
            raise ValueError(f"--reference {source}: {error}") from error
        return train, test
    path = Path(source)
    read = read_folder if path.is_dir() else read_array
    return _check_samples(read(path, event, limits), event, source, whose), None


def held_out_samples(model: Denoiser, source: str) -> Tensor | None:
    """Return the held-out real samples ``(n, *event)``; None for a source with statistics alone."""
    file = read_statistics(source)
    if file is not None and not file.has_images_of(model.decoded_event):
        return None
    return load_real_data(model, source).held_out


def _check_samples(samples: Tensor, event: tuple[int, ...], source: str, whose: str) -> Tensor:
    if samples.shape[1:] != event:
        raise ValueError(
            f"--reference {source} has samples of shape {tuple(samples.shape[1:])}, but those of "
            f"{whose} are {event}"
        )
    if not samples.isfinite().all():
        raise ValueError(f"--reference {source} has values that are not finite")
    return samples


def check_range(samples: Tensor, limits: Limits, source: str) -> None:
    """Raise a ValueError if many values of real samples are outside ``limits``, or all in one half of it."""
    if limits is None or not math.isfinite(limits[1] - limits[0]):
        return
    low, high = limits
    outside = clamp(samples, limits)[1]
    if outside > MOST_OUTSIDE:
        raise ValueError(
            f"{outside:.0%} of the values of {source} are outside the data's range "
            f"[{low:g}, {high:g}]; scale them to it"
        )
    smallest, largest = float(samples.min()), float(samples.max())
    if smallest >= (low + high) / 2 or largest <= (low + high) / 2:
        raise ValueError(
            f"the values of {source} are all in [{smallest:g}, {largest:g}], "
            f"one half of the data's range [{low:g}, {high:g}]; "
            "scale them to the whole of it, as values x in [0, 1] by x * (high - low) + low"
        )


MADE_BY = "made_by"
"""Name of the array in a cache file with the fingerprint of the extractor, as JSON."""
OPENED = "opened"
"""Name of the array in a cache file with hashes of the files that the extractor opened, as JSON."""


def real_features(
    extractor: Extractor, real: RealData, limits: Limits, cache: Path
) -> tuple[Mapping[str, FloatArray], str]:
    """Return features of real samples, cached in a folder, and the samples' name with a digest.

    The features are ``mean`` and ``cov`` of the reference set, and ``held_out`` ``(k, d)``.
    """

    def make() -> dict[str, np.ndarray]:
        moments = Moments.of(extractor(clamp(real.reference, limits)[0]))
        held_out = extractor(clamp(real.held_out, limits)[0])
        return {"mean": moments.mean, "cov": moments.cov, "held_out": held_out}

    return _cached_arrays(extractor, real.name, real[:2], limits, cache, make)


def features_of(
    extractor: Extractor, samples: Tensor, name: str, limits: Limits, cache: Path
) -> FloatArray:
    """Return the features ``(n, d)`` of real samples, from the cache if stored."""

    def make() -> dict[str, np.ndarray]:
        return {"features": extractor(clamp(samples, limits)[0])}

    return _cached_arrays(extractor, name, (samples,), limits, cache, make)[0]["features"]


def _cached_arrays(
    extractor: Extractor,
    name: str,
    samples: Sequence[Tensor],
    limits: Limits,
    cache: Path,
    make: Callable[[], dict[str, np.ndarray]],
) -> tuple[Mapping[str, np.ndarray], str]:
    """Return ``make()``, cached for equal samples and extractors, and ``name`` with a digest of samples."""
    digest = hashlib.sha256()
    for part in samples:
        digest.update(repr(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    data = f"{name}-{digest.hexdigest()[:16]}"
    key = hashlib.sha256(f"{data} {extractor.identity} {limits}".encode()).hexdigest()[:16]
    now = extractor_fingerprint(extractor, tuple(samples[0].shape[1:]), limits)
    path = cache / f"features-{key}.npz"
    stored = read_npz(path)
    if stored is None or _is_outdated(stored, now):
        with record_files() as recorder:
            stored = make()
        opened = {file: file_hash(file) or "" for file in sorted(recorder.paths)}
        about = {MADE_BY: now.to_json(), OPENED: opened}
        write_npz(path, stored | {name: np.array(json.dumps(it)) for name, it in about.items()})
    return stored, data


def _is_outdated(stored: Mapping[str, np.ndarray], now: Fingerprint) -> bool:
    """Return False if ``stored`` features come from an equal extractor with unchanged files."""
    try:
        before = Fingerprint.from_json(json.loads(str(stored[MADE_BY])))
        opened = json.loads(str(stored[OPENED])) if OPENED in stored else {}
        return bool(difference(before, now) or change_in_words(Path(), opened))
    except (KeyError, ValueError, AttributeError):
        return True


BYTES = (-1.0, 1.0)
"""Range of 8-bit images without a model; features of such images do not depend on the range."""


def write_features_statistics(
    source: str, spec: str, out: Path, model: Denoiser | None = None
) -> tuple[int, Extractor]:
    """Write mean and covariance of the features of real samples for :func:`.read_statistics`.

    Returns the number of samples, and the extractor of their features.

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
    if model is not None:
        check_range(samples, limits, source)
    features = extractor(clamp(samples, limits)[0])
    write_statistics(out, features, extractor, limits)
    return len(features), extractor


def _image_shape_and_range(source: str, spec: str) -> tuple[tuple[int, ...], Limits]:
    """Return the shape and range of a source's samples; raises a ValueError for an unknown shape."""
    path = Path(source)
    if path.is_dir():
        channels, size = 1, (0, 0)
        for file in image_files(path):
            with open_image(file) as image:
                size = image.height, image.width
                grey = image.mode in ("1", "L", "LA", "I", "F", "I;16")
                if image.mode == "P":  # a palette, perhaps of greys
                    pixels = np.asarray(image.convert("RGB"))
                    grey = bool((pixels == pixels[..., :1]).all())
                if not grey:
                    channels = 3  # one image in colour makes all be read as RGB
                    break
        return (channels, *size), BYTES
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
        return stored if isinstance(stored, np.ndarray) else stored[samples_array_name(stored)]
    except Exception:  # a damaged file can raise anything
        return None
