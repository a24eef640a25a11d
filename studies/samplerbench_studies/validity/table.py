"""Tables of the study: quality of predictors by set with intervals, trials on CIFAR-10, values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from samplerbench.results import csv_lines, markdown_table
from samplerbench.results.run_directory import write_text

from .choosing import TriedPredictor
from .correlation import REPLICATES, STATISTICS, Pair, bootstrap_interval, pairs_of_counted_budgets
from .measuring import COLUMNS, Measured
from .predicting import QUESTIONS, Predictor, Question, ceiling_pairs
from .sets import CHOOSING, SETS

Row = dict[str, Any]

TOGETHER = "all but CIFAR-10"
CEILING = "published FIDs of CIFAR-10"


def validity_rows(
    measured: Mapping[str, Measured],
    chosen: Iterable[tuple[Question, Predictor]],
    *,
    sets: Iterable[str] = tuple(SETS),
    replicates: int = REPLICATES,
) -> list[Row]:
    """Return rows by set, question and predictor, with and without plainly bad methods.

    Further rows have the ceiling (:func:`.predicting.ceiling_pairs`).

    Args:
        measured: measured columns by model.
        chosen: pairs of question and predictor.
        sets: names of the sets to predict.
        replicates: number of replicates of the bootstrap; 0 makes all intervals NaN.
    """
    rows: list[Row] = []
    answers = list(chosen)
    groups = {name: [name] for name in sets}
    if len(tested := [name for name in groups if name != CHOOSING]) > 1:
        groups[TOGETHER] = tested
    for (name, members), question, bad in product(groups.items(), QUESTIONS, (True, False)):
        found = [
            (one.name, pool_sets({m: one.pairs(measured, m, question, bad=bad) for m in members}))
            for asked, one in answers
            if asked == question
        ]
        if name != CHOOSING and found:
            limit = pool_sets({m: ceiling_pairs(m, question, bad=bad) for m in members})
            found.append((CEILING, limit))
        rows += [
            {
                "set": name,
                "methods": question,
                "plainly bad": "with" if bad else "without",
                "predictor": predictor,
                **statistics_row(pairs, replicates),
            }
            for predictor, pairs in found
            if pairs_of_counted_budgets(pairs)
        ]
    return rows


def pool_sets(of_sets: Mapping[str, Sequence[Pair]]) -> list[Pair]:
    """Return the pairs of several sets in one list, with separate budgets for each set.

    A method of several sets is one unit of the bootstrap.
    """
    return [
        replace(pair, budget=(name, int(pair.budget)))  # type: ignore[arg-type]
        for name, pairs in of_sets.items()
        for pair in pairs
    ]


def statistics_row(pairs: Sequence[Pair], replicates: int = REPLICATES) -> Row:
    """Return counts of some pairs, and each statistic with its interval."""
    used = pairs_of_counted_budgets(pairs)
    row: Row = {
        "n_methods": len({pair.method for pair in used}),
        "n_budgets": len({pair.budget for pair in used}),
        "n_points": len(used),
    }
    for name, statistic in STATISTICS.items():
        low, high = bootstrap_interval(pairs, statistic, replicates=replicates)
        row |= {name: statistic(pairs), f"{name}_low": low, f"{name}_high": high}
    return row


def rows_by_budget(
    measured: Mapping[str, Measured], question: Question, predictor: Predictor
) -> list[Row]:
    """Return the rank correlation at each budget of each set, over all methods."""
    return [
        {
            "set": name,
            "methods": question,
            "budget": budget,
            "n": len(here),
            "spearman": STATISTICS["spearman"](here),
        }
        for name in SETS
        for pairs in [predictor.pairs(measured, name, question)]
        for budget in sorted({pair.budget for pair in pairs})
        for here in [[pair for pair in pairs if pair.budget == budget]]
    ]


def tried_rows(tried: Iterable[TriedPredictor]) -> list[Row]:
    """Return the tried predictors of CIFAR-10 as rows."""
    return [
        {
            "methods": one.question,
            "predictor": one.predictor.name,
            "n_points": one.points,
            "spearman": one.spearman,
            "without_bad": one.without,
            "score": one.score,
        }
        for one in tried
    ]


def measured_rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Return the columns of each model by method and budget."""
    return [
        {"model": model, "method": method.name, "budget": budget}
        | {column: columns.get(column) for column in COLUMNS}
        for model, known in measured.items()
        for (method, budget), columns in sorted(
            known.items(), key=lambda item: (item[0][0].name, item[0][1])
        )
    ]


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, with empty fields for missing keys, and floats with five digits."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    write_text(
        path, csv_lines(header, ([_csv_cell(row.get(key)) for key in header] for row in rows))
    )


def validity_markdown(rows: Sequence[Row]) -> str:
    """Return the validity table as Markdown."""
    shown = ("spearman", "kendall", "alike_0", "alike_25", "alike_100")
    head = (
        "set",
        "methods",
        "plainly bad",
        "predictor",
        "n",
        "Spearman",
        "Kendall",
        "ordered alike",
        "> 25 % apart",
        "> 100 % apart",
    )
    return markdown_table(
        head,
        [
            (
                row["set"],
                row["methods"],
                row["plainly bad"],
                row["predictor"],
                f"{row['n_methods']} at {row['n_budgets']}",
                *(statistic_with_interval(row, name) for name in shown),
            )
            for row in rows
        ],
    )


def statistic_with_interval(row: Row, name: str) -> str:
    """Return a statistic with its interval: a correlation, or a share in per cent."""
    values = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
    texts = [f"{v:.0%}" if name.startswith("alike") else f"{v:.2f}" for v in values if v == v]
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if len(texts) == 3 else "") if texts else ""


def _csv_cell(value: object) -> object:
    if value is None or value != value:
        return ""
    return float(f"{value:.5g}") if isinstance(value, float) else value
