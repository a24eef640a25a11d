"""The receptive field of a denoiser: how far the pixels are that a denoised pixel depends on, at
every noise level.
"""

from __future__ import annotations

import torch
from torch import Tensor

from samplerbench.models import Denoiser

from .tweedie import transposed_product


def sensitivity(
    model: Denoiser,
    x: Tensor,
    sigma: float | Tensor,
    pixel: tuple[int, int] | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """dd_i / dx_j for one pixel i of the denoised image, all its channels added, and every input j.

    By backward differentiation; for an exact model it is the row of Cov[x0 | x] / sigma².

    Args:
        model: a differentiable denoiser of images ``(C, H, W)``.
        x: ``(batch, C, H, W)``.
        sigma: level > 0, one or ``(batch,)``.
        pixel: (row, column); None is the centre (H // 2, W // 2).
        labels: ``(batch,)`` or None.

    Returns:
        ``(batch, C, H, W)``.

    Raises:
        ValueError: the samples are not images, or the pixel is outside.
    """
    row, col = _place(x, pixel)
    v = torch.zeros_like(x)
    v[:, :, row, col] = 1
    return transposed_product(model, x, sigma, v, labels)


def receptive_radius(rows: Tensor, pixel: tuple[int, int] | None = None) -> Tensor:
    """Root mean square distance to the pixel, weighted by the energy of the sensitivity.

        radius² = sum_j J_ij² |r_j - r_i|² / sum_j J_ij²

    Energies are added over the batch and the channels before the division, so that samples on which
    the pixel depends little count little.

    Args:
        rows: ``(batch, C, H, W)`` from :func:`sensitivity`.
        pixel: as there.

    Returns:
        A scalar tensor in pixels, >= 0.

    Raises:
        ValueError: the rows are not images, the pixel is outside, or it depends on nothing.
    """
    row, col = _place(rows, pixel)
    energy = rows.double().square().sum((0, 1))
    if not float(energy.sum()) > 0:
        raise ValueError(
            "the pixel does not depend on the input at this level, so it "
            "has no receptive field; take another level"
        )
    down = torch.arange(energy.shape[0], device=rows.device, dtype=torch.float64) - row
    right = torch.arange(energy.shape[1], device=rows.device, dtype=torch.float64) - col
    square = down.square()[:, None] + right.square()
    return ((energy * square).sum() / energy.sum()).sqrt()


def _place(x: Tensor, pixel: tuple[int, int] | None) -> tuple[int, int]:
    if x.ndim != 4:
        raise ValueError(
            "locality needs images (batch, channels, height, width), got a "
            f"tensor of shape {tuple(x.shape)}"
        )
    height, width = x.shape[2:]
    row, col = (height // 2, width // 2) if pixel is None else pixel
    if not (0 <= row < height and 0 <= col < width):
        raise ValueError(f"pixel ({row}, {col}) lies outside images of {height} × {width}")
    return row, col
