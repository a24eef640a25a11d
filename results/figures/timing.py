"""Figure of the time per sample: the network's share and the sampler's overhead."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from ..table.typed_table import TypedTable
from ..text import format_number
from ..values import Record, number, text
from .ranking import rows_at_budget
from .series import curve_label
from .typography import INK, SOFT, Sheet, Width, sheet_with_panels, with_typography

NETWORK, OVERHEAD = "#a9b4bf", "#d5541e"
LINE, HEAD = 0.19, 0.75
"""Height in inches of a bar, and of title, axis and legend."""


@with_typography
def timing(table: TypedTable, *, budget: int | None = None, width: Width = "single") -> Sheet:
    """Draw a panel for each model: milliseconds per sample at one budget, least overhead first.

    ``budget`` is in evaluations, by default the budget nearest to 10.

    Raises:
        ValueError: no row of the budget was timed.
    """
    parts = rows_at_budget(table, budget, "ms_per_sample", "model_ms_per_sample")
    parts = {title: rows for title, rows in parts.items() if rows}
    if not parts:
        where = "" if budget is None else f" at {budget} evaluations"
        raise ValueError(f"no finished row was timed{where}; run the suite with --timing")
    height = HEAD + LINE * max(map(len, parts.values()))
    figure, panels = sheet_with_panels(width, height, len(parts))
    for axes, (title, rows) in zip(panels, parts.items(), strict=True):
        _draw_times(axes, sorted(rows, key=lambda row: (_overhead_ms(row), text(row, "curve"))))
        axes.set(title=title, xlabel="Milliseconds per sample")
    handles, labels = panels[0].get_legend_handles_labels()
    keywords: dict[str, Any] = {"ncols": 2, "frameon": False, "handlelength": 1}
    figure.legend(handles, labels, loc="outside lower center", **keywords)
    return figure


def _overhead_ms(row: Record) -> float:
    """Return the milliseconds per sample outside the network. Noise can make them negative."""
    return (number(row, "ms_per_sample") or 0.0) - (number(row, "model_ms_per_sample") or 0.0)


def _draw_times(axes: Axes, rows: list[Record]) -> None:
    places = list(range(len(rows)))
    network = [number(row, "model_ms_per_sample") or 0.0 for row in rows]
    own = [max(_overhead_ms(row), 0.0) for row in rows]
    axes.barh(places, network, color=NETWORK, height=0.62, label="network")
    axes.barh(places, own, left=network, color=OVERHEAD, height=0.62, label="overhead")
    ends = [a + b for a, b in zip(network, own, strict=True)]
    keywords: dict[str, Any] = {"va": "center", "color": SOFT, "fontsize": 6}
    for place, row, end in zip(places, rows, ends, strict=True):
        base = number(row, "model_ms_per_sample")
        share = f"{100 * _overhead_ms(row) / base:.1f} %" if base else "–"
        words = f"{format_number(number(row, 'ms_per_sample'))}, overhead {share}"
        words += " †" if row.get("timing_flag") else ""
        axes.annotate(words, (end, place), (3, 0), textcoords="offset points", **keywords)
    axes.set_yticks(places, [curve_label(text(row, "curve")) for row in rows], color=INK)
    axes.set_xlim(0, 2.2 * max(ends))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
