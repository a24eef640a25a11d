"""The 95 % interval of a value in a row, from columns of its own or the standard error, and
whether it is to be trusted.
"""

from __future__ import annotations

from .quantities import flags
from .record import Record
from .text import Z95, ends, interval, short
from .values import number, text


def bounds(row: Record, name: str) -> tuple[float, float] | None:
    """The ends of the interval of column ``name``; None where the row does not know them.

    ``NAME_low`` and ``NAME_high`` where the row has both, else the value ± 1.96 ``NAME_se``.
    """
    low, high = number(row, f"{name}_low"), number(row, f"{name}_high")
    if low is not None and high is not None:
        return low, high
    value, se = number(row, name), number(row, f"{name}_se")
    return None if value is None or se is None else ends(value, se)


def with_bounds(row: Record, name: str) -> str:
    """``value [low, high]``; the value alone where its interval is not known."""
    return interval(number(row, name), *(bounds(row, name) or (None, None)))


def plus_minus(row: Record, name: str) -> str:
    """``value ± half of the interval``, or ``value [low, high]`` where that is not symmetric.

    The value alone where it is not known.
    """
    value, se = number(row, name), number(row, f"{name}_se")
    if value is None or se is None or bounds(row, name) != ends(value, se):
        return with_bounds(row, name)
    return f"{short(value)} ± {short(Z95 * se, 2)}"


def flag_of(row: Record, name: str) -> str:
    """Why the interval of column ``name`` is not to be trusted; "" if it is, or has none."""
    flag = flags().get(name)
    return text(row, flag) if flag else ""
