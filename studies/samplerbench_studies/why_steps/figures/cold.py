"""The figures and the words of row 12."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from ..measuring.cold import ColdResult, Course
from ..measuring.row import Figure
from .charting import curve, separate_labels, step_axis
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SOFT, figure, panels, styled

NAMES = {
    "noise": "noise",
    "snow": "snow",
    "blend": "a digit blended in",
    "blur": "blur",
    "pixels": "coarse pixels",
    "mask": "a growing disc",
}
"""What the page calls each degradation, in its order."""
LOOKS = {
    "noise": (INK, "o"),
    "snow": (BLUE, "s"),
    "blend": (GREEN, "^"),
    "blur": (ORANGE, "D"),
    "pixels": (PURPLE, "v"),
    "mask": (RED, "X"),
}
GONE, REBUILT = 3, 8
"""Pictures that are shown of each degradation, degraded and rebuilt."""


@styled
def draw(found: ColdResult, best: Mapping[str, Course]) -> Figure:
    """Distances to the data against steps, and how many different outputs there are at the best.

    ``best`` has the better rule of each degradation.
    """
    canvas, (quality, variety) = panels(2, 340, width_ratios=(1.15, 1))
    names = [
        curve(quality, found.counts, best[name].distances, *_look(name))
        for name in NAMES
        if name in best
    ]
    step_axis(quality, found.counts, room=9)
    quality.set_ylim(0, None)
    quality.grid(axis="y")
    quality.set(title="Distance to real pictures", ylabel="FID proxy (smaller is better)")
    separate_labels(quality, names)
    _variety(variety, found, best)
    return figure(canvas, ALT, CAPTION)


def _look(name: str) -> tuple[str, str, str]:
    colour, marker = LOOKS[name]
    return colour, NAMES[name], marker


def _variety(axes: Axes, found: ColdResult, best: Mapping[str, Course]) -> None:
    shown, real = [name for name in NAMES if name in best], 1 / found.alike
    most = 6 * real
    for place, name in enumerate(shown):
        colour, marker = LOOKS[name]
        one = best[name].alike
        ends = [min(most, 1 / one.high), min(most, 1 / one.low) if one.low > 0 else most]
        axes.plot(ends, [place, place], color=colour, lw=4, alpha=0.3)
        seen = one.value * most > 1
        number, symbol = (1 / one.value, marker) if seen else (ends[0], ">")
        axes.plot([number], [place], marker=symbol, color=colour, ms=7)
    axes.axvline(real, color=SOFT, lw=0.9, ls=(0, (5, 3)), zorder=1)
    axes.annotate(
        "real pictures",
        (real, len(shown) - 0.45),
        (-4, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=SOFT,
        fontsize=8,
    )
    axes.set_xscale("log")
    axes.set_xlim(0.7, most)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(shown)), [NAMES[name] for name in shown])
    axes.set_ylim(len(shown) - 0.2, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set(title="How many different ones", xlabel="effective number of different pictures")


@styled
def strips(found: ColdResult, best: Mapping[str, Course]) -> Figure:
    """Degraded pictures at the left, and what is made of these and more at the right."""
    shown = [name for name in NAMES if name in best]
    rows = []
    for name in shown:
        gone = [*found.starts[name][:GONE], None]
        rows.append(np.hstack([_tile(one) for one in [*gone, *best[name].pictures[:REBUILT]]]))
    side = len(rows[0])
    canvas, (axes,) = panels(1, 760 / 13.2 * len(rows) + 24)
    axes.imshow(np.vstack(rows), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for i, k in product(range(len(rows)), range(GONE + 1 + REBUILT)):
        if k != GONE:  # snow is as white as the page
            corner = (k * side + 0.5, i * side + 0.5)
            axes.add_patch(Rectangle(corner, 28, 28, fill=False, ec=SOFT, lw=0.4))
    axes.set_yticks([(i + 0.5) * side for i in range(len(rows))], [NAMES[name] for name in shown])
    axes.set_xticks(
        [GONE / 2 * side, (GONE + 1 + REBUILT / 2) * side],
        ["with all removed", "rebuilt"],
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure(canvas, PICTURED, PICTURES, cut=(GONE + 1) / (GONE + 1 + REBUILT))


def _tile(one: NDArray[np.float32] | None) -> NDArray[np.float64]:
    inside = np.full((28, 28), np.nan) if one is None else (one.astype(np.float64) + 1) / 2
    return np.pad(inside.clip(0, 1), 1, constant_values=np.nan)


ALT = (
    "Left: the distance to real pictures against the number of steps, for noise and five other "
    "ways of removing information. Right: how many different pictures come out of each: most "
    "where much is drawn at random, and fewest where nothing is."
)
CAPTION = (
    "A network rebuilds pictures of garments from which everything was removed, in one of six ways. "
    "First panel: the distance of what comes out to real pictures, by the best of two or three rules for a "
    "step. Second panel: how many different pictures there are after the best number of steps. Rule and "
    "number were chosen on other pictures. Bands and bars: 95 % intervals; an arrow says at least so "
    "many."
)
PICTURES = (
    "What is left of pictures when all is removed, and what the network makes of it in the best "
    "number of steps, the first three "
    "from those that are shown. Blur and coarse pixels leave how light the picture was, and the "
    "disc leaves nothing at all, so that it has one answer. Snow falls elsewhere on each picture."
)
PICTURED = (
    "Six rows of small pictures of garments: rebuilt from noise, snow, digits, blur, "
    "coarse pixels and a disc. The pictures of the last row are all the same."
)
DETAILS = (
    "<p>Cold diffusion (Bansal and others 2022, arXiv:2208.09392) degrades a picture x₀ to D(x₀, s), "
    "with s from 0 (untouched) to 1 (nothing left), and trains a network R to restore it. From s it "
    "steps to the next s′ by one of two rules. Algorithm 1 degrades the restored picture "
    "R again, x ← D(R, s′). Algorithm 2 adds to x only what changes, x ← x − D(R, s) + D(R, s′). The "
    "ways are a blur of up to 40 pixels, means over blocks of 2, 4, 8 … pixels, a "
    "grey disc from the centre, white flakes in a random pattern, a fade into a handwritten digit "
    "(one of 1,797), and a fade into noise. The pictures are 28 × 28; those that were "
    "degraded were not in the training. What is drawn at random stays the same along the way.</p>"
    "<p>In a fade, the network’s answer also tells what must have been blended in. If "
    "that is estimated anew at every step, both algorithms are one, and with noise this is "
    "DDIM: a test holds them to 10⁻¹⁰ of each other.</p>"
    "<p>The rule and the number of steps of each way are those whose outputs are nearest to real "
    "pictures on 144 pictures, which are not among the 576 that are measured (fewer in a fast run). "
    "So no number is flattered by being the best of many. Where the best number is the largest that was "
    "tried, more steps might do better still.</p>"
    "<p>One network of 0.12 million parameters undoes all six and is told which: all had the "
    "same training, and there was one. It learned by squared error, where the paper takes absolute error, so that its "
    "best answer is the average of what is possible. Larger networks that are trained for longer make "
    "better pictures in any of these ways, and may rank them differently.</p>"
    "<p><b>Why chance decides.</b> A rule that draws nothing at random has at most one output for each "
    "start. The disc has one start, and blur leaves one number, how light the picture was. An "
    "exact R would not even use that: for pictures from a Gaussian, blurred, masked or coarsened, "
    "both algorithms end at the average after one step and after a thousand "
    "(a test; the derivation is in studies/measured/why-steps.md). What steps add to such a start comes from the "
    "network’s errors.</p>"
    "<p>How alike pairs must be is measured on 2,500 real pictures, which have an effective number "
    "of different ones as well; rough pictures, which are farther from each other, may have a larger "
    "one. “Error” is the squared distance to the picture that was degraded, "
    "over the variance of pictures: the "
    "average picture has 1, another real one 2.</p>"
)
