r"""Headline of a sampler on a model: evaluations until its distance to converged samples is small.

The curve is ``fd_conv``, the sampler's own error without the model's, against the counted ``nfe``.
The tolerance t is the model's ``fid_proxy_floor``: the plug-in distance of perfect samples, as many
as a row has. An error below t matters less than the finite number of samples. No test against 0 is
used, since its result would depend on the number of samples. All curves of a model have one
tolerance, from the row with the fewest samples.

Given budgets n_1 < n_2 < … and values f_1, f_2, …, let n_k be the smallest budget from which on all
values are at most t. The crossing between n_{k-1} and n_k is interpolated on logarithms, where a
method of fixed order is a straight line:

    log n = log n_{k-1} + (log n_k - log n_{k-1}) (log f_{k-1} - log t) / (log f_{k-1} - log f_k).

The crossing rises with every f_i. Its interval reaches from the crossing of the lower ends of all
intervals to the crossing of the upper ends. This is exact if a curve's errors move together, as
shared latents nearly make them. To first order, no other dependence gives a wider interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..printed_values import interval_bounds, interval_flag
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..text import Z95, Interval, format_number
from ..values import Record, number, rows_as_dicts, text
from .significance import LEVEL, Evidence, claim

DIVERGED = 1e200
"""Value of a diverged row."""
NEGLIGIBLE = 0.1
"""Share of the tolerance to which smaller values are raised before taking logarithms."""

COLUMNS = (
    *("model", "curve", "nfe_to_floor", "low", "high", "shown", "tolerance", "samples"),
    *("smallest", "largest", "flag", "estimator", "verdict"),
)


def headline_table(table: TypedTable | pd.DataFrame) -> pd.DataFrame:
    """Return the evaluations per sample that each curve needs to reach ``fid_proxy_floor``.

    Rows that lack ``fd_conv``, its error or ``fid_proxy_floor`` are left out. Within a model,
    curves with the fewest evaluations come first.

    Returns:
        Columns :data:`COLUMNS`. ``nfe_to_floor`` has the 95 % interval ``low`` to ``high``. It lies
        between the least and the most nfe tried, ``smallest`` and ``largest``. It is inf if
        ``largest`` is too small. A diverged row is beyond every tolerance, and was tried at its
        budget. ``shown`` is the number as text, ``flag`` why to distrust it.
        ``verdict`` is "worse" if a curve is shown to need more than the first curve of its model,
        also by rows: at some budget the first curve is within the tolerance, and this one above it.
    """
    frame = table.frame if isinstance(table, TypedTable) else table
    lines = [line for _, rows in comparable_parts(frame) for line in _headline_rows(rows)]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def headline_of_problem(rows: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`headline_table` for rows of one model and estimator with a column ``curve``."""
    return pd.DataFrame(_headline_rows(rows), columns=list(COLUMNS))


def find_crossing(
    nfe: Sequence[float],
    values: Sequence[float],
    ends: Sequence[tuple[float, float]],
    tolerance: float,
) -> Interval:
    """Return the number of evaluations from which on a curve stays within a ``tolerance`` > 0.

    ``ends`` are the 95 % intervals of ``values``. All sequences are sorted by ascending ``nfe``. The
    number is inf if the curve does not stay within the tolerance.
    """
    curves = (values, *zip(*ends, strict=True))
    return Interval(*(_interpolated_crossing(nfe, curve, tolerance) for curve in curves))


def _interpolated_crossing(
    nfe: Sequence[float], values: Sequence[float], tolerance: float
) -> float:
    above = [place for place, value in enumerate(values) if not value <= tolerance]
    if not above:
        return float(nfe[0])
    last = above[-1]
    if last == len(nfe) - 1:
        return math.inf
    rise, reach = (
        math.log(values[last] / max(end, NEGLIGIBLE * tolerance))
        for end in (tolerance, values[last + 1])
    )
    return float(nfe[last]) * (nfe[last + 1] / nfe[last]) ** (rise / reach)


def crossing_in_words(crossing: Interval, smallest: float, largest: float) -> str:
    """Return a crossing as text, such as ``12 [10, 15]``; without brackets if the interval is a point.

    A value up to the ``smallest`` measured budget becomes ``≤ smallest``, and inf ``> largest``.
    """

    def format_bounded(value: float) -> str:
        if value == math.inf:
            return f"> {format_number(largest)}"
        return f"≤ {format_number(smallest)}" if value <= smallest else format_number(value)

    value, low, high = map(format_bounded, crossing)
    return f"{value} [{low}, {high}]" if crossing.low != crossing.high else value


