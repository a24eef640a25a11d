"""Findings as sentences: the opening of a report's section, the best rows, a Markdown summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import pandas as pd

from .comparison.findings import BestRow, Findings, TableFindings
from .comparison.significance import Verdict
from .comparison.verdicts import COINCIDE, Line
from .printed_values import (
    BELOW_NOTE,
    interval_bounds,
    interval_flag,
    printed_value,
    shown_number,
    value_with_bounds,
)
from .quantities import Quantity, flags, quantities
from .result_table import ResultTable
from .table.curves import comparable_parts, label_of_curve
from .table.description import NAMED, names_in_words
from .text import escape_markdown, format_number, markdown_table, without_empty_columns
from .values import Record, number, rows_as_dicts, text

TYPICAL = 10
"""Preferred budget of the first sentence. The budget nearest to it by ratio is taken."""
FACTOR = 2
"""Smallest factor between two intervals for which a sentence states the factor."""

NOTHING = "Nothing was measured."


def answer_in_words(findings: Findings) -> tuple[str, ...]:
    """Return sentences on the best row of each budget, and on the model's error if it dominates."""
    distinct = [item for item in findings.best if item.standing != "the same"]
    words = []
    for (curve, verdict), items in groupby(distinct, lambda item: (item.curve, item.verdict)):
        budgets = names_in_words([str(item.budget) for item in items])
        words.append(f"{curve} at {budgets} NFE ({verdict})")
    best = f"{findings.quantity.best.capitalize()} {findings.quantity.title}"
    lowest = f"{best}: {'; '.join(words)}." if words else ""
    return tuple(filter(None, (lowest, DOMINATED if findings.is_dominated else "")))


DOMINATED = (
    "In some rows the network's own error outweighs the sampler's. "
    "Samplers are ranked by their distance to converged samples instead."
)


def lead_sentences(findings: Findings, crossings: pd.DataFrame) -> tuple[str, ...]:
    """Return a section's opening sentences; ``crossings`` is from ``headline_of_problem(rows)``."""
    best = headline_row(findings)
    if best is None:
        if all(are_all_alike(best, findings.quantity.name) for best in findings.best):
            return ("At these budgets all samplers give the same result.",)
        against = label_of_curve(findings.baseline)
        return (f"At these budgets no sampler is better than {against}, and others are its equal.",)
    sentences = (
        _sentence_of_advice(best, findings.quantity),
        _sentence_on_plateau(findings),
        _sentence_on_floor(crossings),
    )
    return tuple(filter(None, sentences))


def headline_row(findings: Findings) -> BestRow | None:
    """Return the best row of the budget nearest to 10; None without a budget that counts.

    A budget does not count if the baseline and another curve share its best value.
    """
    distinct = [best for best in findings.best if best.standing != "the same"]
    return min(distinct, key=lambda best: _distance_to_typical(best.budget), default=None)


def are_all_alike(best: BestRow, name: str) -> bool:
    """Return True if there are other curves at the budget, all with the best value of ``name``."""
    lowest, values = number(best.row, name) or 0.0, [number(row, name) or 0.0 for row in best.ties]
    alike = all(math.isclose(value, lowest, rel_tol=COINCIDE) for value in values)
    return 0 < best.others == len(values) and alike


def _distance_to_typical(budget: int) -> float:
    return abs(math.log(max(budget, 1) / TYPICAL))


def _evaluations(budget: int) -> str:
    return f"At {budget} evaluation{'s' if budget != 1 else ''}"


def _sentence_of_advice(best: BestRow, quantity: Quantity) -> str:
    at, name = _evaluations(best.budget), label_of_curve(best.curve)
    value = f"{quantity.title} {value_with_bounds(best.row, quantity.name)}"
    if not best.others:
        return f"{at} {name} has {value}; no other sampler has a value there."
    if best.refusal:
        return f"{at} {name} has the {quantity.best} value, {value}, without a verdict ({best.refusal})."
    against = _comparison_with_baseline(best, quantity)
    if best.is_shown_best:
        return f"{at} use {name}, with {value}." if not against else f"{at} use {name}; {against}."
    samples = number(best.row, "samples")
    subject = f"{samples:,.0f} samples show" if samples else "the run shows"
    otherwise = f"{subject} no significant difference"
    return f"{at} {_level_samplers(best)}; {against or otherwise}."


