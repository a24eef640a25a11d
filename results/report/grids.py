"""Same-seed sample grids: a line for each sampler, a column for each budget, one picture in each place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import read_npz
from ..record import Record
from ..values import number, rows_of, text
from .pictures import common_box, mosaic, scatter
from .png import data_uri

Arrays = Mapping[str, np.ndarray]
Draw = Callable[[np.ndarray], str]

DETAIL = ((9, 144), (4, 112), (1, 88), (1, 64))
"""Images in a picture, and width of a picture of points: the first that leaves room enough."""


@dataclass(frozen=True)
class Tile:
    """A place in the grid: a picture, or the reason why there is none; ``limit`` is the index of its converged picture, if it has one."""

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
        rows: curve names with a tile for each budget.
        points: whether the pictures are of points in the plane (otherwise of images).
        shown: samples in a picture.
        limits: converged pictures, as one tile may differ from another in its latents.
    """

    budgets: tuple[int, ...]
    jump: bool
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    points: bool
    shown: int
    limits: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that the pictures take in the page."""
        return sum(map(len, self.limits)) + sum(len(tile.image) for _, tiles in self.rows for tile in tiles)


def grids_of(parts: Sequence[tuple[str, pd.DataFrame, Mapping[int, Path]]], *, room: int = 1_400_000) -> list[SampleGrid | None]:
    """The sample grids of several problems, in as much detail as leaves all of them within ``room`` bytes."""
    grids: list[SampleGrid | None] = []
    for most, width in DETAIL:
        grids = [grid_of(title, rows, files, most=most, width=width) for title, rows, files in parts]
        if sum(grid.size for grid in grids if grid is not None) <= room:
            break
    return grids


def grid_of(title: str, rows: pd.DataFrame, files: Mapping[int, Path], *, most: int = 9, width: int = 144) -> SampleGrid | None:
    """The sample grid of one problem, or None if it has no pictures.

    Args:
        title: name of the problem, for the alternative texts.
        rows: its rows, with ``curve`` and ``slot``.
        files: path of the pictures of each row, by its index in ``rows``.
        most: images in one picture.
        width: pixels of a picture of points.
    """
    arrays = {index: found for index in rows.index if index in files and (found := read_npz(files[index])) is not None}
    arrays = {index: found for index, found in arrays.items() if "points" in found or len(found.get("images", ()))}
    placed = [(index, row) for index, row in zip(rows.index, rows_of(rows), strict=True) if row["slot"] is not None]
    if not any(index in arrays for index, _ in placed):
        return None
    points = any("points" in found for found in arrays.values())
    stacks = {index: found["points" if points else "images"] for index, found in arrays.items() if ("points" in found) == points}
    draw = _drawing(stacks, points, most, width)
    ends = {index: draw(found["converged"]) for index, found in arrays.items() if len(found.get("converged", ())) >= _used(found, most)}
    limits = tuple(dict.fromkeys(ends.values()))
    pictures = {index: (draw(stack), limits.index(ends[index]) if index in ends else None) for index, stack in stacks.items()}
    budgets = tuple(sorted({int(number(row, "slot") or 0) for _, row in placed}))
    at = {(text(row, "curve"), int(number(row, "slot") or 0)): (index, row) for index, row in placed}
    curves = dict.fromkeys(text(row, "curve") for index, row in placed if index in arrays)
    lines = [(curve, tuple(_tile(title, curve, budget, at.get((curve, budget)), pictures) for budget in budgets)) for curve in curves]
    jump = all(row["steps"] == 1 for _, row in placed if row["slot"] == budgets[0])
    shown = max(len(stack) if points else min(most, len(stack)) for stack in stacks.values())
    return SampleGrid(budgets, jump, tuple(lines), points, shown, limits)


def _used(found: Arrays, most: int) -> int:
    """How many converged samples it takes to stand beside a picture: as many as are in it, or in a cloud half as many."""
    return max(1, len(found["points"]) // 2) if "points" in found else min(most, len(found["images"]))


def _drawing(stacks: Mapping[Any, np.ndarray], points: bool, most: int, width: int) -> Draw:
    """What draws a picture: points in the window of all clouds, or images side by side."""
    if not points:
        return lambda images: data_uri(mosaic(images, most=most))
    box = common_box(np.asarray(cloud, np.float64) for cloud in stacks.values())
    return lambda cloud: data_uri(scatter(np.asarray(cloud, np.float64), box, size=width, radius=width / 100))


def _tile(title: str, curve: str, budget: int, found: tuple[Any, Record] | None, pictures: Mapping[Any, tuple[str, int | None]]) -> Tile:
    if found is None:
        return Tile("", "", "–")
    index, row = found
    if index in pictures:
        image, limit = pictures[index]
        return Tile(image, f"Samples of {title} by {curve} at {budget} network evaluations", "", limit)
    return Tile("", "", text(row, "status") if row["status"] != "ok" else "no picture")
