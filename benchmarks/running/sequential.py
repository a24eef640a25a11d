"""Sequential sampling: analyses at N, 2 N, 4 N, … samples until decided, where only open rows are
extended.

A row is closed when its difference to the baseline is significant or within the margin
(:mod:`.interim`), when its standard error is as small as requested, or when it fails. One that may
not be extended further is *undecided*. ``looks.json`` of the run directory stores the analyses: a
killed run continues, and one that ``max_samples`` stopped can get more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...results.comparison.entries import Entry, read_source
from ...results.comparison.pairing import Pair, against
from ...results.comparison.significance import LEVEL, Evidence, Verdict, verdict_at
from ...results.comparison.verdicts import Judgement, judge
from ...results.quantities import find
from ...results.record import Record
from ...results.result_table import ResultTable
from ...results.text import ends
from ...results.values import number, text
from ..suites.cell import Cell
from ..suites.suite import Until
from . import runner
from .cell_states import admit
from .setup import Setup

UNDECIDED = "undecided"

FUTILE = 0.8
"""Share of the variance from the reference's own samples above which more samples of a row no
longer help.
"""

Row = dict[str, Any]
"""Row: ``model``, ``curve``, ``budget``, ``samples``, ``verdict``, ``reason``, ``look``, and the
numbers of the verdict.

``verdict`` is the result of a comparison, "precise" (its standard error is as small as requested),
"futile" (more samples would not decide it), "not compared", "failed" (its samples are gone, with
the numbers of earlier analyses) or "undecided".
"""


def level_at(look: int, rows: int, level: float = LEVEL) -> float:
    """Return the level of a test of one of ``rows`` rows at analysis 1, 2, ….

    The levels of all rows and analyses sum to ``level``.
    """
    return 6 / math.pi**2 * level / look**2 / rows


def decision(evidence: Evidence, level: float) -> Verdict:
    """Return the verdict of one row by itself at a level."""
    return verdict_at(evidence.difference, evidence.p_difference, evidence.p_equivalence, level)


def looked_at(entries: Sequence[Entry], until: Until, level: float) -> dict[str, Row]:
    """Return the rows by cell, each judged by itself at a level.

    Rows of the baseline are included only if a precision is requested.
    """
    pairs = {cell_of(pair.candidate): pair for pair in _pairs(entries, until)}
    rows = {}
    for entry in entries:
        key = cell_of(entry)
        if in_question(entry.record, until):
            rows[key] = _row(entry.record) | _comparison(pairs.get(key), until, level)
            if rows[key]["verdict"] in (UNDECIDED, "futile", "not compared"):
                rows[key] |= _precise(entry, until)
    return rows


def failed_at(failed: Sequence[Record], until: Until) -> dict[str, Row]:
    """Return the rows without results by cell, closed as "failed": earlier analyses used other
    samples.
    """
    rows = [row for row in failed if in_question(row, until)]
    return {
        text(row, "cell"): _row(row) | {"verdict": "failed", "reason": _failure(row)}
        for row in rows
    }


def in_question(row: Record, until: Until) -> bool:
    """Return True if a row is judged: the baseline's are not, unless a precision is requested."""
    return until.target_se is not None or text(row, "sampler") != until.baseline


def _failure(row: Record) -> str:
    return ": ".join(part for part in (text(row, "status"), text(row, "reason")) if part)


def cell_of(entry: Entry) -> str:
    """Return the name of an entry's cell."""
    return text(entry.record, "cell")


def _row(row: Record) -> Row:
    budget = number(row, "slot") or number(row, "steps")
    return {
        "model": text(row, "model"),
        "curve": text(row, "curve"),
        "budget": budget and int(budget),
        "samples": row["samples"],
    }


def _pairs(entries: Sequence[Entry], until: Until) -> list[Pair]:
    """Return the comparable rows, with their baselines."""
    quantity = find(until.column)
    measured = [entry for entry in entries if entry.estimate(quantity) is not None]
    has_baseline = any(text(entry.record, "sampler") == until.baseline for entry in measured)
    return (
        against(measured, until.baseline).pairs
        if has_baseline and until.baseline is not None
        else []
    )


