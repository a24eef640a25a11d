"""Samples of a cell for the pictures of a report."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ...models import Denoiser, Reference

POINTS = 512


def how_many(model: Denoiser, images: int) -> int:
    """Return the number of samples for pictures: ``images`` of an image model, a cloud of points in
    two dimensions, else 0.
    """
    if len(model.decoded_event) == 3:
        return images
    return POINTS if math.prod(model.decoded_event) == 2 and images else 0


def pictures(
    model: Denoiser, reference: Reference | None, x: NDArray, converged: NDArray | None = None
) -> dict[str, NDArray]:
    """Return samples as a report shows them.

    Args:
        model: gives the shape of a sample.
        reference: gives the range of values.
        x: samples ``(k, *event)``.
        converged: ``(m, *event)`` limits of the same latents, sample by sample; None if unknown.

    Returns:
        ``images`` in uint8 or ``points`` as they are, and ``converged`` (at most k) likewise.
    """
    arrays = {
        "images" if len(model.decoded_event) == 3 else "points": as_report_values(
            model, reference, x
        )
    }
    if converged is not None and len(converged):
        arrays["converged"] = as_report_values(model, reference, converged[: len(x)])
    return arrays


def as_report_values(model: Denoiser, reference: Reference | None, x: NDArray) -> NDArray:
    """Return values ``(..., *event)`` for a report: latents decoded, images in uint8, others in one
    dimension in float32.
    """
    if model.decoder is not None:
        before = x.shape[: x.ndim - len(model.event)]
        latents = torch.from_numpy(x.reshape(-1, *model.event)).float()
        x = model.decode(latents).numpy().reshape(*before, *model.decoded_event)
    if len(model.decoded_event) != 3:
        return x.reshape(*x.shape[: x.ndim - len(model.decoded_event)], -1).astype(np.float32)
    low, high = display_range(reference)
    return ((x - low) / (high - low) * 255).clip(0, 255).round().astype(np.uint8)


def display_range(reference: Reference | None) -> tuple[float, float]:
    """Return the values for black and white: the card's data range, else three standard deviations
    about the mean, else -1 and 1.
    """
    if reference is None:
        return -1.0, 1.0
    if reference.clamp is not None:
        return reference.clamp
    if reference.moments is None:  # moments of features say nothing about values
        return -1.0, 1.0
    mean, cov = reference.moments
    center = float(mean.mean())
    spread = 3 * float(np.sqrt(np.mean(np.diag(cov) + (mean - center) ** 2)))
    return center - spread, center + spread
