"""The figures and the words of row 10."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MultipleLocator, NullLocator

from ..measuring.first_schedule import EARLY, GRIDS, Binary, FirstRate, FirstScheduleResult, levels
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, label_curve, separate_labels, step_axis
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, figure, panels, styled

LOOKS = dict(zip(GRIDS, ((ORANGE, "o"), (PURPLE, "s"), (GREEN, "^"), (BLUE, "D")), strict=True))
FINE = 200
"""Steps of the curves of the signal."""
NARROWEST = 1e-3
"""Shares of the data's variance below this are drawn at it: the axis is logarithmic."""


@styled
def schedules(found: FirstScheduleResult) -> Figure:
    """What is left of the image along each grid, and what each loses."""
    canvas, (left, right) = panels(2, 350)
    for grid, (colour, _) in LOOKS.items():
        sigma = np.array(levels(grid, FINE))
        left.plot(
            np.arange(FINE + 1) / FINE * 100,
            100 / (1 + sigma**2),
            color=colour,
            label=grid,
            lw=2.6 if grid == EARLY else 1.8,
        )
    left.legend(frameon=False, loc="upper left", handlelength=1.5)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(MultipleLocator(25))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    left.set(
        title="What a schedule is", xlabel="steps taken", ylabel="signal: how much of it is image"
    )
    names = []
    for grid, (colour, marker) in LOOKS.items():
        names.append(curve(right, found.counts, found.nats[grid], colour, grid, marker))
    step_axis(right, found.counts, "steps", room=12)
    right.set(title="What it loses", ylabel="lost by ancestral sampling (nats)", yscale="log")
    right.grid(axis="y")
    separate_labels(right, names)
    return figure(canvas, SCHEDULES_ALT, SCHEDULES)


@styled
def binary(counts: Sequence[int], found: Binary) -> Figure:
    """Bits and distance of binary images against steps."""
    canvas, (left, right) = panels(2, 300)
    for axes in (left, right):
        step_axis(axes, counts)
    curve(left, counts, found.bits, ORANGE, "")
    left.set_ylim(bottom=0)
    left.set(title="Bits a pixel", ylabel="at most, on unseen pictures")
    shares = [
        Interval(*(max(end / found.variance, NARROWEST) for end in one)) for one in found.distances
    ]
    curve(right, counts, shares, ORANGE, "")
    right.set(title="Distance to the data", ylabel="Fréchet distance,\nover the data’s variance")
    right.set_yscale("log")
    right.grid(axis="y")
    return figure(canvas, BINARY_ALT, BINARY)


@styled
def pictures(found: Binary) -> Figure:
    """Samples, a line for each number of steps."""
    rows, columns = found.pictures.shape[:2]
    tile = 640 / columns
    canvas, (axes,) = panels(1, tile * rows + 10, width=720)
    side = found.pictures.shape[-1] + 2
    tiles = [
        np.hstack([np.pad(1.0 - one, 1, constant_values=np.nan) for one in row])
        for row in found.pictures
    ]
    axes.imshow(np.vstack(tiles), cmap="gray", vmin=-0.15, vmax=1.1, interpolation="nearest")
    axes.set_yticks(
        [(i + 0.5) * side for i in range(rows)],
        [f"{steps:,} step{'s' * (steps > 1)}" for steps in found.shown],
    )
    axes.set_xticks([])
    axes.tick_params(length=0, labelright=True)
    axes.spines[:].set_visible(False)
    return figure(canvas, PICTURES_ALT, PICTURES, cut=0.5)


