"""Samples that need not fit into memory: read one block at a time, in order, as often as needed.

Sums over them go block by block, in memory for one block. Up to :data:`VALUES` values are one
block, with the arithmetic of the whole array; beyond that, the blocks change the rounding only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LARGEST = 1e70
"""Largest magnitude that is measured: the variance of a squared distance takes fourth powers, and
float64 ends at 1.8e308.
"""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a set of features: all that a Fréchet distance needs of it.

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
        """Return the moments of ``features`` ``(n, ...)`` (any real dtype; flattened to ``(n,
        d)``), in two passes: exact even far from the origin.

        Raises:
            ValueError: there is no sample, or :func:`as_rows` refuses them.
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
        (Chan, Golub and LeVeque 1979, eq. 1.5, for vectors). An identity of the algebra: in which
        order parts are merged changes the rounding only.

        Raises:
            ValueError: the two have different dimensions.
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
        """Read the arrays of :meth:`as_dict`, also from an open ``.npz``."""
        return cls(
            int(arrays["n"]),
            np.asarray(arrays["mean"], np.float64),
            np.asarray(arrays["m2"], np.float64),
        )


def as_rows(samples: ArrayLike) -> FloatArray:
    """Return samples ``(n, ...)`` as a float64 matrix ``(n, d)``; no copy if they are one already.

    Raises:
        ValueError: a value is NaN, infinite or beyond ``LARGEST``: that sample diverged, and no
            average over it means anything.
    """
    rows = np.asarray(samples, dtype=np.float64)
    if rows.ndim < 2:
        raise ValueError(f"samples must be (n, features), not of shape {rows.shape}")
    rows = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
    # The extremes, not isfinite: no temporary of the samples' size, and NaN fails both comparisons.
    if rows.size and not (rows.max() <= LARGEST and rows.min() >= -LARGEST):
        bad = int((~(np.abs(rows) <= LARGEST)).any(axis=1).sum())
        raise ValueError(
            f"{bad} of {len(rows)} samples are not finite (or beyond "
            f"{LARGEST:g}): mark them as diverged before measuring"
        )
    return rows


VALUES = 1 << 23
"""Most values in a block (64 MiB in float64): 131,072 samples of 64 features, 4,096 of 2,048."""

MULTIPLE = 1024
"""Unit of the rows of a block, if there are so many: metrics that work in tiles get the same tiles
as from the whole.
"""


class Rows(ABC):
    """Samples ``(n, ...)``; ``rows[a:b]`` and ``np.asarray(rows)`` read them into memory.

    Attributes:
        shape: ``(n, ...)``.
        size: rows of a block, >= 1; the last block may have fewer.
    """

    def __init__(self, shape: tuple[int, ...], size: int | None = None) -> None:
        self.shape = shape
        self.size = block_size(shape) if size is None else size

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def blocks(self) -> Iterator[tuple[slice, NDArray]]:
        """Yield the slice of each block and its rows ``(<= size, ...)``, not to be written to."""

    def __getitem__(self, part: slice) -> NDArray:
        """Read rows ``part``, without a step."""
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
        """Read all rows."""
        return np.asarray(self[:], dtype)

    def moments_of(self, parts: Sequence[NDArray[np.integer]]) -> list[Moments]:
        """Return the moments of each part's rows, at least one a part, in one pass."""
        merged: list[Moments | None] = [None] * len(parts)
        dealt = [_split_by_block(self, numbers) for numbers in parts]
        for (where, rows), *numbers in zip(self.blocks(), *dealt, strict=True):
            for k, some in enumerate(numbers):
                if len(some):
                    these, before = Moments.of(rows[some - where.start]), merged[k]
                    merged[k] = these if before is None else before.merge(these)
        return [moments for moments in merged if moments is not None]

    def take(self, numbers: NDArray[np.integer]) -> Rows:
        """Select rows by number: in the given order if they lie in one block, else block by
        block.
        """
        return _SelectedRows(self, numbers)

    def each(self, change: Callable[[NDArray], NDArray], shape: tuple[int, ...]) -> Rows:
        """Apply ``change`` to every block, row by row: ``(n, *shape)``."""
        return _MappedRows(self, change, shape)

    @cached_property
    def checked(self) -> Rows:
        """Rows ``(n, d)`` in float64, each checked when it is read."""
        return _CheckedRows(self)

    @cached_property
    def moments(self) -> Moments:
        """Moments of rows ``(n, d)``, merged from the blocks.

        Raises:
            ValueError: as :meth:`.Moments.of`.
        """
        return reduce(Moments.merge, (Moments.of(rows) for _, rows in self.blocks()))


