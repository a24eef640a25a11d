"""Figures and words of row 7 on the networks that go from noise to image in one step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..measuring.one_shot import SHOWN, OneShotResults
from ..measuring.row import Figure
from .charting import curve, level, separate_labels, step_axis
from .drawing import BLUE, ORANGE, figure, panels, styled

TITLES = {
    "independent": "Noise and image drawn at random",
    "coupled": "Noise and image on one path",
}


@styled
def draw(found: OneShotResults) -> Figure:
    """Errors on known and on other pairs against the number of pairs, for both kinds of pairs."""
    canvas, both = panels(2, 330, sharey=True)
    for axes, (coupling, title) in zip(both, TITLES.items(), strict=True):
        nets = found.networks[coupling]
        counts = [one.pairs for one in nets]
        names = [
            curve(axes, counts, [getattr(one, what) for one in nets], colour, name, marker, nudge)
            for what, colour, name, marker, nudge in (
                ("known", BLUE, "own pairs", "o", -9),
                ("fresh", ORANGE, "other pairs", "s", 6),
            )
        ]
        step_axis(axes, counts, "pairs that the network is fitted on", 30)
        axes.set_ylim(0, 2.1)
        axes.grid(axis="y")
        axes.tick_params(labelleft=True)
        axes.set_title(title)
        level(axes, 1, "the mean of all images", 0.02 if coupling == "independent" else 0.34)
        separate_labels(axes, names)
    both[0].set_ylabel("squared error, over the data’s variance")
    ends = [found.networks[coupling][-1] for coupling in TITLES]
    return figure(
        canvas,
        "Two charts of the error of a one-step network against the number of pairs. With random "
        "pairs the error on its own pairs rises with their number, and that on others is never "
        "below the mean’s. On paths both come together. At the right the errors on other pairs are "
        + " and ".join(f"{one.fresh.value:.2f}" for one in ends)
        + ".",
        "A small network goes from noise to image in one step. First panel: every image has a noise of "
        "its own, drawn once. The network learns few such pairs by heart (blue, 0 is perfect), "
        "which is of no use for other noises (orange); of many pairs it can only learn the mean. "
        "Second panel: the same images, each with the noise from which the sampler’s path leads to it. "
        "With few pairs the network memorises here too; with many it has learned the rule. Bands: "
        "95 % intervals.",
    )


@styled
def pictures(found: OneShotResults) -> Figure:
    """What the networks make of noises that they know, and of others."""
    rows = [("the path’s end", found.targets)] + [
        (f"{'random' if coupling == 'independent' else 'path'}, {one.pairs:,}", one.pictures)
        for coupling in TITLES
        for one in found.networks[coupling]
    ]
    wide = [mosaic(tiles) for _, tiles in rows]
    canvas, (axes,) = panels(1, 540, width=505)
    axes.imshow(np.vstack(wide), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    side = wide[0].shape[0]
    axes.set_yticks([(k + 0.5) * side for k in range(len(rows))], [name for name, _ in rows])
    width = wide[0].shape[1]
    axes.set_xticks([width * 0.24, width * 0.76], ["noises it was fitted on", "other noises"])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure(
        canvas,
        "Pictures of networks fitted on random pairs and on pairs of a path, 100 to 100,000 of them.",
        "First row: where the sampler’s path from each noise ends. Below: what a network makes of "
        "it in one step, by how noise and image were paired and how many pairs there were. With "
        "random pairs the noises in the left half are others, and their images the same.",
    )


def mosaic(tiles: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pictures beside each other from 0 to 1, with a gap between the known and the others."""
    if tiles.ndim < 4:
        tiles = tiles.reshape(len(tiles), 1, 1, -1)
    padded = [
        np.pad((one[0].astype(np.float64) + 1) / 2, 1, constant_values=np.nan) for one in tiles
    ]
    gap = np.full((padded[0].shape[0], 6), np.nan)
    return np.hstack([*padded[:SHOWN], gap, *padded[SHOWN:]]).clip(0, 1)


DETAILS = """\
<p><b>The networks</b> are fully connected and small (135,000 numbers), the same in every case and fitted with the same 4,000 steps
of 100 pairs. The images are ends of the probability flow of <code>fashion-mppca</code>, by <code>ipndm</code> with 12 evaluations,
and they are the same for both kinds of pairs; only which noise belongs to which image differs. The error on own pairs is that on
the first 100, which all networks were fitted on. A network that has seen every random pair often enough can know them by heart; if
there are more than it has room or time for, the best that squared error can give is the mean, as nothing in a noise tells of an
image. On paths the image is a function of the noise, so that there is something to be learned. Networks made so are the oldest
kind of one-step sampler (arXiv:2101.02388).</p>
<p><b>The sampler.</b> The probability flow is dx/d log σ = x − D(x, σ), with D the denoiser; the Jacobian of the right side is
1 − Cov[x0|x]/σ². As σ falls, a small deviation grows at the rate c − 1, with c an eigenvalue of Cov[x0|x]/σ², which is never
below 0: nothing dies out faster than σ itself falls. The equation is not stiff: from σ = 80 to 0.002 log σ changes by 10.6, and
a stiff equation has rates times lengths of hundreds. With log σ as the variable a step of length h multiplies a deviation by 1
− h (1 − c), which is below −1 for h above 2. With σ as the variable, as always in practice, a step to rσ multiplies it by r +
(1 − r) c, which is never negative: no step of Euler’s method is unstable. What it does is to go straight on to a prediction
that is no longer right. <code>heun</code> averages two slopes; the second is divided by the small σ at the end of the step, and
that is unstable if r is small. All samplers here have levels of equally distant logarithms, with 0 in place of the last.</p>
<p><b>Equal steps.</b> A short step of length h in log σ errs by ½ h² |dD/d log σ|. The grid <code>equal_error</code> has the
levels between which Euler’s steps, from where a path really is, err as equally as can be. It is a schedule of its own, for any
model. Errors are medians over samples of the distance to the path’s end, which on <code>fashion</code> is that of many steps.</p>
"""
