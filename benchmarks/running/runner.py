"""Runs a suite into a run directory: only what is missing, everything that was computed kept,
an exception is a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import NamedTuple

import torch

from ...results.result_table import ResultTable, rebuild
from ...results.run_directory.claims import Claims
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.unwritable import told
from ...results.run_directory.writing import BusyError
from ..sampling.out_of_memory import out_of_memory
from ..sampling.trajectories import Seen
from ..scoring.cost import endpoints_asked, reference_evaluations
from ..scoring.scorer import Scorer
from ..suites.cell import Cell
from ..timing.pending import Here, time_pending
from ..timing.table import write_timings
from .admission import admit
from .executing import Executor
from .executing.pace import expected
from .executing.tasks import Way
from .executing.timed import There
from .outcomes import conclude, ended, forget_failures, missing
from .progress import Reporter
from .setup import Setup
from .sharing import follow, sample


@torch.no_grad()
def run(setup: Setup, *, retry: bool = False, timing: bool = True) -> ResultTable:
    """Run what is missing, and rebuild the table, whatever happens.

    Args:
        setup: what to run, and where.
        retry: whether cells that have no result are run again though nothing changed.
        timing: whether times are taken; without, the executor stays ready for another look.

    Raises:
        BusyError: another process runs in the directory.
        ValueError: the directory cannot be written any more, memory ran out, or it cannot be said which
            device times are of.
    """
    timed = timing and setup.suite.timing.enabled
    apart = setup.executor.alone(setup.device) if timed else None
    directory, claims = setup.directory, Claims(setup.directory.path)
    with (
        told(directory.path),
        directory.lock(),
        _rebuilt_whatever_happens(directory, setup.executor),
    ):
        forget_failures(directory, setup.cells, every=retry)
        digests = admit(setup)
        work = _work(setup)
        table, made_at = None, -1

        def failed(cell: Cell, _start: int, status: str, reason: str) -> None:
            conclude(directory, cell, status, reason)

        def again(cell: Cell) -> None:
            claims.lead([*work.cells, cell.key])
            sample(setup, [cell], report, {}, claims, failed)

        with (
            Reporter(setup.console, len(work.cells), work.total) as report,
            _led(directory, claims, [*work.cells]),
        ):
            if work.cells:
                setup.executor.start()
            for name in setup.models:
                before = directory.changes
                lacking = [cell for cell in setup.cells_of(name) if cell.key in work.cells]
                with report.part("", sum(work.cells[cell.key] for cell in lacking)):
                    sample(setup, lacking, report, work.cells, claims, failed)
                with report.part(f"{name}: scoring", work.references.get(name, 0.0)):
                    _score_model(setup, name, digests[name], report, again)
                if directory.changes != before:  # so that an interrupted run shows this model
                    table, made_at = rebuild(directory), directory.changes
            directory.check()
            claims.end()
            if timing:
                setup.executor.close()  # what it holds would disturb the times
                with closing(apart) if apart else nullcontext():
                    _time(setup, report, apart)
        directory.check()
        write_timings(directory, [cell.key for cell in setup.cells], setup.suite.timing)
        return table if table is not None and made_at == directory.changes else rebuild(directory)


def run_or_join(setup: Setup, *, retry: bool = False) -> ResultTable | None:
    """:func:`run`; or, where another process runs in the directory, draw samples for it until it
    lacks none. Where that one ends before it is done, this one goes on in its place; so does that
    one, where this one slept.

    Returns:
        The table; None where the other process is still there, which will write it.

    Raises:
        ValueError: as :func:`run`; or the other process draws no samples that this one could.
    """
    while True:
        try:
            return run(setup, retry=retry)
        except BusyError:
            with Reporter(setup.console, len(setup.cells), 0.0) as report:
                gone = follow(setup, report)
            if not gone:
                return None


@contextmanager
def _led(directory: RunDir, claims: Claims, cells: Sequence[str]) -> Iterator[None]:
    """Within, other processes may sample these cells."""
    try:
        if cells:
            claims.lead(cells)
        yield
    finally:
        if directory.leads:
            claims.end()
            directory.clear_strays()
        else:  # they are of the one that leads now
            claims.close()


@contextmanager
def _rebuilt_whatever_happens(run: RunDir, executor: Executor) -> Iterator[None]:
    """Where a run is stopped or fails, its table still has what was computed."""
    try:
        yield
    except BaseException as error:
        executor.close()
        with suppress(OSError, ValueError):
            run.check()
            rebuild(run)
        if isinstance(error, Exception) and out_of_memory(error):
            said = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"the process that scores ran out of memory ({said}); free some, or ask for fewer "
                "--samples or --reference-samples, and run the same command again, what is done "
                "is kept"
            ) from error
        raise


class _Work(NamedTuple):
    """Evaluations that are expected.

    Attributes:
        cells: for the samples that are missing, by the key of the cell.
        references: until the cells of a model can be scored, by its name.
    """

    cells: Mapping[str, float]
    references: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of everything."""
        return sum(self.cells.values()) + sum(self.references.values())


def _work(setup: Setup) -> _Work:
    """What there is to do."""
    cells = {
        cell.key: expected(setup.models[cell.model], cell) * sum(b - a for a, b in lacking)
        for cell in setup.cells
        if (lacking := missing(setup.directory, cell))
    }
    unscored = {cell.model for cell in setup.cells if cell.key in cells}
    return _Work(cells, {name: _until_scored(setup, name) for name in unscored})


def _until_scored(setup: Setup, name: str) -> float:
    """Evaluations that the references of a model are expected to take."""
    cells = [cell for cell in setup.cells_of(name) if not cell.skip]
    return reference_evaluations(setup.suite, setup.models[name], setup.references[name], cells)


def _score_model(
    setup: Setup,
    name: str,
    digests: tuple[str, str],
    report: Reporter,
    again: Callable[[Cell], object],
) -> None:
    """Score the cells of a model whose samples are there.

    Samples that turn out to be damaged are drawn ``again``.
    """

    def watch(cell: Cell, count: int) -> Seen:
        limit = setup.limits.of(cell, count)
        return setup.executor.run(Way(cell, count), setup.world, limit=limit)

    while complete := _complete(setup.directory, setup.cells_of(name)):
        with setup.watch.of(name):
            gone = Scorer(
                setup.directory.of_model(*digests),
                setup.suite,
                setup.models[name],
                setup.references[name],
                max(endpoints_asked(setup.suite, cell) for cell in complete),
                watch,
                report,
            ).score(complete)
        setup.watch.check()
        if gone is None:
            return
        setup.directory.mend_shards(gone.key)
        again(gone)


def _complete(run: RunDir, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that have all their samples."""
    return [cell for cell in cells if not ended(run, cell) and not missing(run, cell)]


def _time(setup: Setup, report: Reporter, apart: Executor | None) -> None:
    """Time the cells that have samples, at each batch size; the first is that of the table.

    Args:
        setup: of the run.
        report: told what is being done.
        apart: has a device for them; None for that of this process.
    """
    options = setup.suite.timing
    if not options.enabled:
        return
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    left = len(setup.models) * (len(options.batch_size) + bool(options.sweep))

    def within() -> float | None:
        """Seconds for the part that comes, of which each has its share of what is left."""
        nonlocal left
        left -= 1
        return None if end is None else max(0.0, end - time.monotonic()) / (left + 1)

    for name, model in setup.models.items():
        cells = [cell for cell in setup.cells_of(name) if not ended(setup.directory, cell)]
        place = Here(model, options, setup.device)
        if apart is not None:
            place = There(apart, setup.world, options)
        time_pending(setup.directory, cells, options, place, report.stage, within)
