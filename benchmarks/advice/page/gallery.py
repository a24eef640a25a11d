"""Pictures of the same latents as strips: one for what is used now and one for the recommendation
at each budget, and one for where the latents lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....results.report.pictures.drawing import data_uri, side_by_side, with_alpha
from ..answer import Advice, Budget
from ..answer.pictures import Pictures, Pictures8
from ..table import audience, title
from ..wording import counted, evaluations, same

LARGEST = 192
"""Pixels of a side that a picture on the page has at most; larger ones are averaged over squares."""
PIXELATED = 96
"""Sides below this are shown with their pixels, and not smoothed."""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side.

    Attributes:
        image: a data URI; "" if there are none.
        name: which they are, in a word or two.
        label: what made them.
        alt: what they show, or why there are none.
    """

    image: str
    name: str
    label: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """All strips.

    Attributes:
        pairs: by budget, what is used now and the recommendation.
        converged: where the latents lead.
        pixels: whether their pixels are to be seen.
        count: pictures in a strip.
        shrunk: how many times smaller than the samples they are.
    """

    pairs: dict[int, tuple[Strip, Strip]]
    converged: Strip
    pixels: bool
    count: int
    shrunk: int


def gallery(advice: Advice, pictures: Pictures | None) -> Gallery | None:
    """Return the strips of an answer; None where there are no pictures."""
    if pictures is None or not len(pictures.converged):
        return None
    count = len(pictures.converged)
    side = max(pictures.converged.shape[1:3])
    converged = Strip(
        strip(pictures.converged),
        "Converged",
        "where these latents lead",
        f"Where {counted(count, 'latent leads', 'latents lead')} when the steps are small enough",
    )
    library = audience(advice.budgets, advice.library)
    pairs = {budget.nfe: _pair(budget, library, pictures) for budget in advice.budgets}
    return Gallery(pairs, converged, side < PIXELATED, count, _factor(side))


def _pair(budget: Budget, library: str, pictures: Pictures) -> tuple[Strip, Strip]:
    default, best = budget.default, budget.best.get(library)
    with_ = f"with {evaluations(budget.nfe)}"
    now = _strip_of(
        pictures.default.get(budget.nfe),
        "Now",
        default.label,
        f"What {default.label} makes of the latents {with_}",
        default.failed,
    )
    if best is None:
        return now, Strip("", "Recommended", "", f"Nothing was found for {title(library)}")
    label = best.choice.label + (", as now" if same(best.choice, default) else "")
    mine = f"What {best.choice.label} makes of the latents {with_}"
    return now, _strip_of(
        pictures.best.get(budget.nfe), "Recommended", label, mine, best.choice.failed
    )


def _strip_of(images: Pictures8 | None, name: str, label: str, alt: str, failed: str) -> Strip:
    if images is None or not len(images):
        return Strip("", name, label, f"It fails: {failed}" if failed else "No pictures were kept")
    return Strip(strip(images), name, label, alt)


def strip(images: Pictures8) -> str:
    """Return pictures ``(n, height, width)`` or ``(n, height, width, 3)`` side by side, as a data URI."""
    channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)
    small = shrunk(channels)
    gap = max(1, round(max(small.shape[2:]) / 28))
    return data_uri(side_by_side(with_alpha(small), len(small), gap))


def shrunk(images: Pictures8) -> Pictures8:
    """Return pictures ``(n, c, height, width)`` of :data:`LARGEST` pixels a side at most: averages over
    squares; what does not fill a square at the edge is left out.
    """
    factor = _factor(max(images.shape[2:]))
    if factor == 1:
        return images
    count, channels, *sides = images.shape
    down, across = (side // factor for side in sides)
    squares = images[:, :, : down * factor, : across * factor].reshape(
        count, channels, down, factor, across, factor
    )
    return np.rint(squares.mean((3, 5))).astype(np.uint8)


def _factor(side: int) -> int:
    return -(-side // LARGEST)
