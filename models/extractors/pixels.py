"""``pixels``: the samples themselves, flattened, as features."""

from __future__ import annotations

from ..reference import Identity
from . import Samples, extractor


@extractor("pixels", usage="pixels")
def load(rest: str, samples: Samples) -> Identity:
    """Return the extractor whose features are the samples themselves, flattened."""
    if rest:
        raise ValueError(f"pixels has no options, so 'pixels:{rest}' names none; write pixels")
    return Identity(samples.event)