def _level_samplers(best: BestRow) -> str:
    name, rivals = label_of_curve(best.curve), [label_of_curve(rival) for rival in best.rivals]
    if len(rivals) == 1:
        return f"{name} and {rivals[0]} are level"
    others = names_in_words(rivals) if len(rivals) <= NAMED else f"{len(rivals)} others"
    return f"{name} is level with {others}"


def _comparison_with_baseline(best: BestRow, quantity: Quantity) -> str:
    """Return a clause that compares the best row with the baseline, or says that there is none.

    It is "" if the row is not shown to be better. It includes the ties if all are shown better.
    """
    if best.standing == "alone":
        return f"this run has no {best.against} to compare with"
    if best.standing != "better" or best.baseline is None:
        return ""
    rows = [best.row, *(best.ties if best.all_better else ())]
    who = "it is" if best.is_shown_best else f"{label_of_curve(best.curve)} is"
    if len(rows) > 1:
        who = "both are" if len(rows) == 2 else "all are"
    values = sorted(printed_value(quantity.name, number(row, quantity.name)) or 0.0 for row in rows)
    shown = dict.fromkeys(format_number(value, 2) for value in (values[0], values[-1]))
    listed = (" and " if len(rows) == 2 else " to ").join(shown)
    base = format_number(printed_value(quantity.name, number(best.baseline, quantity.name)))
    factor = _least_factor(rows, best.baseline, quantity.name)
    if factor < FACTOR:
        title = quantity.title
        return f"{who} better than {best.against} ({title} {listed} against {base})"
    is_distance = quantity.to and quantity.summary != "share"
    nearer = f"closer to the {quantity.to}" if is_distance else "lower"
    return (
        f"{who} at least {factor} times {nearer} than {best.against}, allowing for the 95 % intervals "
        f"({listed} against {base})"
    )


def _least_factor(rows: Sequence[Record], baseline: Record, name: str) -> int:
    """Return the least factor from any row's value up to the baseline's, by their 95 % intervals.

    It is the ratio of the nearest ends, rounded down to two digits; 0 if one is not positive.
    """
    low, *ends = (interval_bounds(row, name) for row in (baseline, *rows))
    high = max((end[1] for end in ends if end), default=0.0)
    if low is None or not all(ends) or high <= 0 or not 0 < low[0] / high < math.inf:
        return 0
    factor = math.floor(low[0] / high)
    return factor - factor % 10 ** max(len(str(factor)) - 2, 0)


def _sentence_on_plateau(findings: Findings) -> str:
    if findings.plateau is None:
        return ""
    budget, kind, quantity = findings.plateau.budget, findings.plateau.kind, findings.quantity
    if kind == "falling":
        moves = f"{quantity.best} value still {'falls' if quantity.lower else 'rises'}"
        return f"The {moves} at {budget} evaluations, the most that were tried."
    if kind == "none":
        return f"More than {budget} evaluations bring no {quantity.better} {quantity.title}."
    samples = number(findings.best[0].row, "samples")
    size = f" ({samples:,.0f} samples)" if samples else ""
    return f"We could not show that more than {budget} evaluations help{size}."


def _sentence_on_floor(crossings: pd.DataFrame) -> str:
    """Return the sentence on the curve that reaches the sampling noise first; "" if none does."""
    reached = crossings.loc[crossings["nfe_to_floor"] < math.inf]
    if not len(reached):
        return ""
    first, others = reached.iloc[0], crossings.iloc[1:]
    rivals = [str(curve) for curve in others.loc[others["verdict"] != "worse", "curve"]]
    need = f"{first['shown']}{' †' * bool(first['flag'])}"
    about = "" if need.startswith("≤") else "about "
    sentence = (
        f"With {about}{need} evaluations the error of {label_of_curve(first['curve'])} is no larger "
        f"than the sampling noise of {first['samples']:,} samples ({format_number(first['tolerance'])})"
    )
    if len(others) and not rivals:
        return f"{sentence}; every other sampler needs more."
    if rivals:
        alike = label_of_curve(rivals[0]) if len(rivals) == 1 else f"{len(rivals)} others"
        sentence += f"; {alike} may need as few"
    return f"{sentence}."


