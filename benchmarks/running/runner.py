"""Run of a suite into a run directory: it computes only missing parts, stores all, and turns an
exception into a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import NamedTuple

import torch

from ...results.result_table import ResultTable, rebuild
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sharing import Claims
from ...results.run_directory.write_errors import explain_write_errors
from ...results.run_directory.writing import BusyError
from ..sampling.failure import out_of_memory
from ..sampling.trajectories import Seen
from ..scoring.cost import endpoints_asked, reference_evaluations
from ..scoring.scorer import Scorer
from ..suites.cell import Cell
from ..timing.pending import LocalTimer, time_pending
from ..timing.table import write_timings
from .cell_states import admit, conclude, ended, forget_failures, missing
from .executors import Executor
from .executors.remote_timer import RemoteTimer
from .executors.shard_limits import expected
from .executors.tasks import TrajectoryTask
from .progress import Reporter
from .setup import Setup
from .shards import follow, sample


@torch.no_grad()
def run(setup: Setup, *, retry: bool = False, timing: bool = True) -> ResultTable:
    """Run the missing parts, and rebuild the table even after a failure.

    Args:
        setup: of the run.
        retry: True to run cells without a result again although nothing changed.
        timing: True to take times; without, the executor stays ready for another analysis.

    Raises:
        BusyError: another process runs in the directory.
        ValueError: the directory cannot be written any more, memory ran out, or the device of the
            times is ambiguous.
    """
    timed = timing and setup.suite.timing.enabled
    timer = setup.executor.alone(setup.device) if timed else None
    directory, claims = setup.directory, Claims(setup.directory.path)
    with (
        explain_write_errors(directory.path),
        directory.lock(),
        _rebuilt_on_failure(directory, setup.executor),
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
            _lead_cells(directory, claims, [*work.cells]),
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
                setup.executor.close()  # its processes would disturb the times
                with closing(timer) if timer else nullcontext():
                    _time(setup, report, timer)
        directory.check()
        write_timings(directory, [cell.key for cell in setup.cells], setup.suite.timing)
        return table if table is not None and made_at == directory.changes else rebuild(directory)


def run_or_join(setup: Setup, *, retry: bool = False) -> ResultTable | None:
    """Run :func:`run`; or help the process that owns the directory: sample its missing shards. If
    it dies, take over; if this process loses the lock while suspended, the other continues.

    Returns:
        The table; None if the other process still runs, which will write it.

    Raises:
        ValueError: as :func:`run`; or the other process has no samples for this one to draw.
    """
    while True:
        try:
            return run(setup, retry=retry)
        except BusyError:
            with Reporter(setup.console, len(setup.cells), 0.0) as report:
                leader_is_gone = follow(setup, report)
            if not leader_is_gone:
                return None


@contextmanager
def _lead_cells(directory: RunDir, claims: Claims, cells: Sequence[str]) -> Iterator[None]:
    """Let other processes sample these cells during the block."""
    try:
        if cells:
            claims.lead(cells)
        yield
    finally:
        if directory.leads:
            claims.end()
            directory.clear_strays()
        else:  # they belong to the present leader
            claims.close()


@contextmanager
def _rebuilt_on_failure(run: RunDir, executor: Executor) -> Iterator[None]:
    """Rebuild the table from computed results when the block is stopped or fails."""
    try:
        yield
    except BaseException as error:
        executor.close()
        with suppress(OSError, ValueError):
            run.check()
            rebuild(run)
        if isinstance(error, Exception) and out_of_memory(error):
            words = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"the process that scores ran out of memory ({words}); free some, or ask for fewer "
                "--samples or --reference-samples, and run the same command again, what is done "
                "is kept"
            ) from error
        raise


class _Work(NamedTuple):
    """Expected evaluations.

    Attributes:
        cells: for missing samples, by the key of the cell.
        references: until the cells of a model can be scored, by its name.
    """

    cells: Mapping[str, float]
    references: Mapping[str, float]

    @property
    def total(self) -> float:
        """Sum over cells and references."""
        return sum(self.cells.values()) + sum(self.references.values())


def _work(setup: Setup) -> _Work:
    """Return the expected evaluations of the run."""
    cells = {
        cell.key: expected(setup.models[cell.model], cell) * sum(b - a for a, b in lacking)
        for cell in setup.cells
        if (lacking := missing(setup.directory, cell))
    }
    unscored = {cell.model for cell in setup.cells if cell.key in cells}
    return _Work(cells, {name: _until_scored(setup, name) for name in unscored})


def _until_scored(setup: Setup, name: str) -> float:
    """Return the expected evaluations for the references of a model."""
    cells = [cell for cell in setup.cells_of(name) if not cell.skip]
    return reference_evaluations(setup.suite, setup.models[name], setup.references[name], cells)


def _score_model(
    setup: Setup,
    name: str,
    digests: tuple[str, str],
    report: Reporter,
    again: Callable[[Cell], object],
) -> None:
    """Score the sampled cells of a model.

    Damaged samples are drawn ``again``.
    """

    def watch(cell: Cell, count: int) -> Seen:
        limit = setup.limits.of(cell, count)
        return setup.executor.run(TrajectoryTask(cell, count), setup.world, limit=limit)

    while complete := _complete_cells(setup.directory, setup.cells_of(name)):
        with setup.watch.of(name):
            damaged = Scorer(
                setup.directory.of_model(*digests),
                setup.suite,
                setup.models[name],
                setup.references[name],
                max(endpoints_asked(setup.suite, cell) for cell in complete),
                watch,
                report,
            ).score(complete)
        setup.watch.check()
        if damaged is None:
            return
        setup.directory.mend_shards(damaged.key)
        again(damaged)


def _complete_cells(run: RunDir, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that have all their samples."""
    return [cell for cell in cells if not ended(run, cell) and not missing(run, cell)]


def _time(setup: Setup, report: Reporter, timer: Executor | None) -> None:
    """Time the cells that have samples, at each batch size; the first is for the table.

    Args:
        setup: of the run.
        report: receives the present stage.
        timer: executor with a device for them; None for this process.
    """
    options = setup.suite.timing
    if not options.enabled:
        return
    end = time.monotonic() + 60 * options.minutes if options.minutes else None
    parts_left = len(setup.models) * (len(options.batch_size) + bool(options.sweep))

    def within() -> float | None:
        """Return the seconds for the next part: an equal share of the rest."""
        nonlocal parts_left
        parts_left -= 1
        return None if end is None else max(0.0, end - time.monotonic()) / (parts_left + 1)

    for name, model in setup.models.items():
        cells = [cell for cell in setup.cells_of(name) if not ended(setup.directory, cell)]
        place = LocalTimer(model, options, setup.device)
        if timer is not None:
            place = RemoteTimer(timer, setup.world, options)
        time_pending(setup.directory, cells, options, place, report.stage, within)
