"""Figure and texts of row 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.ticker import PercentFormatter

from ..measuring.collapse import UNSEEN
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, level, separate_labels, step_axis
from .drawing import BLUE, GREEN, ORANGE, PURPLE, figure, panels, styled

COLOURS = {"gmm-2d": BLUE, "fashion": ORANGE, "digits": GREEN, "digits-cloud": PURPLE}
MARKERS = {"gmm-2d": "o", "fashion": "s", "digits": "^", "digits-cloud": "D"}
Lines = Mapping[str, Sequence[Interval]]


@styled
def draw(counts: Sequence[int], variance: Lines, modes: Lines, copies: Lines) -> Figure:
    """Draw three panels against steps: kept variance, kept modes, copies of training data."""
    canvas, axes = panels(3, 300, sharey=True)
    titles = ("Variance kept", "Modes kept", "Copies of training images")
    for one, title, lines in zip(axes, titles, (variance, modes, copies), strict=True):
        step_axis(one, counts, "steps", room=6)
        names = [
            curve(
                one, counts, line, COLOURS[name], name, MARKERS[name], NUDGES.get((title, name), 0)
            )
            for name, line in lines.items()
        ]
        one.set(title=title, ylim=(-0.05, 1.12))
        separate_labels(one, names)
        one.tick_params(labelleft=True)  # a panel may be seen alone
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="\u202f%"))
    axes[0].set_ylabel("share")
    level(axes[2], UNSEEN, "unseen: 1 %", 0.17)
    return figure(canvas, ALT, CAPTION)


NUDGES = {("Copies of training images", "digits"): 8}
"""Shifts in points that move names away from lines."""
ALT = (
    "Three charts over 1 to 32 steps. Variance and modes rise from near nothing to near "
    "all. Copies: the cloud goes from none to all "
    "within a few steps, the network stays at none."
)
CAPTION = (
    "Outputs of Euler’s method without a class, against the number of steps. One step "
    "gives the average: nearly no variance, and not a "
    "training image. Whether later outputs are copies depends on the denoiser, not on "
    "the steps: <code>digits-cloud</code> knows nothing "
    "but its images, and can end on nothing else; the network <code>digits</code> was "
    "trained on seven ninths of the same. Bands: 95 % "
    "intervals."
)
DETAILS = (
    "<p>Three things are called collapse. <em>Variance</em>: trace of the covariance of "
    "the outputs over that of the data. "
    "<em>Modes</em>: exp(H) of the shares of the modes that outputs lie in (components "
    "of <code>gmm-2d</code>; classes of "
    "<code>fashion</code> as a classifier sees them) over that of the data. "
    "<em>Memorisation</em>: a mean of images is near to many "
    "of them, so that a small distance proves nothing. What tells a copy is that the "
    "nearest training image is much nearer than the "
    "second; the threshold on d₁/d₂ is the 1 % quantile over images that were held out. "
    "Intervals are bootstrapped over the samples, "
    "or Clopper and Pearson’s for copies; a share of the modes without one says that all "
    "samples lie in the same mode.</p>"
    "<p>At one step a network's output is not quite the mean of the data: its error at "
    "the largest noise level leaves it some "
    "variance.</p>"
)
