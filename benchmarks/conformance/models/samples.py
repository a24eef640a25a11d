"""Clean samples that a model is checked on, with their labels: images, or the model's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ....models import Denoiser
from ....models.reference import MOST_OUTSIDE
from ....samplers import Grid, NoNoise, SampleNoise, karras, make
from .check import Check
from .fit import SEED, Fit
from .judging import Candidate, judge

STEPS, HIGHEST = 40, 1e3
"""Steps of the model's own samples, and the level that an infinite range begins at."""


def candidate(
    settings: str,
    model: Denoiser,
    images: Tensor | None,
    labels: Tensor | None,
    samples: int,
    device: str,
) -> Candidate:
    """Return a reading with its fit to images, or to samples of its own.

    Args:
        settings: of the reading.
        model: of the reading, on the device.
        images: clean samples; None for its own.
        labels: of the images, or None.
        samples: how many of its own.
        device: "cpu" or "cuda".

    Raises:
        ValueError: the network needs labels, and there are none.
    """
    if images is not None:
        clean = images.to(device, model.dtype)
        return judge(settings, model, clean, classes_of(model, labels, device))
    try:
        return judge(settings, model, *own_samples(model, samples, device))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a network that cannot be called; what it says, check_behaviour says
        nowhere = np.full((1, samples), np.nan)
        none = torch.zeros(samples, *model.event, device=device, dtype=model.dtype)
        return Candidate(settings, model, Fit(np.ones(1), nowhere, nowhere), none, None)


def classes_of(model: Denoiser, labels: Tensor | None, device: str) -> Tensor | None:
    """Return labels of the images: those given, or "no label" where the network knows it.

    Raises:
        ValueError: the network needs labels, and there are none.
    """
    if not (model.classes or model.conditions):
        return None
    if labels is not None:
        return labels.to(device)
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
def own_samples(model: Denoiser, count: int, device: str) -> tuple[Tensor, Tensor | None]:
    """Return samples that the model itself makes, with the labels that it was made of."""
    ids = torch.arange(count, device=device)
    top = min(model.sigma_max, HIGHEST)
    is_map = model.kind == "map"
    grid = Grid((top, 0.0)) if is_map else karras(STEPS, model.sigma_min, top)
    bound = model.bind(ids, SEED + 1)  # other noise than what they are then checked with
    latents = SampleNoise(SEED + 1, ids, model.event, model.dtype).initial()
    sampler = make("consistency" if is_map else "dpmpp_2m")
    return sampler.sample(bound, top * latents, grid, NoNoise()), bound.labels


def check_range(limits: tuple[float, float], images: Tensor) -> Check:
    """Check that images lie in the range that samples are clamped to before they are scored."""
    (low, high), least, most = limits, float(images.min()), float(images.max())
    outside = float(((images < low) | (images > high)).double().mean())
    text = f"the images go from {least:.3g} to {most:.3g}, and samples are clamped to limits {low:g} and {high:g}"
    if outside <= MOST_OUTSIDE:
        return Check("range", True, text)
    return Check(
        "range",
        False,
        f"{text}, which {outside:.1%} of their values are outside of; correct the limits or the images",
    )
