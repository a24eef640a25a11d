"""Receptive field of a denoiser: distance of the pixels on which a denoised pixel depends."""

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
    """Return dd_i / dx_j for a pixel i of the denoised image, summed over its channels, and all
    inputs j.

    It is computed by backward differentiation. For an exact model it is a row of Cov[x0 | x] /
    sigma².

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
    """Return the root mean square distance to the pixel, weighted by squared sensitivity.

        radius² = sum_j J_ij² |r_j - r_i|² / sum_j J_ij²

    Both sums also run over the batch and the channels, so samples with little sensitivity have
    little weight.

    Args:
        rows: result ``(batch, C, H, W)`` of :func:`sensitivity`.
        pixel: as in :func:`sensitivity`.

    Returns:
        A scalar tensor in pixels, >= 0.

    Raises:
        ValueError: the rows are not images, the pixel is outside, or all sensitivities are 0.
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
