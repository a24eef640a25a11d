"""Figures and texts of row 16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, label_curve, separate_labels
from .drawing import BLUE, ORANGE, SOFT, figure, panels, styled

LOOKS = {"exact": (BLUE, "o"), "network": (ORANGE, "s")}
EVEN = 11.4
"""Radius of a pixel that depends equally on all pixels of a 28 × 28 image."""


@styled
def draw(levels: Sequence[float], radii: Mapping[str, Sequence[Interval]]) -> Figure:
    """Draw the receptive radius against the noise level."""
    canvas, (axes,) = panels(1, 320, width=480)
    axes.set_xscale("log")
    names = [
        curve(axes, levels, radii[name], colour, name, marker)
        for name, (colour, marker) in LOOKS.items()
    ]
    axes.axhline(EVEN, color=SOFT, lw=0.9, ls=(0, (5, 3)))
    label_curve(axes, levels[0], EVEN + 0.5, "the whole image alike", SOFT)
    axes.xaxis.set_major_locator(FixedLocator(list(levels)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(
        xlabel="noise level σ (the data range from −1 to 1)",
        ylabel="receptive radius (pixels)",
        ylim=(0, EVEN + 1.4),
    )
    axes.set_xlim(levels[0] / 1.2, levels[-1] * 2.2)
    separate_labels(axes, names)
    axes.set_title("How far the centre pixel looks")
    ends = "; ".join(
        f"{name} from {line[0].value:.1f} to {line[-1].value:.1f} pixels"
        for name, line in radii.items()
    )
    return figure(
        canvas, f"The receptive radius from σ = {levels[0]:g} to {levels[-1]:g}: {ends}.", CAPTION
    )


@styled
def maps(levels: Sequence[float], pictures: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Show the sensitivity, in a row of pictures for each denoiser."""
    canvas, axes = panels(len(levels), 245, len(pictures))
    for place, (name, row) in enumerate(pictures.items()):
        for column, (sigma, picture) in enumerate(zip(levels, row, strict=True)):
            here = axes[place * len(levels) + column]
            here.imshow(picture, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            here.set(xticks=[], yticks=[])
            if place == 0:
                here.set_title(f"σ = {sigma:g}", fontsize=8.5, fontweight="normal", loc="center")
            if column in (0, len(levels) - 1):  # at both sides, for either half may be seen alone
                here.set_ylabel(name)
                here.yaxis.set_label_position("right" if column else "left")
            here.spines[:].set_visible(True)
    return figure(
        canvas,
        "Pictures of the sensitivity, from the lowest noise level to the highest.",
        MAPS,
        cut=4 / len(levels),
    )


CAPTION = (
    "How far away those pixels of the noisy image are that the prediction of the centre "
    "pixel depends on. With little noise the pixel "
    "itself says enough; with much noise the denoiser averages over a large part of the "
    "image. Exact: <code>fashion-mppca</code>; "
    "network: <code>fashion</code>, both without a class. Bands: 95 % intervals."
)
MAPS = (
    "On which pixels of the noisy image the prediction of the centre pixel depends, on "
    "average, each picture scaled by its largest value; "
    "red: brighter makes brighter, blue: brighter makes darker."
)
DETAILS = (
    "<p>The radius is the root mean square distance, weighted by the squared sensitivity "
    "∂dᵢ/∂xⱼ of the predicted centre pixel i to each "
    "pixel j.</p><p>By Tweedie’s formula of second order, ∂dᵢ/∂xⱼ = Cov[x₀ᵢ, x₀ⱼ | x]/σ² "
    "for the exact denoiser: the picture of a pixel’s "
    "sensitivity is the picture of what still varies together with it. As σ grows it "
    "tends to the covariance of the data, so the "
    "radius levels off below that of the whole image alike. Rows of the Jacobian are "
    "found by one backward pass. Noisy states are "
    "exact samples (of the network: its own samples) with noise that is the same at "
    "every level. The two models have learned the same "
    "data set, but are not the same distribution.</p>"
)