def _comparison(pair: Pair | None, until: Until, level: float) -> Row:
    judgement = judge(pair, find(until.column), until.margin) if pair else None
    if pair is None or judgement is None:
        reason = (
            f"no row of {until.baseline} to compare with by {until.column}"
            if until.baseline
            else ""
        )
        return {"verdict": "not compared", "reason": reason}
    gap, reason = judgement.gap, judgement.reason
    verdict = decision(judgement.evidence, level) if judgement.evidence else "inconclusive"
    if verdict == "inconclusive":
        verdict, reason = _undecided_or_futile(judgement)
    low, high = (None, None) if gap.se is None else ends(gap.value, gap.se)
    numbers = {
        "difference": gap.value,
        "se": gap.se,
        "low": low,
        "high": high,
        "margin": judgement.margin,
    }
    return {"against": cell_of(pair.baseline), **numbers, "verdict": verdict, "reason": reason}


def _undecided_or_futile(judgement: Judgement) -> tuple[str, str]:
    """Return "undecided", or "futile" if more samples cannot decide a row, and the reason."""
    a, b, gap = judgement.baseline, judgement.candidate, judgement.gap
    if (
        a.reference is None
        or b.reference is None
        or b.influence is None
        or not gap.paired
        or not gap.se
    ):
        return UNDECIDED, judgement.reason
    fixed = float((b.reference - a.reference).var(ddof=1)) / len(b.reference)
    if len(b.reference) < len(b.influence) and fixed > FUTILE * gap.se**2:
        return "futile", (
            f"{len(b.reference)} reference samples limit it: raise "
            "converged_samples, or compare by another metric"
        )
    return UNDECIDED, judgement.reason


def _precise(entry: Entry, until: Until) -> Row:
    """Return the verdict "precise" if a row's own standard error is as small as requested.

    A flagged one never is.
    """
    quantity = find(until.column)
    estimate = entry.estimate(quantity)
    if until.target_se is None or estimate is None or estimate.se is None:
        return {}
    flag = text(entry.record, quantity.flag)
    reached = not flag and estimate.se <= until.target_se
    reason = f"standard error of {quantity.name} {estimate.se:.2g}" + (
        f"; flagged: {flag}" if flag else ""
    )
    return {"verdict": "precise" if reached else UNDECIDED, "reason": reason}


FILE = "looks.json"
GROWTH = 16
"""Default limit of a row's samples, as a multiple of its first number."""


