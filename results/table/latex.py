r"""LaTeX tables with booktabs, one for each model: samplers as lines, budgets as columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from ..palette import FAMILIES, style
from ..printed_values import interval_flag, printed_value
from ..text import format_number
from ..values import Record, number, text
from .curves import LEFT_OUT, CurveBudget, comparable_parts, rows_by_curve_budget
from .typed_table import check_columns

HEAD = """\
% Needs \\usepackage{booktabs}. Values with their standard errors; estimates below 0 are printed as 0.
% Bold: level with the best of a column. Dagger: unreliable interval."""
SPECIAL = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "–": "--",
        "·": r"$\cdot$",
        "²": r"$^2$",
    }
)


def escape_latex(words: str) -> str:
    r"""Return ``words`` on one line, escaped so that LaTeX prints them and runs no command.

    >>> escape_latex("50 % of dpmpp_2m")
    '50 \\% of dpmpp\\_2m'
    """
    return " ".join(words.split()).translate(SPECIAL)


def latex_tables(
    frame: pd.DataFrame,
    metric: str = "fid_proxy",
    budgets: Sequence[int] | None = None,
    bold: Mapping[str, Collection[CurveBudget]] = MappingProxyType({}),
) -> str:
    """Return LaTeX tables of all models, one below the other, with samplers grouped by family.

    Args:
        frame: rows of a result table. Only finished rows are used.
        metric: column of the values. ``METRIC_se`` has the standard errors.
        budgets: budgets of the columns; None for all budgets of a model.
        bold: (curve, budget) of bold values, by problem title. A column of one curve has none.

    Raises:
        ValueError: ``frame`` has no column ``metric``.
    """
    check_columns(frame, metric)
    tables = (
        _latex_tabular(title, rows, metric, budgets, bold.get(title, ()))
        for title, rows in comparable_parts(frame)
    )
    return "\n".join([HEAD, *tables, ""])


def _latex_tabular(
    title: str,
    rows: pd.DataFrame,
    metric: str,
    budgets: Sequence[int] | None,
    bold: Collection[CurveBudget],
) -> str:
    finished = rows.loc[rows["status"] == "ok"].dropna(subset=[metric])
    cells = rows_by_curve_budget(finished)
    left_out = len(finished) - len(cells)
    slots = list(budgets) if budgets is not None else sorted({slot for _, slot in cells})
    several = {slot for slot in slots if sum(at == slot for _, at in cells) > 1}
    order = [family.name for family in FAMILIES]
    curves = {
        text(row, "curve"): order.index(style(text(row, "sampler"), text(row, "origin")).family)
        for row in cells.values()
    }
    body: list[str] = []
    before = None
    for curve, family in sorted(curves.items(), key=lambda item: (item[1], item[0])):
        body += [r"\addlinespace"] if before not in (None, family) else []
        marked = {slot for slot in several if (curve, slot) in bold}
        values = (_latex_cell(cells.get((curve, at)), metric, bold=at in marked) for at in slots)
        body.append(_latex_line([escape_latex(curve), *values]))
        before = family
    name = (
        rf"\multicolumn{{{1 + len(slots)}}}{{l}}{{\textbf{{{escape_latex(title)}}}, "
        rf"{escape_latex(metric)} by network evaluations}} \\"
    )
    top = [
        *([f"% {LEFT_OUT}: {left_out}"] * bool(left_out)),
        rf"\begin{{tabular}}{{l{'r' * len(slots)}}}",
        r"\toprule",
        name,
        r"\midrule",
        _latex_line(["sampler", *map(str, slots)]),
        r"\midrule",
    ]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cell(row: Record | None, metric: str, *, bold: bool) -> str:
    r"""Return ``value \pm SE`` in math mode, with a dagger if flagged; "--" without a value."""
    value = None if row is None else printed_value(metric, number(row, metric))
    if row is None or value is None:
        return "--"
    words_of_value, error = rounded_to_error(value, number(row, f"{metric}_se"))
    words = rf"\mathbf{{{words_of_value}}}" if bold else words_of_value
    words = f"{{{words}}}" if "^" in words else words  # a power takes no second superscript
    flag = r"^{\dagger}" if interval_flag(row, metric) else ""
    return f"${words}{flag}" + (rf" \pm {error}$" if error else "$")


def rounded_to_error(value: float, se: float | None) -> tuple[str, str]:
    r"""Return texts of a value and its standard error, to two digits of the error or to units.

    The error is "" if it is None, 0 or not finite.

    >>> rounded_to_error(13.4217, 0.5612), rounded_to_error(172.36, 12.9), rounded_to_error(2e-7, None)
    (('13.42', '0.56'), ('172', '13'), ('2 \\times 10^{-7}', ''))
    """
    if se is None or not 0 < se < math.inf:
        mantissa, _, exponent = format_number(value).partition("e")
        return mantissa + (rf" \times 10^{{{exponent}}}" if exponent else ""), ""
    digits = max(0, 1 - math.floor(math.log10(se)))
    return f"{value:.{digits}f}", f"{se:.{digits}f}"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
