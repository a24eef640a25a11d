"""References to compare samples with: moments of data in a feature space, and other samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]
Moments = tuple[FloatArray, FloatArray]
"""Mean ``(d,)``, or means ``(classes, d)``, and covariance ``(d, d)`` of flattened samples."""


MOST_OUTSIDE = 1e-3
"""Share of the values of real samples that may lie outside the range of the data.

With more, the range or the samples are wrong.
"""


class Extractor(Protocol):
    """Map from samples to the feature space of the Fréchet distance."""

    identity: str
    """Name, preprocessing and content hash.

    A number is comparable only with numbers of the same identity. Two attributes are optional:
    ``made_of``, the same without the range of the data, if that does not matter to features; and
    ``space``, their common name, such as ``inception-v3-2048``.
    """
    dim: int
    """Number of features."""

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` of samples ``(n, *event)``."""
        ...


class Identity:
    """Extractor of the samples themselves, flattened (exact models)."""

    def __init__(self, event: tuple[int, ...]) -> None:
        self.dim = int(np.prod(event))
        self.identity = f"identity-{self.dim}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Flatten ``(n, *event)`` to ``(n, prod(event))`` float64."""
        return x.detach().cpu().double().reshape(len(x), -1).numpy()


class Blocks:
    """Extractor of means of square blocks of pixels. A network's card names it if the pixels are too many for
    a covariance.

    Args:
        event: shape of an image, ``(channels, h, w)``.
        side: blocks from left to right, and from top to bottom; both sides are divisible by it.

    Raises:
        ValueError: a side is not divisible.
    """

    def __init__(self, event: tuple[int, ...], side: int) -> None:
        if len(event) != 3 or side < 1 or event[1] % side or event[2] % side:
            raise ValueError(f"samples {event} have no {side} x {side} blocks of pixels")
        self.event, self.side = event, side
        self.dim = event[0] * side * side
        self.identity = f"blocks-{side}x{side}-{self.dim}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Map ``(n, channels, h, w)`` to ``(n, channels * side * side)`` float64."""
        (c, h, w), k = self.event, self.side
        blocks = x.detach().cpu().double().reshape(len(x), c, k, h // k, k, w // k)
        return blocks.mean((3, 5)).reshape(len(x), -1).numpy()


class Statistics(NamedTuple):
    """Numbers of a reference.

    Attributes:
        mean: ``(d,)`` float64 and
        cov: ``(d, d)`` float64, the moments of the reference set (or of the exact distribution).
        held_out: ``held_out(n)`` gives features ``(min(n, available), d)`` of real or exact samples
            that are not in the reference set: fewer than ``n`` rows if there are fewer, and
            none, ``(0, d)``, if only moments of the truth are known.
        converged: ``(m, d)`` features of converged samples of the *same model*, from latents that
            no run uses; None: to be computed.
        held_out_blocks: ``held_out_blocks(n, size)`` gives the ``n`` of ``held_out(n)``, for any
            ``n``, in blocks ``(size, d)``, the last one smaller; None if their number is limited:
            then all are held in memory.
    """

    mean: FloatArray
    cov: FloatArray
    held_out: Callable[[int], FloatArray]
    converged: FloatArray | None = None
    held_out_blocks: Callable[[int, int], Iterator[FloatArray]] | None = None


@dataclass(frozen=True)
class Reference:
    """Reference of a model's samples, in the feature space of ``extractor``.

    Its numbers are made at the first access.

    Attributes:
        extractor: maps samples to features.
        n: size of the reference set; None if the moments are exact, or their number of samples is
            unknown.
        identity: data set, preprocessing, extractor and reference hash in one string.
        make: makes the numbers, once.
        clamp: data range that samples are clamped to before the extractor, or None.
        disjoint: True if the held-out samples are not among the samples of the moments; their
            distance to these is then a perfect sampler's.
        note: sentence on quantities that cannot be measured with it and why; "" for none.
    """

    extractor: Extractor
    n: int | None
    identity: str
    make: Callable[[], Statistics]
    clamp: tuple[float, float] | None = None
    disjoint: bool = True
    note: str = ""

    @cached_property
    def statistics(self) -> Statistics:
        """Numbers of the reference."""
        return self.make()

    def loaded(self) -> Self:
        """Compute the statistics now, so that their errors are raised here; return ``self``."""
        _ = self.statistics
        return self

    @property
    def mean(self) -> FloatArray:
        """See :class:`Statistics`."""
        return self.statistics.mean

    @property
    def cov(self) -> FloatArray:
        """See :class:`Statistics`."""
        return self.statistics.cov

    def held_out(self, n: int) -> FloatArray:
        """See :class:`Statistics`."""
        return self.statistics.held_out(n)

    @property
    def converged(self) -> FloatArray | None:
        """See :class:`Statistics`."""
        return self.statistics.converged

    @property
    def moments(self) -> Moments | None:
        """Moments of the data, if the features are the samples themselves."""
        return (self.mean, self.cov) if isinstance(self.extractor, Identity) else None

    def of_another_model(self) -> Reference:
        """Return the same data for a model with other converged samples."""
        return replace(self, make=lambda: self.statistics._replace(converged=None))
