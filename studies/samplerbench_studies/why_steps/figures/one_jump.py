"""Figures of row 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..measuring.one_jump import SHOWN, JumpResult, JumpResults
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, dashed, label_curve, level, separate_labels, step_axis
from .drawing import BLUE, GREEN, ORANGE, SOFT, figure, panels, styled

COLOURS, MARKERS = (ORANGE, BLUE, GREEN), ("o", "s", "^")
LEAST = 1e-4
"""Share of a distance that is drawn as none."""
OPENING, COLUMNS = (1, 5, 10, 50), 6
"""Numbers of steps, and samples, at the top of the page."""

DETAILS = """\
<p>Each sample starts from the same noise at σ = 80 whatever the number of steps. The sampler is Euler’s method, the plainest there
is; its single step is the jump to the prediction, <i>x</i> ← <i>D</i>(<i>x</i>, 80), with <i>D</i> the denoiser. The grid is
<code>karras</code>, with 0 in place of its last level, 0.002: with that level kept, two steps would go from 80 to 0.002 and from
there to 0, the second would change nothing, and two steps would look like one. Here they stop at σ = 2.5. <code>fashion</code> is
told the class of each picture, so its average is that of the class; the others are told nothing.</p>
<p><b>Variance</b>: of the samples about the average of the data, as a share of that of the data. <b>Passing for real</b>: a sample
passes if it lies in at least one neighbourhood, and in no more of them than 97.5 % of the unseen real ones. The measure called
precision (arXiv:1904.06991) has the same neighbourhoods, and asks for one of them only. That takes an average for data: in many
dimensions images are farther from each other than from their average, by about a factor of √2, so that the
average lies in the neighbourhoods of nearly all of them. Hence the second condition. Many samples of many steps of
<code>wavelet</code>, and as many real ones, do not pass: in 1,024 dimensions half of the real ones lie in no neighbourhood of
another. What matters is how samples compare with these.</p>
<p><b>FID proxy</b>: here in all 128 features, and not in 32 axes of them as elsewhere; its bias is
removed. <b>Distance to converged</b> is the Fréchet distance to converged samples of the same model,
so that the network’s own error is no part of it. With fewer than 15 samples a feature, as here, both are for the order of
magnitude.</p>
<p>Density does not tell an average from an image: in many dimensions the middle of a cloud has a larger density than nearly all its
points. Nor does the distance to the nearest of the data: averages are near many.</p>"""


@styled
def curves(found: JumpResults) -> Figure:
    """The share of the variance, and of samples that pass for real, against steps."""
    canvas, (left, right) = panels(2, 330)
    _shares(left, found, "spread", "variance of the samples, % of the data’s")
    _shares(right, found, "among", "samples that pass for real, %")
    level(left, 100, "the data", 0.02)
    for (_, rows), colour in zip(found.items(), COLOURS, strict=False):
        dashed(right, 100 * rows[0].unseen, colour)
    right.annotate(
        "dashed: real ones", (0.03, 0.94), xycoords="axes fraction", color=SOFT, fontsize=8
    )
    first = {name: rows[0] for name, rows in found.items()}
    alt = (
        "Two charts against the number of steps. First panel: variance. Second panel: samples that "
        "pass for real. At one step: "
    ) + "; ".join(
        f"{name} {100 * row.spread.value:.1f} % and {100 * row.among.value:.0f} %"
        for name, row in first.items()
    )
    return figure(
        canvas,
        alt,
        "One step is the jump to the prediction. First panel: what it gives "
        "hardly varies, because all of it is the same average. "
        "Second panel: how many samples pass for real; dashed, how many unseen real images do. "
        "Bands are 95 % intervals.",
    )


def _shares(axes: Axes, found: JumpResults, what: str, name: str) -> None:
    names = []
    for (model, rows), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
        percent = [
            Interval(*(100 * bound for bound in one))
            for one in (getattr(row, what) for row in rows)
        ]
        names.append(curve(axes, [row.steps for row in rows], percent, colour, model, marker))
    _steps(axes, found)
    axes.set_ylim(-4, 118)
    separate_labels(axes, names)
    axes.set_ylabel(name)


def _steps(axes: Axes, found: JumpResults) -> None:
    counts = sorted({row.steps for rows in found.values() for row in rows})
    step_axis(axes, counts, "steps", (counts[-1] / counts[0]) ** 0.4)
    axes.grid(axis="y")


def pictured(found: JumpResults) -> JumpResults:
    """Those whose samples are pictures."""
    return {name: rows for name, rows in found.items() if len(rows[0].spectrum)}


def strips(model: str, rows: Sequence[JumpResult], png: Path | None = None) -> Figure:
    """The same latents at every number of steps, one below the other."""
    caption = (
        f"<code>{model}</code>: each column starts from the same noise. Top: the "
        "jump to the prediction."
    )
    return _grid(model, rows, SHOWN, 760, caption, png, cut=0.5)


def opening(model: str, rows: Sequence[JumpResult]) -> Figure:
    """The same with few rows and columns, for the top of the page."""
    few = [row for row in rows if row.steps in OPENING] or rows
    caption = (
        "Garments drawn by a network. Each column starts from one noise; "
        "the first row jumps to the prediction, "
        "the others take "
        "more steps, each with a new prediction. The network is told which kind of "
        "garment to make, so each blur is the average of a kind."
    )
    return _grid(model, few, COLUMNS, 480, caption)


@styled
def _grid(
    model: str,
    rows: Sequence[JumpResult],
    columns: int,
    width: float,
    caption: str,
    png: Path | None = None,
    cut: float | None = None,
) -> Figure:
    tile = (width - 70) / columns
    canvas, (axes,) = panels(1, tile * len(rows) + 10, width=width)
    axes.imshow(mosaic(rows, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(
        [(i + 0.5) * _tile(rows) for i in range(len(rows))],
        [f"{row.steps} step{'s' * (row.steps > 1)}" for row in rows],
    )
    axes.set_xticks([])
    axes.tick_params(length=0, labelright=cut is not None)  # the right half may be seen alone
    axes.spines[:].set_visible(False)
    told = (
        f"{columns} samples of {model} from the same noise with {', '.join(str(row.steps) for row in rows)} "
        ""
        "steps: blurred and "
        "alike at first."
    )
    return figure(canvas, told, caption, png, cut=cut)


def mosaic(rows: Sequence[JumpResult], columns: int) -> NDArray[np.float64]:
    """The first pictures of every row in one, from 0 to 1, with NaN between the tiles.

    Data lie in [-1, 1].
    """
    tiles = [
        [
            np.pad((one[0].astype(np.float64) + 1) / 2, 1, constant_values=np.nan)
            for one in row.pictures[:columns]
        ]
        for row in rows
    ]
    return np.vstack([np.hstack(row) for row in tiles]).clip(0, 1)


def _tile(rows: Sequence[JumpResult]) -> int:
    return rows[0].pictures.shape[-2] + 2


@styled
def quality(found: JumpResults) -> Figure:
    """Distance to converged samples over that of the jump.

    And the spectrum of the jump and of the most steps, over the data's.
    """
    canvas, (left, right) = panels(2, 330)
    names = []
    for (model, rows), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
        known = [(row.steps, row.to_converged) for row in rows if row.to_converged]
        if known:
            share = [
                Interval(*(max(end / known[0][1].value, LEAST) for end in one)) for _, one in known
            ]
            curve(left, [steps for steps, _ in known], share, colour, "", marker)
            left.plot([], [], color=colour, marker=marker, label=model)
        if len(rows[0].spectrum):
            for row, dash in ((rows[0], ":"), (rows[-1], "-")):
                right.plot(range(1, len(row.spectrum) + 1), row.spectrum, color=colour, ls=dash)
            names.append(
                label_curve(right, len(rows[0].spectrum), rows[0].spectrum[-1], model, colour)
            )
    _steps(left, found)
    left.set_yscale("log")
    left.set_ylim(LEAST, 2)
    left.legend(frameon=False, loc="lower left", handlelength=1.5)
    left.set_ylabel("Fréchet distance to converged samples,\nover that of one step")
    step_axis(right, (1, 2, 5, 10), "spatial frequency (cycles an image)", 6)
    right.set_yscale("log")
    separate_labels(right, names)
    right.set_ylabel("power, over the data’s")
    right.grid(axis="y")
    level(right, 1.0, "the data", 0.02)
    right.annotate(
        "dotted: one step\nsolid: the most steps",
        (0.03, 0.06),
        xycoords="axes fraction",
        color=SOFT,
        fontsize=8.5,
    )
    return figure(
        canvas,
        "First panel: the Fréchet distance falls with the number of steps. Second panel: one "
        "step lacks power at high spatial frequency.",
        "First panel: quality, down to 10⁻⁴. Second panel: blur, as a spectrum: the jump lacks the "
        "fine scales most; many steps bring them back.",
    )
