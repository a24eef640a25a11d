"""Samples that need not fit into memory: read one block at a time, in order, as often as needed.

Sums over samples go block by block, with one block in memory. Arrays of up to about :data:`VALUES`
values are one block. For larger arrays the blocks change the rounding only.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LARGEST = 1e70
"""Largest valid magnitude of a value: variances take fourth powers, and float64 ends at 1.8e308."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a set of features: all that a plug-in Fréchet distance needs.

    Attributes:
        n: number of samples, at least 1.
        mean: ``(d,)`` float64.
        m2: ``(d, d)`` float64 scatter about the mean, sum_i (x_i - mean)(x_i - mean)^T.
    """

    n: int
    mean: FloatArray
    m2: FloatArray

    @classmethod
    def of(cls, features: ArrayLike) -> Moments:
        """Return the moments of ``features`` ``(n, ...)``; the mean is subtracted before squaring.

        Raises:
            ValueError: there is no sample, or :func:`as_rows` raises.
        """
        rows = as_rows(features)
        if len(rows) == 0:
            raise ValueError("moments of no samples are undefined: pass at least one")
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of the union of two disjoint sets.

        With b - a the difference of the means, M2 = M2_a + M2_b + (n_a n_b / n) (b - a)(b - a)^T
        (Chan, Golub and LeVeque 1979, eq. 1.5, for vectors). The identity is exact, so the order of
        merging changes the rounding only.

        Raises:
            ValueError: the sets have different dimensions.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"moments of {len(self.mean)} and of {len(other.mean)} "
                "features do not merge: use one extractor"
            )
        n = self.n + other.n
        step = other.mean - self.mean
        m2 = self.m2 + other.m2 + (self.n * other.n / n) * np.outer(step, step)
        return Moments(n, self.mean + step * (other.n / n), m2)

    @property
    def cov(self) -> FloatArray:
        """Unbiased covariance M2 / (n - 1), ``(d, d)``.

        Raises:
            ValueError: there is only one sample.
        """
        if self.n < 2:
            raise ValueError("the covariance of one sample is undefined: generate at least two")
        return self.m2 / (self.n - 1)

    def as_dict(self) -> dict[str, NDArray]:
        """Return plain arrays ``n``, ``mean`` and ``m2``, ready for ``numpy.savez``."""
        return {"n": np.asarray(self.n, dtype=np.int64), "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_dict(cls, arrays: Mapping[str, NDArray]) -> Moments:
        """Return the moments in arrays of :meth:`as_dict`, such as an open ``.npz`` file."""
        mean, m2 = (np.asarray(arrays[name], np.float64) for name in ("mean", "m2"))
        return cls(int(arrays["n"]), mean, m2)


def as_rows(samples: ArrayLike) -> FloatArray:
    """Return samples ``(n, ...)`` as a float64 matrix ``(n, d)``; no copy if they are float64.

    Raises:
        ValueError: a value is not finite or beyond ``LARGEST``, or there are fewer than two axes.
    """
    rows = np.asarray(samples, dtype=np.float64)
    if rows.ndim < 2:
        raise ValueError(f"samples must be (n, features), not of shape {rows.shape}")
    rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    # isfinite would need a temporary array; NaN fails these comparisons too.
    if rows.size and not (rows.max() <= LARGEST and rows.min() >= -LARGEST):
        raise ValueError(_diverged(_count_bad(rows), len(rows)))
    return rows


def as_comparable_rows(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return two sets as :func:`as_rows`; raises its errors, and a ValueError if lengths differ."""
    rows, others = as_rows(x), as_rows(y)
    if rows.shape[1] != others.shape[1]:
        raise ValueError(
            f"features of {rows.shape[1]} dimensions cannot be compared with "
            f"{others.shape[1]}: use one extractor"
        )
    return rows, others


VALUES = 1 << 23
"""Most values in a block (64 MiB in float64): 131,072 samples of 64 features, 4,096 of 2,048."""

MULTIPLE = 1024
"""Divisor of the row number of large blocks, so that no tile of a metric spans two blocks."""

Blocks = Iterator[tuple[slice, NDArray]]


