"""Clean samples and labels for checking a model: given images, or the model's own samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....models.checkpoints.diffusers.library import Autoencoder
from ....models.denoiser import Denoiser
from ....models.reference import MOST_OUTSIDE
from ....samplers import Grid, NoNoise, SampleNoise, karras, make
from ...scoring.real_data import SETS
from ...scoring.real_files import image_files, open_arrays, read_array, read_folder
from .fit import CACHED_VALUES, LEVELS, SEED, Check, Fit
from .maps import variance_of
from .reading_comparison import Candidate, fit_candidate


def read_images(
    source: str | Path, event: tuple[int, ...], limits: tuple[float, float] | None, most: int
) -> tuple[Tensor, Tensor | None]:
    """Read at most ``most`` samples, evenly spread over a folder, a file or a data set.

    Args:
        source: folder of images, possibly with a subfolder for each class; a ``.npy`` file; a
            ``.npz`` file, possibly with class numbers in ``y`` or ``arr_1``; or the name of a data
            set, whose test images are read.
        event: shape of a sample.
        limits: range of the model's data, to which bytes and data sets are scaled. None is refused for
            a folder.
        most: largest number of samples.

    Returns:
        Samples ``(n, *event)`` float32, and their classes ``(n,)`` int64, or None without classes.

    Raises:
        ValueError: the source cannot be read, or its samples have another shape.
    """
    path, labels = Path(source), None
    try:
        if source in SETS:
            samples, labels = SETS[str(source)]("test")
            low, high = limits or (-1.0, 1.0)  # sets are in [-1, 1]
            samples = samples.add(1).mul((high - low) / 2).add(low)
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
        labels = _classes_by_folder(path) if path.is_dir() else _classes_in_file(path)
    if labels is not None and len(labels) != len(samples):
        raise ValueError(f"--images {path} has {len(samples)} samples and {len(labels)} classes")
    chosen = torch.linspace(0, len(samples) - 1, min(most, len(samples))).round().long()
    return samples[chosen], None if labels is None else labels[chosen]


def read_latents(
    path: Path, event: tuple[int, ...], most: int, autoencoder: Callable[[], Autoencoder | None]
) -> tuple[Tensor | None, Tensor | None, str]:
    """Read latents from a file, or encode images with the model's autoencoder.

    Returns:
        Latents ``(n, *event)``, or None for a folder without an autoencoder; classes ``(n,)``, or None;
            and a sentence: how images were encoded, or why they were not. It is "" for latents.

    Raises:
        ValueError: the path cannot be read, or neither the samples nor their codes fit the model.
    """
    if not path.is_dir():
        try:
            return *read_images(path, event, None, most), ""
        except ValueError:
            if (coder := autoencoder()) is None:
                raise
    elif (coder := autoencoder()) is None:
        note = (
            f"--images {path} are images, and the model's samples are latents {event}: give these as an array "
            "(.npy or .npz), or name the autoencoder with ?decoder.folder=FOLDER; the check goes on with the "
            "model's own samples."
        )
        return None, None, note
    images, labels = read_images(path, coder.event, coder.limits, most)
    latents = coder.encode(images)
    if tuple(latents.shape[1:]) != event:
        raise ValueError(
            f"--images {path}: the autoencoder makes latents of shape {tuple(latents.shape[1:])} of them, "
            f"but the model's are {event}; give the autoencoder that it was trained with"
        )
    return latents, labels, f"{len(images)} images were encoded by the model's autoencoder."


def _classes_by_folder(path: Path) -> Tensor | None:
    """Return the number of each image's folder as its class ``(n,)``; None for a single folder."""
    files = image_files(path)
    names = sorted({p.parent for p in files})
    return torch.tensor([names.index(p.parent) for p in files]) if len(names) > 1 else None


def _classes_in_file(path: Path) -> Tensor | None:
    stored = open_arrays(path)
    if isinstance(stored, np.ndarray):
        return None
    arrays = [stored[name] for name in ("y", "arr_1") if name in stored]
    return torch.from_numpy(arrays[0].astype(np.int64)) if arrays else None


SAMPLING_STEPS, HIGHEST_START = 40, 1e3
"""Number of steps for drawing samples of the model, and upper bound on their first level."""
ANNOUNCED_MINUTES, MOST_MINUTES = 1.0, 10.0
"""Minutes above which a check without images is announced, or with open questions refused."""


