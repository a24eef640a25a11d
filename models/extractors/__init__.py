"""Feature spaces in which samples are compared with data."""

from .python_file import make_extractor

__all__ = ["make_extractor"]
