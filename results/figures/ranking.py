"""Figures with a line a sampler: two rankings side by side, and times per sample at one budget."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes

from ..printed_values import printed_value
from ..quantities import find
from ..table.curves import comparable_parts
from ..table.typed_table import TypedTable
from ..text import format_number
from ..values import Record, number, rows_as_dicts, text
from .axes import short_title
from .series import THICK, curve_label, marker_keywords, style_of, zorder_increase
from .typography import INK, SOFT, WIDTHS, Sheet, Width, sheet_with_panels, with_typography

LINE, HEAD = 0.16, 0.25
"""Height in inches of a rank, and of the title."""
LETTER, ROOMY = 0.062, 5.0
"""Width in inches of a letter, and of the narrowest panel with names in both columns."""
NEAR = 10
"""Number of evaluations to which the default budget is nearest, by ratio."""


@with_typography
def ranking(
    table: TypedTable,
    left: str = "fid_proxy",
    right: str = "typical_error",
    *,
    budget: int | None = None,
    width: Width = "single",
) -> Sheet:
    """Draw a panel for each model and estimator: a line joins a sampler's ranks by two metrics.

    Equal values have successive ranks. In Spearman's correlation ρ they share their mean rank.
    ``budget`` is in evaluations, by default the budget nearest to 10.
    Raises a ValueError if no model has two samplers with both metrics at the budget.
    """
    parts = rows_at_budget(table, budget, left, right, fewest=2)
    if not parts:
        where = "" if budget is None else f" at {budget} evaluations"
        raise ValueError(
            f"no model has two samplers with {left} and {right}{where}; "
            "choose metrics that have values"
        )
    height = HEAD + LINE * (1.4 + max(map(len, parts.values())))
    figure, panels = sheet_with_panels(width, height, len(parts))
    wide = WIDTHS[width] if len(parts) == 1 else WIDTHS["double"] / 2
    for axes, (title, rows) in zip(panels, parts.items(), strict=True):
        _draw_ranking(axes, rows, left, right, wide)
        axes.set_title(title)
    return figure


def rows_at_budget(
    table: TypedTable, budget: int | None, *needed: str, fewest: int = 1
) -> dict[str, list[Record]]:
    """Return each curve's row at a budget, by title of a panel with ``fewest`` rows or more.

    Rows need values in ``needed`` columns. ``budget`` None stands for each model's budget nearest
    to :data:`NEAR`, by ratio.
    """
    panels: dict[str, list[Record]] = {}
    if not set(needed) <= set(table.frame):
        return panels
    for title, frame in comparable_parts(table.ok.frame):
        known = frame.dropna(subset=[*needed, "slot"]).sort_values("nfe", kind="stable")
        slots = [int(slot) for slot in known["slot"].unique()]
        nearest = min(slots, key=lambda slot: (abs(math.log(slot / NEAR)), slot), default=0)
        at = nearest if budget is None else budget
        rows = known.loc[known["slot"] == at].drop_duplicates("curve", keep="last")
        if len(rows) >= fewest:
            panels[f"{title}, {at} evaluations"] = rows_as_dicts(rows)
    return panels


def _draw_ranking(axes: Axes, rows: list[Record], left: str, right: str, wide: float) -> None:
    """Join each row's ranks by metrics ``left`` and ``right``; ``wide`` is the width in inches."""
    sides = [[number(row, name) for row in rows] for name in (left, right)]
    signs = [find(name).loss(1.0) for name in (left, right)]
    losses = [sign * pd.Series(v, dtype=float) for sign, v in zip(signs, sides, strict=True)]
    ranks = [values.rank(method="first") for values in losses]
    names = [curve_label(text(row, "curve")) for row in rows]
    a_values = [format_number(printed_value(left, value)) for value in sides[0]]
    b_texts = [format_number(printed_value(right, value)) for value in sides[1]]
    a_texts = [f"{name}  {value}" for name, value in zip(names, a_values, strict=True)]
    if wide > ROOMY:
        b_texts = [f"{value}  {name}" for name, value in zip(names, b_texts, strict=True)]
    margins = [LETTER * max(map(len, texts)) + 0.15 for texts in (a_texts, b_texts)]
    between = wide - sum(margins)
    axes.set(xlim=(-margins[0] / between, 1 + margins[1] / between), ylim=(len(rows) + 1.2, -0.2))
    axes.set_axis_off()
    for row, a, b, before, after in zip(rows, *ranks, a_texts, b_texts, strict=True):
        style = style_of(row)
        thick, above = THICK if style.own else 1, 2 + zorder_increase(style)
        axes.plot([0, 1], [a, b], color=style.colour, lw=thick, zorder=above)
        axes.plot([0, 1], [a, b], linestyle="", zorder=above, **marker_keywords(style))
        _write_words(axes, (0, a), before, "right")
        _write_words(axes, (1, b), after, "left")
    rho = cast("float", losses[0].rank().corr(losses[1].rank()))
    head: dict[str, Any] = {"color": SOFT, "weight": "bold"}
    _write_words(axes, (0, 0), short_title(left), "right", **head)
    at, side = ((1, 0), "left") if wide > ROOMY else ((axes.get_xlim()[1], 0), "right")
    _write_words(axes, at, short_title(right), side, **head)
    if not math.isnan(rho):  # all values of a side may be equal
        _write_words(axes, (0.5, len(rows) + 0.8), f"ρ = {rho:.2f}", "center", color=SOFT)


def _write_words(
    axes: Axes, at: tuple[float, float], words: str, side: Any, **keywords: Any
) -> None:
    aside = {"right": -6, "left": 6, "center": 0}[side] if at[0] in (0, 1) else 0
    options: dict[str, Any] = {"va": "center_baseline", "fontsize": 6.5, "color": INK, **keywords}
    options |= {"textcoords": "offset points", "annotation_clip": False, "in_layout": False}
    axes.annotate(words, at, (aside, 0), ha=side, **options)


NETWORK, OVERHEAD = "#a9b4bf", "#d5541e"
BAR_HEIGHT, TIMING_HEAD = 0.19, 0.75
"""Height in inches of a bar, and of title, axis and legend."""


@with_typography
def timing(table: TypedTable, *, budget: int | None = None, width: Width = "single") -> Sheet:
    """Draw a panel for each model: milliseconds per sample at one budget, least overhead first.

    ``budget`` is in evaluations, by default the budget nearest to 10.
    Raises a ValueError if no row of the budget was timed.
    """
    parts = rows_at_budget(table, budget, "ms_per_sample", "model_ms_per_sample")
    if not parts:
        where = "" if budget is None else f" at {budget} evaluations"
        raise ValueError(f"no finished row was timed{where}; run the suite with --timing")
    height = TIMING_HEAD + BAR_HEIGHT * max(map(len, parts.values()))
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
