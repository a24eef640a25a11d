"""Figures of row 3, and its derivation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from samplerbench.models import MMSECurve, gammas

from ...analysis.path_kl import path_kl
from ...arrays import FloatArray
from ..measuring.big_steps import HIGH, LOW, Losses, levels
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from ..statistics.single_steps import Transition
from .charting import curve, label_curve, separate_labels, step_axis
from .drawing import BLUE, GREEN, INK, ORANGE, PURPLE, SOFT, figure, panels, styled

SHOWN = (1, 4, 16, 64)
"""Numbers of steps with a staircase."""
"""Those at the top of the page."""
LOOKS = ((BLUE, "o"), (PURPLE, "s"), (GREEN, "^"), (ORANGE, "D"))

DETAILS = """\
<p>The noisy states of one image <i>x</i><sub>0</sub> are observations of it through a channel that grows with γ: <i>y</i><sub>γ</sub> =
γ<i>x</i><sub>0</sub> + W<sub>γ</sub>, with a Brownian motion W. By Lévy’s innovations theorem the true process is also d<i>y</i> =
<i>D</i>(<i>y</i>, γ) dγ + dB, with the denoiser <i>D</i> and another Brownian motion B.
Ancestral sampling (<code>ddpm</code>) freezes <i>D</i> over a step. Girsanov’s theorem gives the divergence of the frozen process Q
from the true one P, and as <i>D</i> is a martingale in γ under P, it is</p>
<p>KL(P‖Q) = ½ Σ<sub>i</sub> ∫ [mmse(γ<sub>i</sub>) − mmse(γ)] dγ,</p>
<p>a staircase of left end points less the curve. The area under the curve is the information that the steps bring (I-MMSE: Guo, Shamai
and Verdú 2005); the divergence is what the stairs have above it. It is checked against a simulation of the Girsanov integral that knows
of neither, within 3 %. The best grid is the cheapest path through the areas, found by dynamic programming; it is the schedule
<code>optimal_kl</code>. Steps go from σ = 80 to 0.05. A last step to 0 is left out: it adds no noise, and its divergence is
infinite.</p>
<p>A single step: with <i>r</i> = (σ′/σ)² the true <i>p</i>(<i>x</i><sub>σ′</sub> | <i>x</i><sub>σ</sub>) has the covariance <i>v</i>(I
+ Δγ Cov[<i>x</i><sub>0</sub> | <i>x</i>]), <i>v</i> = σ′²(1 − <i>r</i>), and the sampler draws with <i>v</i>I. The loss splits into
<b>shape</b>, the divergence from the Gaussian with the true covariance, and the rest, which that Gaussian has from the sampler’s. Both
come from exact densities by Bayes’ rule. The rest is not all anisotropy: Cov also makes the step wider as a whole.</p>
<p>The divergence bounds what samples can lose, and it is not what they lose: it counts every state on the way, and detail that no eye
and no feature sees. That is why the FID proxy levels off while nats still fall.</p>"""


@styled
def staircases(mmse: MMSECurve, png: Path | None = None) -> Figure:
    """Draw the MMSE curve with staircases of four numbers of steps; the gap is the loss in nats."""
    caption = (
        "Blue: how wrong the best prediction of the image is, on average, while the "
        "noise falls (to the right). Orange: a sampler predicts "
        "once a step and goes by that until the next. The area between them, taken over "
        "γ = 1/σ², is <em>exactly</em> twice what sampling "
        "loses, in nats (both axes are logarithmic, so that it is not the area that one "
        "sees). Computed on the exact model "
        "<code>fashion-mppca</code> with the <code>karras</code> grid."
    )
    canvas, axes = panels(len(SHOWN), 285, sharey=True)
    nats = {n: path_kl(mmse, levels("karras", n)).value for n in SHOWN}
    for place, (ax, n) in enumerate(zip(axes, SHOWN, strict=True)):
        sigma, low, stair = staircase(mmse, levels("karras", n))
        ax.fill_between(sigma, low, stair, color=ORANGE, alpha=0.3, lw=0)
        ax.plot(sigma, stair, color=ORANGE, lw=1.2)
        ax.plot(sigma, low, color=BLUE, lw=2)
        ax.set_title(f"{n} step{'s' * (n > 1)}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(HIGH, LOW)
        ax.xaxis.set_major_locator(FixedLocator([80, 10, 1, 0.1]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_xlabel("noise level σ")
        ax.tick_params(labelleft=True)  # a panel may be seen alone
        ax.annotate(
            f"{float(f'{nats[n]:.3g}'):,.0f}\nnats lost",
            (0.05, 0.1),
            xycoords="axes fraction",
            color=ORANGE,
            fontsize=10,
            weight="bold",
        )
        if place == 0:
            ax.set_ylabel("squared error of the prediction")
            ax.annotate(
                "what the\nsampler\ngoes by", (0.52, 0.72), xycoords="axes fraction", color=ORANGE
            )
            ax.annotate("the best\npossible", (0.05, 0.42), xycoords="axes fraction", color=BLUE)
    alt = (
        "The error of the best prediction falls with the noise; the prediction of the "
        "last step stays behind like a staircase. Lost: "
    )
    return figure(
        canvas, alt + ", ".join(f"{nats[n]:,.0f} nats in {n} steps" for n in SHOWN), caption, png
    )


@styled
def against_steps(found: Mapping[str, Sequence[Losses]], png: Path | None = None) -> Figure:
    """Draw the loss in nats and the quality against the number of steps, by grid."""
    canvas, (left, right) = panels(2, 350)
    names = []
    for (grid, rows), (colour, marker) in zip(found.items(), LOOKS, strict=True):
        names.append(
            curve(
                left, [one.steps for one in rows], [one.nats for one in rows], colour, grid, marker
            )
        )
        good = [(one.steps, one.quality) for one in rows if one.quality]
        curve(
            right,
            [n for n, _ in good],
            [Interval(*(max(end, 0.1) for end in one)) for _, one in good],
            colour,
            "",
            marker,
        )
        right.plot([], [], color=colour, marker=marker, label=grid)
    counts = [one.steps for one in next(iter(found.values()))]
    right.legend(frameon=False, loc="lower left", handlelength=1.5)
    left.set_ylabel("lost by ancestral sampling (nats)")
    right.set_ylabel("FID proxy of its samples")
    for axes in (left, right):
        axes.set_yscale("log")
        axes.grid(axis="y")
    separate_labels(left, names)
    step_axis(left, counts, "steps from σ = 80 to 0.05", 8)
    step_axis(right, counts, "steps, before the last one to σ = 0")
    caption = (
        "First panel: what the sampler <code>ddpm</code> loses, by grid. Second panel: what its "
        "images are like, the lower the better; "
        "values below 0.1 "
        "are drawn there."
    )
    return figure(
        canvas,
        "Nats lost and FID proxy against the number of steps for four "
        "grids; the optimal grid loses least.",
        caption,
        png,
    )


@styled
def single_steps(single: Mapping[str, Sequence[Transition]]) -> Figure:
    """Draw the total loss of one step against its size, and the part due to its shape."""
    canvas, axes = panels(len(single), 300)
    for ax, (name, steps) in zip(axes, single.items(), strict=True):
        ratios = [step.ratio for step in steps]
        for what, colour, marker in (("total", BLUE, "o"), ("shape", ORANGE, "s")):
            ends = [Interval(*(max(end, 1e-3) for end in getattr(step, what))) for step in steps]
            curve(ax, ratios, ends, colour, "", marker)
            label_curve(
                ax, ratios[-1], ends[-1].value, "all" if what == "total" else "shape", colour
            )
        step_axis(ax, ratios, "ratio of the step’s levels", 1.8)
        ax.set_yscale("log")
        ax.set_ylim(1e-3, 1e3)
        ax.set_title(name, color=INK)
        ax.grid(axis="y", color=SOFT, alpha=0.2)
    axes[0].set_ylabel("lost in one step about σ = 1 (nats)")
    caption = (
        "One step, the larger the further right. Blue: its whole loss. Orange: the part "
        "that is due to its not being a Gaussian, "
        "which no choice of covariance could avoid. The rest is the covariance."
    )
    return figure(
        canvas,
        "The loss of a single step grows with its size; its shape is "
        "the smaller part of it on all models.",
        caption,
    )


def staircase(
    curve: MMSECurve, at: Sequence[float], points: int = 400
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return fine levels ``(points,)`` from high to low, the mean curve there, and the staircase
    above.

    The staircase is the mmse at the start of each step.
    """
    gamma = gammas(LOW, HIGH, points)
    mean = MMSECurve(curve.gamma, curve.falling_mean()[None])
    fine, starts = gamma**-0.5, np.asarray(at[:-1])
    place = (starts[None, :] >= fine[:, None] * (1 - 1e-9)).sum(1) - 1
    return fine, mean.at(gamma)[0], mean.at(starts**-2.0)[0][place]