def _headline_rows(rows: pd.DataFrame) -> list[dict[str, Any]]:
    finished = rows.loc[rows["status"] == "ok"].dropna(
        subset=["nfe", "samples", "fd_conv", "fd_conv_se", "fid_proxy_floor"]
    )
    finished = finished.loc[finished["nfe"] > 0]
    if not len(finished):
        return []
    fewest = rows_as_dicts(finished.sort_values("samples", kind="stable").head(1))[0]
    tolerance = number(fewest, "fid_proxy_floor") or 0.0
    if not tolerance > 0:
        return []
    same = {name: text(fewest, name) for name in ("model", "estimator")}
    same |= {"samples": int(number(fewest, "samples") or 0), "tolerance": tolerance}
    lost = rows.loc[(rows["status"] == "diverged") & rows["slot"].notna()]
    lost = lost.assign(nfe=lost["slot"].astype(float), fd_conv=DIVERGED, fd_conv_se=0.0)
    tried = pd.concat([finished, lost]).sort_values("nfe", kind="stable")
    tried = tried.filter(regex="^(curve|nfe|samples|status|fd_conv.*)$")
    lines = []
    curves: dict[str, dict[float, Record]] = defaultdict(dict)
    for row in rows_as_dicts(tried):  # at once: a frame for each curve takes far longer
        curves[text(row, "curve")][number(row, "nfe") or 0.0] = row
    for curve, by_nfe in curves.items():
        nfe, records = list(by_nfe), list(by_nfe.values())
        values = [number(row, "fd_conv") or 0.0 for row in records]
        ends = [interval_bounds(row, "fd_conv") or (math.nan, math.nan) for row in records]
        cross = find_crossing(nfe, values, ends, tolerance)
        line = {**same, "curve": curve, "smallest": nfe[0], "largest": nfe[-1]}
        line |= {"nfe_to_floor": cross.value, "low": cross.low, "high": cross.high}
        line["shown"] = crossing_in_words(cross, nfe[0], nfe[-1])
        line["lost"] = records[-1]["status"] == "diverged"  # which needs no interval
        line["above"] = max(
            (n for n, end in zip(nfe, ends, strict=True) if end[0] > tolerance), default=0.0
        )
        line["within"] = min((n for n in nfe if n >= cross.high), default=math.inf)
        flags = () if line["lost"] else (interval_flag(row, "fd_conv") for row in records)
        line["flag"] = next(filter(None, flags), "")
        lines.append(line)
    lines.sort(key=lambda line: (line["nfe_to_floor"], line["low"], line["high"]))
    level = LEVEL / max(math.comb(len(lines), 2), 1)  # Bonferroni over all pairs
    for line in lines:
        line["verdict"] = claim(_evidence_from_intervals(lines[0], line), level)
        if line["lost"] and lines[0]["high"] <= line["largest"]:
            line["verdict"] = "worse"
        # crossings between budgets are interpolated, which shows nothing
        if line["verdict"] == "worse" and line["above"] < lines[0]["within"]:
            line["verdict"] = "inconclusive"
    lines[0]["verdict"] = ""
    return lines


def _evidence_from_intervals(first: Mapping[str, Any], other: Mapping[str, Any]) -> Evidence | None:
    """Return evidence that row ``other`` (:data:`COLUMNS`) needs more evaluations than ``first``.

    Return None if a row is flagged, or the interval of ``first`` is not finite. Also if ``other``
    crosses nowhere, but was tried with no more evaluations than ``first`` needs.
    """
    value, high = first["nfe_to_floor"], first["high"]
    if first["flag"] or other["flag"] or high == math.inf or value == math.inf:
        return None
    most = other["largest"]
    ends = [math.log(min(other[end], most)) for end in ("nfe_to_floor", "low")]
    gap, up, down = ends[0] - math.log(value), math.log(high) - math.log(value), ends[0] - ends[1]
    is_open = other["nfe_to_floor"] == math.inf and gap <= 0
    return None if is_open else Evidence(gap, (up + down) / Z95, 0.0)
