"""Sampling until the question is decided: looks at N, 2 N, 4 N, … samples, where only rows that are
still open are extended.

A row is closed when its difference to the baseline is shown to be real or within the margin
(:mod:`.interim`), when its standard error is as small as asked, or when it fails. One that may not
be extended further is *undecided*. What the looks found is kept in ``looks.json`` of the run
directory, so that a run that was killed goes on where it was, and one that ``max_samples`` stopped
can be given more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ...results.comparison.entries import read_source
from ...results.result_table import ResultTable
from ..suites.cell import Cell
from ..suites.suite import Until
from . import runner
from .admission import admit
from .interim import UNDECIDED, Row, cell_of, failed_at, level_at, looked_at
from .setup import Setup

FILE = "looks.json"
GROWTH = 16
"""Samples of a row at most, unless told otherwise, over those that it starts with."""


@dataclass(frozen=True)
class Looks:
    """What the looks at a run found.

    Attributes:
        until: what was asked.
        question: all that an answer depends on.
        made: what made each cell, by key; empty before the first look.
        number: how often it was looked.
        samples: of each cell that was extended, by key.
        found: what is known of each row, by key.
    """

    until: Until
    question: Mapping[str, Any]
    made: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    samples: Mapping[str, int] = field(default_factory=dict)
    found: Mapping[str, Row] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        """What is known of each row, in the order of the plan."""
        return [self.found[key] for key in self.first if key in self.found]

    @property
    def first(self) -> Mapping[str, int]:
        """Samples that each cell starts with, by key, in the order of the plan."""
        return self.question["first"]

    def to_extend(self) -> set[str]:
        """The cells that the next look extends: all at first, then the open ones that may have
        more, and what they are compared with.
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
        """Samples that an open row has at a look."""
        return self.first[key] * 2 ** (look - 1)

    def _most(self, key: str) -> int:
        return self.until.max_samples or GROWTH * self.first[key]

    def to_json(self) -> dict[str, Any]:
        """As ``looks.json`` keeps it."""
        return {
            "question": self.question,
            "look": self.number,
            "samples": self.samples,
            "rows": self.found,
            "made": self.made,
        }


class Decided(NamedTuple):
    """What came of a run that was looked at until it was decided."""

    table: ResultTable
    looks: Looks


def run_until_decided(setup: Setup, until: Until, *, retry: bool = False) -> Decided:
    """Look until no row is open, then take the times.

    Args:
        setup: its cells say how many samples the first look takes.
        until: the question.
        retry: whether cells that have no result are run again though nothing changed.

    Raises:
        ValueError: the baseline is not among the samplers, or a row starts with more samples than
            any may have.
    """
    run, looks = setup.directory, looks_on_record(setup, until)
    with run.lock():  # so that what is there is of the present code
        admit(setup)
        made = {key: run.made_by(key) for key in looks.first}
    if looks.made != made:  # of other code no look knows anything
        looks = Looks(until, looks.question, made)
    while extended := looks.to_extend():
        number = looks.number + 1
        samples = {**looks.samples, **{key: looks.samples_at(key, number) for key in extended}}
        runner.run(_with(setup, samples), retry=retry, timing=False)
        retry = False  # once
        found = {**looks.found, **look(setup, looks, extended)}
        looks = replace(looks, number=number, samples=samples, found=found)
        run.write_log(FILE, looks.to_json())
    return Decided(runner.run(_with(setup, looks.samples), retry=retry), looks)


def looks_on_record(setup: Setup, until: Until) -> Looks:
    """What earlier looks found of the same question; no look where there was none.

    Raises:
        ValueError: see :func:`run_until_decided`.
    """
    cells = [cell for cell in setup.cells if not cell.skip]
    _check(until, cells)
    question: dict[str, Any] = {
        **until.model_dump(exclude={"max_samples"}),
        "first": {cell.key: cell.samples for cell in cells},
    }
    # cells are the same whatever real samples they are compared with
    if setup.suite.reference is not None:
        question["against"] = {
            name: reference.identity for name, reference in setup.references.items() if reference
        }
    known = setup.directory.read_log(FILE)
    if known.get("question") != question:
        return Looks(until, question)
    made, samples, found = known.get("made") or {}, known["samples"], known["rows"]
    return Looks(until, question, made, known["look"], samples, found)


def _with(setup: Setup, samples: Mapping[str, int]) -> Setup:
    """The same run with as many samples of each cell as it has or is to have."""
    cells = [replace(cell, samples=samples.get(cell.key, cell.samples)) for cell in setup.cells]
    return replace(setup, cells=cells)


def look(setup: Setup, looks: Looks, extended: Collection[str]) -> dict[str, Row]:
    """The rows that were open and extended, as the next look finds them."""
    number, until, first = looks.number + 1, looks.until, looks.first
    compared = [
        cell for cell in setup.cells if cell.key in first and cell.sampler.name != until.baseline
    ]
    source = read_source(setup.directory.path)
    entries = [entry for entry in source.entries if cell_of(entry) in first]
    found = failed_at(source.failed, until) | looked_at(
        entries, until, level_at(number, max(len(compared), 1))
    )
    closed = {key for key, row in looks.found.items() if row["verdict"] != UNDECIDED}
    return {
        key: {**row, "look": number}
        for key, row in found.items()
        if key in extended and key not in closed
    }


def _check(until: Until, cells: list[Cell]) -> None:
    """Refuse what could only end in disappointment.

    Raises:
        ValueError: see :func:`run_until_decided`.
    """
    there = sorted({cell.sampler.name for cell in cells})
    if until.baseline is not None and until.baseline not in there:
        raise ValueError(
            f"the baseline {until.baseline!r} is not run; choose one of "
            f"{', '.join(there) or 'no samplers'}, or add it with --sampler"
        )
    most = until.max_samples
    large = next((cell for cell in cells if most is not None and cell.samples > most), None)
    if large is not None:
        raise ValueError(
            f"--max-samples {most} is less than {large.model} starts with "
            f"({large.samples}); raise it, or lower --samples"
        )
