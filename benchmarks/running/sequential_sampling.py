r"""Sequential sampling: analyses at N, 2 N, 4 N, … samples of the open rows, until all are closed.

A row is closed when its difference to the baseline is significant or within the margin. A row also
closes if its standard error is as small as requested, its cell fails, it cannot be compared, or more
samples are futile. An open row at its largest number of samples is *undecided*. ``looks.json`` in
the run directory stores the analyses, so that a killed or limited run can continue.

Analysis k of a table of m rows may spend

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha,

so that the number of analyses need not be known beforehand (alpha spending: Lan and DeMets 1983).
Each row may spend an m-th of alpha_k: it is tested at analysis k at the level t = alpha_k / m
(:func:`~samplerbench.results.comparison.significance.verdict_at_level`).

Claim: for any dependence of rows and analyses, the chance of any false decision in the table, at
any analysis, is at most alpha.

Proof, for normal differences of known error. A decision is false if it says "better" where d >= 0,
"worse" where d <= 0, or "equivalent" where |d| >= margin. At level t its chance is at most t for
each d. If d = 0, a two-sided test errs: t. If 0 < |d| < margin, only the sign can be wrong: t / 2.
Let d >= margin and mu = margin / se. "Equivalent" has a chance of at most t - Phi(z - 2 mu) with
Phi(-z) = t. A wrong sign has at most Phi(-z' - mu) with Phi(-z') = t / 2. Together they have no
more than t if mu <= z + z', and beyond that no more than t + Phi(-2 z' - z) < (1 + 3e-7) t. The sum
over rows and analyses is alpha. □

The sums are Bonferroni's and suppose nothing. Analyses share samples, so the true rate is lower.
Holm's step-down is not valid here: a row that is rightly called worse can still be called
equivalent wrongly. So a decision on this row does not leave fewer false claims to guard against.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...results.comparison.pairing import Entry, Pair, match_with_sampler, read_source
from ...results.comparison.significance import (
    Evidence,
    Verdict,
    level_of_test,
    verdict_at_level,
)
from ...results.comparison.verdicts import Judgement, judge
from ...results.quantities import find
from ...results.result_table import ResultTable
from ...results.run_directory.layout import INTERIM
from ...results.values import Record, number, text
from ..metrics import metrics
from ..suites.cell import Cell
from ..suites.suite import Until
from . import runner
from .setup import Setup

GROWTH = 16  # default limit of a row's samples, as a multiple of those of the first analysis

UNDECIDED = "undecided"

FUTILE = 0.8
"""Share of a difference's variance due to reference samples above which more samples are futile."""

Row = dict[str, Any]
"""Row: ``model``, ``curve``, ``budget``, ``samples``, ``verdict``, ``reason``, ``look`` (number of
its last analysis). If compared: ``against``, the baseline's key, ``difference``, ``se``, ``low``
and ``high`` (95 % interval), ``margin``.

``verdict`` is "better", "worse", "equivalent", "undecided", "not compared", or one of three others.
"precise": the standard error is as small as requested. "futile": more samples would not decide the
row. "failed": the cell failed, so that the row lacks the numbers of earlier analyses.
"""


