"""Trajectories: for each sampler the state and the denoised prediction at each step of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...comparison.visible_rows import ranked_curves
from ...run_directory.reading import pictures_at
from ...text import format_number
from ...values import number, rows_of, text
from .drawing import Box, common_box, data_uri, scatter, side_by_side, with_alpha

TYPICAL = 10
"""The budget nearest to this, by ratio, that most samplers have is shown."""
WIDTHS = (96, 64, 48)
"""Pixels of a panel of points: the first that leaves room enough."""
GROUND = (128, 128, 128, 26)
"""RGBA of a panel without points."""


@dataclass(frozen=True)
class TrajectoryStrip:
    """Picture of one trajectory: above the states and the end, below the predictions.

    ``levels`` are the noise levels of the columns in words.
    """

    curve: str
    image: str
    alt: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class TrajectoryStrips:
    """The strips of one problem at one budget."""

    budget: int
    strips: tuple[TrajectoryStrip, ...]
    points: bool

    @property
    def size(self) -> int:
        """Bytes that the pictures take in the page."""
        return sum(len(strip.image) for strip in self.strips)


@dataclass(frozen=True)
class KeptTrajectories:
    """The trajectories that one problem has at one budget, by curve."""

    title: str
    budget: int
    arrays: Mapping[str, Mapping[str, np.ndarray]]


def trajectory_strips_of(
    parts: Sequence[tuple[str, pd.DataFrame, Mapping[int, Path]]], *, room: int = 900_000
) -> list[TrajectoryStrips | None]:
    """The strips of several problems within ``room`` bytes.

    The last of them are left out where smaller panels do not do.

    Args:
        parts: title, rows with ``curve`` and ``slot``, and paths of trajectories by index of the
            rows.
        room: bytes.
    """
    read = [_read(*part) for part in parts]
    strips: list[TrajectoryStrips | None] = []
    for width in WIDTHS:
        strips = [paths and _strips(paths, width) for paths in read]
        if sum(strip.size for strip in strips if strip) <= room:
            return strips
    share = room / sum(strip is not None for strip in strips)
    return [strip and _cut(strip, share) for strip in strips]


def _read(title: str, rows: pd.DataFrame, files: Mapping[int, Path]) -> KeptTrajectories | None:
    """The trajectories of one problem at the budget where most were kept; None if none was."""
    numbered = zip(rows.index, rows_of(rows), strict=True)
    files_of = [
        (files[index], row)
        for index, row in numbered
        if row["slot"] is not None and index in files and files[index].is_file()
    ]
    slots = [int(number(row, "slot") or 0) for _, row in files_of]
    if not slots:
        return None
    budget = min(set(slots), key=lambda slot: (-slots.count(slot), abs(math.log(slot / TYPICAL))))
    read = {
        text(row, "curve"): pictures_at(path) for path, row in files_of if row["slot"] == budget
    }
    trajectories = {
        curve: arrays
        for curve in ranked_curves(rows)
        if (arrays := read.get(curve)) is not None and {"sigma", "x", "d", "end"} <= arrays.keys()
    }
    return KeptTrajectories(title, budget, trajectories) if trajectories else None


def _strips(paths: KeptTrajectories, width: int) -> TrajectoryStrips:
    """The strips, with panels of points ``width`` pixels wide."""
    ends = [np.asarray(arrays["end"], np.float64) for arrays in paths.arrays.values()]
    box = common_box(end for end in ends if end.ndim == 2)
    strips = [_strip(paths, curve, arrays, box, width) for curve, arrays in paths.arrays.items()]
    return TrajectoryStrips(paths.budget, tuple(strips), any(end.ndim == 2 for end in ends))


def _strip(
    paths: KeptTrajectories, curve: str, arrays: Mapping[str, np.ndarray], box: Box, width: int
) -> TrajectoryStrip:
    states = np.concatenate([arrays["x"], arrays["end"][None]])
    if arrays["end"].ndim == 2:
        above, below = (
            np.stack([_panel(cloud, box, width) for cloud in part])
            for part in (states, arrays["d"])
        )
    else:  # of the images, the first
        above, below = (with_alpha(part[:, 0]) for part in (states, arrays["d"]))
    image = data_uri(
        side_by_side(np.concatenate([above, below, np.zeros_like(above[:1])]), len(above), gap=2)
    )
    levels = (*(format_number(float(sigma), 2) for sigma in arrays["sigma"]), "end")
    alt = (
        f"Trajectory on {paths.title} by {curve} at {paths.budget} evaluations, from "
        f"noise level {levels[0]} to {levels[-2]} and the end"
    )
    return TrajectoryStrip(curve, image, alt, levels)


def _panel(cloud: np.ndarray, box: Box, width: int) -> np.ndarray:
    """Points on a faint ground, so that panels side by side stay apart."""
    panel = scatter(np.asarray(cloud, np.float64), box, size=width, radius=1)
    panel[panel[..., 3] == 0] = GROUND
    return panel


def _cut(evolution: TrajectoryStrips, room: float) -> TrajectoryStrips:
    """The first strips, as many as fit."""
    sizes = np.cumsum([len(strip.image) for strip in evolution.strips])
    return replace(
        evolution, strips=evolution.strips[: int(np.searchsorted(sizes, room, side="right"))]
    )
