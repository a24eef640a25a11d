"""Report of a conformance run: named checks with verdicts, sentences and measurements."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...results.run_directory.files import to_jsonable
from ...samplers.spec import format_spec

Mark = Literal["pass", "FAIL", "measured"]
STYLES: dict[Mark, str] = {"pass": "green", "FAIL": "bold red", "measured": "dim"}
TABLE: Any = {"title_justify": "left", "box": None, "pad_edge": False}
_OURS = Path(__file__).parent
_LOOP = _OURS.parents[1] / "samplers"


@dataclass(frozen=True)
class Check:
    """Result of one check; ``asserted`` is False if it only reports the measurements ``data``."""

    name: str
    passed: bool
    detail: str = ""  # sentence on the result
    data: dict[str, Any] = field(default_factory=dict)
    asserted: bool = True

    @property
    def mark(self) -> Mark:
        """Verdict: "FAIL", "pass", or "measured" for a passed check that is not ``asserted``."""
        return "FAIL" if not self.passed else "pass" if self.asserted else "measured"


@dataclass(frozen=True, repr=False)
class Conformance:
    """Results of all checks of a sampler.

    ``params`` has the options that differ from their defaults. ``order`` is the declared order.
    ``why`` has likely causes of failures or slow convergence.
    """

    sampler: str
    params: dict[str, Any]
    order: int | None
    checks: list[Check]
    seconds: float  # duration of the checks
    why: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Sampler and options that differ from their defaults, as the command line takes them."""
        return format_spec({"name": self.sampler, **self.params})

    @property
    def passed(self) -> bool:
        """True if every check passed."""
        return not self.failures

    @property
    def failures(self) -> list[Check]:
        """Checks that failed."""
        return [check for check in self.checks if not check.passed]

    def __repr__(self) -> str:
        """Return the verdict, the failures and their likely causes, a line each."""
        failed, count = [f"  {c.name}: {c.detail}" for c in self.failures], len(self.checks)
        verdict = (
            f"{len(failed)} of {count} checks failed" if failed else f"all {count} checks passed"
        )
        causes = [f"  {'why' if failed else 'note'}: {sentence}" for sentence in self.why]
        return "\n".join([f"{self.title}: {verdict}", *failed, *causes])

    def as_dict(self) -> dict[str, Any]:
        """Return all fields, ``passed`` and ``name`` for JSON, with None for NaN and infinity."""
        fields: Any = to_jsonable(asdict(self))
        return {"name": self.sampler, "passed": self.passed, **fields}


def checks_or_failure(name: str, run: Callable[[], Iterable[Check]]) -> list[Check]:
    """Return the checks that ``run`` yields; if it raises, one failed check called ``name``."""
    try:
        return list(run())
    except Exception as error:
        return [Check(name, False, exception_in_words(error))]


def exception_in_words(error: BaseException) -> str:
    """Return an exception's class and message, and its last file and line in the sampler's code."""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if _is_sampler_code(Path(frame.filename))]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}: {str(error).partition(chr(10))[0]}{where}"


def _is_sampler_code(file: Path) -> bool:
    loop = file.parent == _LOOP and file.name in ("loop.py", "base.py", "noise.py")
    library = "site-packages" in file.parts or file.name.startswith("<")
    return not (loop or library or file.parent == _OURS)


def print_conformance(result: Conformance, console: Console) -> None:
    """Print a line per check, likely causes, the verdict and, if measured, a table of errors."""
    table = Table("check", "", "found", title=result.title, **TABLE)
    for check in result.checks:
        table.add_row(check.name, f"[{STYLES[check.mark]}]{check.mark}[/]", escape(check.detail))
    console.print(table)
    for sentence in result.why:
        console.print(f"[bold]{'note' if result.passed else 'why'}[/]: {escape(sentence)}")
    failed = f"{len(result.failures)} of {len(result.checks)} checks failed"
    verdict = "[green]passed[/]" if result.passed else f"[bold red]{failed}[/]"
    console.print(f"{escape(result.sampler)}: {verdict} in {result.seconds:.1f} s")
    for check in result.checks:
        if check.name == "order" and check.data:
            console.print(_error_table(check.data))


def _error_table(data: dict[str, dict[str, list[float]]]) -> Table:
    """Return a table of errors: rows are problems and grids, columns numbers of steps."""
    steps = max((entry["N"] for entry in data.values()), key=len)
    table = Table("problem / grid", title="RMS error from exact start values", **TABLE)
    for n in steps:
        table.add_column(f"N={n}", justify="right")
    table.add_column("slope", justify="right")
    for pair, entry in data.items():
        errors = [f"{error:.1e}" for error in entry["error"]]
        blanks = [""] * (len(steps) - len(errors))
        table.add_row(pair, *errors, *blanks, f"{entry['slope']:.2f}")
    return table
