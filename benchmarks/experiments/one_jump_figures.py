"""Figures of row 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .base import Figure
from .charting import apart, beside, curve, level, step_axis
from .drawing import BLUE, GREEN, ORANGE, SOFT, figure, panels, styled
from .intervals import Interval
from .one_jump import Found, Measured

COLOURS, MARKERS = (ORANGE, BLUE, GREEN), ("o", "s", "^")
LEAST = 1e-4
"""Share of a distance that is drawn as none."""

DETAILS = """\
<p>Each sample starts from the same noise at σ = 80 whatever the number of steps. The sampler is Euler’s method on the probability flow
(DDIM with η = 0), the plainest there is, on the <code>karras</code> grid with a last step to σ = 0; its single step is the jump to the
prediction, <i>x</i> ← <i>D</i>(<i>x</i><sub>T</sub>, σ<sub>max</sub>). <code>fashion</code> is a network that is told the class of each
picture, so its mean is the mean of that class; <code>fashion-mppca</code> (a mixture fitted to the same pictures) and
<code>wavelet</code> are exact and told nothing.</p>
<p><b>Variance</b>: E|<i>x</i> − mean|² of the samples over that of the data. <b>Among the data</b>: the share of samples closer to one
of the real pictures than that picture’s third neighbour (precision, arXiv:1904.06991), in the features of the model’s reference; for
<code>wavelet</code> these are the pixels themselves. <b>FID proxy</b>: Fréchet distance to the data, its bias removed; <b>distance to
converged</b> is the same to converged samples of the model, so that the error of the network is no part of it. Brackets are 95 %
intervals. With fewer than 15 samples a feature, as here, the Fréchet distances are for the order of magnitude.</p>
<p>Density does not tell a mean from an image: in many dimensions the middle of a cloud has a larger density than nearly all its points.
Nor does the distance to the nearest datum: means are near many data.</p>"""


@styled
def curves(found: Found) -> Figure:
    """The share of the variance, and of samples among the data, against steps."""
    canvas, (left, right) = panels(2, 330)
    _shares(left, found, "spread", "variance of the samples, % of the data’s")
    _shares(right, found, "among", "samples that lie among the data, %")
    level(left, 100, "the data", 0.02)
    first = {name: rows[0] for name, rows in found.items()}
    alt = "Two charts against the number of steps. First: variance. Second: samples among the data. At one step: " + "; ".join(
        f"{name} {100 * row.spread.value:.1f} % and {100 * row.among.value:.0f} %" for name, row in first.items()
    )
    return figure(
        canvas, alt, "One step is the jump to the prediction. First: what it gives hardly varies, because all of it is the same mean. "
        "Second: how many samples could pass for data. Bands are 95 % intervals.",
    )  # fmt: skip


def _shares(axes: Axes, found: Found, what: str, name: str) -> None:
    names = []
    for (model, rows), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
        percent = [Interval(*(100 * bound for bound in one)) for one in (getattr(row, what) for row in rows)]
        names.append(curve(axes, [row.steps for row in rows], percent, colour, model, marker))
    _steps(axes, found)
    axes.set_ylim(-4, 118)
    apart(axes, names)
    axes.set_ylabel(name)


def _steps(axes: Axes, found: Found) -> None:
    counts = sorted({row.steps for rows in found.values() for row in rows})
    step_axis(axes, counts, "steps", (counts[-1] / counts[0]) ** 0.4)
    axes.grid(axis="y")


def others(found: Found) -> tuple[Figure, ...]:
    """Pictures, if there are any; and distances with spectra."""
    pictured = {name: rows for name, rows in found.items() if len(rows[0].spectrum)}
    return (*((strips(name, rows) for name, rows in pictured.items())), quality(found))


@styled
def strips(model: str, rows: Sequence[Measured], png: Path | None = None) -> Figure:
    """The same latents at every number of steps, one below the other."""
    canvas, (axes,) = panels(1, 72 * len(rows) + 10)
    axes.imshow(mosaic(rows), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([(i + 0.5) * _tile(rows) for i in range(len(rows))], [f"{row.steps} step{'s' * (row.steps > 1)}" for row in rows])
    axes.set_xticks([])
    axes.tick_params(length=0, labelright=True)  # the right half may be seen alone
    axes.spines[:].set_visible(False)
    return figure(
        canvas,
        f"Ten samples of {model} from the same noise with {', '.join(str(row.steps) for row in rows)} steps: blurred and alike at first.",
        f"<code>{model}</code>: each column starts from the same noise. Top: the jump to the prediction.",
        png,
        cut=0.5,
    )


def mosaic(rows: Sequence[Measured]) -> NDArray[np.float64]:
    """The pictures of every row in one, from 0 to 1, with NaN between the tiles; data lie in [-1, 1]."""
    tiles = [[np.pad((picture[0].astype(np.float64) + 1) / 2, 1, constant_values=np.nan) for picture in row.pictures] for row in rows]
    return np.vstack([np.hstack(row) for row in tiles]).clip(0, 1)


def _tile(rows: Sequence[Measured]) -> int:
    return rows[0].pictures.shape[-2] + 2


@styled
def quality(found: Found) -> Figure:
    """Distance to converged samples over that of the jump; and the spectrum of the jump and of the most steps, over the data's."""
    canvas, (left, right) = panels(2, 330)
    names = []
    for (model, rows), colour, marker in zip(found.items(), COLOURS, MARKERS, strict=False):
        known = [(row.steps, row.to_converged) for row in rows if row.to_converged]
        if known:
            share = [Interval(*(max(end / known[0][1].value, LEAST) for end in one)) for _, one in known]
            curve(left, [steps for steps, _ in known], share, colour, "", marker)
            left.plot([], [], color=colour, marker=marker, label=model)
        if len(rows[0].spectrum):
            for row, dash in ((rows[0], ":"), (rows[-1], "-")):
                right.plot(range(1, len(row.spectrum) + 1), row.spectrum, color=colour, ls=dash)
            names.append(beside(right, len(rows[0].spectrum), rows[0].spectrum[-1], model, colour))
    _steps(left, found)
    left.set_yscale("log")
    left.set_ylim(LEAST, 2)
    left.legend(frameon=False, loc="lower left", handlelength=1.5)
    left.set_ylabel("Fréchet distance to converged samples,\nover that of one step")
    step_axis(right, (1, 2, 5, 10), "spatial frequency (cycles an image)", 6)
    right.set_yscale("log")
    apart(right, names)
    right.set_ylabel("power, over the data’s")
    right.grid(axis="y")
    level(right, 1.0, "the data", 0.02)
    right.annotate("dotted: one step\nsolid: the most steps", (0.03, 0.06), xycoords="axes fraction", color=SOFT, fontsize=8.5)
    return figure(
        canvas, "First: the Fréchet distance falls with the number of steps. Second: one step lacks power at high spatial frequency.",
        "First: quality, down to 10⁻⁴. Second: blur, as a spectrum: the jump lacks the fine scales most; many steps bring them back.",
    )  # fmt: skip
