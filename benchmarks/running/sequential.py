"""Sampling until the question is decided: looks at N, 2 N, 4 N, … samples, where only rows that are
still open are extended.

A row is closed when its difference to the baseline is shown to be real or within the margin
(:mod:`.interim`), when its standard error is as small as asked, or when it fails. One that may not
be extended further is *undecided*. What the looks found is kept in ``looks.json`` of the run
directory, so that a run that was killed goes on where it was, and one that ``max_samples`` stopped
can be given more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...results.comparison.entries import read_source
from ...results.result_table import ResultTable
from ..suites.cell import Cell
from ..suites.suite import Until
from .interim import UNDECIDED, Row, cell_of, failed_at, level_at, looked_at
from .runner import Runner

FILE = "looks.json"
GROWTH = 16
"""Samples of a row at most, unless told otherwise, over those that it starts with."""


class Sequential:
    """A run that is looked at again and again.

    Args:
        runner: of the suite that starts it; its cells say how many samples the first look takes.
        until: the question.

    Raises:
        ValueError: the baseline is not among the samplers, or a row starts with more samples than
            any may have.
    """

    def __init__(self, runner: Runner, until: Until) -> None:
        self.runner, self.until = runner, until
        self.first = {cell.key: cell for cell in runner.cells if not cell.skip}
        _check(until, list(self.first.values()))
        question = {
            **until.model_dump(exclude={"max_samples"}),
            "first": {key: cell.samples for key, cell in self.first.items()},
        }
        # cells are the same whatever real samples they are compared with
        if runner.suite.real is not None:
            question["against"] = {
                name: reference.identity
                for name, reference in runner.references.items()
                if reference
            }
        known = runner.run.read_log(FILE)
        self._empty: dict[str, Any] = {"question": question, "look": 0, "samples": {}, "rows": {}}
        self._log = known if known.get("question") == question else self._empty

    def __call__(self) -> ResultTable:
        """Look until no row is open, then take the times; :attr:`rows` says what was found."""
        self.runner.admit()
        made = {key: self.runner.run.made_by(key) for key in self.first}
        if self._log.get("made") != made:  # other code, of which no look knows anything
            self._log = {**self._empty, "made": made}
        while extended := self._to_extend():
            look = self._log["look"] + 1
            samples = self._log["samples"] | {key: self._samples_at(key, look) for key in extended}
            self._run(samples, time=False)
            self._log |= {
                "look": look,
                "samples": samples,
                "rows": self._log["rows"] | self._looked(look, extended),
            }
            self.runner.run.write_log(FILE, self._log)
        return self._run(self._log["samples"], time=True)

    @property
    def rows(self) -> list[Row]:
        """What is known of each row, in the order of the plan."""
        return [self._log["rows"][key] for key in self.first if key in self._log["rows"]]

    @property
    def looks(self) -> int:
        """How often it was looked."""
        return self._log["look"]

    def _to_extend(self) -> set[str]:
        """The cells that the next look extends: all at first, then the open ones that may have
        more, and what they are compared with.
        """
        if not self._log["look"]:
            return set(self.first)
        look, rows = self._log["look"] + 1, self._log["rows"]
        still = {
            key
            for key, row in rows.items()
            if row["verdict"] == UNDECIDED and self._samples_at(key, look) <= self._most(key)
        }
        return still | {rows[key]["against"] for key in still if "against" in rows[key]}

    def _samples_at(self, key: str, look: int) -> int:
        return self.first[key].samples * 2 ** (look - 1)

    def _most(self, key: str) -> int:
        return self.until.max_samples or GROWTH * self.first[key].samples

    def _run(self, samples: dict[str, int], *, time: bool) -> ResultTable:
        """Run each cell with as many samples as it has or is to have."""
        self.runner.cells = [
            replace(cell, samples=samples.get(cell.key, cell.samples)) for cell in self.runner.cells
        ]
        return self.runner(time=time)

    def _looked(self, look: int, extended: set[str]) -> dict[str, Row]:
        """The rows that were open and extended, as this look finds them."""
        tests = sum(cell.sampler.name != self.until.baseline for cell in self.first.values())
        source = read_source(self.runner.run.path)
        entries = [entry for entry in source.entries if cell_of(entry) in self.first]
        found = failed_at(source.failed, self.until) | looked_at(
            entries, self.until, level_at(look, max(tests, 1))
        )
        closed = {key for key, row in self._log["rows"].items() if row["verdict"] != UNDECIDED}
        return {
            key: {**row, "look": look} for key, row in found.items() if key in extended - closed
        }


def _check(until: Until, cells: list[Cell]) -> None:
    """Refuse what could only end in disappointment.

    Raises:
        ValueError: see :class:`Sequential`.
    """
    there = sorted({cell.sampler.name for cell in cells})
    if until.baseline is not None and until.baseline not in there:
        raise ValueError(
            f"the baseline {until.baseline!r} is not run; choose one of {', '.join(there) or 'no samplers'}, "
            ""
            "or add it with --sampler"
        )
    most = until.max_samples
    large = next((cell for cell in cells if most is not None and cell.samples > most), None)
    if large is not None:
        raise ValueError(
            f"--max-samples {most} is less than {large.model} starts with "
            f"({large.samples}); raise it, or lower --samples"
        )
