"""The samples that a run kept for pictures, read from its files, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...record import Record
from ...run_directory.run_dir import pictures_at
from ...values import rows_of
from .drawing import common_box, mosaic, scatter
from .png import data_uri

Arrays = Mapping[str, np.ndarray]
Draw = Callable[[np.ndarray], str]


@dataclass(frozen=True)
class Shots:
    """What there is to show of one problem.

    Attributes:
        title: its name.
        rows: those that have a place in a grid, by their index.
        arrays: the arrays of those that have pictures.
    """

    title: str
    rows: Mapping[Any, Record]
    arrays: Mapping[Any, Arrays]

    @classmethod
    def read(cls, title: str, rows: pd.DataFrame, files: Mapping[int, Path]) -> Shots:
        """The pictures of the rows, which have ``curve`` and ``slot``, at the paths in ``files``, by index."""
        placed = {index: row for index, row in zip(rows.index, rows_of(rows), strict=True) if row["slot"] is not None}
        read = {index: pictures_at(files[index]) for index in placed if index in files}
        return cls(
            title, placed, {index: found for index, found in read.items() if found and len(found.get("images", found.get("points", ())))}
        )

    @property
    def points(self) -> bool:
        """Whether the pictures are of points (otherwise of images)."""
        return any("points" in found for found in self.arrays.values())

    @property
    def stacks(self) -> dict[Any, np.ndarray]:
        """The samples of each row that has pictures."""
        kind = "points" if self.points else "images"
        return {index: found[kind] for index, found in self.arrays.items() if kind in found}

    def limits(self, most: int) -> dict[Any, np.ndarray]:
        """Where the same latents lead in the limit, for rows that have it for their whole picture, or for half of their cloud."""
        needed = {index: len(stack) // 2 if self.points else min(most, len(stack)) for index, stack in self.stacks.items()}
        ends = {index: self.arrays[index].get("converged", np.empty(0)) for index in needed}
        return {index: end for index, end in ends.items() if len(end) >= max(1, needed[index])}

    def size(self, most: int, width: int) -> float:
        """About how many bytes its pictures take, judged by a dozen of them."""
        stacks = list(self.stacks.values())
        some = stacks[:: max(1, len(stacks) // 12)]
        draw = drawing(stacks, self.points, most, width)
        return len(stacks) * sum(len(draw(stack)) for stack in some) / len(some) if some else 0.0


def drawing(stacks: Sequence[np.ndarray], points: bool, most: int, width: int) -> Draw:
    """What draws a picture as a ``data:`` address; equal pictures are drawn once.

    Args:
        stacks: all that will be drawn: points are in a window that is common to them.
        points: whether they are points, or images.
        most: images in a picture.
        width: pixels of a picture of points.
    """
    known: dict[bytes, str] = {}
    box = common_box(np.asarray(cloud, np.float64) for cloud in stacks) if points else None

    def draw(stack: np.ndarray) -> str:
        key = stack.tobytes()
        if key not in known:
            cloud = np.asarray(stack, np.float64)
            known[key] = data_uri(mosaic(stack, most=most) if box is None else scatter(cloud, box, size=width, radius=width / 100))
        return known[key]

    return draw
