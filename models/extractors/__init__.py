"""Feature spaces in which samples are compared with data: a table of extractors by scheme.

``load(rest, samples) -> Extractor`` gets what stands behind the colon of ``scheme:rest``, and for
what samples (:class:`Samples`). To add a scheme, write one file in this folder, called like the
scheme, that imports what is heavy inside the function::

    @extractor("dino", usage="dino:WEIGHTS")
    def load(rest: str, samples: Samples) -> Extractor:
        ...

or install a package with an entry point in the group ``samplerbench.extractors``
(docs/extractors.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..loaders.schemes import Schemes
from ..reference import Extractor, Reference
from .checked import CheckedExtractor

ENTRY_POINTS = "samplerbench.extractors"

EXTRACTORS = Schemes("extractor", ENTRY_POINTS, __name__)
"""Scheme to loader."""

extractor = EXTRACTORS.register

__all__ = ["ENTRY_POINTS", "EXTRACTORS", "Samples", "extractor", "make_extractor"]


@dataclass(frozen=True)
class Samples:
    """What an extractor has to know of the samples of one model.

    Attributes:
        event: shape of one sample.
        limits: range of the data, which samples are in when they come; None if there is none.
        reference: the model's own, in its own feature space; None for a model without one.
    """

    event: tuple[int, ...]
    limits: tuple[float, float] | None = None
    reference: Reference | None = None


def make_extractor(spec: str, samples: Samples) -> Extractor | Reference:
    """The extractor that ``spec`` names, for samples of one model.

    Args:
        spec: ``pixels``; ``card`` for what the model's card names; ``card:32`` for 32 axes of it;
            ``inception:WEIGHTS`` for the 2048 features of the FID; ``path/to/file.py:factory`` for
            one of your own; or ``scheme:rest`` of an installed package.
        samples: what it is for.

    Returns:
        The extractor; or a whole reference, with one inside, where the scheme knows what samples
        are compared with in it.

    Raises:
        ValueError: no such extractor or file, or one that makes no features of such samples; or an
            installed package's that is broken.
    """
    if spec in EXTRACTORS:
        scheme, rest = EXTRACTORS.find(spec)
    elif ".py" in spec:
        scheme, rest = EXTRACTORS.get("python_file"), spec
    else:
        there = ", ".join(EXTRACTORS.usages())
        raise ValueError(
            f"unknown extractor {spec!r}; {EXTRACTORS.near(spec)}The extractors are: {there}"
        )
    if not scheme.origin:
        return scheme.load(rest, samples)
    made = scheme.made(rest, samples)
    if isinstance(made.value, Reference):
        raise ValueError(
            f"{spec}: {scheme.origin} returned a reference; it must return a "
            "callable from samples to features"
        )
    origin = scheme.origin.replace(" ", "-")
    called = f"{scheme.called(rest)}-{origin}"
    return CheckedExtractor(made, called, samples.event, samples.limits)
