"""``file.py:factory``: a user's callable from samples ``(n, *event)`` to features ``(n, dim)``."""

from __future__ import annotations

from pathlib import Path

from ..loaders.source_file import call_function
from . import Samples, extractor
from .checked import CheckedExtractor


@extractor("python_file", usage="file.py:factory")
def load(spec: str, samples: Samples) -> CheckedExtractor:
    """Load the extractor that the call ``factory()`` returns; ``spec`` is ``file.py:factory``."""
    loaded = call_function(spec, "extractor")
    return CheckedExtractor(loaded, Path(spec).name, samples.event, samples.limits)
