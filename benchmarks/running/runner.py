"""Run of a suite into a run directory, in six stages: plan, admit, sample, score, time, tabulate.

The stages are :func:`.setup.set_up`, :func:`admit_cells`, :func:`.shards.draw_missing_samples`,
:func:`score_model`, :func:`.time_sampled_cells` and :func:`.result_table.rebuild`. A run computes only what the
directory lacks. A cell that fails becomes a row with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch

from ...results.run_directory.layout import CELL, QUALITY, explain_write_errors
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sharing import BusyError, Claims
from ...results.terminal.path_curvature import KEY as CURVATURE
from ..identity.admission import UNPROVEN, Admission
from ..sampling.failure import is_out_of_memory
from ..sampling.trajectories import Trajectories
from ..scoring.reference_cost import reference_evaluations
from ..suites.cell import Cell
from .cell_states import (
    forget_failures,
    is_skipped_or_failed,
    make_scorer,
    missing_shards,
    other_cells,
    record_no_samples,
)
from .executors import Executor
from .executors.shard_limits import expected_evaluations
from .executors.tasks import TrajectoryTask
from .progress import ProgressReporter
from .setup import Setup
from .shards import draw_for_leader, draw_missing_samples

if TYPE_CHECKING:
    from ...results.result_table import ResultTable

OF_ROWS = ("models", "references", "fingerprints", "start_errors", "citations")
"""Items of ``run.json`` by model or sampler, which also keep those of an earlier run's rows."""


@torch.no_grad()
def run(setup: Setup, *, retry: bool = False, timing: bool = True) -> ResultTable:
    """Compute what the run directory lacks of a planned suite, and return the result table.

    The table is rebuilt even if the run fails. ``retry`` is True to run failed cells again. With
    ``timing`` False no times are taken, and the executor stays open for another call.

    Raises:
        BusyError: another process runs in the directory.
        ValueError: the directory cannot be written, memory ran out, a model cannot be loaded, its
            files changed, or the device to time is ambiguous or shared.
    """
    timed = timing and setup.suite.timing.enabled
    timer = setup.executor.alone(setup.device) if timed else None
    directory, claims = setup.directory, Claims(setup.directory.path)
    with (
        explain_write_errors(directory.path),
        directory.lock(),
        _rebuild_table_on_failure(directory, setup.executor),
    ):
        forget_failures(directory, setup.cells, every=retry)
        digests = admit_cells(setup)
        work, reference_work = _expected_work(setup)
        total = sum(work.values()) + sum(reference_work.values())
        table, changes_in_table = None, -1

        def redraw(cell: Cell) -> None:
            claims.publish_plan([*work, cell.key])
            draw_missing_samples(setup, [cell], report, claims)

        with (
            ProgressReporter(setup.console, work, total) as report,
            _lead_cells(directory, claims, [*work]),
        ):
            if work:
                setup.executor.start()
            for name in setup.models:
                before = directory.changes
                lacking = [cell for cell in setup.cells_of(name) if cell.key in work]
                samples_work = sum(work[cell.key] for cell in lacking)
                report.begin_model(name, samples_work + reference_work.get(name, 0.0))
                draw_missing_samples(setup, lacking, report, claims)
                with report.track_part(f"{name}: scoring", reference_work.get(name, 0.0)):
                    score_model(setup, name, digests[name], report, redraw)
                if directory.changes != before:  # so that an interrupted run shows this model
                    table, changes_in_table = _tabulate(directory), directory.changes
            directory.check()  # fails if this process lost the lock
            claims.delete_claims()
            if timing:
                setup.executor.close()  # its processes would disturb the times
            if timed:
                from .timing_stage import TimedHere, time_sampled_cells

                with closing(timer or TimedHere()) as alone:
                    time_sampled_cells(setup, report, alone)
        directory.check()
        if setup.suite.timing.enabled:
            from .timing_stage import write_timings

            write_timings(directory, [cell.key for cell in setup.cells], setup.suite.timing)
        if table is None or changes_in_table != directory.changes:
            table = _tabulate(directory)
        return table


def _tabulate(directory: RunDir) -> ResultTable:
    from ...results.result_table import rebuild  # imports pandas, which samples do not wait for

    return rebuild(directory)


def run_or_join(setup: Setup, *, retry: bool = False) -> ResultTable | None:
    """Call :func:`run`; while another process runs in the directory, draw missing shards for it.

    If the other process dies, this one takes over. If this one loses the lock, as after a
    suspension, it draws samples for the process that has it now.

    Returns the table; None if the other process still runs and will write it. Raises a BusyError if
    the other process has no samples for this one to draw.
    """
    while True:
        try:
            return run(setup, retry=retry)
        except BusyError:
            cells = dict.fromkeys((cell.key for cell in setup.cells), 0.0)
            with ProgressReporter(setup.console, cells, 0.0) as report:
                leader_is_gone = draw_for_leader(setup, report)
            if not leader_is_gone:
                return None


