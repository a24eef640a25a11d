"""The 95 % interval of a value in a row, as numbers and text, and the reason against trusting it.

An unbiased estimate of a distance may be below 0. Texts print it as 0; tables in files keep it.
"""

from __future__ import annotations

import math

from .comparison.significance import half_width_95
from .quantities import find
from .text import format_number
from .values import Record, number, text


def interval_bounds(row: Record, name: str) -> tuple[float, float] | None:
    """Return the ends of the 95 % interval of column ``name``; None if the row has no interval.

    The ends are ``NAME_low`` and ``NAME_high`` if the row has both, else Student's interval from
    ``NAME_se`` with ``samples`` - 1 degrees of freedom, as for differences.
    The ends for ``ms_per_sample`` are ``ms_low`` and ``ms_high``.
    """
    stem = "ms" if name == "ms_per_sample" else name
    low, high = number(row, f"{stem}_low"), number(row, f"{stem}_high")
    if low is not None and high is not None:
        return low, high
    value, se = number(row, name), number(row, f"{name}_se")
    if value is None or se is None:
        return None
    half_width = half_width_95(max(number(row, "samples") or math.inf, 2) - 1) * se
    return value - half_width, value + half_width


def printed_value(name: str, value: float | None) -> float | None:
    """Return the value to print for column ``name``: 0 for a distance below 0, else ``value``.

    >>> printed_value("fid_proxy", -0.0027), printed_value("fid_proxy", 0.5), printed_value("ms_per_sample", None)
    (0.0, 0.5, None)
    """
    return 0.0 if is_below_zero(name, value) else value


def is_below_zero(name: str, value: float | None) -> bool:
    """Return True if ``value`` is below 0, and column ``name`` is a distance to a target."""
    if value is None or not value < 0:
        return False
    quantity = find(name)
    return bool(quantity.to) and quantity.lower


BELOW = "⁻"
"""Mark of a distance that was measured below 0."""
BELOW_NOTE = f"0{BELOW}: measured slightly below 0 after removing bias; shown as 0"


def shown_number(name: str, value: float | None) -> str:
    """Return the value of column ``name`` as text: 0 with :data:`BELOW` for a distance below 0."""
    return f"0{BELOW}" if is_below_zero(name, value) else format_number(value)


def value_with_bounds(row: Record, name: str) -> str:
    """Return ``value [low, high]`` of column ``name`` as text; the value alone without interval."""
    value, ends = printed_value(name, number(row, name)), interval_bounds(row, name)
    words = shown_number(name, number(row, name))
    if value is None or ends is None:
        return words
    low, high = (printed_value(name, end) or 0.0 for end in ends)
    return f"{words} [{format_number(min(low, value))}, {format_number(max(high, value))}]"


def value_plus_minus(row: Record, name: str) -> str:
    """Return ``value ± half-width`` (95 %); :func:`value_with_bounds` if asymmetric or below 0."""
    value, ends = number(row, name), interval_bounds(row, name)
    if value is None or ends is None or printed_value(name, value) != value:
        return value_with_bounds(row, name)
    below, above = value - ends[0], ends[1] - value
    if not math.isclose(below, above, rel_tol=1e-6) or math.isinf(above):
        return value_with_bounds(row, name)
    return f"{format_number(value)} ± {format_number(above, 2)}"


def error_bar_on_log_axis(
    row: Record, name: str
) -> tuple[float | None, float | None, float | None, bool]:
    """Return the error bar ``(y, low, high, limit)`` of column ``name`` on a logarithmic axis.

    A value > 0 is y, and low and high are its 95 % interval. For a value <= 0, low and high are
    None. If its interval has a positive upper end, y is this end, and ``limit`` is True. Otherwise
    y is None.
    """
    value = number(row, name)
    low, high = interval_bounds(row, name) or (None, None)
    if value is not None and value > 0:
        return value, low, high, False
    limit = value is not None and high is not None and high > 0
    return high if limit else None, None, None, limit


def interval_flag(row: Record, name: str) -> str:
    """Return the reason against trusting the interval of column ``name``; "" if there is none."""
    flag = find(name).flag
    return text(row, flag) if flag else ""
