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
    """Noise level with ``time``, the native time that the network gets for it."""

    time: float

    def __new__(cls, level: float, time: float) -> Self:
        """Return a float equal to ``level``, with the attribute ``time``."""
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
        """Return the denoiser of the samples ``rows``: int64 batch indices, which may repeat."""
        ...


Pair = tuple[Tensor, Tensor]
"""Guided image and unguided image; without guidance, the same tensor twice."""


def denoise_both(denoise: Denoise, x: Tensor, sigma: float | Tensor) -> Pair:
    """Return the guided and the unguided image (:data:`Pair`) from one evaluation.

    Without a method ``both(x, sigma)``, the two are one tensor, the result of ``denoise``.
    """
    if (both := getattr(denoise, "both", None)) is not None:
        return both(x, sigma)
    d = denoise(x, sigma)
    return d, d


@dataclass(frozen=True)
class FunctionDenoiser:
    """Denoiser that calls a function of (x, sigma) which treats all samples alike.

    Attributes:
        function: takes ``(batch, *event)`` and a level, one for all rows or ``(batch,)``.
        both: function of the same arguments that returns a :data:`Pair`; None without guidance.
    """

    function: Callable[[Tensor, Any], Tensor]
    both: Callable[[Tensor, Any], Pair] | None = None

    def __call__(self, x: Tensor, sigma: float | Tensor, /) -> Tensor:
        """Return ``function(x, sigma)``; a copy if it is ``x`` itself, which a step overwrites."""
        d = self.function(x, sigma)
        return d.clone() if d is x else d

    def take(self, rows: Tensor, /) -> Self:  # noqa: ARG002
        """Return this object, since the function serves any rows."""
        return self


class StepNoise(Protocol):
    """Function that draws the noise of one step."""

    def __call__(
        self, draw: int = 0, *, cur: float | None = None, nxt: float | None = None
    ) -> Tensor:
        """Return standard normals ``(batch, *event)``; the same arguments give the same tensor.

        Args:
            draw: number of the draw in this step; different numbers give independent tensors.
            cur: level where the interval of this noise begins, such as a stage's interval inside
                the step; None for the whole step.
            nxt: level where the interval ends. White noise ignores both levels; a Brownian source
                gives its normalised increment. The intervals of one step must be disjoint, since
                white draws for overlapping intervals would be independent.
        """
        ...


class Noise(Protocol):
    """Source of noise for one batch of samples."""

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Return the noise of step ``step``, from 0, which goes from ``cur`` down to ``nxt``."""
        ...


@dataclass(frozen=True)
class Source:
    """Paper or code from which the formulas of a sampler or a schedule come.

    Attributes:
        key: BibTeX key, of an entry in ``references.bib`` if it is a publication known here.
        where: algorithm, equation or function in this source.
        url: address of the paper or code; "" without one.
        deviations: every intentional difference from the source, one sentence for each.
    """

    key: str
    where: str
    url: str
    deviations: tuple[str, ...] = ()
