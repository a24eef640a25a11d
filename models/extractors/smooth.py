"""Extractors whose features follow small changes of images, for slopes by finite differences."""

from __future__ import annotations

import numpy as np
import torch

from ..checkpoints.opening import error_in_words
from ..reference import Extractor
from . import Samples
from .rgb import RgbNetwork

STEP = 1e-3
"""Change of a value, as a share of the data's range: a quarter of a grey level."""
LARGEST_BEND = 0.5
"""Largest second difference of smooth features over their change in two steps; 1 if rounded."""


def smooth_extractor(extractor: Extractor, samples: Samples) -> Extractor:
    """Return the extractor itself; if it is an :class:`RgbNetwork`, a copy without rounding.

    Raises a ValueError if features do not change in proportion to a small change of images.
    """
    smooth = extractor.unrounded() if isinstance(extractor, RgbNetwork) else extractor
    low, high = samples.limits or (-1.0, 1.0)
    generator = torch.Generator().manual_seed(0)
    x, direction = torch.rand(2, 2, *samples.event, generator=generator)
    shares = [0.25 + x / 2 + k * STEP * direction for k in range(3)]
    problem = ""
    try:
        first, middle, last = (smooth(low + (high - low) * share) for share in shares)
    except Exception as error:  # by networks that take nothing but 8-bit images
        problem = f"need 8-bit images ({error_in_words(error)})"
    else:
        bend = np.linalg.norm(first - 2 * middle + last)
        if not bend < LARGEST_BEND * np.linalg.norm(last - first):
            problem = "round images, or do not depend on them"
    if problem:
        raise ValueError(
            f"its features {problem}, so that small changes do not show; give an extractor that does "
            "not round, such as card"
        )
    return smooth
