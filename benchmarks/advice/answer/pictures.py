"""Pictures of an answer: the same latents by the default, by the recommendation, and converged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....results.run_directory.files import read_npz, write_npz

FILE = "pictures.npz"
COUNT = 6
"""Latents that are shown."""
Pictures8 = NDArray[np.uint8]


class Pictures(NamedTuple):
    """Pictures of the same latents, ``(n, height, width)`` or ``(n, height, width, 3)``.

    Attributes:
        converged: where the latents lead.
        default: by budget, what the default made; a budget at which it failed is absent.
        best: by budget, what the recommendation made.
    """

    converged: Pictures8
    default: Mapping[int, Pictures8]
    best: Mapping[int, Pictures8]

    def write(self, folder: Path) -> None:
        """Write the pictures into :data:`FILE` of a folder."""
        named = {f"default_{nfe}": images for nfe, images in self.default.items()}
        named |= {f"best_{nfe}": images for nfe, images in self.best.items()}
        write_npz(folder / FILE, {"converged": self.converged, **named})


def read_pictures(folder: Path) -> Pictures | None:
    """Return the pictures of a folder; None if there are none."""
    arrays = read_npz(folder / FILE)
    if arrays is None:
        return None

    def of(kind: str) -> dict[int, Pictures8]:
        return {
            int(name.removeprefix(f"{kind}_")): value
            for name, value in arrays.items()
            if name.startswith(f"{kind}_")
        }

    return Pictures(arrays["converged"], of("default"), of("best"))


def as_8_bit_images(images: NDArray, limits: tuple[float, float] | None) -> Pictures8 | None:
    """Return images ``(n, c, height, width)`` as 8 bits, clamped to ``limits`` or else their range.
    None unless they have 1 or 3 channels of at least 8 x 8 pixels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < 8:
        return None
    low, high = limits or (float(images.min()), float(images.max()))
    scaled = (images - low) / max(high - low, 1e-12)
    whole = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return whole[:, 0] if whole.shape[1] == 1 else np.moveaxis(whole, 1, -1)
