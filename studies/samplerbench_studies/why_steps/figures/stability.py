"""Figures of row 7 on samplers: growth rates, big steps, and steps that err equally."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from samplerbench.samplers import karras

from ..measuring.equal_steps import EqualStepsResult
from ..measuring.row import Figure
from ..measuring.stability import LEVELS, StabilityResult
from .charting import curve, label_curve, level, separate_labels, step_axis
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, SOFT, figure, panels, styled

LOOKS = {"euler": (BLUE, "o"), "euler in log σ": (PURPLE, "^"), "heun": (ORANGE, "s")}
COLOURS = (GREEN, INK)
FLAT = 0.1
"""Growth rates below this have no peak to speak of."""


def _beside(axes: Axes, x: float, y: float, name: str, colour: str) -> None:
    """A name left of a peak."""
    axes.annotate(
        name,
        (x, y),
        (-7, 3),
        textcoords="offset points",
        color=colour,
        ha="right",
        fontsize=8.5,
    )


@styled
def draw_sampler(found: StabilityResult) -> Figure:
    """Eigenvalues against σ, and the variance of samples against steps."""
    canvas, (left, right) = panels(2, 340)
    for (model, rates), colour in zip(found.rates.items(), COLOURS, strict=False):
        left.fill_between(LEVELS, rates.least, rates.most, color=colour, alpha=0.2, lw=0)
        left.plot(LEVELS, rates.most, color=colour)
        left.plot(LEVELS, rates.least, color=colour, ls=":")
        place = int(np.argmax(rates.most)) if max(rates.most) > FLAT else len(LEVELS) // 2
        _beside(left, LEVELS[place], rates.most[place], model, colour)
    left.set_xscale("log")
    left.invert_xaxis()
    left.set(
        title="Growth of deviations",
        xlabel="noise level σ (sampling goes right)",
        ylabel="eigenvalues of Cov[x0|x]/σ² − 1",
    )
    left.margins(y=0.12)
    left.axhline(-1, color=SOFT, lw=0.9, ls=(0, (5, 3)), zorder=1)
    left.annotate(
        "−1: dies out as fast as σ falls",
        (0.02, -1),
        (0, -11),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=SOFT,
        fontsize=8,
    )
    labels = []
    for name, (colour, marker) in LOOKS.items():
        labels.append(curve(right, found.counts, found.spread[name], colour, name, marker))
    step_axis(right, found.counts, "steps", 12)
    right.set_yscale("log")
    right.grid(axis="y")
    right.set(title="Variance of the samples", ylabel="over that of the data")
    level(right, 1, "the data", 0.02)
    separate_labels(right, labels)
    return figure(
        canvas,
        "First panel: eigenvalues against the noise level, between minus one and about two. Second panel: "
        "variance of samples against steps, which stays below the data’s for Euler’s method and is "
        "far above it for the others with few steps.",
        "First panel: the smallest (dotted) and largest eigenvalues of exact models. Above 0, where images "
        "part, deviations grow; below it they die out, never faster than at the rate −1. Second panel: "
        "with few steps Euler’s method gives too little variance, never too much; in the variable "
        "log σ, and for <code>heun</code>, few steps are unstable.",
    )


@styled
def draw_even(sampler: StabilityResult, even: EqualStepsResult) -> Figure:
    """How fast the prediction moves, and equal steps against the usual ones."""
    canvas, (left, right) = panels(2, 320)
    for (model, speed), colour in zip(sampler.curvature.items(), COLOURS, strict=False):
        left.plot(sampler.levels, speed, color=colour, label=model)
    left.set_xscale("log")
    left.invert_xaxis()
    low, high = left.get_xlim()
    left.set_xlim(low, high / 60)
    top = max(max(speed) for speed in sampler.curvature.values())
    usual = karras(len(even.levels) - 1, even.levels[-2], even.levels[0]).sigma[:-1]
    for height, grid, colour, name in (
        (1.28, even.levels[:-1], BLUE, "equal_error"),
        (1.15, usual, ORANGE, "karras"),
    ):
        left.plot(grid, [height * top] * len(grid), color=colour, marker="|", ls="", ms=9)
        label_curve(left, grid[-1], height * top, name, colour)
    left.set_ylim(-0.03 * top, 1.4 * top)
    left.legend(frameon=False, loc="center right", handlelength=1.5)
    left.set(
        title="How fast the prediction moves",
        xlabel="noise level σ",
        ylabel="s.d. of the data, for a factor e of σ",
    )
    for place, one in enumerate(even.rows):
        y = len(even.rows) - place
        colour = BLUE if one.ratio.high < 1 else ORANGE if one.ratio.low > 1 else SOFT
        right.plot([one.ratio.low, one.ratio.high], [y, y], color=colour)
        right.plot([one.ratio.value], [y], color=colour, marker="o")
    right.set_yticks(
        range(len(even.rows), 0, -1),
        [f"{one.model}\n{one.sampler}, {one.steps} steps" for one in even.rows],
    )
    right.set_ylim(0.4, len(even.rows) + 0.6)
    right.set(title="Equal steps against the usual ones", xlabel="error on equal_error over karras")
    right.axvline(1, color=SOFT, lw=0.9, ls=(0, (5, 3)), zorder=1)
    right.grid(axis="x")
    return figure(
        canvas,
        "First panel: the prediction moves fastest at a noise level of about 1 to 7. Second panel: ratios of "
        "errors: "
        + ", ".join(f"{one.model} {one.sampler} {one.ratio.value:.2f}" for one in even.rows),
        "First panel: where the prediction moves fast, a step of Euler’s method errs much; above, the "
        "levels of two grids on <code>fashion</code>. Second panel: the error to the path’s end on the "
        "grid with equal errors; below 1 it is the better one. Bars are 95 % intervals.",
    )