@torch.no_grad()
def check_expected_time(
    models: Sequence[Denoiser], samples: int, device: str, show: Callable[[str], None]
) -> None:
    """Pass a warning to ``show`` if a check without images may take over a minute.

    The smallest model is timed; larger ones are expected to need as long per value of a sample.
    Raises a ValueError if there are several models, and they may take over MOST_MINUTES in all.
    """
    model, seconds = min(models, key=lambda m: math.prod(m.event)), 0.0
    ids = torch.arange(max(1, min(samples, CACHED_VALUES // math.prod(model.event))), device=device)
    x = SampleNoise(SEED, ids, model.event, model.dtype).initial()
    with suppress(Exception):  # check_behaviour reports a network that cannot be called
        for _ in range(2):  # the first call is slower
            begin = time.perf_counter()
            float(model.bind(ids, SEED)(x, model.sigma_min).sum())  # waits for a GPU
            seconds = (time.perf_counter() - begin) / x.numel()
    calls = samples * (LEVELS + (1 if model.kind == "map" else SAMPLING_STEPS))
    minutes = seconds * calls * sum(math.prod(m.event) for m in models) / 60
    what = f"to try {len(models)} readings" if len(models) > 1 else "the check"
    said = f"{what} on the model's own samples takes about {minutes:,.0f} minutes; give --images FOLDER"
    said += ", which decides more, and in seconds for a small network"
    if len(models) > 1 and minutes > MOST_MINUTES:
        raise ValueError(f"{said}, or state answers behind the path")
    if minutes > ANNOUNCED_MINUTES:
        show(said)


def candidate_on_samples(
    settings: str,
    model: Denoiser,
    images: Tensor | None,
    labels: Tensor | None,
    samples: int,
    device: str,
) -> Candidate:
    """Return a candidate with its fit to images; without images, to ``samples`` of the model.

    Raises a ValueError for images that are all alike, such as a single one, or lack needed labels.
    """
    if images is not None:
        clean = images.to(device, model.dtype)
        if not variance_of(clean):
            raise ValueError(
                "one image, or images that are all alike, check nothing; give some hundred of those that "
                "the network was trained on"
            )
        return fit_candidate(settings, model, clean, labels_for_network(model, labels, device))
    try:
        return fit_candidate(settings, model, *draw_own_samples(model, samples, device))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a network that cannot be called, which check_behaviour reports
        nowhere = np.full((1, samples), np.nan)
        none = torch.zeros(samples, *model.event, device=device, dtype=model.dtype)
        return Candidate(settings, model, Fit(np.ones(1), nowhere, nowhere), none, None)


def labels_for_network(model: Denoiser, labels: Tensor | None, device: str) -> Tensor | None:
    """Return ``labels`` on ``device``; None for a network that takes no labels.

    ``labels`` None stay None if the network has a null label; else they raise a ValueError.
    """
    if not (model.classes or model.conditions):
        return None
    if labels is not None:
        count, (least, most) = model.classes or model.conditions, labels.aminmax()
        if len(labels) != labels.numel() or least < 0 or most >= count + bool(model.null_label):
            raise ValueError(
                f"the classes of the images, of shape {tuple(labels.shape)} and from {least:g} to {most:g}, are no "
                f"numbers of the network's classes; give one from 0 to {count - 1} for each image"
            )
        return labels.flatten().to(device)
    if model.null_label:
        return None
    if model.conditions:
        raise ValueError(
            "the network takes embeddings, and nothing says which row of them belongs to which image; give "
            "an .npz file with the rows' numbers in arr_1"
        )
    raise ValueError(
        f"the network is conditional on {model.classes} classes, and the images have none; put them in "
        "a folder for each class, or give an .npz file with labels in arr_1"
    )


@torch.no_grad()
def draw_own_samples(model: Denoiser, count: int, device: str) -> tuple[Tensor, Tensor | None]:
    """Return ``count`` samples of the model itself ``(count, *event)``, and labels or None."""
    ids = torch.arange(count, device=device)
    top = min(model.sigma_max, HIGHEST_START)
    is_map = model.kind == "map"
    grid = Grid((top, 0.0)) if is_map else karras(SAMPLING_STEPS, model.sigma_min, top)
    bound = model.bind(ids, SEED + 1)  # independent of the noise of the checks
    latents = SampleNoise(SEED + 1, ids, model.event, model.dtype).initial()
    sampler = make("consistency" if is_map else "dpmpp_2m")
    return sampler.sample(bound, top * latents, grid, NoNoise()), bound.labels


def check_range(limits: tuple[float, float], images: Tensor) -> Check:
    """Check that nearly all image values are within ``limits``, to which scoring clamps samples."""
    (low, high), least, most = limits, float(images.min()), float(images.max())
    outside = float(((images < low) | (images > high)).double().mean())
    text = f"the images go from {least:.3g} to {most:.3g}, and scores clamp samples to {low:g} and {high:g}"
    if outside > MOST_OUTSIDE:
        text += f", which {outside:.1%} of their values are outside of; correct the limits or the images"
    return Check("range", outside <= MOST_OUTSIDE, text)