def sentence_on_comparison(lines: Sequence[Line]) -> str:
    """Return a sentence on lines of a model and metric, at the budget nearest to 10; "" if none."""
    budgets = {line.budget for line in lines if line.budget is not None}
    budget = min(budgets, key=_distance_to_typical, default=None)
    chosen = [line for line in lines if line.budget == budget and budget is not None]
    itself = all(line.sampler == line.baseline for line in chosen)
    phrases: list[str] = []
    for verdict, words in RELATIONS.items():
        names = [label_of_curve(line.sampler) for line in chosen if line.verdict == verdict]
        if names:
            against = "the baseline's" if itself else label_of_curve(chosen[0].baseline)
            subject = names_in_words(names) if len(names) <= NAMED else f"{len(names)} samplers"
            verb = "is" if len(names) == 1 else "are"
            other = "it" if phrases else against
            if not itself and len({line.baseline for line in chosen}) > 1:
                other = "its baseline" if len(names) == 1 else "their baselines"
            phrases.append(f"{subject} {verb} {words} {other}")
    return f"{_evaluations(budget)} {'; '.join(phrases)}." if budget and phrases else ""


RELATIONS: dict[Verdict, str] = {
    "better": "better than",
    "equivalent": "equivalent to",
    "inconclusive": "not distinguished from",
    "worse": "worse than",
    "no verdict": "without a verdict against",
}


def markdown_summary(table: ResultTable, findings: TableFindings) -> str:
    """Return a table and its findings as Markdown, with a section for each model and estimator."""
    parts = ["# Sampler benchmark", ""]
    columns: list[tuple[str, Callable[[Record], str]]] = [
        ("sampler", lambda row: text(row, "curve")),
        ("NFE budget", lambda row: text(row, "slot")),
        ("steps", lambda row: text(row, "steps")),
        ("NFE", lambda row: format_number(number(row, "nfe"))),
        *(column for q in quantities() if q.short for column in _summary_columns(q)),
        ("ms/sample", lambda row: format_number(number(row, "ms_per_sample"))),
    ]
    heads = [head for head, _ in columns]
    for title, rows in comparable_parts(table.frame):
        finding = findings.by_title[title]
        parts += [f"## {escape_markdown(title)}", ""]
        sentences = answer_in_words(finding) if finding else (NOTHING,)
        parts += [f"- {escape_markdown(sentence)}" for sentence in sentences]
        finished = rows_as_dicts(rows.loc[rows["status"] == "ok"])
        lines = [[cell_of(row) for _, cell_of in columns] for row in finished]
        parts += ["", markdown_table(*without_empty_columns(heads, lines))]
    failed = [row for row in rows_as_dicts(table.frame) if row["status"] != "ok"]
    if failed:
        names = ("model", "sampler", "params", "budget", "steps", "status", "reason")
        parts += [
            "## Rows without results",
            "",
            markdown_table(names, [tuple(text(row, name) for name in names) for row in failed]),
        ]
    flag_columns = names_in_words([f"`{column}`" for column in dict.fromkeys(flags().values())])
    parts += [f"† unreliable interval; {flag_columns} in table.csv say why. {BELOW_NOTE}.", ""]
    return "\n".join(parts)


def _summary_columns(quantity: Quantity) -> Iterator[tuple[str, Callable[[Record], str]]]:
    """Yield the columns of a quantity in a summary: heading, and function from row to text."""
    name, floor, has_interval = quantity.name, quantity.floor, quantity.error == "interval"

    def value_in_words(row: Record) -> str:
        if not has_interval:
            return shown_number(name, number(row, name))
        return value_with_bounds(row, name) + (" †" if interval_flag(row, name) else "")

    yield quantity.short + (" [95 %]" if has_interval else ""), value_in_words
    if floor and floor.perfect:
        yield "floor", lambda row: format_number(number(row, floor.column))
