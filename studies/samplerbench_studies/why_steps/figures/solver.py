"""Figure and texts of row 8."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.text import Annotation

from ..measuring.row import Figure
from ..measuring.solver import SolverCurve
from .charting import label_curve, separate_labels
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, YELLOW, figure, panels, styled

LOOKS = {
    "euler": (INK, "o"),
    "heun": (YELLOW, "s"),
    "dpmpp_2m": (BLUE, "D"),
    "dpm_solver_3m": (ORANGE, "^"),
    "dpm_solver_3": (PURPLE, "v"),
    "deis_rrk_4": (GREEN, "P"),
}


@styled
def draw(lines: Sequence[SolverCurve]) -> Figure:
    """Draw errors against evaluations, and against seconds."""
    canvas, (counts, clock) = panels(2, 360, sharey=True)
    names: dict[Axes, list[Annotation]] = {counts: [], clock: []}
    for line in lines:
        colour, marker = LOOKS[line.name]
        milliseconds = [1000 * second for second in line.seconds]
        counts.loglog(line.evaluations, line.errors, color=colour, marker=marker)
        clock.loglog(milliseconds, line.errors, color=colour, marker=marker)
        name = f"{line.name}: {line.slope.value:.2f}"
        names[counts].append(
            label_curve(
                counts,
                line.evaluations[-1],
                line.errors[-1],
                name,
                colour,
                NUDGES.get(line.name, 0),
            )
        )
        names[clock].append(
            label_curve(
                clock,
                milliseconds[-1],
                line.errors[-1],
                line.name,
                colour,
                NUDGES.get(line.name, 0),
            )
        )
    for axes, room in ((counts, 12), (clock, 10)):
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * room)
        axes.grid(axis="y")
        axes.tick_params(labelleft=True)  # a panel may be seen alone
        separate_labels(axes, names[axes])
    counts.set(
        title="Error and measured order",
        xlabel="network evaluations a sample",
        ylabel="median error of a dimension (data units)",
    )
    clock.set(title="Error and time", xlabel="milliseconds a sample, one core")
    return figure(
        canvas, ALT + ", ".join(f"{line.slope.value:.1f} ({line.name})" for line in lines), CAPTION
    )


NUDGES = {"dpm_solver_3m": 7}
"""Shifts in points that move names away from lines."""
ALT = (
    "Two log-log charts of the error of each method, against evaluations and against "
    "time. The slopes are "
)
CAPTION = (
    "Distance to the exact solution of the probability-flow equation on a mixture of "
    "Gaussians in 64 dimensions "
    "(<code>gmm-64d</code>), from σ = 80 to 0.05, on karras grids. The number beside "
    "each name is the slope of its line: the order "
    "that was measured."
)
DETAILS = (
    "<p>The exact end of every path comes from the closed form of the denoiser, "
    "integrated to 10⁻¹². The order is the slope of the "
    "median error over the three finest grids, its interval bootstrapped over the "
    "samples. The median, because a few samples near a "
    "boundary between modes end in another mode at every number of steps. The interval "
    "is that of the slope over these grids and not "
    "of its limit, which is why an order is confirmed within 0.25 and not by its "
    "interval. The grids end at σ = 0.05: at a last step "
    "to 0 every method takes the denoiser’s prediction, whose error has an order of its own.</p>"
    "<p>Seconds are processor time here, where an evaluation costs little; with a "
    "network they are proportional to the "
    "evaluations.</p>"
)