class HeldRows(Rows):
    """Rows of an array in memory.

    Args:
        array: ``(n, ...)``.
        size: see :class:`Rows`.
    """

    def __init__(self, array: NDArray, size: int | None = None) -> None:
        super().__init__(array.shape, size)
        self._array = array

    def blocks(self) -> Iterator[tuple[slice, NDArray]]:
        """See :meth:`Rows.blocks`; no copies."""
        for where in cuts(len(self), self.size):
            yield where, self._array[where]

    @cached_property
    def checked(self) -> Rows:
        """See :attr:`Rows.checked`; all rows at once."""
        return _CheckedArray(as_rows(self._array), self.size)


class Pieces(Rows):
    """Rows ``(n, ...)`` in float64 that come in pieces of any lengths.

    Args:
        shape: ``(n, ...)``; values of the last piece beyond n are dropped.
        read: gives the pieces ``(k, ...)`` in order, of any real dtype, every time.
        size: see :class:`Rows`.
    """

    def __init__(
        self, shape: tuple[int, ...], read: Callable[[], Iterator[NDArray]], size: int | None = None
    ) -> None:
        super().__init__(shape, size)
        self._read = read

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """See :meth:`Rows.blocks`."""
        pieces, piece = self._read(), np.empty((0, *self.shape[1:]))
        for where in cuts(len(self), self.size):
            block, filled = np.empty((where.stop - where.start, *self.shape[1:])), 0
            while filled < len(block):
                if not len(piece):
                    piece = next(pieces)
                part, piece = np.split(piece, [len(block) - filled])
                block[filled : filled + len(part)] = part
                filled += len(part)
            yield where, block


class _SelectedRows(Rows):
    def __init__(self, rows: Rows, numbers: NDArray[np.integer]) -> None:
        super().__init__((len(numbers), *rows.shape[1:]), rows.size)
        self._rows, self._numbers = rows, _split_by_block(rows, numbers)

    def blocks(self) -> Iterator[tuple[slice, NDArray]]:
        start = 0
        for (where, rows), numbers in zip(self._rows.blocks(), self._numbers, strict=True):
            if len(numbers):
                yield slice(start, start + len(numbers)), rows[numbers - where.start]
                start += len(numbers)


def _split_by_block(rows: Rows, numbers: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    """Split row numbers by their blocks, in their order within each."""
    block = numbers // rows.size
    order = block.argsort(kind="stable")
    ends = np.searchsorted(block[order], np.arange(1, -(-len(rows) // rows.size)))
    return np.split(numbers[order], ends)


class _MappedRows(Rows):
    def __init__(
        self, rows: Rows, change: Callable[[NDArray], NDArray], shape: tuple[int, ...]
    ) -> None:
        super().__init__((len(rows), *shape), rows.size)
        self._rows, self._change = rows, change

    def blocks(self) -> Iterator[tuple[slice, NDArray]]:
        for where, rows in self._rows.blocks():
            yield where, self._change(rows)


def block_size(shape: tuple[int, ...]) -> int:
    """Return the number of rows in a block of samples ``(n, ...)``."""
    most = max(VALUES // max(int(np.prod(shape[1:])), 1), 1)
    return most // MULTIPLE * MULTIPLE or most


def cuts(n: int, size: int) -> Iterator[slice]:
    """Yield slices of 0 … n - 1 of length ``size``; the last may be shorter."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def rows_of(samples: ArrayLike | Rows) -> Rows:
    """Return samples ``(n, ...)`` as rows ``(n, d)`` in float64, each checked when it is read.

    Raises:
        ValueError: as :func:`.as_rows`; of samples that are read later, by their blocks.
    """
    return samples.checked if isinstance(samples, Rows) else _CheckedArray(as_rows(samples))


class _CheckedArray(HeldRows):
    @property
    def checked(self) -> Rows:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self


class _CheckedRows(Rows):
    def __init__(self, rows: Rows) -> None:
        super().__init__((len(rows), int(np.prod(rows.shape[1:]))), rows.size)
        self._rows = rows

    @property
    def checked(self) -> Rows:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        pending = self._rows.blocks()
        for where, rows in pending:
            try:
                checked = as_rows(rows)
            except ValueError:
                bad = _count_bad(rows) + sum(_count_bad(others) for _, others in pending)
                raise ValueError(
                    f"{bad} of {len(self)} samples are not finite (or beyond "
                    f"{LARGEST:g}): mark them as diverged before measuring"
                ) from None
            yield where, checked


def _count_bad(rows: NDArray) -> int:
    return int((~(np.abs(rows.reshape(len(rows), -1)) <= LARGEST)).any(axis=1).sum())
