"""Pictures of a report: grids of samples from shared latents, and strips of trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..comparison.best_rows import ranked_curves
from ..comparison.findings import BestRow
from ..comparison.pairing import Entry, RunPaths, entries_by_index
from ..sentences import NAMED, TYPICAL
from ..table.curves import label_of_curve
from ..text import format_number
from ..values import Record, number, text
from .drawing import (
    Box,
    common_box,
    data_uri,
    draw_mosaic,
    draw_points,
    rectangle_for,
    side_by_side,
    with_alpha,
)

Arrays = Mapping[str, np.ndarray]
Draw = Callable[[np.ndarray], str]
Problem = tuple[str, pd.DataFrame]
"""Title and rows of a problem (:func:`..table.curves.comparable_parts`)."""

DETAIL = ((9, 144), (4, 112), (1, 88), (1, 64))
"""Pairs: images in a mosaic, pixels across a plot of points. The first pair that fits is used."""


@dataclass(frozen=True)
class Tile:
    """Tile of a grid: a picture as a ``data:`` address, or the reason why it is ``missing``.

    ``limit`` is the index of the converged samples' picture in :attr:`SampleGrid.limits`.
    """

    image: str
    alt: str
    missing: str
    limit: int | None = None


@dataclass(frozen=True)
class SampleGrid:
    """Pictures of one problem: a row for each curve, best first, with a tile for each budget.

    ``rows`` are pairs (curve, tiles). ``limits`` are pictures of converged samples, as ``data:``
    addresses. ``jump`` is True if all rows of the first budget have one step. ``are_points`` is
    True if pictures are plots of points. A picture has up to ``shown`` samples. ``seeds`` is the
    number of seeds of the rows, each of which has initial noise of its own.
    """

    budgets: tuple[int, ...]
    jump: bool
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    are_points: bool
    shown: int
    limits: tuple[str, ...] = ()
    seeds: int = 1


def grids_of(
    parts: Iterable[Problem], homes: RunPaths, *, room: int = 1_000_000
) -> list[SampleGrid | None]:
    """Draw the sample grid of each problem, in about ``room`` bytes; None without kept samples."""
    problems = [KeptSamples.read(*part, homes) for part in parts]
    fitting = (
        detail
        for detail in DETAIL
        if sum(item.estimate_bytes(*detail) for item in problems) <= room
    )
    most, width = next(fitting, DETAIL[-1])
    return [_sample_grid(item, most, width) for item in problems]


def _sample_grid(kept: KeptSamples, most: int, width: int) -> SampleGrid | None:
    stacks, entries = kept.stacks, kept.entries
    if not stacks:
        return None
    draw = kept.drawing_function(most, width)
    ends = {index: draw(end) for index, end in kept.converged_samples(most).items()}
    limits = tuple(dict.fromkeys(ends.values()))
    pictures = {
        index: (draw(stack), limits.index(ends[index]) if index in ends else None)
        for index, stack in stacks.items()
    }
    budgets = tuple(sorted({entry.budget or 0 for entry in entries.values()}))
    # of rows with one curve and budget, the one that rankings take
    ranked = sorted(entries.items(), key=lambda item: _rank_within_budget(item[1].record))
    at = {(entry.curve, entry.budget): index for index, entry in ranked}
    pictured = {entries[index].curve for index in stacks}
    lines = tuple(
        (curve, tuple(_tile_of_row(kept, at.get((curve, slot)), pictures) for slot in budgets))
        for curve in kept.order
        if curve in pictured
    )
    firsts = (entry for entry in entries.values() if entry.budget == budgets[0])
    jump = all(entry.record["steps"] == 1 for entry in firsts)
    shown = max(
        len(stack) if kept.are_points else math.prod(rectangle_for(min(most, len(stack))))
        for stack in stacks.values()
    )
    seeds = len({text(entries[index].record, "seed") for index in stacks})
    return SampleGrid(budgets, jump, lines, kept.are_points, shown, limits, seeds)


def _rank_within_budget(row: Record) -> tuple[bool, float]:
    """Return a sort key, largest for the row of :func:`..table.curves.rows_by_curve_budget`."""
    return row["status"] == "ok", number(row, "nfe") or 0.0


def _tile_of_row(
    kept: KeptSamples, index: Any, pictures: Mapping[Any, tuple[str, int | None]]
) -> Tile:
    if index is None:
        return Tile("", "", "–")
    entry = kept.entries[index]
    if index in pictures:
        image, limit = pictures[index]
        by = f"{entry.curve} at {entry.budget} network evaluations"
        return Tile(image, f"Samples of {kept.title} by {by}", "", limit)
    status = text(entry.record, "status")
    return Tile("", "", status if status != "ok" else "no picture")


@dataclass(frozen=True)
class KeptSamples:
    """Kept samples of one problem, by row index, and its curves, best first.

    Attributes:
        entries: rows with a budget.
        stacks: images ``(k, C, H, W)`` or points ``(k, 2)``.
        ends: converged samples of the same latents, in the shape of ``stacks``.
        are_points: True if the samples are points, not images.
    """

    title: str
    entries: Mapping[int, Entry]
    stacks: Mapping[int, np.ndarray]
    ends: Mapping[int, np.ndarray]
    are_points: bool
    order: Sequence[str]

    @classmethod
    def read(cls, title: str, rows: pd.DataFrame, homes: RunPaths) -> KeptSamples:
        """Read the kept samples of rows with a budget from their run directories."""
        entries = entries_by_index(rows.dropna(subset=["slot"]), homes)
        read = {
            index: entry.run.read_pictures(text(entry.record, "cell")) or {}
            for index, entry in entries.items()
            if entry.run
        }
        are_points = any("points" in arrays for arrays in read.values())
        kind = "points" if are_points else "images"
        stacks = {
            index: arrays[kind] for index, arrays in read.items() if len(arrays.get(kind, ()))
        }
        ends = {index: read[index]["converged"] for index in stacks if "converged" in read[index]}
        return cls(title, entries, stacks, ends, are_points, ranked_curves(rows))

    def converged_samples(self, most: int) -> dict[int, np.ndarray]:
        """Return converged samples by row index, if enough to fill a picture of ``most`` images."""
        counts = {index: len(self.stacks[index]) for index in self.ends}
        needed = {i: n // 2 if self.are_points else min(most, n) for i, n in counts.items()}
        return {i: end for i, end in self.ends.items() if len(end) >= max(1, needed[i])}

    def estimate_bytes(self, most: int, width: int) -> float:
        """Estimate the bytes of all pictures: ``most`` images, or plots ``width`` pixels wide."""
        stacks = list(self.stacks.values())
        some = stacks[:: max(1, len(stacks) // 12)]
        draw = self.drawing_function(most, width)
        return len(stacks) * sum(len(draw(stack)) for stack in some) / len(some) if some else 0.0

    def drawing_function(self, most: int, width: int) -> Draw:
        """Return a function from samples to the ``data:`` address of their picture, with a cache."""
        pictures: dict[bytes, str] = {}
        box = common_box(stack for stack in self.stacks.values() if self.are_points)

        def pixels_of(stack: np.ndarray) -> np.ndarray:
            if self.are_points:
                return draw_points(stack, box, size=width, radius=width / 100)
            return draw_mosaic(stack, most=most)

        def draw(stack: np.ndarray) -> str:
            key = stack.tobytes()
            if key not in pictures:
                pictures[key] = data_uri(pixels_of(stack))
            return pictures[key]

        return draw


WIDEST, WIDTH = 8, 256
"""Largest number of images in a row of the first screen, and of their pixels together."""


class SampleRows(NamedTuple):
    """Pictures of one model's samples at one budget, all from the same noise.

    ``rows`` has (label, URL with the picture's data, alternative text) of each configuration.
    ``are_points`` is True for plots of points, False for images. ``budget`` is in evaluations.
    """

    rows: tuple[tuple[str, str, str], ...]
    are_points: bool
    budget: int


def sample_rows_of(
    title: str, rows: pd.DataFrame, homes: RunPaths, best: BestRow
) -> SampleRows | None:
    """Draw samples of baseline, best row, a tied row, and converged samples; None without any."""
    level = [row for row in best.ties if text(row, "curve") != text(best.baseline or {}, "curve")]
    leaders = (best.baseline, best.row, *level[: len(best.rivals) <= NAMED])
    shown = [row for row in leaders if row and row["seed"] == best.row["seed"]]
    curves = list(dict.fromkeys(text(row, "curve") for row in shown))
    chosen = rows.loc[(rows["slot"] == best.budget) & rows["curve"].isin(curves)]
    if "cell" in rows:  # without it, no row has pictures
        chosen = chosen.loc[chosen["cell"].isin([row["cell"] for row in shown])]
    kept = KeptSamples.read(title, chosen, homes)
    stacks = {kept.entries[index].curve: stack for index, stack in kept.stacks.items()}
    stacks = {label_of_curve(curve): stacks[curve] for curve in curves if curve in stacks}
    if not stacks:
        return None
    if limit := list(kept.converged_samples(1).values()):
        stacks["converged"] = limit[0]
    least = min(map(len, stacks.values()))  # only as many have the same noise in all rows
    box = common_box(stack for stack in stacks.values() if kept.are_points)
    found = []
    for label, stack in stacks.items():
        if kept.are_points:
            pixels = draw_points(stack[:least], box)
        else:
            images = with_alpha(stack[: min(least, WIDEST, max(1, WIDTH // stack.shape[-1]))])
            pixels = side_by_side(images, len(images), gap=2)
        found.append((label, data_uri(pixels), f"First samples of {title}: {label}"))
    return SampleRows(tuple(found), kept.are_points, best.budget)


WIDTHS = (96, 64, 48)
"""Pixels across a panel of points. The first width that fits is used."""
GROUND = (128, 128, 128, 26)
"""RGBA background of a panel of points."""


@dataclass(frozen=True)
class TrajectoryStrip:
    """Picture of a trajectory as a ``data:`` address: states above, denoised samples below."""

    curve: str
    image: str
    alt: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class TrajectoryStrips:
    """Strips of trajectories of one problem at one budget."""

    budget: int
    strips: tuple[TrajectoryStrip, ...]
    are_points: bool


def trajectory_strips_of(
    parts: Iterable[Problem], homes: RunPaths, *, room: int = 900_000
) -> list[TrajectoryStrips | None]:
    """Return each problem's trajectory strips, as many as fit ``room`` bytes; None without any."""
    read = [(title, *_read_trajectories(rows, homes)) for title, rows in parts]
    found: list[TrajectoryStrips | None] = []
    for width in WIDTHS:
        found = [_trajectory_strips(*paths, width) if paths[-1] else None for paths in read]
        if sum(len(one.image) for part in found if part for one in part.strips) <= room:
            return found
    share = room / sum(part is not None for part in found)
    return [part and _cut_to_size(part, share) for part in found]


def _read_trajectories(rows: pd.DataFrame, homes: RunPaths) -> tuple[int, dict[str, Arrays]]:
    entries = entries_by_index(rows.dropna(subset=["slot"]), homes).values()
    saved = [
        (entry.run, cell, entry.curve, entry.budget or 0)
        for entry in sorted(entries, key=lambda entry: _rank_within_budget(entry.record))
        if entry.run and entry.run.trajectories_path(cell := text(entry.record, "cell")).is_file()
    ]
    slots = [slot for *_, slot in saved]
    if not slots:
        return 0, {}
    # of the budgets with most trajectories, the nearest to the typical one, by ratio
    budget = min(set(slots), key=lambda slot: (-slots.count(slot), abs(math.log(slot / TYPICAL))))
    read = {
        curve: run.read_trajectories(cell) for run, cell, curve, slot in saved if slot == budget
    }
    return budget, {
        curve: arrays
        for curve in ranked_curves(rows)
        if (arrays := read.get(curve)) is not None and {"sigma", "x", "d", "end"} <= arrays.keys()
    }


def _trajectory_strips(
    title: str, budget: int, paths: Mapping[str, Arrays], width: int
) -> TrajectoryStrips:
    clouds = [arrays["end"] for arrays in paths.values() if arrays["end"].ndim == 2]
    box = common_box(clouds)
    strips = (
        _trajectory_strip(f"{title} by {curve} at {budget} evaluations", curve, arrays, box, width)
        for curve, arrays in paths.items()
    )
    return TrajectoryStrips(budget, tuple(strips), bool(clouds))


def _trajectory_strip(
    what: str, curve: str, arrays: Arrays, box: Box, width: int
) -> TrajectoryStrip:
    parts = np.concatenate([arrays["x"], arrays["end"][None]]), arrays["d"]
    if arrays["end"].ndim == 2:
        above, below = (
            np.stack([_panel_of_points(cloud, box, width) for cloud in part]) for part in parts
        )
    else:  # images: the first sample only
        above, below = (with_alpha(part[:, 0]) for part in parts)
    panels = np.concatenate([above, below, np.zeros_like(above[:1])])
    image = data_uri(side_by_side(panels, len(above), gap=2))
    levels = (*(format_number(float(sigma), 2) for sigma in arrays["sigma"]), "end")
    alt = f"Trajectory on {what}, from noise level {levels[0]} to {levels[-2]} and the end"
    return TrajectoryStrip(curve, image, alt, levels)


def _panel_of_points(cloud: np.ndarray, box: Box, width: int) -> np.ndarray:
    """Draw points on a faint background, which separates panels side by side."""
    panel = draw_points(cloud, box, size=width, radius=1)
    panel[panel[..., 3] == 0] = GROUND
    return panel


def _cut_to_size(part: TrajectoryStrips, room: float) -> TrajectoryStrips:
    sizes = np.cumsum([len(strip.image) for strip in part.strips])
    count = int(np.searchsorted(sizes, room, side="right"))
    return replace(part, strips=part.strips[:count])
