"""``pixels``: the samples themselves, flattened, as features."""

from __future__ import annotations

from ..reference import Identity
from . import Samples, extractor


@extractor("pixels", usage="pixels")
def load(_rest: str, samples: Samples) -> Identity:
    """Return the extractor whose features are the samples themselves, flattened."""
    return Identity(samples.event)
