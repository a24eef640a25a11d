"""``truncate:EXTRACTOR``: features of samples truncated to 8-bit images (:mod:`.quantised`)."""

from __future__ import annotations

from ..reference import Extractor, Reference
from . import Samples, extractor
from .quantised import load_quantised


@extractor("truncate", usage="truncate:EXTRACTOR")
def load(rest: str, samples: Samples) -> Extractor | Reference:
    """Load an extractor for samples that are truncated to grey levels, as by ADM's scripts."""
    return load_quantised("truncate", rest, samples)
