"""Levels, rows and channels of guidance."""

from __future__ import annotations

import torch
from torch import Tensor

Interval = tuple[float, float]
"""Levels above the first number, up to the second."""


def said(
    kind: str, scale: float, *, channels: int | None = None, interval: Interval | None = None
) -> str:
    """Return the guidance in words, for names."""
    words = f"{kind}={scale:.15g}"
    if channels is not None:
        words += f",channels={channels}"
    return words if interval is None else f"{words},{interval[0]:.15g}<sigma<={interval[1]:.15g}"


def checked(interval: Interval | None) -> Interval | None:
    """Return a valid interval of levels.

    Raises:
        ValueError: it is invalid.
    """
    if interval is not None and not 0 <= interval[0] < interval[1]:
        raise ValueError(
            f"guidance needs an interval of levels (low, high) with 0 <= low < high, got {interval}"
        )
    return interval


def within(interval: Interval | None, sigma: float) -> bool:
    """Return True if a level is guided."""
    return interval is None or interval[0] < sigma <= interval[1]


def rows_within(
    interval: Interval | None, sigma: float | Tensor, x: Tensor
) -> Tensor | slice | None:
    """Return the guided rows of ``x``: all as a slice, some as their numbers, None for none."""
    if interval is None or not isinstance(sigma, Tensor):
        return slice(None) if interval is None or within(interval, float(sigma)) else None
    inside = ((sigma > interval[0]) & (sigma <= interval[1])).expand(len(x))
    rows = inside.nonzero()[:, 0]
    return rows if len(rows) else None


def mixed(
    label: Tensor, free: Tensor, rows: Tensor | slice, scale: float, channels: int | None
) -> Tensor:
    """Return ``free + scale (label - free)`` in the guided rows and channels, else ``label``."""
    whole = isinstance(rows, slice)
    if whole and channels is None:
        return torch.lerp(free, label, scale)
    guided = torch.lerp(free[:, :channels], label[rows][:, :channels], scale)
    out = label.clone()
    if whole:
        out[:, :channels] = guided
    else:
        out[:, :channels] = label[:, :channels].index_copy(0, rows, guided)
    return out
