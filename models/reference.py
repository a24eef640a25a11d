"""References to compare samples with: moments and features of data and of converged samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HELD_OUT = 6
"""Period of held-out samples in a set: every 6th, about as in Fashion-MNIST's split."""
FloatArray = NDArray[np.float64]
Moments = tuple[FloatArray, FloatArray]
"""Mean ``(d,)``, or means ``(classes, d)``, and covariance ``(d, d)`` of flattened samples."""


MOST_OUTSIDE = 1e-3
"""Largest share of the values of real samples that may lie outside the range of the data.

A larger share means that the range or the samples are wrong.
"""


def split_held_out(samples: Tensor, whose: str) -> tuple[Tensor, Tensor]:
    """Return samples for moments, and every :data:`HELD_OUT`-th sample; ValueError for too few."""
    is_held_out = torch.arange(len(samples)) % HELD_OUT == HELD_OUT - 1
    if is_held_out.sum() < 2:
        raise ValueError(f"{whose} has {len(samples)} samples; give at least {2 * HELD_OUT}")
    return samples[~is_held_out], samples[is_held_out]


class Extractor(Protocol):
    """Map from samples to the feature space of the Fréchet distance."""

    identity: str
    """Name, preprocessing and content hash.

    Only results of the same identity are compared. Two attributes are optional. ``made_of`` is the
    identity without the range of the data, for features that do not depend on this range.
    ``space`` is a common name of the features, such as ``inception-v3-2048``.
    """
    dim: int
    """Number of features."""

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` of samples ``(n, *event)``."""
        ...


class Identity:
    """Extractor whose features are the flattened samples themselves, as for exact models."""

    def __init__(self, event: tuple[int, ...]) -> None:
        self.dim = int(np.prod(event))
        self.identity = f"identity-{self.dim}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return samples ``(n, *event)`` as ``(n, prod(event))`` float64."""
        return x.detach().cpu().double().reshape(len(x), self.dim).numpy()


class BlockMeansExtractor:
    """Extractor of means of blocks of pixels, for images with too many pixels for a covariance.

    Args:
        event: shape of an image, ``(channels, h, w)``.
        side: number of blocks along each side of the image; it divides h and w.

    Raises:
        ValueError: samples are no images, or ``side`` does not divide h and w.
    """

    def __init__(self, event: tuple[int, ...], side: int) -> None:
        if len(event) != 3 or side < 1 or event[1] % side or event[2] % side:
            raise ValueError(f"samples {event} have no {side} x {side} blocks of pixels")
        self.event, self.side = event, side
        self.dim = event[0] * side * side
        self.identity = f"blocks-{side}x{side}-{self.dim}"

    def __call__(self, x: Tensor) -> FloatArray:
        """Return block means ``(n, channels side²)`` float64 of images ``(n, channels, h, w)``."""
        (c, h, w), k = self.event, self.side
        blocks = x.detach().cpu().double().reshape(len(x), c, k, h // k, k, w // k)
        return blocks.mean((3, 5)).reshape(len(x), self.dim).numpy()


class Statistics(NamedTuple):
    """Moments, held-out features and converged features of a reference.

    Attributes:
        mean, cov: moments of the features of the reference set, or of the exact distribution,
            ``(d,)`` and ``(d, d)`` float64.
        held_out: ``held_out(n)`` gives features ``(m, d)`` of real or exact samples outside the
            reference set. m is ``n``, or less if fewer exist; 0 if only moments are known.
        converged: ``(m, d)`` features of converged samples of the *same model*, from initial noise
            that no run uses; None if they have to be computed.
        held_out_blocks: ``held_out_blocks(n, size)`` yields the features of ``held_out(n)``, for
            any ``n``, in blocks ``(size, d)``; the last may be smaller. None to hold all features
            in memory.
    """

    mean: FloatArray
    cov: FloatArray
    held_out: Callable[[int], FloatArray]
    converged: FloatArray | None = None
    held_out_blocks: Callable[[int, int], Iterator[FloatArray]] | None = None


@dataclass(frozen=True)
class Reference:
    """Reference of a model's samples, in the feature space of ``extractor``.

    Attributes:
        extractor: maps samples to features.
        n: size of the reference set; None if the moments are exact, or their number of samples is
            unknown.
        identity: text that names data set, preprocessing, extractor and hash of the reference.
        make: function that computes the statistics, called once at their first use.
        clamp: range to which samples are clamped before the extractor, or None.
        disjoint: True if no held-out sample is among the samples of the moments. The distance
            between held-out samples and moments is then the distance of a perfect sampler.
        note: sentence on quantities that cannot be measured with this reference, and why; or "".
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
        """Moments, held-out features and converged features, computed at the first access."""
        return self.make()

    def load_statistics(self) -> Self:
        """Compute the statistics now, so that errors are raised here; return ``self``."""
        _ = self.statistics
        return self

    @property
    def mean(self) -> FloatArray:
        """Mean of the features of the data, ``(d,)``."""
        return self.statistics.mean

    @property
    def cov(self) -> FloatArray:
        """Covariance of the features of the data, ``(d, d)``."""
        return self.statistics.cov

    def held_out(self, n: int) -> FloatArray:
        """Return features ``(m, d)`` of m <= ``n`` held-out samples; see :class:`Statistics`."""
        return self.statistics.held_out(n)

    @property
    def converged(self) -> FloatArray | None:
        """Features ``(m, d)`` of the model's stored converged samples; None if not stored."""
        return self.statistics.converged

    @property
    def moments(self) -> Moments | None:
        """Mean and covariance of the data if the features are the samples themselves, else None."""
        return (self.mean, self.cov) if isinstance(self.extractor, Identity) else None

    def without_converged(self) -> Reference:
        """Return a copy without converged samples, for another model of the same data."""
        return replace(self, make=lambda: self.statistics._replace(converged=None))
