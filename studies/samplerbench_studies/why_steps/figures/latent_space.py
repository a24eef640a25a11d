"""The figures and the words of row 14."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..measuring.latent_space import NEAR, Course, LatentSpaceResult, Price, pictured
from ..measuring.row import Figure
from .charting import curve, level, separate_labels, step_axis
from .drawing import BLUE, ORANGE, figure, panels, styled
from .tiles import tiles

LOOKS = {"pixels": (ORANGE, "s"), "latents": (BLUE, "o")}


def milliseconds(price: Price, steps: float) -> float:
    """Of one core for an image after so many steps; the medians of the rounds."""
    network, solver, decoder = (
        float(np.median(one)) for one in (price.network, price.solver, price.decoder)
    )
    return steps * (network + solver) + decoder


@styled
def draw(found: LatentSpaceResult) -> Figure:
    """Errors against steps, and distances to the data against milliseconds."""
    canvas, (errors, clock) = panels(2, 340)
    step_axis(errors, found.counts, room=6)
    names = []
    for name, course in courses(found).items():
        colour, marker = LOOKS[name]
        names.append(curve(errors, found.counts, course.errors, colour, name, marker))
        for other in getattr(found, name)[1:]:
            errors.plot(found.counts, [one.value for one in other.errors], color=colour, lw=0.8)
        times = [milliseconds(course.price, steps) for steps in found.counts]
        curve(clock, times, course.distances, colour, "", marker)
        for other in getattr(found, name)[1:]:
            clock.plot(times, [one.value for one in other.distances], color=colour, lw=0.8)
        clock.plot([], [], color=colour, marker=marker, label=name)
    errors.set_yscale("log")
    separate_labels(errors, names)
    level(errors, NEAR, "near its end", 0.02)
    clock.set_xscale("log")
    clock.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    clock.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    clock.xaxis.set_minor_locator(NullLocator())
    clock.legend(frameon=False, loc="upper right")
    level(clock, 0, "the data", 0.02)
    errors.set(title="Steps that are needed", ylabel="distance to its end (spread of images)")
    clock.set(
        title="What they cost",
        xlabel="milliseconds an image, one core",
        ylabel="Fréchet distance to the data (features²)",
    )
    return figure(canvas, ALT, CAPTION)


def courses(found: LatentSpaceResult) -> dict[str, Course]:
    """Return those of the first training of each side, by name."""
    return {"pixels": found.pixels[0], "latents": found.latents[0]}


def pictures(found: LatentSpaceResult) -> tuple[Figure, ...]:
    """Images of both models, one strip after few steps and more; none where samples are none."""
    shown = [found.counts[place] for place in pictured(found.counts)]
    if found.pixels[0].pictures.ndim != 5:
        return ()
    rows = [
        (f"{name}, {steps}", images)
        for name, course in courses(found).items()
        for steps, images in zip(shown, course.pictures, strict=True)
    ]
    told = _listed(shown)
    return (
        tiles(
            rows,
            f"Garments from pixels and from latents after {told} steps: blurred after one.",
            f"Images of both networks after {told} steps. Each column of a network starts "
            "from one noise.",
        ),
    )


def _listed(counts: Sequence[int]) -> str:
    *most, last = map(str, counts)
    return f"{', '.join(most)} and {last}" if most else last


def training(price: Price) -> str:
    """How long it was trained, in words."""
    if math.isnan(price.training):
        return "an unknown time"
    own = f"{price.training / 60:.1f} minutes of one core"
    return own + (f", after {price.before / 60:.1f} for its autoencoder" if price.before else "")


ALT = (
    "First panel: the error of the images against steps, for pixels and for latents. Second panel: the "
    "distance to the data against milliseconds an image; that of latents falls sooner."
)
CAPTION = (
    "First panel: how far an image is from the one that many steps from the same noise give, as "
    "a share of how far images are from their average. Second panel: the same runs by what they "
    "cost, the decoder included. Thin lines: two more trainings of each network. Bands: 95 % "
    "intervals."
)
DETAILS = (
    "<p>An autoencoder turns an image of 28 × 28 pixels into 4 × 8 × 8 numbers, which are "
    "scaled to a standard deviation of 1, and its decoder turns such numbers into an image. "
    "Both networks are the same U-Net with the same number of weights, told the class of the "
    "garment. On pixels it works on 14 × 14 positions (2 × 2 pixels each), on latents on "
    "8 × 8. They were trained for about as many seconds, in which the one on latents saw more "
    "than twice as many images; the time for the autoencoder comes on top. That was trained on "
    "the error of grey levels and of edges, without the features that images are judged by. All "
    "trainings were short, a minute or so each: the networks are far from what they could become. "
    "Each network was trained three times, from other first weights and on other orders of the data "
    "and noise; the autoencoder once. Numbers of steps and distances are compared by the spread over "
    "these trainings, each with its own starting noises (Welch’s interval, of three against three). "
    "Curves and pictures are of the first training.</p>"
    "<p>The sampler is <code>dpmpp_2m</code> on <code>karras</code> grids from σ = 80 for both, "
    "one evaluation a step. (Latents have a standard deviation of 1 and pixels of 0.7, so that in these "
    "units the second grid is a few percent longer.) An image is near its end if its root mean square distance to "
    "the converged one is a tenth of the spread of images; the number of steps is read off "
    "the line between those that were measured. The distance to the data has the "
    "network’s own error in it, and the autoencoder’s, which no step mends. Multiply-adds are counted, times "
    "are processor times of the two in turn.</p>"
)
