"""The figure and the words of row 11."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from ..measuring.learning import SAMPLERS, LearnedCase, LearnedResult
from ..measuring.row import Figure
from .charting import label_curve, separate_labels, step_axis
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SOFT, YELLOW, figure, panels, styled

LOOKS = {
    "random": (SOFT, "x"),
    "coordinates": (YELLOW, "s"),
    "differences": (PURPLE, "v"),
    "TPE": (GREEN, "D"),
    "CMA-ES": (RED, "P"),
    "Adam": (ORANGE, "^"),
    "gradient": (BLUE, "o"),
    "all by CMA-ES": (RED, "P"),
    "all by gradient": (BLUE, "o"),
}
SHOWN = SAMPLERS[1]


@styled
def draw(found: LearnedResult) -> Figure:
    """What each method reaches for its evaluations, and the grids that it ends with."""
    canvas, (curves, grids) = panels(2, 380)
    _curves(curves, found.cases)
    case = next(one for one in reversed(found.cases) if one.sampler == SHOWN)
    _grids(grids, case)
    return figure(canvas, ALT, CAPTION.format(case.sampler, case.model))


def _curves(axes: Axes, cases: Sequence[LearnedCase]) -> None:
    """Errors over those at the start, as geometric means over the cases."""
    names = []
    first = cases[0]
    for free, style in (("grids", "-"), ("coefficients", "--")):
        for k, course in enumerate(getattr(first, free)):
            lines = [np.asarray(getattr(case, free)[k].errors) / case.start.value for case in cases]
            mean = np.exp(np.mean(np.log(lines), axis=0))
            colour, marker = LOOKS[course.method]
            axes.plot(course.spent, mean, color=colour, marker=marker, ls=style)
            names.append(label_curve(axes, course.spent[-1], mean[-1], course.method, colour))
    step_axis(axes, first.grids[0].spent, "evaluations a starting noise", room=2.6)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.grid(axis="y")
    ends = first.grids[0].spent
    axes.plot([ends[0], ends[-1]], [1, 1], color=SOFT, lw=0.9, ls=(0, (5, 3)), zorder=1)
    axes.set(title="What is left of the error", ylabel="error / error of the best formula")
    separate_labels(axes, names)


def _tick(value: float) -> str:
    """Some of the minor ticks, so that a chart of less than a decade has numbers."""
    return f"{value:g}" if f"{value:.0e}"[0] in "25" else ""


def _grids(axes: Axes, case: LearnedCase) -> None:
    """A line for each method, with its levels as points."""
    rows = [("the best formula", case.levels, INK, ".")]
    rows += [(one.method, one.levels, *LOOKS[one.method]) for one in case.grids]
    rows += [(one.method, one.levels, *LOOKS[one.method]) for one in case.coefficients]
    for place, (_, levels, colour, marker) in enumerate(rows):
        shown = [sigma for sigma in levels if sigma > 0]
        axes.plot(shown, [place] * len(shown), color=colour, marker=marker, lw=0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.invert_xaxis()
    axes.grid(axis="x")
    axes.set(title=f"The grids, {case.sampler} on {case.model}", xlabel="noise level σ")


ALT = (
    "First panel: the error that each method has left, against the evaluations that it has spent. Second panel: "
    "the noise levels that each of them found, as points on a line."
)
CAPTION = (
    "First panel: searches see the error alone, descents (Adam, gradient) also in which direction it "
    "falls. All begin at the best formula and are measured on starting noises that nothing was tuned "
    "on; means over all samplers and models here. Dashed: not the grid alone is free, but all "
    "coefficients of the sampler too. Second panel: the grids that they ended with, for <code>{}</code> on "
    "<code>{}</code>; the last step, from the last point to 0, is not shown."
)
DETAILS = (
    "<p>A sampler of six evaluations has five free noise levels. Its error is the mean distance of its "
    "samples to where the probability flow ends from the same starting noise (exactly known, or "
    "converged), in data units a dimension. Every method begins at the same grid, the best of those "
    "that are formulas, and may spend the same number of evaluations; one gradient counts as three runs "
    "(the backward pass multiplies twice where the forward pass does once). Random search, TPE and "
    "CMA-ES look within a box around the start, in which neighbouring steps in log σ become up to 7 "
    "times longer or shorter; a smaller box might suit random search, but how small it may be is "
    "not known before. Coordinates: one level after the other, by steps that are halved. "
    "Differences: descent with slopes from one more run a number. Gradient: the same descent with "
    "gradients through the unrolled sampler. TPE and CMA-ES are those of the package optuna. The "
    "random methods ran once.</p>"
    "<p>The claim is about practice, which is not measured here: what is, is whether a search does as "
    "well. The first diffusion models did learn their rates by gradient, on their bound, where noise "
    "is Gaussian (arXiv:1503.03585, section 2.4.1).</p>"
    "<p>With coefficients free too, each step is any weighted sum of the state and all predictions so "
    "far, 25 numbers here in place of 5, and their start is the sampler itself. "
    "<code>samplerbench tune --what both</code> does this and keeps the result for runs.</p>"
    "<p>Intervals resample the starting noises on which is measured, the same for all methods, and so "
    "they tell nothing about other models, or about other draws of the random methods. Ratios are "
    "geometric means over samplers and models. A few samples end in another mode and make up much of "
    "the mean.</p>"
)
