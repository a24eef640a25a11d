"""Every kind of file of a run, damaged in every way, and what each command makes of it."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from quiet_runs import quiet_setup
from small_runs import numbers, run, suite

from samplerbench.benchmarks.running.sequential_sampling import run_until_decided
from samplerbench.benchmarks.suites.suite import Until
from samplerbench.results.comparison.compare import compare, compare_with
from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import load
from samplerbench.results.terminal.ranking import verdicts_of

ASKED = {"samplers": ["euler", "heun"], "nfe": [5], "steps": None, "extractor": "pixels"}
TIMED = {
    **ASKED,
    "timing": {
        "enabled": True,
        "seconds": 0.2,
        "min_rounds": 6,
        "max_rounds": 6,
        "half_width": 0.5,
    },
}
UNTIL = Until(baseline="euler", metric="fid_proxy", max_samples=128)
DAMAGED, OTHER = "heun", "euler"
"""The sampler whose cell is damaged, and the one whose files are put in its place."""

HOWS = ("deleted", "bit", "half", "zeros", "another")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the kind.
        pattern: finds the file in the run directory; ``CELL`` stands for the cell's key.
        other: finds the file that is put in its place.
    """

    name: str
    pattern: str
    other: str

    def path(self, out: Path) -> Path:
        """The file."""
        return _only(out, self.pattern.replace("CELL", _key(out, DAMAGED)))

    def replacement(self, out: Path) -> Path:
        """Another file of its sort."""
        return _only(out, self.other.replace("CELL", _key(out, OTHER)))


KINDS = (
    Kind("run.json", "run.json", "looks.json"),
    *(
        Kind(name, f"parts/CELL/{name}", f"parts/CELL/{name}")
        for name in ("cell.json", "made.json", "quality.json", "timing.json")
    ),
    Kind("influence.npz", "parts/CELL/influence.npz", "parts/CELL/influence.npz"),
    Kind("shard", "parts/CELL/0*.npz", "parts/CELL/0*.npz"),
    Kind("made/MODEL.json", "made/MODEL.json", "made/EXTRACTOR.json"),
    Kind("made/EXTRACTOR.json", "made/EXTRACTOR.json", "made/MODEL.json"),
    Kind("reference/exact", "reference/*-exact.npz", "reference/*-converged.npz"),
    Kind("reference/converged", "reference/*-converged.npz", "reference/*-exact.npz"),
    Kind("samples/CELL.npz", "samples/CELL.npz", "samples/CELL.npz"),
    Kind("samples/CELL-path.npz", "samples/CELL-path.npz", "samples/CELL-path.npz"),
    Kind("looks.json", "looks.json", "run.json"),
    Kind("table.csv", "table.csv", "run.json"),
)


def _only(out: Path, pattern: str) -> Path:
    kind = re.fullmatch(r"made/(MODEL|EXTRACTOR)\.json", pattern)
    found = sorted(out.glob("made/*.json" if kind else pattern))
    if kind:
        found = [path for path in found if json.loads(path.read_text())["kind"] == kind[1].lower()]
    (path,) = found
    return path


def _key(out: Path, sampler: str) -> str:
    (key,) = [path.name for path in (out / "parts").iterdir() if f".{sampler}." in path.name]
    return key


def intact(out: Path) -> pd.DataFrame:
    """A whole run with times and looks; its table."""
    run_until_decided(quiet_setup(suite(**TIMED), out), UNTIL)
    return load(out).frame


