"""Feature spaces for comparing samples with data: a table of extractors by scheme.

A loader ``load(rest, samples) -> Extractor`` gets the text after the colon of ``scheme:rest``, and
the samples' properties (:class:`Samples`). To add a scheme, write one file of its name in this
folder, with heavy imports inside the function::

    @extractor("dino", usage="dino:WEIGHTS")
    def load(rest: str, samples: Samples) -> Extractor:
        ...

or install a package with an entry point in the group ``samplerbench.extractors``
(docs/how-to/extractors.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..loaders.schemes import Schemes
from ..reference import Extractor, Reference
from .checked import CheckedExtractor

ENTRY_POINTS = "samplerbench.extractors"

EXTRACTORS = Schemes("extractor", ENTRY_POINTS, __name__, round="quantised", truncate="quantised")
"""Table of the loaders of extractors by scheme."""

extractor = EXTRACTORS.register

__all__ = ["ENTRY_POINTS", "EXTRACTORS", "Samples", "extractor", "make_extractor"]


@dataclass(frozen=True)
class Samples:
    """Properties of one model's samples, for its extractor.

    Attributes:
        event: shape of one sample.
        limits: range of the data, to which samples are clamped; None for unbounded data.
        reference: the model's own reference, in its own feature space; None without one.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None = None
    reference: Reference | None = None


def make_extractor(spec: str, samples: Samples) -> Extractor | Reference:
    """Make the extractor that ``spec`` names, for samples of one model.

    Args:
        spec: value of ``--extractor``: ``pixels``; ``card`` for the card's extractor; ``card:32``
            for the first 32 principal axes of its features; ``path/to/file.py:factory`` for an
            extractor of your own; or another ``scheme:rest``, of this package or an installed one,
            such as ``inception:WEIGHTS``.
        samples: properties of the samples.

    Returns:
        The extractor, or a reference that contains it if the scheme knows the data (``card``).

    Raises:
        ValueError: the extractor or its file is missing or invalid, or its package is broken.
    """
    if spec in EXTRACTORS:
        scheme, rest = EXTRACTORS.find(spec)
    elif ".py" in spec:
        scheme, rest = EXTRACTORS.get("python_file"), spec
    else:
        usages = ", ".join(EXTRACTORS.usages())
        raise ValueError(
            f"unknown extractor {spec!r}; {EXTRACTORS.suggestion_for(spec)}The extractors are: {usages}"
        )
    if not scheme.origin:
        return scheme.load(rest, samples)
    loaded = scheme.load_value(rest, samples)
    display_name = f"{scheme.short_spec(rest)}-{scheme.origin.replace(' ', '-')}"
    return CheckedExtractor(loaded, display_name, samples.event, samples.limits)
