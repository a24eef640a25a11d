"""The figure and the words of row 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..measuring.one_step import CLOCKS
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, label_curve, level, step_axis
from .drawing import BLUE, ORANGE, figure, panels, styled

LOOKS = {CLOCKS[0]: (BLUE, "o"), CLOCKS[1]: (ORANGE, "s")}
ROUNDING = 1e-15


@styled
def draw(
    counts: Sequence[int],
    distances: Mapping[str, Sequence[Interval]],
    errors: Mapping[str, Sequence[float]],
) -> Figure:
    """Images at the left, where the claim is false.

    A Gaussian at the right, where one clock makes it true.
    """
    canvas, (images, gaussian) = panels(2, 330)
    for axes in (images, gaussian):
        step_axis(axes, counts, room=7)
    for place, (clock, (colour, marker)) in enumerate(LOOKS.items()):
        curve(images, counts, distances[clock], colour, clock, marker, 19 - 11 * place)
        values = [max(error, ROUNDING) for error in errors[clock]]
        gaussian.plot(counts, values, color=colour, marker=marker)
        label_curve(gaussian, counts[-1], values[-1], clock, colour)
    level(images, 0, "the data")
    images.set(title="Images (fashion-mppca)", ylabel="Fréchet distance to the data (features²)")
    gaussian.set(
        title="An isotropic Gaussian",
        ylabel="error of the end point (s.d. of the data)",
        yscale="log",
    )
    return figure(canvas, ALT, CAPTION)


ALT = (
    "First panel: distance of Euler samples to image data falls from its largest at one step "
    "to near zero at fifty, in both clocks. Second panel: "
    "on a Gaussian the error of one clock falls as one over the steps, that of the other "
    "is at rounding error from one step on."
)
CAPTION = (
    "Euler’s method without noise, in two clocks. First panel: in the clock σ one step is the "
    "average image, and in the other it is the average "
    "under white noise of the data’s variance. Second panel: for one isotropic Gaussian of "
    "variance v the paths are straight lines in the clock "
    "√(v + σ²), and there a single step is exact to rounding. Straight paths, not the "
    "absence of noise, make one step enough. Bands: 95 % "
    "intervals."
)
DETAILS = (
    "<p>The probability flow dx/dσ = (x − d)/σ has no noise, but the prediction d is an "
    "average that changes along the way. "
    "For data from a Gaussian of mean m and variance v the flow "
    "is x(σ) = m + √((v + σ²)/(v + S²)) (x(S) − m) from a level S: linear in u = √(v + "
    "σ²). Euler’s method in u is then exact, and in "
    "σ it is not. On images v is the mean variance of a pixel.</p>"
    "<p>Distances are Fréchet distances in a classifier’s features to the exact model’s "
    "own data, with their bias removed; the "
    "verdict takes the difference between one step and fifty from the same latents, "
    "whose interval is narrower. With few samples "
    "their bias of higher order (below 2 % of the distance at one step) is left.</p>"
)
