"""The report in Markdown: the findings, a table for each model, and what did not run."""

from __future__ import annotations

from ..comparison.findings import TableFindings, findings_of
from ..escaping import escape_markdown
from ..intervals import flag_of, printed, with_bounds
from ..quantities import Quantity, flags, quantities
from ..record import Record
from ..result_table import ResultTable
from ..table.curves import comparable_parts
from ..text import filled, format_number, markdown_table
from ..values import number, rows_of, text
from .answer import NOTHING, answer

_BEFORE, _AFTER = ("sampler", "NFE budget", "steps", "NFE"), ("ms/sample",)


def summary(table: ResultTable, page: TableFindings | None = None) -> str:
    """The Markdown text.

    Args:
        table: the rows.
        page: what can be said of them; found from the table alone if it is not given.
    """
    parts, page = ["# Sampler benchmark", ""], page or findings_of(table.frame)
    summarised = [quantity for quantity in quantities() if quantity.short]
    for title, rows in comparable_parts(table.frame):
        findings = answer(page.by_title[title], rows)
        parts += [f"## {escape_markdown(title)}", ""]
        parts += [
            f"- {escape_markdown(sentence)}"
            for sentence in (findings.sentences if findings else (NOTHING,))
        ]
        lines = [
            (
                *(text(row, name) for name in ("curve", "slot", "steps")),
                format_number(number(row, "nfe")),
                *(cell for quantity in summarised for cell in _cells(row, quantity)),
                format_number(number(row, "ms_per_sample")),
            )
            for row in rows_of(rows.loc[rows["status"] == "ok"])
        ]
        heads = (*_BEFORE, *(head for quantity in summarised for head in _heads(quantity)), *_AFTER)
        parts += ["", markdown_table(*filled(heads, lines))]
    failed = [row for row in rows_of(table.frame) if row["status"] != "ok"]
    if failed:
        names = ("model", "sampler", "params", "budget", "steps", "status", "reason")
        parts += [
            "## Rows without results",
            "",
            markdown_table(names, [tuple(text(row, name) for name in names) for row in failed]),
        ]
    flag_columns = " and ".join(f"`{column}`" for column in flags().values())
    parts += [f"† the interval is not to be trusted: {flag_columns} in table.csv say why.", ""]
    return "\n".join(parts)


def _heads(quantity: Quantity) -> list[str]:
    """The headings of a quantity's columns."""
    head = quantity.short + (" [95 %]" if quantity.error == "interval" else "")
    return [head, "floor"] if quantity.floor and quantity.floor.perfect else [head]


def _cells(row: Record, quantity: Quantity) -> list[str]:
    """Return the cells under :func:`_heads`."""
    name, floor = quantity.name, quantity.floor
    value = (
        _flagged(row, name)
        if quantity.error == "interval"
        else format_number(printed(name, number(row, name)))
    )
    return [value, format_number(number(row, floor.column))] if floor and floor.perfect else [value]


def _flagged(row: Record, name: str) -> str:
    """A value with its interval, and a dagger where that is not to be trusted."""
    return with_bounds(row, name) + (" †" if flag_of(row, name) else "")