def admit_cells(setup: Setup) -> Mapping[str, tuple[str, str]]:
    """Admit all cells to the locked run directory, and set aside results of other code or files.

    Cells that cannot run get a row with the reason. Returns the digests of the fingerprint records
    of each model and its extractor, by model name.
    """
    run = setup.directory
    _write_run_json(setup)
    admission = Admission(run, setup.makers, setup.probes.fingerprint)
    setup.watch_files_of_models(admission)
    run.set_aside_damaged_references()
    spaces = {cell.model: cell.space for cell in setup.cells}
    for key, record, planned in other_cells(setup):
        for cell in planned or ():
            same_space = cell.space == spaces.get(cell.model)
            admission.set_aside_if_outdated(cell, extractor=same_space)
        # [], not None: the cell cannot be planned, since its sampler or searched levels are missing, but
        # its model is loaded and can be compared
        if planned == []:
            admission.set_aside_if_model_changed(key, str(record["model"]))
    for cell in setup.cells:
        if not admission.admit(cell, cell.record(setup.suite.name) | cell.facts):
            continue
        run.set_aside_damaged_parts(cell.key)
        if (run.read(cell.key, QUALITY) or {}).get("samples") != cell.samples:
            # scoring will read these shards, but not a finished cell's
            run.set_aside_damaged_shards(cell.key)
    for cell in setup.cells:
        if cell.skip:
            record_no_samples(run, cell, "skipped", cell.skip)
        elif failure := setup.probes.failures.get(cell.key):
            record_no_samples(run, cell, failure.status, failure.reason)
    return admission.digests


def _write_run_json(setup: Setup) -> None:
    """Write ``run.json``, which keeps a record of earlier runs into the same directory."""
    run, about = setup.directory, setup.about
    stored = run.read_run()
    earlier = list(stored.get("earlier", []))
    if stored and _settings_that_tell_runs_apart(stored) != _settings_that_tell_runs_apart(about):
        earlier.append({"suite": stored.get("suite"), "provenance": stored.get("provenance")})
    models: Mapping[str, str] = stored.get("models") or {}
    same = {name for name, own in models.items() if about["models"].get(name, own) == own}
    curvature: Mapping[str, Any] = stored.get(CURVATURE) or {}
    if run.predates_checksums and (count := run.set_all_aside(UNPROVEN)):
        log.warning(
            "%d cells in %s are set aside: what made them was not kept by the "
            "version that they are from.",
            count,
            run.path,
        )
    rows = [run.read(key, CELL) or {} for key in run.cells()]
    names = {row.get(column) for row in rows for column in ("model", "sampler")}
    others = names - about["models"].keys()  # of earlier runs
    merged = {
        part: {name: own for name, own in stored.get(part, {}).items() if name in others}
        | about[part]
        for part in OF_ROWS
    }
    curvature_of_same = {name: own for name, own in curvature.items() if name in same}
    run.write_or_defer_run({**about, **merged, CURVATURE: curvature_of_same, "earlier": earlier})


def _settings_that_tell_runs_apart(run: Mapping[str, Any]) -> tuple[object, ...]:
    """Return suite, versions, machine and device; a change makes a new entry in ``run.json``."""
    origin = run.get("provenance") or {}
    return (
        run.get("suite"),
        *(origin.get(key) for key in ("samplerbench", "git", "machine", "torch", "device")),
    )


def _expected_work(setup: Setup) -> tuple[dict[str, float], dict[str, float]]:
    """Return expected evaluations for missing samples by cell key, and for references by model."""
    cells = {
        cell.key: expected_evaluations(setup.models[cell.model], cell)
        * sum(b - a for a, b in lacking)
        for cell in setup.cells
        if (lacking := missing_shards(setup.directory, cell))
    }
    references = {}
    for name in {cell.model for cell in setup.cells if cell.key in cells}:
        planned = [cell for cell in setup.cells_of(name) if not cell.skip]
        references[name] = reference_evaluations(
            setup.suite, setup.models[name], setup.references[name], planned
        )
    return cells, references


def score_model(
    setup: Setup,
    name: str,
    digests: tuple[str, str],
    report: ProgressReporter,
    redraw: Callable[[Cell], object],
) -> None:
    """Score a model's completely sampled cells; ``redraw`` draws a cell's damaged shards again.

    ``digests`` are the fingerprints' digests of the model and of its extractor.
    """
    directory = setup.directory

    def trajectories_of(cell: Cell, count: int) -> Trajectories:
        limit = setup.limits.limit_of(cell, count)
        return setup.executor.run(TrajectoryTask(cell, count), setup.context, limit=limit)

    while complete := [
        cell
        for cell in setup.cells_of(name)
        if not is_skipped_or_failed(directory, cell) and not missing_shards(directory, cell)
    ]:
        scorer = make_scorer(setup, name, digests, complete, trajectories_of, report)
        _ = scorer.metric_versions  # hashes plugins' files, which are not the model's
        with setup.watch.recording_files_of(name):
            damaged = scorer.score(complete)
        setup.watch.check()
        if damaged is None:
            return
        directory.set_aside_damaged_shards(damaged.key)
        redraw(damaged)


@contextmanager
def _lead_cells(directory: RunDir, claims: Claims, cells: Sequence[str]) -> Iterator[None]:
    """Publish the keys of these cells, so that other processes draw samples during the block."""
    try:
        if cells:
            claims.publish_plan(cells)
        yield
    finally:
        if directory.leads:
            claims.delete_claims()
            directory.clear_strays()
        else:  # another process leads now, and owns the published plan and unfinished files
            claims.close()


@contextmanager
def _rebuild_table_on_failure(run: RunDir, executor: Executor) -> Iterator[None]:
    """If the block fails, rebuild the table; a lack of memory becomes a ValueError."""
    try:
        yield
    except BaseException as error:
        executor.close()
        with suppress(OSError, ValueError):
            run.check()
            _tabulate(run)
        if isinstance(error, Exception) and is_out_of_memory(error):
            words = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"the process that scores ran out of memory ({words}); free some, or ask for fewer "
                "--samples or --reference-samples, and run the same command again, what is done "
                "is kept"
            ) from error
        raise
