"""Comparisons of two runs cell by cell, or of a run's samplers with one baseline sampler."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import pandas as pd

from ..printed_values import BELOW_NOTE, is_below_zero
from ..quantities import Quantity, find, judged
from ..run_directory.reading import log
from ..table.typed_table import TypedTable
from ..text import format_number
from ..values import Record, text
from .estimates import default_quantity
from .pairing import (
    Matches,
    Pair,
    Source,
    check_estimators,
    check_sources,
    match_cells,
    match_with_sampler,
    quantities_in_all,
    read_source,
)
from .significance import LEVEL
from .verdicts import MARGIN, SIDES, Line, judge_lines

SHOWN_UNMATCHED = 5
"""Largest number of unmatched rows that a note names. The note counts the others."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of a baseline with a candidate: a line for each pair of rows and each metric.

    ``unmatched`` describes rows without a partner, or whose partner lacks the metric. ``others`` are
    measured metrics that were not compared.
    """

    baseline: str
    candidate: str
    lines: tuple[Line, ...]
    unmatched: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """Data frame of the lines. Tuned rows add columns ``tuning_…`` and ``baseline_tuning_…``."""
        names = [field.name for field in fields(Line) if field.name not in SIDES]
        rows = [line.flat for line in self.lines]
        columns = dict.fromkeys([*names, *(name for row in rows for name in row)])
        return pd.DataFrame(rows, columns=list(columns))


def compare(
    baseline: Path | str,
    candidate: Path | str,
    *,
    metrics: Sequence[str] = (),
    margin: float = MARGIN,
) -> Comparison:
    """Compare two runs row by row: rows with the same model, sampler and settings.

    Args:
        baseline: run directory or table file.
        candidate: run directory or table file.
        metrics: columns to compare by; empty for each model's default
            (:func:`.estimates.default_quantity`), ("all",) for all.
        margin: largest difference that does not matter, >= 0, as a share of the baseline's value.
            For shares of samples such as flips, the margin is an absolute difference.

    Raises:
        ValueError: the runs differ in suite version, model or estimator, share no finished row, or
            lack a metric; or ``margin`` is negative.
    """
    a, b = read_source(baseline), read_source(candidate)
    matches = match_finished_cells(a, b)
    if not matches.pairs:
        raise no_shared_cell_error(a, b)
    for pair in matches.pairs:
        counts = pair.evaluations or (0.0, 0.0)
        if not math.isclose(*counts, rel_tol=MARGIN):
            before, after = map(format_number, counts)
            row = row_in_words(pair.candidate.record)
            log.warning(
                "%s takes %s evaluations a sample in %s, and %s in %s.", row, before, a, after, b
            )
    return compare_matches(a, b, matches, metrics, margin)


def compare_with(
    run: Path | str | TypedTable,
    sampler: str,
    *,
    metrics: Sequence[str] = (),
    margin: float = MARGIN,
) -> Comparison:
    """Compare the rows of a run with rows of one of its samplers, the baseline.

    Two compared rows agree in :data:`.pairing.SETTING`, and in the schedule unless a sampler brings
    its own. A table in memory has no arrays, so its rows are not compared sample by sample.
    ``sampler`` is a registry or curve name. ``metrics`` and ``margin`` are as in :func:`compare`.

    Raises:
        ValueError: no row is of ``sampler``, the run lacks a metric, or ``margin`` is negative.
    """
    source = read_source(run)
    matches = match_with_sampler(source.entries, sampler)
    return compare_matches(source, source, matches, metrics, margin, baseline=sampler)


def match_finished_cells(a: Source, b: Source) -> Matches:
    """Match the finished rows of two runs; raise a ValueError for runs that are not comparable."""
    check_sources(a, b)
    matches = match_cells(a.entries, b.entries)
    for pair in matches.pairs:
        check_estimators(*pair)
    return matches


def no_shared_cell_error(a: Source, b: Source) -> ValueError:
    """Return a ValueError that says that two runs have no finished row in common."""
    return ValueError(
        f"{a} and {b} share no finished cell; compare runs of one suite, or "
        "the samplers of a run with --baseline SAMPLER"
    )


def check_margin(margin: float) -> None:
    """Raise a ValueError for a margin below 0."""
    if not margin >= 0:
        raise ValueError(
            f"a margin of {margin:g} makes no sense: give a share of the baseline, 0 or more"
        )


def compare_matches(
    a: Source,
    b: Source,
    matches: Matches,
    metrics: Sequence[str],
    margin: float,
    *,
    baseline: str = "",
) -> Comparison:
    """Return the comparison of matched rows. ``baseline`` renames ``a`` in it; "" keeps its name.

    ``metrics``, ``margin`` and the errors for them are as in :func:`compare`.
    """
    check_margin(margin)
    quantities = quantities_in_all((a, b), judged())
    chosen = choose_quantities(metrics, quantities)
    pairs = [(pair, quantity) for quantity, pair in product(chosen, matches.pairs)]
    if not metrics:
        pairs = pairs_with_default_quantity(matches.pairs, quantities)
    used = {quantity.name for _, quantity in pairs}
    others = tuple(quantity.name for quantity in quantities if quantity.name not in used)
    sides = (("baseline", matches.only_baseline), ("candidate", matches.only_candidate))
    unmatched = [
        f"{row_in_words(entry.record)} (only in the {side})"
        for side, entries in sides
        for entry in entries
    ]
    for pair, quantity in pairs:
        lacking = [
            side for (side, _), x in zip(sides, pair, strict=True) if not x.estimate(quantity)
        ]
        # of all metrics, many suit no row of a stochastic sampler
        if len(lacking) == 1 or (lacking and "all" not in metrics):
            where = f"no {quantity.name} in the {' or the '.join(lacking)}"
            unmatched.append(f"{row_in_words(pair.candidate.record)} ({where})")
    judged_pairs = {pair for pair, _ in pairs}
    unmatched += [
        f"{row_in_words(pair.candidate.record)} (no metric with verdicts)"
        for pair in matches.pairs
        if pair not in judged_pairs
    ]
    lines = tuple(judge_lines(pairs, margin))
    return Comparison(baseline or str(a), str(b), lines, tuple(unmatched), others)


def pairs_with_default_quantity(
    pairs: Sequence[Pair], quantities: Sequence[Quantity] | None = None
) -> list[tuple[Pair, Quantity]]:
    """Return (pair, default quantity of its model) for each pair whose model has such a quantity.

    The default is one of ``quantities``; None stands for all quantities with verdicts.
    """
    rows: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for pair in pairs:
        rows[pair.key] += [entry.record for entry in pair]
    by = {key: default_quantity(records, quantities) for key, records in rows.items()}
    return [(pair, quantity) for pair in pairs if (quantity := by[pair.key])]


def choose_quantities(metrics: Sequence[str], pool: Sequence[Quantity]) -> list[Quantity]:
    """Return the quantities of ``pool`` that ``metrics`` names: all for "all", the first for ().

    Raises a ValueError if ``pool`` is empty or lacks a quantity that ``metrics`` names.
    """
    names = [q.name for q in pool]
    if not pool:
        raise ValueError("there is nothing to compare: no metric has values on both sides")
    for name in metrics:
        if name not in (*names, "all"):
            raise ValueError(
                f"metric {name!r} has no values to compare; choose from {', '.join(names)}, or all"
            )
    return list(pool) if "all" in metrics else [q for q in pool if q.name in (metrics or names[:1])]


def row_in_words(row: Record) -> str:
    """Return model, curve and budget (or steps) of a row as text."""
    budget = text(row, "slot") or text(row, "steps")
    return f"{text(row, 'model')}: {text(row, 'curve')}" + (f" at {budget}" if budget else "")


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return sentences on a comparison: verdict counts, reasons against verdicts, rows left out."""
    lines, count = comparison.lines, len(comparison.unmatched)
    counts = Counter(line.verdict for line in lines).most_common()
    measured = sorted({line.metric for line in lines})
    higher = [name for name in measured if not find(name).lower]
    better = "higher is better" if higher else "lower is better"
    if 0 < len(higher) < len(measured):
        better += f" for {', '.join(higher)}, lower for the others"
    listed = ", ".join(f"{n} {verdict}" for verdict, n in counts)
    remarks = [
        f"{len(lines)} comparisons" + (": " if counts else "") + f"{listed}.",
        f"Δ is candidate less baseline, with its own 95 % interval; {better}. Verdicts are "
        "Holm-corrected: the chance of any false better or worse in this table is at most "
        f"{LEVEL:.0%}.",
    ]
    values = ((line.metric, x) for line in lines for x in (line.value, line.baseline_value))
    if any(is_below_zero(*item) for item in values):
        remarks.append(f"{BELOW_NOTE}.")
    for start, field in (("No verdict", "reason"), ("Times not compared", "time_reason")):
        reasons = Counter(reason for line in lines if (reason := getattr(line, field)))
        remarks += [f"{start} in {n} rows: {reason}." for reason, n in reasons.items()]
    if alone := sum(line.paired == 0 for line in lines):
        why = "other latents, or no influence values; their intervals are wider than paired ones"
        remarks.append(f"{alone} unpaired (*): {why}.")
    if count:
        more = f" and {count - SHOWN_UNMATCHED} more" if count > SHOWN_UNMATCHED else ""
        remarks.append(f"Not compared: {'; '.join(comparison.unmatched[:SHOWN_UNMATCHED])}{more}.")
    if comparison.others:
        others = ", ".join(comparison.others)
        remarks.append(f"Also measured: {others} (--metric NAME, or --metric all).")
    return remarks
