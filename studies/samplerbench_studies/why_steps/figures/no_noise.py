"""The figure and the words of row 4."""

from __future__ import annotations

from ..measuring.no_noise import NoNoiseResult
from ..measuring.row import Figure
from .charting import curve, label_curve, level, separate_labels, step_axis
from .drawing import BLUE, GREEN, ORANGE, RED, figure, panels, styled

QUIET = {"euler": (BLUE, "o"), "dpmpp_2m": (GREEN, "^"), "dpm_solver_3m": (ORANGE, "D")}
LOOKS = {
    "euler": (BLUE, "o", "-", "no noise, order 1"),
    "dpmpp_2m": (GREEN, "^", "-", "no noise, order 2"),
    "ddpm": (RED, "s", "--", "noise, order 1"),
    "er_sde_2": (ORANGE, "D", "--", "noise, order 2"),
}


@styled
def draw(found: NoNoiseResult) -> Figure:
    """Quality with and without noise, and the error without."""
    counts, quality, fine, errors = found.counts, found.quality, found.fine, found.errors
    canvas, (images, ends) = panels(2, 340)
    step_axis(images, counts)
    for name, (colour, marker, style, words) in LOOKS.items():
        curve(images, counts, quality[name], colour, "", marker, style=style)
        images.plot([], [], color=colour, marker=marker, ls=style, label=f"{words} ({name})")
    images.set_ylim(top=1.4 * max(one.high for line in quality.values() for one in line))
    images.legend(frameon=False, loc="upper right", fontsize=8, handlelength=2.5)
    level(images, 0, "the data")
    images.set(
        title="Quality at equal evaluations", ylabel="Fréchet distance to the data (features²)"
    )
    step_axis(ends, fine, room=40)
    names = []
    for order, (name, (colour, marker)) in enumerate(QUIET.items(), 1):
        ends.plot(fine, errors[name], color=colour, marker=marker)
        names.append(
            label_curve(ends, fine[-1], errors[name][-1], f"{name}, order {order}", colour)
        )
    ends.set(
        title="Error without noise", ylabel="median distance to the exact end (s.d.)", yscale="log"
    )
    separate_labels(ends, names)
    return figure(canvas, ALT, CAPTION)


ALT = (
    "First panel: with and without added noise the distance to the data falls from the same "
    "value at one step to near zero at fifty; without "
    "noise it falls sooner. Second panel: without noise the error falls with the steps, faster "
    "for methods of higher order."
)
CAPTION = (
    "First panel: images of <code>fashion-mppca</code> from the same starts, without noise "
    "after the first draw (solid) and with it (dashed). "
    "One step is the same jump for all. Second panel: on <code>gmm-64d</code>, how far samples "
    "without noise are from where their paths end "
    "exactly, in standard deviations of the data. Bands: 95 % intervals."
)
DETAILS = (
    "<p>The probability flow dx/dσ = (x − d)/σ, with d the prediction, has the marginals "
    "of the reverse diffusion (Song et "
    "al. 2021, arXiv:2011.13456, "
    "section 4.3): all randomness is in the first draw. <code>euler</code> and "
    "<code>ddpm</code> freeze the same prediction over a "
    "step, and differ in the noise, and in the longer way towards the prediction that "
    "makes room for it; <code>dpmpp_2m</code> and "
    "<code>er_sde_2</code> are their relatives of second order. All use karras grids to "
    "0, without a level at 0.002. A "
    "difference below a twentieth of the "
    "variance of the data’s features counts as none.</p>"
    "<p>The models are exact. A network’s errors may change the picture: noise forgets "
    "earlier ones. The last step to 0 is the "
    "denoiser’s prediction for every method, so that the error levels off where the "
    "grid’s last positive level begins to count.</p>"
)
