"""The orthonormal Haar transform of square images, in the usual pyramid layout."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def haar(image: Tensor) -> Tensor:
    """Haar coefficients of images.

    A 2 × 2 block p q / r s becomes its scaled mean (p + q + r + s) / 2 and the details (p - q + r -
    s) / 2 across columns, (p + q - r - s) / 2 across rows and (p - q - r + s) / 2 across the
    diagonal; the means are transformed again, down to one. At each scale of n × n the means fill
    the quarter ``[:n/2, :n/2]``, the details the other three.

    Args:
        image: ``(…, n, n)``, n a power of two; never modified.

    Returns:
        A new tensor like ``image``. The map is orthogonal: it preserves norms and white noise.
    """
    out = image.clone()
    n = image.shape[-1]
    while n > 1:
        out[..., :n, :n] = _join(*_butterfly(*_interleaved(out[..., :n, :n])))
        n //= 2
    return out


def inverse_haar(coefficients: Tensor) -> Tensor:
    """Return images of given coefficients: the inverse of :func:`haar` (its 2 × 2 step is its own)."""
    out = coefficients.clone()
    n = 2
    while n <= coefficients.shape[-1]:
        m = n // 2
        block = out[..., :n, :n]
        fine = _butterfly(
            block[..., :m, :m], block[..., :m, m:], block[..., m:, :m], block[..., m:, m:]
        )
        for slot, values in zip(_interleaved(block), fine, strict=True):
            slot.copy_(values)
        n *= 2
    return out


def octaves(side: int) -> NDArray[np.int64]:
    """Octave of each coefficient, ``(side, side)``: 0 for the coarsest four (the mean is one),
    log2(side) - 1 for the finest.
    """
    index = np.arange(side)
    larger = np.maximum(np.maximum(index[:, None], index[None, :]), 1)
    return np.frexp(larger)[1].astype(np.int64) - 1  # floor(log2), exactly


def _butterfly(p: Tensor, q: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Apply the orthogonal, symmetric 4 × 4 matrix of signs, over two.

    Halving is exact, so only sums are rounded.
    """
    top, bottom, left_difference, right_difference = p + q, r + s, p - q, r - s
    return (
        (top + bottom) / 2,
        (left_difference + right_difference) / 2,
        (top - bottom) / 2,
        (left_difference - right_difference) / 2,
    )


def _interleaved(block: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of the four corners of every 2 × 2 block."""
    return (
        block[..., ::2, ::2],
        block[..., ::2, 1::2],
        block[..., 1::2, ::2],
        block[..., 1::2, 1::2],
    )


def _join(mean: Tensor, across: Tensor, down: Tensor, diagonal: Tensor) -> Tensor:
    return torch.cat([torch.cat([mean, across], -1), torch.cat([down, diagonal], -1)], -2)
