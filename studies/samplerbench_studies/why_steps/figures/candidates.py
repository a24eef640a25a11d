"""The figure of row 2, and its details."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..measuring.row import Figure
from ..measuring.shrinking import CandidatesResult, PathEntropies
from .charting import label_curve, level, separate_labels
from .drawing import BLUE, GREEN, ORANGE, PURPLE, SOFT, figure, panels, styled

SINGLE = 12
"""PathEntropies that are drawn one by one."""


@styled
def main(found: CandidatesResult, shown: Sequence[float]) -> Figure:
    """Candidates of a cloud, with single paths.

    Components and classes of a mixture; nats of information.
    """
    canvas, (left, middle, right) = panels(3, 340)
    for path in np.exp(found.points.entropy[:SINGLE]):
        left.plot(found.points.levels, path, color=SOFT, lw=0.7, alpha=0.6)
    _mean(left, found.points, BLUE, "mean")
    left.set_title("Which image?")
    left.set_ylabel("images still possible (effective number)")
    _mean(middle, found.components, PURPLE, "components")
    _mean(middle, found.classes, ORANGE, "classes", below=True)
    middle.set_title("Which garment?")
    middle.set_ylabel("still possible (effective number)")
    names = []
    for (name, rows), colour in zip(found.information.items(), (BLUE, ORANGE, GREEN), strict=False):
        right.plot(
            shown, [max(row.value, 1e-3) for row in rows], color=colour, marker="o", markersize=3.5
        )
        names.append(
            label_curve(
                right, shown[-1], rows[-1].value, name, colour, -9 if name == "digits-cloud" else 0
            )
        )  # below the dashed line
    right.set_title("What is known")
    right.set_ylabel("information about the image (nats)")
    for axes, room in ((left, 1.0), (middle, 1.0), (right, 60.0)):
        _noise_axis(axes, shown, room)
    right.set_ylim(1e-3, 1e4)
    level(right, found.points.most, "log N", 0.02)
    separate_labels(right, names)
    first, last = found.points.number(0).value, found.points.number(-1).value
    return figure(
        canvas,
        "Three charts against the falling noise level. Possible images fall from "
        f"{first:.0f} to {last:.1f}; single paths rise at times. "
        "Components and classes fall likewise. Information rises without end on images "
        "and levels off on the cloud.",
        "Noise falls to the right, as in sampling. First panel: how many images of a finite "
        "set (<code>digits-cloud</code>) it can still be; "
        "grey lines are single paths. Second panel: how many kinds of garment "
        "(<code>fashion-mppca</code>, and the finer groups that it is made "
        "of). Third panel: what the noisy image tells of the clean one. Where N images are all "
        "that there are, it ends at log N; otherwise it "
        "grows for ever, as ever finer detail is decided.",
    )


def _mean(axes: Axes, paths: PathEntropies, colour: str, name: str, below: bool = False) -> None:
    found = [paths.number(i) for i in range(len(paths.levels))]
    axes.plot(paths.levels, [one.value for one in found], color=colour, lw=2.2)
    axes.fill_between(
        paths.levels,
        [one.low for one in found],
        [one.high for one in found],
        color=colour,
        alpha=0.2,
        lw=0,
    )
    place = len(found) // 3
    where, side = ((-8, -12), "right") if below else ((8, 6), "left")
    axes.annotate(
        name,
        (paths.levels[place], found[place].value),
        where,
        textcoords="offset points",
        color=colour,
        ha=side,
    )


def _noise_axis(axes: Axes, shown: Sequence[float], room: float) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(shown[0] * 1.2, shown[-1] / 1.2 / room)
    ticks = [tick for tick in (80, 10, 1, 0.1) if tick >= shown[-1] * 0.99]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("noise level σ")
    axes.grid(axis="y")


def details(found: CandidatesResult, shown: Sequence[float]) -> str:
    """How it was measured, with the identity that ties both halves together."""
    middle = len(shown) // 2
    place = list(found.points.levels).index(shown[middle])
    direct, curve = found.points.known(place), found.information["digits-cloud"][middle]
    return f"""<p>The effective number of candidates is exp(H), with H the entropy of the exact posterior over the points of
<code>digits-cloud</code>, or over the components or classes of <code>fashion-mppca</code>, averaged over true noisy paths
<i>x</i><sub>γ</sub> = <i>x</i><sub>0</sub> + W(γ)/γ, where <i>x</i><sub>0</sub> is the clean image and W a Brownian motion: sampling is
this process, run exactly.</p>
<p>Information: I(<i>x</i><sub>0</sub>; <i>x</i><sub>σ</sub>) = ½ ∫<sub>0</sub><sup>1/σ²</sup> mmse(γ) dγ (Guo, Shamai and Verdú 2005,
theorem 1), by quadrature in log γ. Entropy itself would be of no use on images: that of a density diverges. On the cloud both ways of
counting must agree: at σ = {shown[middle]:.3g} the posterior’s entropy says {direct.value:.3f} ± {direct.high - direct.value:.3f} nats, and
the MMSE curve {curve.value:.3f} ± {1.96 * curve.error + curve.bound:.3f}.</p>
<p><code>fashion</code> is a network: its denoising loss stands in for the mmse on samples of its own, and includes the network’s error, so
that its line lies above the truth. It is told the class, so its information is what is left given the class.</p>"""