class Rows(ABC):
    """Samples ``(n, ...)`` read by blocks; ``rows[a:b]`` and ``np.asarray(rows)`` return arrays.

    Attributes:
        shape: ``(n, ...)`` of all samples.
        size: rows of a block, >= 1. The last block may have fewer; after :meth:`take`, any may.
    """

    _is_checked = False

    def __init__(self, shape: tuple[int, ...], size: int | None = None) -> None:
        self.shape = shape
        self.size = block_size(shape) if size is None else size

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def blocks(self) -> Blocks:
        """Yield (slice of indices, rows ``(<= size, ...)``) of each block; do not write to rows."""

    def __getitem__(self, part: slice) -> NDArray:
        """Return the rows of a slice as an array, perhaps a view. The slice's step is ignored."""
        start, stop, _ = part.indices(len(self))
        parts = []
        for where, rows in self.blocks():
            if where.stop > start:
                parts.append(rows[max(start - where.start, 0) : max(stop - where.start, 0)])
            if where.stop >= stop:
                break
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """Return all rows as an array."""
        return np.asarray(self[:], dtype)

    def moments_of(self, parts: Sequence[NDArray[np.integer]]) -> list[Moments]:
        """Return the moments of each part, a non-empty array of row indices, in one pass."""
        merged: list[Moments | None] = [None] * len(parts)
        dealt = [self._split_by_block(numbers) for numbers in parts]
        for (where, rows), *numbers in zip(self.blocks(), *dealt, strict=True):
            for k, some in enumerate(numbers):
                if len(some):
                    these, before = Moments.of(rows[some - where.start]), merged[k]
                    merged[k] = these if before is None else before.merge(these)
        return [moments for moments in merged if moments is not None]

    def take(self, numbers: NDArray[np.integer]) -> Rows:
        """Return the rows at indices ``numbers``, block by block; in a block, in the given order.

        For rows of several blocks, do not call :meth:`take` or :meth:`moments_of` on the result.
        """
        by_block = self._split_by_block(numbers)

        def blocks() -> Blocks:
            start = 0
            for (where, rows), some in zip(self.blocks(), by_block, strict=True):
                if len(some):
                    yield slice(start, start + len(some)), rows[some - where.start]
                    start += len(some)

        return _LazyRows((len(numbers), *self.shape[1:]), self.size, blocks)

    def map_blocks(self, change: Callable[[NDArray], NDArray], shape: tuple[int, ...]) -> Rows:
        """Return rows ``(n, *shape)`` that apply ``change`` to each block when it is read.

        ``change`` must act on each row separately.
        """

        def blocks() -> Blocks:
            return ((where, change(rows)) for where, rows in self.blocks())

        return _LazyRows((len(self), *shape), self.size, blocks)

    @cached_property
    def checked(self) -> Rows:
        """Same rows as ``(n, d)`` float64; reading raises the ValueErrors of :func:`as_rows`."""
        if self._is_checked:
            return self
        checked = _LazyRows((len(self), math.prod(self.shape[1:])), self.size, self._check)
        checked._is_checked = True
        return checked

    @cached_property
    def moments(self) -> Moments:
        """Moments of all rows, merged from the blocks."""
        if not len(self):
            raise ValueError("moments of no samples are undefined: pass at least one")
        return reduce(Moments.merge, (Moments.of(rows) for _, rows in self.blocks()))

    def _check(self) -> Blocks:
        pending = self.blocks()
        for where, rows in pending:
            try:
                checked = as_rows(rows)
            except ValueError:
                bad = _count_bad(rows) + sum(_count_bad(others) for _, others in pending)
                raise ValueError(_diverged(bad, len(self))) from None
            yield where, checked

    def _split_by_block(self, numbers: NDArray[np.integer]) -> list[NDArray[np.integer]]:
        """Split ``numbers``, indices of rows, by block; keep their order within a block."""
        block = numbers // self.size
        order = block.argsort(kind="stable")
        ends = np.searchsorted(block[order], np.arange(1, -(-len(self) // self.size)))
        return np.split(numbers[order], ends)


class InMemoryRows(Rows):
    """Rows of an array ``(n, ...)`` in memory."""

    def __init__(self, array: NDArray, size: int | None = None) -> None:
        super().__init__(array.shape, size)
        self._array = array

    def blocks(self) -> Blocks:
        """See :meth:`Rows.blocks`; yields views, not copies."""
        return ((where, self._array[where]) for where in block_slices(len(self), self.size))

    @cached_property
    def checked(self) -> Rows:
        """See :attr:`Rows.checked`; all rows are checked when this attribute is first read."""
        return self if self._is_checked else _checked_array(self._array, self.size)


class Pieces(Rows):
    """Rows in float64 that are read in pieces of any lengths.

    Args:
        shape: ``(n, ...)``; rows of the pieces beyond n are dropped.
        read: called for each pass; yields all pieces ``(k, ...)`` in order, of any real dtype.
        size: see :class:`Rows`.
    """

    def __init__(
        self, shape: tuple[int, ...], read: Callable[[], Iterator[NDArray]], size: int | None = None
    ) -> None:
        super().__init__(shape, size)
        self._read = read

    def blocks(self) -> Blocks:
        """See :meth:`Rows.blocks`."""
        pieces, piece = self._read(), np.empty((0, *self.shape[1:]))
        for where in block_slices(len(self), self.size):
            block, filled = np.empty((where.stop - where.start, *self.shape[1:])), 0
            while filled < len(block):
                if not len(piece):
                    piece = next(pieces)
                part, piece = np.split(piece, [len(block) - filled])
                block[filled : filled + len(part)] = part
                filled += len(part)
            yield where, block


class _LazyRows(Rows):
    """Rows that a function computes from other rows, one block at a time."""

    def __init__(self, shape: tuple[int, ...], size: int, make: Callable[[], Blocks]) -> None:
        super().__init__(shape, size)
        self._make = make

    def blocks(self) -> Blocks:
        return self._make()


def block_size(shape: tuple[int, ...]) -> int:
    """Return the number of samples ``(n, ...)`` in a block: up to VALUES values, or one sample."""
    most = max(VALUES // max(math.prod(shape[1:]), 1), 1)
    return most // MULTIPLE * MULTIPLE or most


def block_slices(n: int, size: int) -> Iterator[slice]:
    """Return an iterator of slices of ``size`` indices over 0 … n - 1; the last may be shorter."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def rows_of(samples: ArrayLike | Rows) -> Rows:
    """Return samples ``(n, ...)`` as rows ``(n, d)`` in float64.

    The ValueErrors of :func:`as_rows` are raised at once for arrays, and when read for Rows.
    """
    return samples.checked if isinstance(samples, Rows) else _checked_array(samples)


def _checked_array(samples: ArrayLike, size: int | None = None) -> Rows:
    rows = InMemoryRows(as_rows(samples), size)
    rows._is_checked = True
    return rows


def _count_bad(rows: NDArray) -> int:
    return int((~(np.abs(rows.reshape(len(rows), -1)) <= LARGEST)).any(axis=1).sum())


def _diverged(bad: int, n: int) -> str:
    return (
        f"{bad} of {n} samples are not finite (or beyond {LARGEST:g}): "
        "mark them as diverged before measuring"
    )
