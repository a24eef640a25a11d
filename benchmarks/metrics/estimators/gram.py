"""Kernel matrices, one tile at a time: sums over rows and columns, and the variance that remains
without them (see ``kernel``).

Memory holds the features and one tile, for any number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .moments import FloatArray, as_rows

BLOCK = 1024
"""Rows of a tile: 8 MB of kernel values."""


class Kernel(NamedTuple):
    """Kernel of rows: its values between two sets, ``(n, d)`` and ``(m, d)`` to ``(n, m)``, and of
    each row with itself, ``(n,)``.
    """

    between: Callable[[FloatArray, FloatArray], FloatArray]
    itself: Callable[[FloatArray], FloatArray]


def within(x: NDArray, block: int, kernel: Kernel) -> tuple[FloatArray, float, float]:
    """Return row means ``(n,)``, mean and V of the kernel matrix of one set, without its
    diagonal.
    """
    n = len(x)
    sums, squares = np.zeros(n), 0.0
    for i, rows in blocks(x, block):
        for j, columns in blocks(x[: i.stop], block):  # the lower triangle: the matrix is symmetric
            tile = kernel.between(rows, columns)
            if i == j:
                np.fill_diagonal(tile, 0)
            sums[i] += tile.sum(axis=1)
            squares += float(np.vdot(tile, tile)) * (1 if i == j else 2)
            if i != j:
                sums[j] += tile.sum(axis=0)
    total = float(sums.sum())
    return sums / (n - 1), total / (n * (n - 1)), left_over(sums, squares)


def left_over(sums: FloatArray, squares: float) -> float:
    """Return V of a symmetric ``(n, n)`` matrix without its diagonal, n >= 4, from the sums of its
    rows and the sum of its squares.
    """
    n, total = len(sums), float(sums.sum())
    v = (squares - 2 * float(sums @ sums) / (n - 2) + total**2 / ((n - 1) * (n - 2))) / (
        n * (n - 3)
    )
    return max(v, 0.0)


def across(
    x: NDArray, y: NDArray, block: int, kernel: Kernel
) -> tuple[FloatArray, FloatArray, float]:
    """Return row means ``(n,)``, column means ``(m,)`` and V of the kernel matrix between two
    sets.
    """
    n, m = len(x), len(y)
    rows, columns, squares = np.zeros(n), np.zeros(m), 0.0
    for i, part in blocks(x, block):
        for j, other in blocks(y, block):
            tile = kernel.between(part, other)
            rows[i] += tile.sum(axis=1)
            columns[j] += tile.sum(axis=0)
            squares += float(np.vdot(tile, tile))
    centred = (
        squares
        - float(rows @ rows) / m
        - float(columns @ columns) / n
        + float(rows.sum()) ** 2 / (n * m)
    )
    return rows / m, columns / n, max(centred / ((n - 1) * (m - 1)), 0.0)


def diagonal(x: NDArray, block: int, kernel: Kernel) -> FloatArray:
    """Return k(x_i, x_i) of the rows ``(n,)``."""
    return np.concatenate([kernel.itself(rows) for _, rows in blocks(x, block)])


def form(x: NDArray, u: FloatArray, y: NDArray, v: FloatArray, block: int, kernel: Kernel) -> float:
    """Return sum_ij u_i k(x_i, y_j) v_j for weights ``u`` ``(n,)`` and ``v`` ``(m,)``."""
    return sum(
        float(u[i] @ kernel.between(rows, columns) @ v[j])
        for i, rows in blocks(x, block)
        for j, columns in blocks(y, block)
    )


def _cubic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return k(x, y) = (x·y / d + 1)³ of rows: ``(n, m)``."""
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


CUBIC = Kernel(_cubic, lambda x: (np.einsum("ij,ij->i", x, x) / x.shape[1] + 1) ** 3)
"""Kernel of KID."""


def blocks(x: NDArray, block: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yield parts of ``x`` in float64, each after its slice."""
    for start in range(0, len(x), block):
        where = slice(start, min(start + block, len(x)))
        yield where, as_rows(x[where])
