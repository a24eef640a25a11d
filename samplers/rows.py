"""What samplers need that treat each row of a batch by itself: levels and numbers a row, and norms that do not depend on the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def levels(levels: list[float], x: Tensor) -> Tensor:
    """``(rows,)``, for a denoiser: float64 whatever the state is, except where the device has none."""
    return torch.tensor(levels, dtype=torch.float32 if x.device.type == "mps" else torch.float64, device=x.device)


def column(values: list[float] | Tensor, x: Tensor) -> Tensor:
    """One number a row, ``(rows, 1, …)``, to be multiplied with ``x``."""
    return torch.as_tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *[1] * (x.ndim - 1))


def row_rms(v: Tensor) -> list[float]:
    """Root mean square of each row of ``v`` ``(rows, *event)``, on the host, for decisions: it waits for the device."""
    n = v[0].numel() if len(v) else 1
    return [math.sqrt(total / n) if math.isfinite(total) else total for total in sums_of_squares(v).tolist()]


def sums_of_squares(v: Tensor) -> Tensor:
    """Of each row of ``v`` ``(rows, *event)``: ``(rows,)`` float64; NaN or inf if it has one.

    Summed by folding the row in halves, elementwise: a library's reduction may choose its order by the number of rows, and then the
    last bit of a sample's error would depend on its batch.
    """
    squares = v.flatten(1).double().square()
    while (width := squares.shape[1]) > 1:
        half = width // 2
        folded = squares[:, :half] + squares[:, half : 2 * half]
        squares = torch.cat([folded, squares[:, 2 * half :]], 1) if width % 2 else folded
    return squares.squeeze(1)
