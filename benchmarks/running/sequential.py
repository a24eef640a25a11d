"""Sequential sampling: analyses at N, 2 N, 4 N, … samples until decided, where only open rows are
extended.

A row is closed when its difference to the baseline is significant or within the margin
(:mod:`.interim`), when its standard error is as small as requested, or when it fails. One that may
not be extended further is *undecided*. ``looks.json`` of the run directory stores the analyses: a
killed run continues, and one that ``max_samples`` stopped can get more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...results.comparison.pairing import read_source
from ...results.result_table import ResultTable
from ..suites.cell import Cell
from ..suites.suite import Until
from . import runner
from .admission import admit
from .interim import UNDECIDED, Row, cell_of, failed_at, level_at, looked_at
from .setup import Setup

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
