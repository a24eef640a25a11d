"""The report in Markdown: the findings, a table for each model, and what did not run."""

from __future__ import annotations

from ..bounds import with_bounds
from ..curves import problems
from ..estimates import flag_of
from ..findings import Page, findings_of
from ..harmless import escape_markdown
from ..record import Record
from ..table import ResultTable
from ..text import filled, markdown_table, short
from ..values import number, rows_of, text
from .answer import NOTHING, answer

_HEADER = ("sampler", "NFE budget", "steps", "NFE", "FID proxy [95 %]", "plug-in", "floor", "FD to converged [95 %]", "RMSE", "ms/sample")


def summary(table: ResultTable, page: Page | None = None) -> str:
    """The Markdown text.

    Args:
        table: the rows.
        page: what can be said of them; found from the table alone if it is not given.
    """
    parts, page = ["# Sampler benchmark", ""], page or findings_of(table.frame)
    for title, rows in problems(table.frame):
        found = answer(page.problems[title], rows)
        parts += [f"## {escape_markdown(title)}", ""]
        parts += [f"- {escape_markdown(sentence)}" for sentence in (found.sentences if found else (NOTHING,))]
        lines = [
            (
                *(text(row, name) for name in ("curve", "slot", "steps")),
                short(number(row, "nfe")),
                _flagged(row, "fid_proxy"),
                *(short(number(row, name)) for name in ("fid_proxy_raw", "fid_proxy_floor")),
                _flagged(row, "fd_conv"),
                *(short(number(row, name)) for name in ("rmse", "ms_per_sample")),
            )
            for row in rows_of(rows.loc[rows["status"] == "ok"])
        ]
        parts += ["", markdown_table(*filled(_HEADER, lines))]
    rest = [row for row in rows_of(table.frame) if row["status"] != "ok"]
    if rest:
        names = ("model", "sampler", "params", "budget", "steps", "status", "reason")
        parts += ["## Rows without results", "", markdown_table(names, [tuple(text(row, name) for name in names) for row in rest])]
    parts += ["† the interval is not to be trusted: `fid_flag` and `fd_conv_flag` in table.csv say why.", ""]
    return "\n".join(parts)


def _flagged(row: Record, name: str) -> str:
    """A value with its interval, and a dagger where that is not to be trusted."""
    return with_bounds(row, name) + (" †" if flag_of(row, name) else "")
