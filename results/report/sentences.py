"""Findings as sentences: opening of a model's section, answer, Markdown summary."""

from __future__ import annotations

import math
from itertools import groupby

import pandas as pd

from ..comparison.findings import BASELINE, BestRow, Findings, Standing, TableFindings
from ..escaping import escape_markdown
from ..intervals import interval_flag, printed_value, value_plus_minus, value_with_bounds
from ..quantities import Quantity, flags, quantities
from ..record import Record
from ..result_table import ResultTable
from ..table.curves import comparable_parts
from ..table.description import names_in_words
from ..text import format_number, markdown_table, without_empty_columns
from ..values import number, rows_as_dicts, text

TYPICAL = 10
"""Budget of the first sentence: the one nearest to this, by ratio, is taken."""


AGAINST: dict[Standing, str] = {
    "better": "better than {against} at {budgets} NFE",
    "worse": "worse than {against} at {budgets} NFE",
    "equivalent": "equivalent to {against} at {budgets} NFE",
    "inconclusive": "inconclusive against {against} at {budgets} NFE",
    "no verdict": "without a verdict against {against} at {budgets} NFE",
    "the same": "the same as {against} at {budgets} NFE, where methods coincide",
    "itself": "{against} itself at {budgets} NFE",
    "alone": "without a row of {against} to compare with at {budgets} NFE",
}

NOTHING = "Nothing was measured."


def answer_in_words(found: Findings, rows: pd.DataFrame) -> tuple[str, ...]:
    """Return sentences on one problem: lowest rows, baseline, model's error, one step, flags."""
    sentences = (
        _sentence_on_lowest(found.best, found.quantity),
        _sentence_against_baseline(found.best),
        DOMINATED if found.dominated else "",
        _sentence_on_one_step(rows_as_dicts(rows.loc[rows["status"] == "ok"])),
        _sentence_of_caveat(found.best),
    )
    return tuple(filter(None, sentences))


def _sentence_on_lowest(best: tuple[BestRow, ...], quantity: Quantity) -> str:
    distinct = [item for item in best if item.standing != "the same"]
    runs = [
        (curve, [str(item.budget) for item in items])
        for curve, items in groupby(distinct, key=lambda item: item.curve)
    ]
    words = "; ".join(f"{curve} at {names_in_words(budgets)} NFE" for curve, budgets in runs)
    return f"Lowest {quantity.title}: {words}." if words else ""


def _sentence_against_baseline(best: tuple[BestRow, ...]) -> str:
    against = best[0].against
    if all(item.standing == "alone" for item in best):
        return f"There is no row of {against} to compare with."
    phrases = [
        phrase.format(against=against, budgets=names_in_words(budgets))
        for standing, phrase in AGAINST.items()
        if (budgets := [str(item.budget) for item in best if item.standing == standing])
    ]
    return f"The lowest is {'; '.join(phrases)}."


DOMINATED = (
    "The model's own error dominates distances to the data in some of these rows, so that they rank "
    "no samplers: all of this is by the distance to converged samples of the same model."
)


def _sentence_on_one_step(rows: list[Record]) -> str:
    """Return the sentence that compares one step with perfect samples; "" without a row of one step."""
    jumps = [row for row in rows if row["steps"] == 1 and number(row, "fid_proxy_raw") is not None]
    jump = min(jumps, key=lambda row: row["sampler"] != BASELINE, default=None)
    if jump is None:
        return ""
    raw, floor = number(jump, "fid_proxy_raw"), number(jump, "fid_proxy_floor")
    sampler, distance = text(jump, "sampler"), format_number(raw)
    sentence = f"The jump in one step ({sampler}) has a plug-in distance of {distance}"
    if raw is not None and floor:
        sentence += f", {format_number(raw / floor, 2)} times what perfect samples get"
    return f"{sentence}."


def _sentence_of_caveat(best: tuple[BestRow, ...]) -> str:
    if flagged := [str(item.budget) for item in best if item.flagged]:
        at = names_in_words(flagged)
        return f"Intervals flagged † at {at} NFE are not to be trusted; the table says why."
    return ""


def lead_sentences(found: Findings, crossings: pd.DataFrame) -> tuple[str, ...]:
    """Return the opening sentences on one problem; ``crossings`` is its ``headline_table``."""
    distinct = [best for best in found.best if best.standing != "the same"]
    if not distinct:
        return ("At these budgets all methods coincide: there is nothing to choose.",)
    best = min(distinct, key=lambda best: abs(math.log(best.budget / TYPICAL)))
    sentences = (
        _sentence_of_advice(best, found.quantity),
        _sentence_on_plateau(found),
        _sentence_on_floor(crossings),
    )
    return tuple(filter(None, sentences))


