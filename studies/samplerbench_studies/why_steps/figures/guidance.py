"""The figure and the words of row 13."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from ..measuring.guiding import SCALES, GuidanceResult
from ..measuring.row import Figure
from .charting import label_curve, separate_labels
from .drawing import BLUE, GREEN, ORANGE, PURPLE, SOFT, figure, panels, styled

LOOKS = {1.0: (BLUE, "o"), 2.0: (GREEN, "^"), 4.0: (ORANGE, "s")}


@styled
def draw(found: GuidanceResult) -> Figure:
    """How sure the exact model is along the way, how many classes are left, and fidelity
    against diversity.
    """
    levels = found.levels
    canvas, (sure, left, trade) = panels(3, 320)
    for scale, (own, number) in found.courses.items():
        colour, marker = LOOKS[scale]
        sure.plot(levels, own.mean(1), color=colour, marker=marker, ms=3.5)
        left.plot(
            levels, number.mean(1), color=colour, marker=marker, ms=3.5, label=f"guidance {scale:g}"
        )
    for axes in (sure, left):
        axes.set_xscale("log")
        axes.set_xlim(levels[0] * 1.2, 0.3)
        axes.set_xlabel("noise level σ")
        _plain(axes, (80, 10, 1))
    sure.axhline(0.5, color=SOFT, lw=0.9, ls=(0, (5, 3)))
    left.legend(frameon=False, loc="upper right", handlelength=1.5)
    sure.set(title="Conviction", ylabel="probability of the class, given the state", ylim=(0, 1.05))
    left.set(title="Classes left", ylabel="effective number of classes", ylim=(0.9, None))
    names = []
    for (name, runs), line in zip(found.outcomes.items(), ("-", "--"), strict=True):
        for place, (what, colour) in enumerate((("in the class", GREEN), ("variance", PURPLE))):
            values = [one[place] for one in runs.values()]
            trade.plot(
                SCALES, [one.value for one in values], line, color=colour, marker="os"[place]
            )
            trade.fill_between(
                SCALES,
                [one.low for one in values],
                [one.high for one in values],
                color=colour,
                alpha=0.15,
                lw=0,
            )
            names.append(
                label_curve(trade, SCALES[-1], values[-1].value, f"{what},\n{name}", colour)
            )
    trade.set_xscale("log")
    trade.set_xlim(0.9, 22)
    _plain(trade, SCALES)
    trade.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="\u202f%"))
    trade.set(title="The price", xlabel="guidance scale", ylabel="share", ylim=(0.5, 1.12))
    separate_labels(trade, names, 24)
    return figure(canvas, ALT, CAPTION)


def _plain(axes: Axes, ticks: Sequence[float]) -> None:
    """Ticks at these numbers, written as such."""
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


ALT = (
    "Three charts. With stronger guidance the probability of the class rises at higher "
    "noise, the number of classes that are left "
    "falls sooner, and the variance inside classes falls while more samples lie in their class."
)
CAPTION = (
    "First and second panel: how sure the noisy images on the way are of their class, and how "
    "many classes they leave open "
    "(<code>fashion-mppca</code>, ten classes), means over samples; the noise falls to "
    "the right, as in sampling. Third panel: the "
    "share of samples in the class that was asked for, and the variance "
    "inside classes, as a share of that at guidance 1. Bands: 95 % intervals."
)
DETAILS = (
    "<p>Guidance of scale w (classifier-free: Ho and Salimans 2022, arXiv:2207.12598) "
    "replaces the prediction by d + w(d_class − d), "
    "with d that of the model without a class; w = 1 is the conditional model. Euler’s "
    "method on karras grids from the same latents, "
    "every class as often. How sure the state is of its class is the exact p(class | x) "
    "of the <em>unguided</em> model: by Bayes’ "
    "rule σ²∇log p(class | x) = d_class − d is what guidance multiplies. A class is "
    "decided from the level on at which its "
    "probability stays above one half; the mean is geometric. What guidance draws from "
    "is not p(x) p(class | x)<sup>w</sup>: that "
    "tilt does not commute with adding noise (Bradley and Nakkiran 2024, arXiv:2408.09000).</p>"
    "<p>The network’s class probabilities at noise are not known, so it shows fidelity "
    "(by a classifier) and diversity only. A class "
    "stands in for a text here: what is said is about conditioning, not about language.</p>"
)