def damage(path: Path, how: str, other: Path) -> None:
    """Do one of :data:`HOWS` to a file."""
    data = bytearray(path.read_bytes())
    if how == "bit":
        data[len(data) // 2] ^= 4
    elif how == "half":
        del data[len(data) // 2 :]
    elif how == "zeros":
        data = bytearray(len(data))
    elif how == "another":
        data = bytearray(other.read_bytes())
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(data)


@dataclass(frozen=True)
class Outcome:
    """What a command made of a damaged run.

    Attributes:
        result: what it gave, as values that can be compared; None where it refused.
        said: warnings, and the sentence with which it refused.
    """

    result: object
    said: tuple[str, ...]


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings of samplerbench."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("samplerbench")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


def tried(command: Callable[[], object]) -> Outcome:
    """What a command gives.

    A ``ValueError`` is how it says no, and anything else that it raises is a fault of ours.
    """
    with heard() as lines:
        try:
            result = command()
        except ValueError as error:
            return Outcome(None, (*lines, str(error)))
    return Outcome(result, tuple(lines))


def show(out: Path, _: Path) -> object:
    """What `samplerbench show` ranks and marks."""
    frame = load(out).frame
    return rows(frame), tuple(sorted(verdicts_of(out)[1].items()))


def report(out: Path, _: Path) -> object:
    """The text of the report."""
    return write_report(out, out.parent / "report.html").read_text()


def compared(out: Path, whole: Path) -> object:
    """The lines of a comparison with the run as it was, and of its two samplers, which share
    their latents.
    """
    found = (compare(whole, out), compare_with(out, OTHER, metrics=("all",)))
    return tuple(str(line.flat) for comparison in found for line in comparison.lines)


def rows(frame: pd.DataFrame) -> tuple[tuple[tuple[str, object], ...], ...]:
    """Rows with results, without what is empty."""
    return tuple(
        tuple((k, v) for k, v in row.items() if not pd.isna(v))
        for row in frame[frame["status"] == "ok"].to_dict("records")
    )


def again(out: Path, _: Path) -> object:
    """The quality columns after another run into the directory."""
    return tuple(numbers(run(out, **ASKED), but=TIMES))


TIMES = (
    *(
        "ms_per_sample",
        "ms_low",
        "ms_high",
        "ms_iqr",
        "wall_ms_per_sample",
        "model_ms_per_sample",
        "solver_ms_per_sample",
        "decoder_ms_per_sample",
        "cold_ms_per_sample",
        "overhead",
        "overhead_us_per_step",
        "launches_per_step",
        "kernels_per_step",
        "network_kernels_per_step",
        "latency_ms",
        "samples_per_second",
        "first_batch_ms",
        "peak_memory_mb",
    ),
    *("joules_per_sample", "timing_converged", "timing_discarded", "timing_flag"),
)
COMMANDS: dict[str, Callable[[Path, Path], object]] = {
    "show": show,
    "report": report,
    "compare": compared,
    "run": again,
}
"""In the order in which they are tried: the last mends."""
HEAD = f"| file | damage | {' | '.join(COMMANDS)} |\n|---|---|{'---|' * len(COMMANDS)}"
"""Of the table of all outcomes in Markdown."""


def outcomes(
    whole: Path,
    out: Path,
    kind: Kind | None = None,
    how: str = "",
    commands: Iterable[str] = tuple(COMMANDS),
) -> dict[str, Outcome]:
    """What each of some commands makes of a copy of a run in which one file is damaged.

    Of one that is whole without a ``kind``.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(whole, out)
    if kind is not None:
        damage(kind.path(out), how, kind.replacement(out))
    return {name: tried(partial(COMMANDS[name], out, whole)) for name in commands}


def line(kind: Kind, how: str, found: Mapping[str, Outcome], expected: Mapping[str, object]) -> str:
    """The line of the table about one file, damaged in one way."""
    return f"| {kind.name} | {how} | {' | '.join(in_words(name, found.get(name), expected[name]) for name in COMMANDS)} |"


def in_words(name: str, found: Outcome | None, expected: object) -> str:
    """An outcome, as a cell of the table; None where the command does not read the file."""
    if found is None:
        return "does not need it"
    if found.result is None:
        return f"refuses: {found.said[-1].split('; ')[0][:90]}"
    said = bool(found.said)
    if name == "run":
        same = "same numbers" if found.result == expected else "OTHER NUMBERS"
        return f"{'says which, ' if said else ''}{same}"
    if found.result == expected:
        return "says which, all as it was" if said else "does not need it"
    return f"{'says which, ' if said else ''}goes without it"
