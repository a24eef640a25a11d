"""Grids of samples from the same seeds: a line for each sampler, a column for each budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...comparison.visible_rows import ranked_curves
from ...record import Record
from ...run_directory.reading import pictures_at
from ...values import number, rows_of, text
from .drawing import common_box, data_uri, mosaic, rectangle, scatter

Arrays = Mapping[str, np.ndarray]
Draw = Callable[[np.ndarray], str]

DETAIL = ((9, 144), (4, 112), (1, 88), (1, 64))
"""Images in a picture, and width of a picture of points: the first that leaves room enough."""


@dataclass(frozen=True)
class Tile:
    """A place in the grid: a picture, or the reason why there is none.

    ``limit`` is the index of its converged picture, if it has one.
    """

    image: str
    alt: str
    missing: str
    limit: int | None = None


@dataclass(frozen=True)
class SampleGrid:
    """Pictures of one problem.

    Attributes:
        budgets: column heads.
        jump: whether the first column is one step.
        rows: curve names with a tile for each budget, the best first.
        points: whether the pictures show points in the plane (otherwise images).
        shown: samples in a picture.
        limits: converged pictures; several, where not all rows start from the same latents.
    """

    budgets: tuple[int, ...]
    jump: bool
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    points: bool
    shown: int
    limits: tuple[str, ...] = ()


def grids_of(
    parts: Sequence[tuple[str, pd.DataFrame, Mapping[int, Path]]], *, room: int = 1_000_000
) -> list[SampleGrid | None]:
    """The sample grids of several problems, in as much detail as leaves all of them within ``room``
    bytes.

    Args:
        parts: title, rows with ``curve`` and ``slot``, and paths of pictures by index of the rows.
        room: bytes; exceeded where even the least detail takes more.
    """
    problems = [KeptSamples.read(*part) for part in parts]
    fitting = (detail for detail in DETAIL if sum(item.size(*detail) for item in problems) <= room)
    most, width = next(fitting, DETAIL[-1])
    return [_grid(item, most, width) for item in problems]


def _grid(kept: KeptSamples, most: int, width: int) -> SampleGrid | None:
    """The sample grid of one problem, or None if it has no pictures."""
    stacks, rows = kept.stacks, kept.rows
    if not stacks:
        return None
    draw = picture_maker(list(stacks.values()), kept.points, most, width)
    ends = {index: draw(end) for index, end in kept.limits(most).items()}
    limits = tuple(dict.fromkeys(ends.values()))
    pictures = {
        index: (draw(stack), limits.index(ends[index]) if index in ends else None)
        for index, stack in stacks.items()
    }
    budgets = tuple(sorted({_slot(row) for row in rows.values()}))
    at = {(text(row, "curve"), _slot(row)): (index, row) for index, row in rows.items()}
    pictured = {text(rows[index], "curve") for index in stacks}
    lines = [
        (
            curve,
            tuple(
                _tile(kept.title, curve, slot, at.get((curve, slot)), pictures) for slot in budgets
            ),
        )
        for curve in kept.order
        if curve in pictured
    ]
    jump = all(row["steps"] == 1 for row in rows.values() if row["slot"] == budgets[0])
    shown = max(
        len(stack) if kept.points else math.prod(rectangle(min(most, len(stack))))
        for stack in stacks.values()
    )
    return SampleGrid(budgets, jump, tuple(lines), kept.points, shown, limits)


def _slot(row: Record) -> int:
    return int(number(row, "slot") or 0)


def _tile(
    title: str,
    curve: str,
    budget: int,
    place: tuple[Any, Record] | None,
    pictures: Mapping[Any, tuple[str, int | None]],
) -> Tile:
    if place is None:
        return Tile("", "", "–")
    index, row = place
    if index in pictures:
        image, limit = pictures[index]
        return Tile(
            image, f"Samples of {title} by {curve} at {budget} network evaluations", "", limit
        )
    return Tile("", "", text(row, "status") if row["status"] != "ok" else "no picture")


@dataclass(frozen=True)
class KeptSamples:
    """Kept samples of one problem.

    Attributes:
        title: its name.
        rows: the ones with a place in a grid, by their index.
        arrays: the pictures of these rows, where there are some.
        order: the curves, best first.
    """

    title: str
    rows: Mapping[Any, Record]
    arrays: Mapping[Any, Arrays]
    order: Sequence[str]

    @classmethod
    def read(cls, title: str, rows: pd.DataFrame, files: Mapping[int, Path]) -> KeptSamples:
        """The pictures of the rows, which have ``curve`` and ``slot``, at the paths in
        ``files``, by index.
        """
        rows_with_slot = {
            index: row
            for index, row in zip(rows.index, rows_of(rows), strict=True)
            if row["slot"] is not None
        }
        read = {index: pictures_at(files[index]) for index in rows_with_slot if index in files}
        return cls(
            title,
            rows_with_slot,
            {
                index: arrays
                for index, arrays in read.items()
                if arrays and len(arrays.get("images", arrays.get("points", ())))
            },
            ranked_curves(rows),
        )

    @property
    def points(self) -> bool:
        """Return True if the pictures show points, and not images."""
        return any("points" in arrays for arrays in self.arrays.values())

    @property
    def stacks(self) -> dict[Any, np.ndarray]:
        """The samples of each row that has pictures."""
        kind = "points" if self.points else "images"
        return {index: arrays[kind] for index, arrays in self.arrays.items() if kind in arrays}

    def limits(self, most: int) -> dict[Any, np.ndarray]:
        """Return the converged samples of the same latents, for rows that have enough of them."""
        needed = {
            index: len(stack) // 2 if self.points else min(most, len(stack))
            for index, stack in self.stacks.items()
        }
        ends = {index: self.arrays[index].get("converged", np.empty(0)) for index in needed}
        return {index: end for index, end in ends.items() if len(end) >= max(1, needed[index])}

    def size(self, most: int, width: int) -> float:
        """About how many bytes its pictures take, judged by a dozen of them."""
        stacks = list(self.stacks.values())
        some = stacks[:: max(1, len(stacks) // 12)]
        draw = picture_maker(stacks, self.points, most, width)
        return len(stacks) * sum(len(draw(stack)) for stack in some) / len(some) if some else 0.0


def picture_maker(stacks: Sequence[np.ndarray], points: bool, most: int, width: int) -> Draw:
    """Return the function that draws a picture as a ``data:`` address; equal pictures are drawn
    once.

    Args:
        stacks: all that will be drawn: points are in a window that is common to them.
        points: whether they are points, or images.
        most: images in a picture.
        width: pixels of a picture of points.
    """
    pictures: dict[bytes, str] = {}
    box = common_box(np.asarray(cloud, np.float64) for cloud in stacks) if points else None

    def draw(stack: np.ndarray) -> str:
        key = stack.tobytes()
        if key not in pictures:
            cloud = np.asarray(stack, np.float64)
            pictures[key] = data_uri(
                mosaic(stack, most=most)
                if box is None
                else scatter(cloud, box, size=width, radius=width / 100)
            )
        return pictures[key]

    return draw
