"""Same-seed sample grids: a line for each sampler, a column for each budget, one picture in each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...record import Record
from ...values import number, text
from .shots import Shots, drawing

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
        limits: converged pictures; several, where not all rows start from the same latents.
    """

    budgets: tuple[int, ...]
    jump: bool
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    points: bool
    shown: int
    limits: tuple[str, ...] = ()


def grids_of(parts: Sequence[tuple[str, pd.DataFrame, Mapping[int, Path]]], *, room: int = 1_000_000) -> list[SampleGrid | None]:
    """The sample grids of several problems, in as much detail as leaves all of them within ``room`` bytes.

    Args:
        parts: title, rows with ``curve`` and ``slot``, and paths of pictures by index of the rows.
        room: bytes; exceeded where even the least detail takes more.
    """
    shots = [Shots.read(*part) for part in parts]
    fitting = (detail for detail in DETAIL if sum(each.size(*detail) for each in shots) <= room)
    most, width = next(fitting, DETAIL[-1])
    return [_grid(each, most, width) for each in shots]


def _grid(shots: Shots, most: int, width: int) -> SampleGrid | None:
    """The sample grid of one problem, or None if it has no pictures."""
    stacks, rows = shots.stacks, shots.rows
    if not stacks:
        return None
    draw = drawing(list(stacks.values()), shots.points, most, width)
    ends = {index: draw(end) for index, end in shots.limits(most).items()}
    limits = tuple(dict.fromkeys(ends.values()))
    pictures = {index: (draw(stack), limits.index(ends[index]) if index in ends else None) for index, stack in stacks.items()}
    budgets = tuple(sorted({_slot(row) for row in rows.values()}))
    at = {(text(row, "curve"), _slot(row)): (index, row) for index, row in rows.items()}
    curves = dict.fromkeys(text(rows[index], "curve") for index in stacks)
    lines = [(curve, tuple(_tile(shots.title, curve, slot, at.get((curve, slot)), pictures) for slot in budgets)) for curve in curves]
    jump = all(row["steps"] == 1 for row in rows.values() if row["slot"] == budgets[0])
    shown = max(len(stack) if shots.points else min(most, len(stack)) for stack in stacks.values())
    return SampleGrid(budgets, jump, tuple(lines), shots.points, shown, limits)


def _slot(row: Record) -> int:
    return int(number(row, "slot") or 0)


def _tile(title: str, curve: str, budget: int, found: tuple[Any, Record] | None, pictures: Mapping[Any, tuple[str, int | None]]) -> Tile:
    if found is None:
        return Tile("", "", "–")
    index, row = found
    if index in pictures:
        image, limit = pictures[index]
        return Tile(image, f"Samples of {title} by {curve} at {budget} network evaluations", "", limit)
    return Tile("", "", text(row, "status") if row["status"] != "ok" else "no picture")
