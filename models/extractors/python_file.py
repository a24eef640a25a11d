"""``file.py:factory``: a user's callable from samples ``(n, *event)`` to features ``(n, dim)``."""

from __future__ import annotations

from ..loaders.source_file import source_function
from . import Samples, extractor
from .checked import CheckedExtractor


@extractor("python_file", usage="file.py:factory")
def load(spec: str, samples: Samples) -> CheckedExtractor:
    """Load the extractor that a user's function returns when it is called without arguments."""
    source = source_function(spec, "extractor")
    return CheckedExtractor(source.call(), source.short_spec, samples.event, samples.limits)
