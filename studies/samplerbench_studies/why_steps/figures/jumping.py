"""The figures and the words of row 15."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from ..measuring.jumping import FINE, JUMPS, PLAIN, JumpingResult
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, label_curve, level, separate_labels, step_axis
from .drawing import BLUE, GREEN, ORANGE, PURPLE, figure, panels, styled

LOOKS = {PLAIN: (BLUE, "o"), "dpmpp_2m": (GREEN, "^"), "auto": (PURPLE, "D")}
LEAST = 0.2
"""Distances below it are drawn at it: there they are noise."""
AVERAGE = math.sqrt(0.5)
"""Distance from an image to the average of its class, over that to another image of it."""


@styled
def draw(found: JumpingResult) -> Figure:
    """Distance to the data against evaluations, and how far the map's answers are from the ends."""
    canvas, (quality, ends) = panels(2, 340)
    names = [
        curve(quality, found.counts, [_seen(one) for one in line], *_look(name))
        for name, line in found.teacher.items()
    ]
    own = [_seen(one) for one in found.map]
    curve(quality, found.jumps, own, ORANGE, "", "s")
    label_curve(quality, 1, own[0].value, "the map", ORANGE, 11).set_fontweight("bold")
    step_axis(quality, found.counts, "evaluations a sample", room=3.2)
    quality.set_yscale("log")
    quality.yaxis.set_major_locator(FixedLocator([0.2, 1, 3, 10, 30, 100]))
    quality.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    quality.yaxis.set_minor_formatter(NullFormatter())
    quality.set(title="How near to the data", ylabel="FID proxy", ylim=(LEAST / 1.2, None))
    quality.grid(axis="y")
    separate_labels(quality, names)
    place = len(found.levels) // 2
    curve(ends, found.levels, found.missed, ORANGE, "", "s")
    curve(ends, found.levels, found.predicted, BLUE, "", "o")
    label_curve(ends, found.levels[0], found.missed[0].value, "the map’s jump", ORANGE, -17)
    label_curve(ends, found.levels[place], found.predicted[place].value, "the prediction", BLUE, 8)
    ends.set_xscale("log")
    ends.set_xlim(found.levels[0] * 1.2, found.levels[-1] / 2)
    ends.xaxis.set_major_locator(FixedLocator([80, 10, 1, 0.1]))
    ends.xaxis.set_minor_locator(NullLocator())
    ends.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ends.set(
        title="How near to the path’s own end",
        xlabel="noise level σ of the state",
        ylabel="distance, over that of two images",
        ylim=(-0.03, 1.12),
    )
    level(ends, 1, "another image of the class", 0.4)
    level(ends, AVERAGE, "the average of the class", 0.4)
    return figure(canvas, ALT, CAPTION)


def _look(name: str) -> tuple[str, str, str]:
    """Colour, name and marker of a sampler."""
    colour, marker = LOOKS[name]
    return colour, name, marker


def _seen(one: Interval) -> Interval:
    """At least :data:`LEAST`, for a logarithmic axis."""
    return Interval(*(max(end, LEAST) for end in one))


@styled
def strips(found: JumpingResult) -> Figure:
    """What the same noise becomes, a row each: by the prediction, by jumps, by the teacher."""
    rows = {name: tiles for name, tiles in found.pictures.items() if len(tiles)}
    tile = (760 - 110) / max(len(tiles) for tiles in rows.values())
    canvas, (axes,) = panels(1, tile * len(rows) + 10)
    whole = np.vstack(
        [
            np.hstack(
                [np.pad((one.astype(float) + 1) / 2, 1, constant_values=np.nan) for one in tiles]
            )
            for tiles in rows.values()
        ]
    )
    axes.imshow(whole.clip(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    height = whole.shape[0] / len(rows)
    axes.set_yticks([(i + 0.5) * height for i in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0, labelright=True)  # the right half may be seen alone
    axes.spines[:].set_visible(False)
    return figure(
        canvas,
        "Pictures from the same noise: blurred averages in the first row, ever clearer garments "
        "in those of one, two and four jumps, and those of the teacher in the last.",
        "Each column starts from the same noise, and each row is told the same class. First panel: the "
        "teacher’s one prediction. Last: where the teacher ends after many steps.",
        cut=0.5,
    )


ALT = (
    "First panel: FID proxy against evaluations on logarithmic axes, of the map after one, two and four "
    "jumps and of the teacher’s samplers after up to ten. Second panel: distance from the map’s answer "
    "and from the teacher’s prediction to the end of the path, which falls with the noise level."
)
CAPTION = (
    "First panel: the map, which was taught to jump, beside the samplers of its teacher "
    "<code>fashion</code>, from the same noise. Second panel: states of the teacher’s paths are given to "
    "the map, which should say where the path ends, and to the teacher, which says the average of "
    "all ends; the noise falls to the right, as in sampling. Bands: 95 % intervals."
)


def details(jumps: Sequence[int] = tuple(JUMPS)) -> str:
    """How it was measured, as HTML."""
    between = "; ".join(f"{k}: {', '.join(f'{one:g}' for one in (80.0, *JUMPS[k]))}" for k in jumps)
    return (
        "<p><code>fashion-map</code> is a few-step map (consistency model: Song and others 2023, "
        "arXiv:2303.01469): f(x, σ) says where the path through x ends, and f(x, 0.002) = x whatever "
        "the network says. It has the architecture of <code>fashion</code> and began with its weights. "
        "It was trained by regression on paths of <code>fashion</code>: from a state of a path to its "
        "end. The distance that it was trained on is that of pixels and of layers of the teacher; the "
        "classifier that measures the FID proxy had no part in it. After the first jump, noise is added "
        f"up to the next level, and the map jumps again. Levels, by the number of jumps: {between}; "
        "they were chosen on other noise than that of this row.</p>"
        "<p>Every class is asked for as often, and all start from the same noise, so that differences "
        "are surer than the distances themselves. The factor between one prediction and one jump has "
        "Fieller’s interval. The end of a path is that of "
        f"<code>dpmpp_2m</code> in {FINE} steps (fewer in a fast run). Distances to it are root mean "
        "squares over pixels; that of two images is the mean over pairs of ends of one class. The "
        "average of the class is then at √½, nearer than any other image: to be near is not to be an "
        "image, so that both panels are needed. <b>Variance</b>: inside classes, over that of the data. "
        "<b>Recall</b>: share of real images in the neighbourhood of a sample. <b>Coverage</b>: share of the "
        "neighbourhoods of real images (here to the fifth-nearest) that hold a sample. Both depend on "
        "the number of samples, so that as many real images stand beside them.</p>"
        "<p>Cost: one evaluation is one pass of the network over one image. A step of training counts "
        "as three (forward and back), those of the loss’s layers and of the teacher’s "
        "paths are counted too, and the training of the teacher, which both need, is not. It pays after "
        "as many samples as this cost over the evaluations that each sample saves.</p>"
        "<p>On an exact model the true map is known: it follows the path to its end. One call of it is "
        "a sample of the data (<code>gmm-64d</code>). Nothing forbids the jump; what it takes is to know "
        "the ends, which a prediction does not.</p>"
    )
