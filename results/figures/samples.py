"""Figure of samples from shared latents: samplers by budgets, and converged samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..report.drawing import Box, common_box
from ..run_directory.run_dir import RunDir
from ..table.curves import comparable_parts, rows_by_curve_budget
from ..table.reading import read_table
from ..values import Record, number, rows_as_dicts, text
from .ranking import LETTER
from .series import curve_label, style_of
from .typography import RULE, WIDTHS, Sheet, Width, blank_sheet, with_typography

Arrays = Mapping[str, np.ndarray]
KeptRows = Mapping[tuple[str, int], tuple[Record, Arrays]]
"""Rows and their kept samples, by curve and budget."""
ACROSS = {"single": 1, "double": 3}
"""Number of images side by side in a tile."""


@with_typography
def samples(
    run: Path | str, rows: pd.DataFrame | None = None, *, width: Width = "double"
) -> list[tuple[str, Sheet]]:
    """Draw a figure for each model with kept samples. Return pairs of model title and figure.

    ``run`` is a run directory. ``rows`` are rows of its table, by default all finished rows.
    Raises a ValueError if ``run`` is not a run directory.
    """
    folder = RunDir.open(run)
    return [
        (title, _sample_figure(title, pictures, width))
        for title, part in comparable_parts(read_table(run).ok.frame if rows is None else rows)
        if (pictures := _found_pictures(folder, part))
    ]


def _found_pictures(run: RunDir, rows: pd.DataFrame) -> KeptRows:
    samples_by_place = {}
    ranked = {text(row, "cell") for row in rows_by_curve_budget(rows).values()}
    for row in rows_as_dicts(rows.dropna(subset=["slot"])):
        cell = text(row, "cell")
        arrays = (cell in ranked and run.read_pictures(cell)) or {}
        if "images" in arrays or "points" in arrays:
            samples_by_place[text(row, "curve"), int(number(row, "slot") or 0)] = row, arrays
    return samples_by_place


def _sample_figure(title: str, pictures: KeptRows, width: Width) -> Sheet:
    rows = {curve: row for (curve, _), (row, _) in reversed(list(pictures.items()))}
    curves = dict.fromkeys(curve for curve, _ in pictures)
    slots = sorted({slot for _, slot in pictures})
    stacks = {
        place: arrays["images" if "images" in arrays else "points"]
        for place, (_, arrays) in pictures.items()
    }
    limits = {  # each seed has latents, and converged samples, of its own
        text(row, "seed"): arrays["converged"]
        for row, arrays in reversed(list(pictures.values()))
        if "converged" in arrays
    }
    seeds = {text(row, "seed") for row, _ in pictures.values()}
    heads = [str(slot) for slot in slots] + ["limit"] * bool(limits)
    clouds = [stack[:, :2] for stack in (*stacks.values(), *limits.values()) if stack.ndim == 2]
    box, across = common_box(clouds), 1 if clouds else ACROSS[width]
    names = LETTER * max(len(curve_label(curve)) for curve in curves) + 0.1
    tile = (WIDTHS[width] - names) / len(heads)
    figure = blank_sheet(width, 0.45 + len(curves) * tile / across)
    figure.set_layout_engine("constrained", w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    grid = figure.subplots(len(curves), len(heads), squeeze=False)
    heading = f"{title}: {'same latents' if len(seeds) == 1 else 'samples'}, by evaluations"
    figure.suptitle(heading, x=0.01, ha="left", fontsize=8, fontweight="bold")
    for line, curve in zip(grid, curves, strict=True):
        own = limits.get(text(rows[curve], "seed"))
        tiles = [*(stacks.get((curve, slot)) for slot in slots), own]
        for axes, stack in zip(line, tiles, strict=False):
            _draw_samples(axes, stack, style_of(rows[curve]).colour, across, box)
        line[0].set_ylabel(curve_label(curve), rotation=0, ha="right", va="center")
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(head, loc="center", fontweight="normal", fontsize=7)
    return figure


def _draw_samples(axes: Axes, stack: np.ndarray | None, colour: str, across: int, box: Box) -> None:
    """Draw the first ``across`` images of ``stack``, or its points in ``box``; "–" without any."""
    axes.set(xticks=[], yticks=[], box_aspect=1 / across)
    for spine in axes.spines.values():
        spine.set(visible=True, color=RULE)
    if stack is None or not len(stack):
        axes.annotate("–", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center")
    elif stack.ndim == 2:
        (left, bottom), (right, top) = box
        axes.plot(*stack[:, :2].T, ".", ms=1.3, mew=0, color=colour, rasterized=True)
        axes.set(xlim=(left, right), ylim=(bottom, top))
    else:
        grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
        colours = stack if stack.shape[1] == 3 else stack[:, :1]
        strip = np.hstack(list(colours[:across].transpose(0, 2, 3, 1)))
        axes.imshow(strip, interpolation="nearest", aspect="auto", **grey)
