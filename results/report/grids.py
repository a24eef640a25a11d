"""Same-seed sample grids: a line for each sampler, a column for each budget, one picture in each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Tile:
    """A place in the grid: a picture, or the reason why there is none."""

    image: str
    alt: str
    missing: str


@dataclass(frozen=True)
class SampleGrid:
    """Pictures of one problem.

    Attributes:
        budgets: column heads.
        jump: whether the first column is one step.
        rows: curve names with a tile for each budget.
        points: whether the pictures are of points in the plane (otherwise of images).
        shown: samples in a picture.
    """

    budgets: tuple[int, ...]
    jump: bool
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    points: bool
    shown: int

    @property
    def size(self) -> int:
        """Bytes that the pictures take in the page."""
        return sum(len(tile.image) for _, tiles in self.rows for tile in tiles)


def grids_of(parts: Sequence[tuple[str, pd.DataFrame, Mapping[int, Path]]], *, room: int = 2_500_000) -> list[SampleGrid | None]:
    """The sample grids of several problems, with as many images in a picture (9, 4 or 1) as leave all of them within ``room`` bytes."""
    grids: list[SampleGrid | None] = []
    for most in (9, 4, 1):
        grids = [grid_of(title, rows, files, most=most) for title, rows, files in parts]
        if sum(grid.size for grid in grids if grid is not None) <= room:
            break
    return grids


def grid_of(title: str, rows: pd.DataFrame, files: Mapping[int, Path], *, most: int = 9) -> SampleGrid | None:
    """The sample grid of one problem, or None if it has no pictures.

    Args:
        title: name of the problem, for the alternative texts.
        rows: its rows, with ``curve`` and ``slot``.
        files: path of the pictures of each row, by its index in ``rows``.
        most: images in one picture.
    """
    arrays = {index: found for index in rows.index if index in files and (found := read_npz(files[index])) is not None}
    arrays = {index: found for index, found in arrays.items() if "images" in found or "points" in found}
    placed = [(index, row) for index, row in zip(rows.index, rows_of(rows), strict=True) if row["slot"] is not None]
    if not any(index in arrays for index, _ in placed):
        return None
    pictures, shown = _pictures(arrays, most)
    budgets = tuple(sorted({int(number(row, "slot") or 0) for _, row in placed}))
    at = {(text(row, "curve"), int(number(row, "slot") or 0)): (index, row) for index, row in placed}
    curves = dict.fromkeys(text(row, "curve") for index, row in placed if index in arrays)
    first = [row for _, row in placed if row["slot"] == budgets[0]]
    lines = [(curve, tuple(_tile(title, curve, budget, at.get((curve, budget)), pictures) for budget in budgets)) for curve in curves]
    jump = all(row["steps"] == 1 for row in first)
    return SampleGrid(budgets, jump, tuple(lines), any("points" in found for found in arrays.values()), shown)


def _pictures(arrays: Mapping[Any, Arrays], most: int) -> tuple[dict[Any, str], int]:
    """``data:`` addresses by row, and the number of samples in each."""
    clouds = {index: np.asarray(found["points"], np.float64) for index, found in arrays.items() if "points" in found}
    box = common_box(clouds.values())
    pictures = {index: data_uri(scatter(cloud, box)) for index, cloud in clouds.items()}
    images = {index: found["images"] for index, found in arrays.items() if "images" in found and len(found["images"])}
    pictures |= {index: data_uri(mosaic(stack, most=most)) for index, stack in images.items()}
    counts = [len(cloud) for cloud in clouds.values()] + [min(most, len(stack)) for stack in images.values()]
    return pictures, max(counts, default=0)


def _tile(title: str, curve: str, budget: int, found: tuple[Any, Record] | None, pictures: Mapping[Any, str]) -> Tile:
    if found is None:
        return Tile("", "", "–")
    index, row = found
    if index in pictures:
        return Tile(pictures[index], f"Samples of {title} by {curve} at {budget} network evaluations", "")
    return Tile("", "", text(row, "status") if row["status"] != "ok" else "no picture")
