"""The figures and the words of row 9."""

from __future__ import annotations

from ..measuring.one_level import NATS, SINGLE, OneLevelResult
from ..measuring.row import Figure
from ..statistics.intervals import Interval
from .charting import curve, label_curve, separate_labels, step_axis
from .drawing import BLUE, GREEN, ORANGE, PURPLE, figure, panels, styled
from .tiles import tiles

LOOKS = dict(zip(SINGLE, ((GREEN, "^"), (ORANGE, "s"), (PURPLE, "D")), strict=True))


def called(name: str) -> str:
    """What the figure calls a network of one level."""
    return f"σ = {SINGLE[name]:g} alone"


@styled
def draw(found: OneLevelResult) -> Figure:
    """Distances of repeated denoising and of the sampler, and nats."""
    canvas, (images, nats) = panels(2, 350)
    step_axis(images, found.counts, "evaluations an image", room=9)
    names = [
        curve(images, found.counts, made.distances, *LOOKS[name][:1], called(name), LOOKS[name][1])
        for name, made in found.single.items()
    ]
    names.append(curve(images, found.counts, found.every.distances, BLUE, "all levels", "o"))
    images.set_yscale("log")
    separate_labels(images, names)
    images.set(title="Images from noise", ylabel="Fréchet distance to the data (features²)")
    step_axis(nats, NATS, "steps over all levels", room=7)
    curve(nats, NATS, found.nats.steps, BLUE, "all levels", "o")
    for (name, (colour, _)), total in zip(LOOKS.items(), totals(found), strict=True):
        nats.axhline(total.value, color=colour, lw=1.2, ls=(0, (5, 3)))
        label_curve(nats, NATS[-1], total.value, called(name), colour, 6)
    nats.set_yscale("log")
    nats.set(title="What is lost", ylabel="nats")
    return figure(canvas, ALT, CAPTION)


def totals(found: OneLevelResult) -> list[Interval]:
    """Nats that each single level loses: by its start, and by its jump."""
    return [
        Interval(*(sum(ends) for ends in zip(start, jump, strict=True)))
        for start, jump in zip(found.nats.start, found.nats.jump, strict=True)
    ]


def pictures(found: OneLevelResult) -> tuple[Figure, ...]:
    """Images of every network after one evaluation and after the most; none where samples are no
    images.
    """
    if found.every.pictures.ndim != 5:
        return ()
    most = found.counts[-1]
    made = [(called(name).removesuffix(" alone"), one) for name, one in found.single.items()]
    rows = [
        (f"{name}: {count}", images)
        for name, one in [*made, ("all levels", found.every)]
        for count, images in zip((1, most), one.pictures, strict=True)
    ]
    return (
        tiles(
            rows,
            "Rows of what networks of one level and of all make of noise: texture, blurs and "
            "garments.",
            f"What comes out of pure noise after 1 and after {most} evaluations, of networks of one "
            "level (the number is σ) and of the network of all levels. Each column asks for one kind of garment.",
        ),
    )


ALT = (
    "First panel: the distance to the data against evaluations, of networks of one level that denoise "
    "again and again, and of the network of all levels, whose distance falls farthest. "
    "Second panel: the nats that are lost fall with the steps over all levels, and those of one level "
    "lie far above."
)
CAPTION = (
    "First panel: images from pure noise, by denoising again and again at one level, and by a "
    "sampler that goes through all of them. Bands: 95 % intervals. Second panel: what one jump "
    "from one level loses on an exact model (dashed), against steps over all levels."
)
DETAILS = (
    "<p>Four networks with the same 0.24 million weights, first weights, data and number of training "
    "steps, all told the class of the garment. Three of them have only ever seen one "
    "noise level each, as a denoising autoencoder does; the fourth has seen all, which is what "
    "makes it a diffusion model. All four are compared on 512 real images that none was "
    "trained on, with the same noise.</p>"
    "<p>A network of one level makes images as Bengio and others (2013, arXiv:1305.6663) proposed: it "
    "denoises pure noise of its level, then noise is added and it denoises again, and so on. "
    "The added noise has the variance of the level and that of the network’s own error, "
    "because the prediction is the mean of the images that are still possible, and one of "
    "them is to be drawn. For a single isotropic Gaussian that is exact. "
    "What is shown is the last prediction. The "
    "network of all levels has Euler’s method on the karras grid, with as many evaluations.</p>"
    "<p>The nats are those of the exact model <code>fashion-mppca</code>. One level σ loses twice: "
    "it starts from pure noise where it should start from noisy data, a divergence that is "
    "computed from exact densities; and it jumps from there to σ = 0.05 in one step, "
    "whose loss row 3 derives. Of the second kind is what many steps lose too, from σ = 80, where the start "
    "loses less than 0.1 nats. Repeated denoising is another process, for which this number is not the divergence.</p>"
)