@dataclass(frozen=True)
class InterimAnalyses:
    """Results of the interim analyses of a run.

    Attributes:
        until: settings of the analyses.
        question: all that an answer depends on.
        made: fingerprints of each cell, by key; empty before the first analysis.
        number: of analyses so far.
        samples: of each cell that was extended, by key.
        found: result of each row, by key.
    """

    until: Until
    question: Mapping[str, Any]
    made: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    samples: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, Row] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """Results of the rows, in the order of the plan."""
        return [self.found[key] for key in self.first if key in self.found]

    @property
    def first(self) -> Mapping[str, int]:
        """First number of samples of each cell, by key, in the order of the plan."""
        return self.question["first"]

    def to_extend(self) -> set[str]:
        """Return the cells that the next analysis extends: all at first, then open ones below their
        limit, and their baselines.
        """
        if not self.number:
            return set(self.first)
        rows, look = self.found, self.number + 1
        still = {
            key
            for key, row in rows.items()
            if row["verdict"] == UNDECIDED and self.samples_at(key, look) <= self._most(key)
        }
        return still | {rows[key]["against"] for key in still if "against" in rows[key]}

    def samples_at(self, key: str, look: int) -> int:
        """Return the samples of an open row at an analysis."""
        return self.first[key] * 2 ** (look - 1)

    def _most(self, key: str) -> int:
        return self.until.max_samples or GROWTH * self.first[key]

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``looks.json``."""
        return {
            "question": self.question,
            "look": self.number,
            "samples": self.samples,
            "rows": self.found,
            "made": self.made,
        }


class Decided(NamedTuple):
    """Result of a run with interim analyses."""

    table: ResultTable
    looks: InterimAnalyses


def run_until_decided(setup: Setup, until: Until, *, retry: bool = False) -> Decided:
    """Extend and analyse until no row is open, then take the times.

    Args:
        setup: its cells have the samples of the first analysis.
        until: the question.
        retry: True to run cells without a result again although nothing changed.

    Raises:
        ValueError: the baseline is not among the samplers, or a row starts with more samples than
            any may have.
    """
    run, looks = setup.directory, looks_on_record(setup, until)
    with run.lock():  # so that all cells are of the present code
        admit(setup)
        fingerprints = {key: run.made_by(key) for key in looks.first}
    if looks.made != fingerprints:  # analyses of other code are void
        looks = InterimAnalyses(until, looks.question, fingerprints)
    while extended := looks.to_extend():
        number = looks.number + 1
        samples = {**looks.samples, **{key: looks.samples_at(key, number) for key in extended}}
        runner.run(_with_samples(setup, samples), retry=retry, timing=False)
        retry = False  # once
        rows = {**looks.found, **look(setup, looks, extended)}
        looks = replace(looks, number=number, samples=samples, found=rows)
        run.write_log(FILE, looks.to_json())
    return Decided(runner.run(_with_samples(setup, looks.samples), retry=retry), looks)


def looks_on_record(setup: Setup, until: Until) -> InterimAnalyses:
    """Return the stored analyses of the same question; an empty record if there are none.

    Raises:
        ValueError: see :func:`run_until_decided`.
    """
    cells = [cell for cell in setup.cells if not cell.skip]
    _check(until, cells)
    question: dict[str, Any] = {
        **until.model_dump(exclude={"max_samples"}),
        "first": {cell.key: cell.samples for cell in cells},
    }
    # cells do not depend on the real samples of the comparison
    if setup.suite.reference is not None:
        question["against"] = {
            name: reference.identity for name, reference in setup.references.items() if reference
        }
    stored = setup.directory.read_log(FILE)
    if stored.get("question") != question:
        return InterimAnalyses(until, question)
    fingerprints, samples, rows = stored.get("made") or {}, stored["samples"], stored["rows"]
    return InterimAnalyses(until, question, fingerprints, stored["look"], samples, rows)


def _with_samples(setup: Setup, samples: Mapping[str, int]) -> Setup:
    """Return the same run with these numbers of samples."""
    cells = [replace(cell, samples=samples.get(cell.key, cell.samples)) for cell in setup.cells]
    return replace(setup, cells=cells)


def look(setup: Setup, looks: InterimAnalyses, extended: Collection[str]) -> dict[str, Row]:
    """Return the rows that were open and extended, as the next analysis judges them."""
    number, until, first = looks.number + 1, looks.until, looks.first
    compared = [
        cell for cell in setup.cells if cell.key in first and cell.sampler.name != until.baseline
    ]
    source = read_source(setup.directory.path)
    entries = [entry for entry in source.entries if cell_of(entry) in first]
    rows = failed_at(source.failed, until) | looked_at(
        entries, until, level_at(number, max(len(compared), 1))
    )
    closed = {key for key, row in looks.found.items() if row["verdict"] != UNDECIDED}
    return {
        key: {**row, "look": number}
        for key, row in rows.items()
        if key in extended and key not in closed
    }


def _check(until: Until, cells: list[Cell]) -> None:
    """Refuse a question that cannot be decided.

    Raises:
        ValueError: see :func:`run_until_decided`.
    """
    samplers = sorted({cell.sampler.name for cell in cells})
    if until.baseline is not None and until.baseline not in samplers:
        raise ValueError(
            f"the baseline {until.baseline!r} is not run; choose one of "
            f"{', '.join(samplers) or 'no samplers'}, or add it with --sampler"
        )
    most = until.max_samples
    large = next((cell for cell in cells if most is not None and cell.samples > most), None)
    if large is not None:
        raise ValueError(
            f"--max-samples {most} is less than {large.model} starts with "
            f"({large.samples}); raise it, or lower --samples"
        )