@dataclass(frozen=True)
class InterimAnalyses:
    """Results of a run's interim analyses, by the keys of the cells.

    ``question`` has the settings and first numbers of samples; stored results for another question
    are not used. ``made_by`` has the columns ``made_by`` of the cells that were analysed; {} before
    the first comparison.
    """

    until: Until
    question: Mapping[str, Any]
    made_by: Mapping[str, str] = field(default_factory=dict)
    number: int = 0  # of analyses so far
    samples: Mapping[str, int] = field(default_factory=dict)  # of each extended cell
    rows_by_cell: Mapping[str, Row] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """Results of the rows, in the order of the plan."""
        rows = self.rows_by_cell
        return [rows[key] for key in self.first_sample_counts if key in rows]

    @property
    def first_sample_counts(self) -> Mapping[str, int]:
        """Number of samples of each cell at the first analysis, by key in the plan's order."""
        return self.question["first"]

    def cells_to_extend(self) -> set[str]:
        """Return the keys of the cells that the next analysis extends.

        The first analysis extends all cells. Later analyses extend open rows below their limit, and
        the baselines of these rows.
        """
        if not self.number:
            return set(self.first_sample_counts)
        rows, number = self.rows_by_cell, self.number + 1
        still = {
            key
            for key, row in rows.items()
            if row["verdict"] == UNDECIDED
            and self.samples_at_analysis(key, number)
            <= (self.until.max_samples or GROWTH * self.first_sample_counts[key])
        }
        return still | {rows[key]["against"] for key in still if "against" in rows[key]}

    def samples_at_analysis(self, key: str, number: int) -> int:
        """Return the number of samples of an open row at analysis ``number`` >= 1."""
        return self.first_sample_counts[key] * 2 ** (number - 1)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``looks.json``."""
        return {
            "question": self.question,
            "look": self.number,
            "samples": self.samples,
            "rows": self.rows_by_cell,
            "made": self.made_by,
        }


def run_until_decided(
    setup: Setup, until: Until, *, retry: bool = False
) -> tuple[ResultTable, InterimAnalyses]:
    """Sample and analyse until no open row may get more samples; return table and analyses.

    The cells of ``setup`` have the numbers of samples of the first analysis. Times are taken last.

    Raises:
        ValueError: the baseline is not among the samplers, a row starts with more samples than
            ``max_samples``, or a run fails (:func:`.runner.run`).
    """
    run, analyses = setup.directory, stored_analyses(setup, until)
    with run.lock():  # so that all cells are of the present code
        runner.admit_cells(setup)
        fingerprints = {key: run.made_by(key) for key in analyses.first_sample_counts}
    if analyses.made_by != fingerprints:  # analyses of other code are void
        analyses = InterimAnalyses(until, analyses.question, fingerprints)
    while extended := analyses.cells_to_extend():
        number = analyses.number + 1
        more = {key: analyses.samples_at_analysis(key, number) for key in extended}
        samples = {**analyses.samples, **more}
        runner.run(_with_samples(setup, samples), retry=retry, timing=False)
        retry = False  # failed cells are tried again once only
        rows = {**analyses.rows_by_cell, **analyse_open_rows(setup, analyses, extended)}
        analyses = replace(analyses, number=number, samples=samples, rows_by_cell=rows)
        run.write_top_json(INTERIM, analyses.to_json())
    return runner.run(_with_samples(setup, analyses.samples), retry=retry), analyses


def stored_analyses(setup: Setup, until: Until) -> InterimAnalyses:
    """Return the analyses stored in the run directory, or empty ones if the settings differ.

    Raises a ValueError if the baseline is not run, or ``max_samples`` is too small.
    """
    cells = [cell for cell in setup.cells if not cell.skip]
    _check_question(until, cells)
    question: dict[str, Any] = {
        **until.model_dump(exclude={"max_samples"}),
        "first": {cell.key: cell.samples for cell in cells},
        "converged_samples": setup.suite.converged_samples,
        "version": [m.version for m in metrics().values() if find(until.column) in m.quantities],
    }
    # cells do not depend on the real samples of the comparison
    if setup.suite.reference is not None:
        question["against"] = {
            name: reference.identity for name, reference in setup.references.items() if reference
        }
    stored = setup.directory.read_top_json(INTERIM)
    if stored.get("question") != question:
        return InterimAnalyses(until, question)
    fingerprints, samples, rows = stored.get("made") or {}, stored["samples"], stored["rows"]
    return InterimAnalyses(until, question, fingerprints, stored["look"], samples, rows)


def setup_of_last_analysis(setup: Setup) -> Setup:
    """Return the setup with the numbers of samples of the stored analyses, if its suite has any."""
    until = setup.suite.until
    return _with_samples(setup, stored_analyses(setup, until).samples) if until else setup


def _check_question(until: Until, cells: list[Cell]) -> None:
    """Raise a ValueError if there is nothing to compare, or ``max_samples`` is too small."""
    samplers = sorted({cell.sampler.name for cell in cells})
    if until.baseline is not None and until.baseline not in samplers:
        raise ValueError(
            f"the baseline {until.baseline!r} is not run; choose one of "
            f"{', '.join(samplers) or 'no samplers'}, or add it with --sampler"
        )
    if samplers == [until.baseline] and until.target_se is None:
        raise ValueError(
            f"every row is of the baseline {until.baseline!r}, so none is compared with it; add "
            "another one with --sampler"
        )
    most = until.max_samples
    large = next((cell for cell in cells if most is not None and cell.samples > most), None)
    if large is not None:
        raise ValueError(
            f"--max-samples {most} is less than {large.model} starts with "
            f"({large.samples}); raise it, or lower --samples"
        )


def _with_samples(setup: Setup, samples: Mapping[str, int]) -> Setup:
    cells = [replace(cell, samples=samples.get(cell.key, cell.samples)) for cell in setup.cells]
    return replace(setup, cells=cells)


def analyse_open_rows(
    setup: Setup, analyses: InterimAnalyses, extended: Collection[str]
) -> dict[str, Row]:
    """Judge the open rows that were extended, and return them by cell key."""
    number, until, first = analyses.number + 1, analyses.until, analyses.first_sample_counts
    compared = [
        cell for cell in setup.cells if cell.key in first and cell.sampler.name != until.baseline
    ]
    source = read_source(setup.directory.path)
    entries = [entry for entry in source.entries if text(entry.record, "cell") in first]
    level = level_of_test(number, max(len(compared), 1))
    rows = failed_rows(source.failed, until) | judged_rows(entries, until, level)
    closed = {key for key, row in analyses.rows_by_cell.items() if row["verdict"] != UNDECIDED}
    return {
        key: {**row, "look": number}
        for key, row in rows.items()
        if key in extended and key not in closed
    }


def verdict_of(evidence: Evidence, level: float) -> Verdict:
    """Return the verdict of a row at a significance level, without correction for other rows."""
    return verdict_at_level(
        evidence.difference, evidence.p_difference, evidence.p_equivalence, level
    )


def judged_rows(entries: Sequence[Entry], until: Until, level: float) -> dict[str, Row]:
    """Return rows with verdicts at a significance level, by cell key.

    Rows of the baseline are included only if a standard error is requested.
    """
    quantity, baseline = find(until.column), until.baseline
    pair_of: dict[str, Pair] = {}
    if baseline is not None:
        measured = [entry for entry in entries if entry.estimate(quantity) is not None]
        if any(text(entry.record, "sampler") == baseline for entry in measured):
            pairs = match_with_sampler(measured, baseline).pairs
            pair_of = {text(pair.candidate.record, "cell"): pair for pair in pairs}
    rows = {}
    for entry in entries:
        if is_judged(entry.record, until):
            key = text(entry.record, "cell")
            row = _identity_columns(entry.record)
            row |= _comparison_columns(pair_of.get(key), until, level)
            if row["verdict"] in (UNDECIDED, "futile", "not compared"):
                row |= _precision_columns(entry, until)
            rows[key] = row
    return rows


def failed_rows(failed: Sequence[Record], until: Until) -> dict[str, Row]:
    """Return the rows of failed cells by cell key, with the verdict "failed"."""
    rows = {}
    for row in failed:
        if is_judged(row, until):
            reason = ": ".join(filter(None, (text(row, "status"), text(row, "reason"))))
            verdict = {"verdict": "failed", "reason": reason}
            rows[text(row, "cell")] = _identity_columns(row) | verdict
    return rows


def is_judged(row: Record, until: Until) -> bool:
    """Return True if a row is judged; the baseline's rows only if a standard error is requested."""
    return until.target_se is not None or text(row, "sampler") != until.baseline