def _sentence_of_advice(best: BestRow, quantity: Quantity) -> str:
    """Return the sentence that recommends a sampler at one budget, or says that the choice is open."""
    at = f"At {best.budget} evaluation{'s' if best.budget != 1 else ''}"
    value = f"{quantity.title} {value_plus_minus(best.row, quantity.name)}"
    if not best.others:
        return f"{at} {best.curve} has {value}; no other sampler was run there."
    if best.refusal:
        return (
            f"{at} there is no verdict: {best.curve} has the lowest value, {value}; "
            f"but {_reason_clause(best.refusal)}."
        )
    against = _factor_over_baseline(best, quantity)
    if best.is_shown_best:
        return f"{at} use {best.curve}: {value}{against}."
    rivals = f"{len(best.rivals)} others" if len(best.rivals) > 1 else "".join(best.rivals)
    return (
        f"{at} the choice is open: {best.curve} has the lowest value, "
        f"{value}{against}, but {rivals} cannot be told apart from it."
    )


def _reason_clause(refusal: str) -> str:
    """Return the reason against a verdict as a clause."""
    if refusal.startswith("flagged"):
        return "intervals are flagged as unreliable (†)"
    return f"it is {refusal}" if refusal.startswith("dominated") else f"there is {refusal}"


def _factor_over_baseline(best: BestRow, quantity: Quantity) -> str:
    """Return a clause that compares a row with the baseline, by a factor if better; "" for none."""
    words = {
        "inconclusive": f", not told apart from {best.against}",
        "equivalent": f", equivalent to {best.against}",
        "no verdict": f", without a verdict against {best.against}",
        "worse": f", worse than {best.against}",
    }
    if best.standing != "better" or best.baseline is None:
        return words.get(best.standing, "")
    low, high = (number(row, quantity.name) or 0.0 for row in (best.row, best.baseline))
    se = number(best.row, quantity.se) or 0.0
    if not (low > 2 * se and low > 0):  # a ratio to a value near 0 makes no sense
        return f", where {best.against} has {format_number(printed_value(quantity.name, high))}"
    return f", {format_number(high / low, 2)} times better than {best.against}"


def _sentence_on_plateau(findings: Findings) -> str:
    if findings.plateau is None:
        return ""
    budget, kind = findings.plateau.budget, findings.plateau.kind
    if kind == "falling":
        return f"The lowest is still falling at {budget} evaluations, the most that were tried."
    if kind == "none":
        return f"Beyond {budget} evaluations more buys no lower {findings.quantity.title}."
    return (
        f"Beyond {budget} evaluations nothing is told apart from the lowest there: "
        "whether more work helps is open."
    )


def _sentence_on_floor(crossings: pd.DataFrame) -> str:
    """Return the sentence on the fewest evaluations to the floor; "" if no curve reaches it."""
    reached = crossings.loc[crossings["nfe_to_floor"] < math.inf]
    if not len(reached):
        return ""
    first, others = reached.iloc[0], crossings.iloc[1:]
    rivals = [str(curve) for curve in others.loc[others["verdict"] != "worse", "curve"]]
    subject = "Fewest evaluations" if len(others) and not rivals else "Evaluations"
    floor = f"{format_number(first['tolerance'])}, the floor of {first['samples']} samples"
    sentence = f"{subject} until a sampler's own error is below {floor}: {first['curve']}, {first['shown']}"
    if first["flag"]:
        sentence += " †"
    if rivals:
        alike = rivals[0] if len(rivals) == 1 else f"{len(rivals)} others"
        sentence += f"; {alike} cannot be told apart from it"
    return f"{sentence}."


_BEFORE, _AFTER = ("sampler", "NFE budget", "steps", "NFE"), ("ms/sample",)


def markdown_summary(table: ResultTable, page: TableFindings) -> str:
    """Return a table and its findings as Markdown, problem by problem."""
    parts = ["# Sampler benchmark", ""]
    summarised = [quantity for quantity in quantities() if quantity.short]
    for title, rows in comparable_parts(table.frame):
        found = page.by_title[title]
        parts += [f"## {escape_markdown(title)}", ""]
        sentences = answer_in_words(found, rows) if found else (NOTHING,)
        parts += [f"- {escape_markdown(sentence)}" for sentence in sentences]
        lines = [
            (
                *(text(row, name) for name in ("curve", "slot", "steps")),
                format_number(number(row, "nfe")),
                *(cell for quantity in summarised for cell in _summary_cells(row, quantity)),
                format_number(number(row, "ms_per_sample")),
            )
            for row in rows_as_dicts(rows.loc[rows["status"] == "ok"])
        ]
        heads = (
            *_BEFORE,
            *(head for quantity in summarised for head in _summary_heads(quantity)),
            *_AFTER,
        )
        parts += ["", markdown_table(*without_empty_columns(heads, lines))]
    failed = [row for row in rows_as_dicts(table.frame) if row["status"] != "ok"]
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


def _summary_heads(quantity: Quantity) -> list[str]:
    head = quantity.short + (" [95 %]" if quantity.error == "interval" else "")
    return [head, "floor"] if quantity.floor and quantity.floor.perfect else [head]


def _summary_cells(row: Record, quantity: Quantity) -> list[str]:
    name, floor = quantity.name, quantity.floor
    if quantity.error == "interval":
        value = value_with_bounds(row, name) + (" †" if interval_flag(row, name) else "")
    else:
        value = format_number(printed_value(name, number(row, name)))
    return [value, format_number(number(row, floor.column))] if floor and floor.perfect else [value]
