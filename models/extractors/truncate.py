"""``truncate:EXTRACTOR``: features of samples that become images of 8 bits first
(:mod:`.quantised`).
"""

from __future__ import annotations

from ..reference import Extractor, Reference
from . import Samples, extractor
from .quantised import load_quantised


@extractor("truncate", usage="truncate:EXTRACTOR")
def load(rest: str, samples: Samples) -> Extractor | Reference:
    """Another extractor, for samples that are cut off to 256 grey levels, as ADM's and score_sde's scripts save them.

    Raises:
        ValueError: as :func:`load_quantised`, or that extractor's.
    """
    return load_quantised("truncate", rest, samples)
