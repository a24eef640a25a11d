"""``round:EXTRACTOR``: features of samples rounded to 8-bit images (:mod:`.quantised`)."""

from __future__ import annotations

from ..reference import Extractor, Reference
from . import Samples, extractor
from .quantised import load_quantised


@extractor("round", usage="round:EXTRACTOR")
def load(rest: str, samples: Samples) -> Extractor | Reference:
    """Load an extractor for samples that are rounded to grey levels, as by EDM's scripts."""
    return load_quantised("round", rest, samples)