def _identity_columns(row: Record) -> Row:
    budget = number(row, "slot") or number(row, "steps")
    return {
        "model": text(row, "model"),
        "curve": text(row, "curve"),
        "budget": budget and int(budget),
        "samples": row["samples"],
    }


def _comparison_columns(pair: Pair | None, until: Until, level: float) -> Row:
    judgement = judge(pair, find(until.column), until.margin) if pair else None
    if pair is None or judgement is None:
        baseline = until.baseline
        reason = f"no row of {baseline} to compare with by {until.column}" if baseline else ""
        return {"verdict": "not compared", "reason": reason}
    gap, reason = judgement.gap, judgement.reason
    verdict = verdict_of(judgement.evidence, level) if judgement.evidence else "inconclusive"
    if verdict == "inconclusive":
        verdict, reason = _undecided_or_futile(judgement)
    low, high = gap.interval or (None, None)
    return {
        "against": text(pair.baseline.record, "cell"),
        "difference": gap.value,
        "se": gap.se,
        "low": low,
        "high": high,
        "margin": judgement.margin,
        "verdict": verdict,
        "reason": reason,
    }


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


def _precision_columns(entry: Entry, until: Until) -> Row:
    """Return "verdict" ("precise" or "undecided") and "reason"; {} without target or estimate."""
    quantity = find(until.column)
    estimate = entry.estimate(quantity)
    if until.target_se is None or estimate is None or estimate.se is None:
        return {}
    flag = text(entry.record, quantity.flag)
    reached = not flag and estimate.se <= until.target_se
    reason = f"standard error of {quantity.name} {estimate.se:.2g}"
    reason += f"; flagged: {flag}" if flag else ""
    return {"verdict": "precise" if reached else UNDECIDED, "reason": reason}
