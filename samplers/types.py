"""Types that samplers share: denoiser, noise, and source of the formulas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self

from torch import Tensor

_ENTRY = re.compile(r"^@\w+\{\s*(?P<key>[^,\s]+)\s*,.*?^\}", re.MULTILINE | re.DOTALL)


@cache
def references() -> Mapping[str, str]:
    """Return the BibTeX text of every entry of ``references.bib``, by key."""
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    return {match["key"]: match[0] for match in _ENTRY.finditer(text)}


def bibtex(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of ``keys`` in order, each once; a comment for an unknown key."""
    entries = references()
    return "\n\n".join(
        entries.get(key, f"% {key}: see the plugin's own documentation")
        for key in dict.fromkeys(keys)
    )


class TimedLevel(float):
    """Noise level with the native ``time`` that the network gets in place of the level's own."""

    time: float

    def __new__(cls, level: float, time: float) -> Self:
        """Return the level with its time."""
        timed = super().__new__(cls, level)
        timed.time = time
        return timed


class Denoise(Protocol):
    """A denoiser bound to one batch: row k of ``x`` belongs to the k-th sample of the batch."""

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return E[x0 | x = x0 + sigma z].

        Args:
            x: ``(batch, *event)``.
            sigma: noise level > 0, one for all rows or ``(batch,)``; a :class:`TimedLevel` is a
                float.

        Returns:
            A new tensor like ``x``.
        """
        ...

    def take(self, rows: Tensor, /) -> Self:
        """Return the denoiser for a subset or repeats of the batch, by an int64 index tensor."""
        ...


Pair = tuple[Tensor, Tensor]
"""Guided image, and the image from which guidance leads away; one object twice if unguided."""


def denoise_both(denoise: Denoise, x: Tensor, sigma: float | Tensor) -> Pair:
    """Return the :data:`Pair` of images by one evaluation.

    A guided denoiser has a method ``both(x, sigma)`` that gives both. Any other has one image.
    """
    if (both := getattr(denoise, "both", None)) is not None:
        return both(x, sigma)
    d = denoise(x, sigma)
    return d, d


@dataclass(frozen=True)
class RowByRow:
    """Adapter from a function of (x, sigma) to a :class:`Denoise`; all rows are denoised alike.

    Attributes:
        function: takes ``(batch, *event)`` and a level, one for all rows or ``(batch,)``.
        both: function of the same arguments that returns a :data:`Pair`; None for one image.
    """

    function: Callable[[Tensor, Any], Tensor]
    both: Callable[[Tensor, Any], Pair] | None = None

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return ``function(x, sigma)``."""
        return self.function(x, sigma)

    def take(self, rows: Tensor, /) -> Self:  # noqa: ARG002
        """Return the same function for any rows."""
        return self


class StepNoise(Protocol):
    """Noise of one step."""

    def __call__(
        self, draw: int = 0, *, cur: float | None = None, nxt: float | None = None
    ) -> Tensor:
        """Return standard normals ``(batch, *event)``; the same arguments give the same tensor.

        Args:
            draw: number of the draw in this step; different numbers give independent tensors.
            cur: level where the interval of this noise begins, if the noise drives only part of the
                step, such as a stage.
            nxt: level where the interval ends. White noise ignores both levels; a Brownian source
                gives its normalised increment. The intervals of one step must be disjoint, since
                white draws for overlapping intervals would be independent.
        """
        ...


class Noise(Protocol):
    """Source of noise for one batch of samples."""

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return the noise of step ``step``, which goes from level ``cur`` down to ``nxt``."""
        ...


@dataclass(frozen=True)
class Source:
    """Source of a sampler's formulas.

    Attributes:
        key: BibTeX key in ``references.bib``.
        where: algorithm or equation numbers.
        url: address of the paper.
        deviations: every intentional difference from the source, a sentence each.
    """

    key: str
    where: str
    url: str
    deviations: tuple[str, ...] = ()