@styled
def first_rate(found: FirstRate) -> Figure:
    """The bound against beta_1."""
    canvas, (axes,) = panels(1, 320, width=480)
    known, unseen = ([one.value for one in line] for line in (found.known, found.unseen))
    axes.set_xscale("log")
    axes.set_xlim(found.betas[0], found.betas[-1] * 30)
    axes.xaxis.set_major_locator(FixedLocator([1e-5, 1e-4, 1e-3, 1e-2, 1e-1]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.5f}".rstrip("0")))
    low, high = min(known), max(known)
    top = high + 0.35 * (high - low)
    axes.set_ylim(low - 0.06 * (high - low), top)
    for line, colour in ((found.known, ORANGE), (found.unseen, BLUE)):
        axes.plot(found.betas, [one.value for one in line], color=colour)
        axes.fill_between(
            found.betas,
            [one.low for one in line],
            [one.high for one in line],
            color=colour,
            alpha=0.18,
            lw=0,
        )
    names = [
        label_curve(axes, found.betas[-1], unseen[-1], "unseen images", BLUE),
        label_curve(axes, found.betas[-1], known[-1], "known images", ORANGE),
    ]
    axes.plot([found.best.value], [min(unseen)], "v", color=INK)
    axes.annotate(
        f"best for unseen: {found.best.value:.2g}",
        (found.best.value, min(unseen)),
        (-8, -14),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
    )
    axes.set(
        xlabel="noise of the first step, β₁ (logarithmic)",
        ylabel="nats an image (lower is better)",
    )
    separate_labels(axes, names)
    return figure(canvas, RATE_ALT, RATE)


SCHEDULES_ALT = (
    "First panel: along equal shares the signal rises in a straight line, along the others slowly at "
    "first. Second panel: what is lost falls with the steps on every schedule; with two steps equal "
    "shares lose the least, with many the most."
)
SCHEDULES = (
    "First panel: a schedule says how much of the image there is after each step of making one. In equal "
    "shares every step adds as much. Second panel: what ancestral sampling loses on each, on "
    "<code>fashion-mppca</code>, as in part 3: from σ = 80 to 0.05. Bands: 95 % intervals."
)
BINARY_ALT = (
    "First panel: the bound on the bits a pixel falls with the number of steps, most of it with the "
    "first few. Second panel: the Fréchet distance of the samples to the data falls too."
)
BINARY = (
    "Binomial diffusion on black and white pictures, in equal shares. First panel: how many yes-or-no "
    "answers a pixel of an unseen picture takes at most. Second panel: how far the samples are from the "
    "data, by Hamming distances; less than a thousandth is drawn as that. Bands: 95 % intervals."
)
PICTURES_ALT = (
    "Samples of binomial diffusion: scattered dots from one step, connected garments from many."
)
PICTURES = (
    "Black and white garments by binomial diffusion in equal shares, from 1 step (every pixel is "
    "drawn for itself) to many. Each column starts from the same noise."
)
RATE_ALT = (
    "Against the noise of the first step, the bound of known images falls without end as the "
    "noise goes to zero; that of unseen ones has a lowest point and rises steeply below it."
)
RATE = (
    "How well <code>digits-cloud</code> explains images, if the first step has this much noise: a "
    "bound on −log of their probability density. It knows seven of nine digits by heart, and the "
    "others not. For those that it knows, ever less noise is ever better. Bands: 95 % intervals."
)
DETAILS = (
    "<p>In arXiv:1503.03585 a step of binomial diffusion replaces each pixel by a fair coin with "
    "probability β<sub>t</sub> = 1/(T − t + 1) in step t of T, which leaves the signal (T − t)/T "
    "(section 2.4.1). A small network predicts the first picture from a later one, pixel by pixel; "
    "the probabilities of every step follow from that exactly, by Bayes’ rule, so that one network "
    "serves all numbers of steps. It was trained on the mean of their bounds, on Fashion-MNIST, "
    "where pixels brighter than middle grey are 1, and drawn black here. The bound is the sum of the divergences "
    "of all steps, on test images; of long chains it visits 32 steps an image at random. Without a "
    "closed form for the data, it is the network’s loss and not only that of the steps.</p>"
    "<p>The features are 12 numbers of pixels that differ: from the majority picture of each of "
    "ten classes, and from the picture itself shifted by one column and by one row.</p>"
    "<p>Equal shares are the paper’s choice for binomial diffusion alone. Where noise is Gaussian it "
    "learned all rates but the first by gradient on its bound, and fixed the first one against "
    "overfitting (section 2.4.1). What that learning aims at is the grid that loses the fewest nats "
    "(part 3). Moved to Gaussian noise, the rates of equal shares make the signal 1/(1 + σ²) fall in "
    "equal shares. That is the grid “equal shares”, the schedule <code>sohl_dickstein_1503</code>. All grids go "
    "from σ = 80 to 0.05; for samples one more step goes to 0. Fréchet distances have their bias "
    "removed. No samples were drawn in 1,000 steps, for their cost. The verdict takes the "
    "differences between equal shares and <code>karras</code> in ten steps, from the same latents, "
    "on every model and with every sampler that was measured.</p>"
    "<p>The bound against β₁ is that of a diffusion of 1,000 steps whose others erase equal shares "
    "of what the first leaves. Its last step back is a Gaussian as wide as the noise of β₁ around "
    "the prediction. For finitely many images the exact prediction is one of them as soon as the "
    "noise is less than their distances, so that only the width is left: −log density falls by "
    "half the number of pixels for every factor e of β₁, without end. A density "
    "has no such gaps, and a best β₁. Pictures of black and white pixels have no such end "
    "either: bits cannot fall below 0.</p>"
)
