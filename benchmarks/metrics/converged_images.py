"""PSNR and LPIPS of decoded samples to the decoded endpoints of their latents.

PSNR is 10 log10(range² / MSE) in dB, of images clamped to the data's range, as saved images are.
The value is the mean over samples of decibels, as in papers, and not the PSNR of the mean MSE. The
PSNR of equal images would be infinite. Saving with 8 bits adds an error of variance range² / (12 ·
255²). A smaller MSE counts as this variance, which gives 58.9 dB.

A sample that ends in another mode is as far from its endpoint as two endpoints are from each other.
This value, of each endpoint and the one before it, is a column, since verdicts allow for such samples
among those that were not drawn.

LPIPS (Zhang et al. 2018, arXiv:1801.03924) uses the authors' package with its linear weights. The
backbone, torchvision's AlexNet or VGG-16, is the user's file. Nothing is downloaded.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ...results.quantities.endpoints import LPIPS, PSNR
from ...results.run_directory.reading import log
from .estimators.rows import VALUES, FloatArray, as_rows
from .metric import Context, Measured, Need, metric

FLOOR = 1 / (12 * 255**2)
"""Smallest mean square error that counts, as a share of the squared range."""
BLOCK = 32
"""Number of images that are decoded at a time."""
NEEDS: tuple[Need, ...] = ("samples", "reference solution")
WEIGHTS = "SAMPLERBENCH_LPIPS"
"""Environment variable with the path of the backbone's weights."""
BACKBONES = {11: ("alex", 31), 3: ("vgg", 16)}
"""Backbone and the smallest side of its images, by the width of its first kernel."""


def image_pairs(cell: Context) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (decoded samples, decoded endpoints) in blocks; nothing for data without a range."""
    ends = cell.solution.x
    x = cell.whole[: len(ends)]
    for start in range(0, len(x) if cell.limits else 0, BLOCK):
        images = cell.images(x[start : start + BLOCK])
        decode_ends = partial(cell.images, ends[start : start + BLOCK])
        # cells share the endpoints' images, unless these are too large to keep
        kept = images[0].numel() * len(ends) <= VALUES
        truth = cell.once(("endpoint images", start), decode_ends) if kept else decode_ends()
        yield images, truth[: len(images)]


def peak_signal_to_noise(
    images: ArrayLike, reference: ArrayLike, limits: tuple[float, float]
) -> FloatArray:
    """Return the PSNR ``(n,)`` in dB of images to ``reference``, both clamped to ``limits``."""
    if np.shape(images) != np.shape(reference):
        raise ValueError(f"images {np.shape(images)} need as many, not {np.shape(reference)}")
    x, r = (np.clip(as_rows(each), *limits) for each in (images, reference))
    mse = np.square((x - r) / (limits[1] - limits[0])).mean(axis=1)
    return -10 * np.log10(np.maximum(mse, FLOOR))


def load_lpips() -> tuple[Any, str, int]:
    """Return the LPIPS network, its backbone's name with a hash, and the smallest valid image side.

    Raises a ValueError if the package lpips or the file of :data:`WEIGHTS` is missing or unusable.
    """
    path = Path(os.environ.get(WEIGHTS, ""))
    if not path.is_file():
        raise ValueError(
            "metric lpips_conv needs torchvision's weights of AlexNet or VGG-16; name their file, such "
            f"as alexnet-owt-7be5be79.pth, in the environment variable {WEIGHTS}"
        )
    return _load_file(path, path.stat().st_mtime_ns, path.stat().st_size)


def lpips_name() -> str:
    """Return the backbone's name with a hash of its file; raises as :func:`load_lpips` does."""
    return load_lpips()[1]


@lru_cache(maxsize=1)
def _load_file(path: Path, *_changes: int) -> tuple[Any, str, int]:
    from ...models.checkpoints.opening import hash_of_file, open_checkpoint, state_dict
    from ...models.extractors.rgb import explain_errors, import_optional

    library = import_optional("lpips", "metric lpips_conv needs lpips", "'samplerbench[lpips]'")
    tensors = state_dict(open_checkpoint(path).value)
    problem = f"{path.name} does not hold torchvision's weights of AlexNet or VGG-16"
    with explain_errors(problem), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # the package calls torchvision in an old way
        name, side = BACKBONES[tensors["features.0.weight"].shape[-1]]
        network = library.LPIPS(net=name, pnet_rand=True, verbose=False).requires_grad_(False)
        keys = network.net.state_dict()  # such as slice2.3.weight
        network.net.load_state_dict({k: tensors[f"features.{k.partition('.')[2]}"] for k in keys})
    return network, f"{name}-{hash_of_file(path)[:16]}", side


@metric("psnr_conv", version=2, needs=NEEDS, quantities=(PSNR,), default=False)
def psnr_conv(cell: Context) -> Measured:
    """Measure the mean PSNR of samples to endpoints, in dB; empty without samples or a data range."""
    limits = cell.limits or (0.0, 1.0)
    each, apart = _compare_blocks(
        ((x.cpu().numpy(), r.cpu().numpy()) for x, r in image_pairs(cell)),
        partial(peak_signal_to_noise, limits=limits),
    )
    capped = (each > -10 * np.log10(FLOOR) - 1e-9).sum() / max(len(each), 1)
    return _mean_of(each, "psnr_conv", psnr_apart=apart, psnr_capped=capped)


@metric(
    "lpips_conv", version=2, needs=NEEDS, quantities=(LPIPS,), default=False, weights=lpips_name
)
@torch.no_grad()
def lpips_conv(cell: Context) -> Measured:
    """Measure the mean LPIPS of decoded samples to decoded endpoints.

    The result is empty without samples or a data range, and for images that are too small for the
    backbone, or neither grey nor RGB.
    """
    (network, name, side), (low, high) = load_lpips(), cell.limits or (0.0, 1.0)
    blocks = image_pairs(cell)
    first = next(blocks, None)
    if first is None:
        return Measured({})
    channels, *sides = first[0].shape[1:]
    if channels not in (1, 3) or len(sides) != 2 or min(sides) < side:
        size = f"grey or RGB images of {side} x {side} pixels or more"
        cell.once("no LPIPS", partial(log.warning, "%s needs %s: no LPIPS.", name, size))
        return Measured({})

    def distances(*pair: Tensor) -> FloatArray:
        both = ((2 * (x.float() - low) / (high - low) - 1).expand(-1, 3, -1, -1) for x in pair)
        return network.to(pair[0].device)(*both).flatten().double().cpu().numpy()

    each, apart = _compare_blocks(chain([first], blocks), distances)
    return _mean_of(each, "lpips_conv", lpips_apart=apart, lpips_network=name)


def _compare_blocks(
    blocks: Iterable[tuple[Any, Any]], compare: Callable[[Any, Any], FloatArray]
) -> tuple[FloatArray, float]:
    """Return ``compare`` of images and their endpoints, and its mean over neighbouring endpoints.

    The mean is NaN if no block has two endpoints.
    """
    each: list[Any] = [[]]
    apart: list[Any] = [[]]
    for images, ends in blocks:
        each.append(compare(images, ends))
        if len(ends) > 1:
            apart.append(compare(ends[1:], ends[:-1]))
    between = np.concatenate(apart)
    return np.concatenate(each), float(between.mean()) if len(between) else np.nan


def _mean_of(values: FloatArray, name: str, **beside: object) -> Measured:
    """Return columns ``name`` (mean of ``values``), its error, ``beside``; empty without values."""
    if not len(values):
        return Measured({})
    se = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return Measured({name: values.mean(), f"{name}_se": se, **beside}, {name: values})
