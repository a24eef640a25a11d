"""The harness in Python: what a suite plans, and a run of it, without a console.

    from samplerbench.benchmarks import plan, run

A suite is asked for in any of four ways: the name of a built-in one, the path of a TOML file, a
dictionary with the keys of such a file, or a :class:`~samplerbench.benchmarks.Suite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from .. import samplers
from ..results.result_table import ResultTable
from ..results.run_directory.reading import log
from .planning.planner import load_models
from .planning.planner import plan as plan_suite
from .running import runner
from .running.conformity import nonconforming
from .running.sequential import run_until_decided
from .running.setup import default_out, pick_device, set_up
from .sampling.execution import check_executions
from .scoring.references import load_references
from .suites.cell import Cell
from .suites.python_files import refuse_untrusted
from .suites.suite import Suite, check_suite, load_suite

Asked = Suite | Mapping[str, Any] | Path | str
"""A suite, or how one is asked for."""

Device = Literal["auto", "cpu", "cuda"]

DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")


def plan(suite: Asked, *, device: Device = "auto") -> list[Cell]:
    """What a suite would run; nothing is sampled, and nothing is written.

    Args:
        suite: name, path, dictionary or :class:`~samplerbench.benchmarks.Suite`.
        device: where it would run; "auto" takes a CUDA GPU if there is one.

    Returns:
        One cell for each row of the table to be, models outermost and budgets innermost. A cell
        that no budget pays for says so in ``skip``.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense; the sentence names
            it.

    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [5, 10]}
    >>> [(cell.label, cell.budget, cell.steps) for cell in plan(suite, device="cpu")]
    [('euler', 5, 5), ('euler', 10, 10), ('heun', 5, 3), ('heun', 10, 5)]
    """
    asked = _suite(suite)
    where = _device(device, asked)
    check_executions(asked.execution, where)
    models = load_models(asked, where)
    return plan_suite(
        asked, models, load_references(models, asked.extractors, asked.reference), where
    )


def run(
    suite: Asked,
    out: Path | str | None = None,
    *,
    device: Device = "auto",
    progress: bool | None = None,
    retry: bool = False,
) -> ResultTable:
    """Run a suite into a folder: only what is missing there.

    Samplers, models and metrics that were defined in this session can be used, since everything
    runs in this process. So nothing outlives a sampler that ends it, and no time or memory limit is
    kept; for foreign code there is the command line, ``samplerbench run``.

    Args:
        suite: name, path, dictionary or :class:`~samplerbench.benchmarks.Suite`. One with ``until``
            is sampled until its question is decided.
        out: run directory, made if it does not exist; None for one under ``results/runs`` with the
            name of the suite. A second run into it computes what it lacks, and nothing else.
        device: where to run; "auto" takes a CUDA GPU if there is one.
        progress: whether to tell on stderr what is being done, with a bar in a terminal or
            notebook; None for where somebody looks, a terminal or a notebook.
        retry: whether cells are run again that failed before.

    Returns:
        The table of the folder, a row for each cell. A cell that fails is a row too, which says
        why.

    Raises:
        ValueError: something is asked for that does not exist or makes no sense, or the folder
            holds something else; the sentence names it.

    >>> from tempfile import TemporaryDirectory
    >>> suite = {"models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [10], "samples": 64}
    >>> suite |= {"timing": {"enabled": False}}
    >>> with TemporaryDirectory() as folder:
    ...     table = run(suite, folder, device="cpu")
    >>> table.frame[["sampler", "nfe", "status"]].values.tolist()
    [['euler', 10.0, 'ok'], ['heun', 9.0, 'ok']]
    """
    asked = _suite(suite)
    where = _device(device, asked)
    check_executions(asked.execution, where)
    console = Console(stderr=True)
    console.quiet = not (
        console.is_terminal or console.is_jupyter if progress is None else progress
    )
    folder = default_out(asked) if out is None else Path(out)
    setup = set_up(asked, folder, device=where, console=console)
    table = (
        run_until_decided(setup, asked.until, retry=retry).table
        if asked.until
        else runner.run(setup, retry=retry)
    )
    if doubt := nonconforming(setup, table):
        log.warning("%s", doubt)
    return table


def _suite(asked: Asked) -> Suite:
    """The suite that is asked for, with installed samplers made known.

    Raises:
        ValueError: there is none, or a file names Python code, or a file elsewhere, that nobody has asked for.
    """
    for sentence in samplers.load_plugins().values():
        log.warning("%s", sentence)
    if isinstance(asked, Suite):
        return asked
    if isinstance(asked, Mapping):
        return check_suite({"name": "suite", **asked}, "the suite")
    if not isinstance(asked, str | Path):
        kind = type(asked).__name__
        raise ValueError(f"a suite is a name, a path, a dictionary or a Suite, not a {kind}")
    found = load_suite(str(asked))
    try:
        refuse_untrusted(found, str(asked))
    except ValueError as error:
        said = str(error).partition("; look")[0]
        raise ValueError(
            f"{said}; look at it, and pass load_suite({str(asked)!r}) if it may"
        ) from None
    return found


def _device(asked: str, suite: Suite) -> str:
    if asked not in DEVICES:
        raise ValueError(f"there is no device {asked!r}; choose one of {', '.join(DEVICES)}")
    return pick_device(asked, suite)
