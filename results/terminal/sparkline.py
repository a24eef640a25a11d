"""Spark-lines: a curve in a few letters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%@"


def sparkline(
    values: Sequence[float | None], ends: tuple[float, float], levels: str = BLOCKS
) -> str:
    """Return a letter for each value, its height being the logarithm on the range ``ends``.

    Args:
        values: None makes a gap; what is not positive lies at the bottom.
        ends: least and greatest positive value of all curves that are compared; see
            :func:`positive_range`.
        levels: letters from low to high.

    >>> sparkline([100.0, 10.0, None, 1.0], (1.0, 100.0))
    '█▅ ▁'
    """
    low, high = map(math.log, ends)
    return "".join(
        " " if value is None else levels[_level(value, low, high, len(levels))] for value in values
    )


def positive_range(values: Iterable[float | None]) -> tuple[float, float]:
    """The least and the greatest positive finite value; (1, 1) if there is none."""
    positive = [value for value in values if value is not None and 0 < value < math.inf]
    return (min(positive), max(positive)) if positive else (1.0, 1.0)


def _level(value: float, low: float, high: float, count: int) -> int:
    if value <= 0 or high <= low:
        return 0
    share = (min(math.log(value), high) - low) / (high - low)
    return min(count - 1, max(0, int(share * (count - 1) + 0.5)))
