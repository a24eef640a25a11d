"""Figures of rows of small pictures, each row with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..measuring.row import Figure
from .drawing import WIDTH, figure, panels, styled

NAMES = 110
"""CSS pixels beside the pictures, for the names on both sides."""


@styled
def tiles(rows: Sequence[tuple[str, NDArray[Any]]], alt: str, caption: str) -> Figure:
    """Return a figure of pictures in rows.

    Args:
        rows: name and pictures ``(n, 1, h, w)`` in [-1, 1] of each row, with equal n.
        alt: description of the pictures.
        caption: caption as HTML.
    """
    side = rows[0][1].shape[-2] + 2
    tile = (WIDTH - 2 * NAMES) / len(rows[0][1])
    canvas, (axes,) = panels(1, tile * len(rows) + 10)
    axes.imshow(mosaic([pictures for _, pictures in rows]), cmap="gray", vmin=0, vmax=1)
    axes.set_yticks([(k + 0.5) * side for k in range(len(rows))], [name for name, _ in rows])
    axes.set_xticks([])
    axes.tick_params(length=0, labelright=True)  # the right half may be seen alone
    axes.spines[:].set_visible(False)
    return figure(canvas, alt, caption, cut=0.5)


def mosaic(rows: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return one array of the pictures of all rows, in [0, 1], with NaN between them."""
    found = [
        np.hstack(
            [
                np.pad((one[0].astype(np.float64) + 1) / 2, 1, constant_values=np.nan)
                for one in pictures
            ]
        )
        for pictures in rows
    ]
    return np.vstack(found).clip(0, 1)
