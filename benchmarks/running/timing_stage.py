"""Timing of a run's sampled cells, on this process's device or on the device of an executor.

Times in the run directory are kept as long as their inputs and the machine stay the same.
``timing.csv`` has a line per cell and batch size, for suites with several batch sizes.
``throughput.csv`` has a line per model and batch size of a sweep.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...results.columns import AROUND
from ...results.run_directory.files import write_text
from ...results.run_directory.layout import CELL, QUALITY, TIMING
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.text import csv_lines
from ...results.values import Record
from ..sampling.failure import error_in_words
from ..suites.cell import Cell
from ..suites.suite import Timing
from ..timing.cell_timing import knee_batch_size, sweep_batch_sizes
from ..timing.cells import time_cells
from ..timing.clock import DeviceTimer, set_backends
from ..timing.machine import describe_device, package_version
from .cell_states import is_skipped_or_failed
from .executors import Call, Executor, Failure, InProcess, Tell, WorkerContext
from .executors.tasks import CellTask
from .progress import ProgressReporter
from .setup import Setup

SWEEP = "sweep.json"  # name of a cell's file with its sweep over batch sizes

IDENTITY = ("model", "sampler", "params", "schedule", "start", "end", "steps", "budget", "dtype")
_AROUND = [column.name for column in AROUND]
TIMES = (
    "timing_batch_size",
    "timing_execution",
    "timing_device",
    "timing_device_name",
    "timing_threads",
    *_AROUND[_AROUND.index("ms_per_sample") : _AROUND.index("timing_converged")],
    "timing_rounds",
    "timing_discarded",
    "timing_converged",
    "timing_flag",
    "timing_reason",
)
THROUGHPUT = (
    "model",
    "sampler",
    "nfe",
    "timing_device_name",
    "batch",
    "ms",
    "samples_per_second",
    "knee",
    "ended",
)


@dataclass(frozen=True)
class TimesTask:
    """Task that times cells of one model; ``parts`` has a task for each cell.

    ``size`` is the batch size, 0 for each cell's own; None times the first cell at many batch sizes
    (:func:`.sweep_batch_sizes`). ``within`` limits the total seconds.
    """

    parts: tuple[CellTask, ...]
    options: Timing
    size: int | None
    within: float | None

    def prepare(self, context: WorkerContext) -> None:
        """Load the model; raise a ValueError if its files changed since the plan."""
        self.parts[0].prepare(context)

    def __call__(self, context: WorkerContext, tell: Tell) -> dict[str, Record]:
        """Return the columns of each cell by its key. A sweep that timed no batch size fails.

        ``tell`` gets texts on the progress, and (key, columns) of each cell whose timing has ended.
        """
        cells, device = [part.cell for part in self.parts], context.setting.device
        model, records = context.load(cells[0].model).model, dict[str, Record]()

        def store_and_tell(key: str, record: Record) -> None:
            records[key] = record
            tell((key, record))

        if self.size is not None:
            time_cells(
                model,
                cells,
                self.options,
                device,
                batch_size=self.size,
                progress=lambda share, label: tell(f" {share:.0%} {label}"),
                done=store_and_tell,
                within=self.within,
            )
            return records
        try:
            with set_backends(self.options):
                points, ended = sweep_batch_sizes(
                    model,
                    cells[0],
                    DeviceTimer(device).time,
                    self.options.sweep,
                    progress=lambda batch: tell(f", batches of {batch}"),
                    within=self.within,
                )
        except Exception as error:  # a sampler may refuse a batch; other cells are timed
            raise Failure("failed", error_in_words(error)) from error
        if not points:
            raise Failure("failed", f"no batch size was timed, since {ended}")
        swept: Record = {"points": points, "knee": knee_batch_size(points), "ended": ended}
        return {cells[0].key: swept}


class TimedHere(InProcess):
    """Executor in this process that raises a task's own exceptions, and restores no defaults."""

    wraps_errors = False


def time_sampled_cells(setup: Setup, report: ProgressReporter, executor: Executor) -> None:
    """Time the sampled cells whose times are missing or outdated, and sweep batch sizes if asked.

    ``executor`` is from :meth:`.Executor.alone`, or :class:`TimedHere`. A cell that cannot be timed
    gets the column ``timing_reason``. Raises a ValueError if a model's files changed, or if the
    executor fails at its first task.
    """
    run, options = setup.directory, setup.suite.timing
    sizes = [*options.batch_size, *([None] if options.sweep else [])]
    begun = time.monotonic()
    sampled = [
        [cell for cell in setup.cells_of(name) if not is_skipped_or_failed(run, cell)]
        for name in setup.models
    ]
    if not any(sampled):
        return
    try:
        machine = executor.run(Call(conditions_for_times, (setup.device,)), setup.context)
    except Failure as failure:
        raise ValueError(
            f"no times can be taken where they were to be: {failure.reason}; --no-timing "
            "leaves them out"
        ) from failure
    parts = [
        ([cell for cell in cells if cell.key in stamps], size, stamps)
        for cells in sampled
        for size in sizes
        if (stamps := _stamps_of_pending(run, cells, options, size, machine))
    ]
    end = begun + 60 * options.minutes if options.minutes else None
    most = len(parts) * options.seconds
    report.show_time_limit(min(most, 60 * options.minutes) if options.minutes else most)
    for done, (pending, size, stamps) in enumerate(parts):
        # an equal share of the remaining seconds
        within = None if end is None else max(0.0, end - time.monotonic()) / (len(parts) - done)
        _time_at_size(setup, pending, size, stamps, within, report, executor)


def conditions_for_times(device: str) -> Record:
    """Return the device, its name and torch's threads in this process, on which times depend."""
    return {
        "timing_device": device,
        "timing_device_name": describe_device(device)["name"],
        "timing_threads": torch.get_num_threads(),
    }


def _stamps_of_pending(
    run: RunDir, cells: Sequence[Cell], options: Timing, size: int | None, machine: Record
) -> dict[str, Record]:
    """Return the stamps of cells whose times are missing or outdated, by cell key.

    A stamp has the settings, version and device of times; a change outdates them. For a batch that
    memory did not hold in sampling, the reason is written in place of times.
    """
    file, stamps = timing_file(size, options), dict[str, Record]()
    left_out = {"enabled", "batch_size", "minutes", "sweep"}
    requested = {
        "samplerbench": package_version(),
        **options.model_dump(mode="json", exclude=left_out),
    }
    for cell in cells[:1] if size is None else cells:
        batch = size or cell.batch_size
        stamp = {**machine, "timing_batch_size": batch, "timing_asked": requested}
        if size is None:
            stamp["sweep"] = options.sweep
        if stamp.items() <= (run.read(cell.key, file) or {}).items():
            continue
        if size is not None and (reason := why_too_large(run, cell, batch)):
            run.write(cell.key, file, {**stamp, "timing_reason": reason})
        else:
            stamps[cell.key] = stamp
    return stamps


def _time_at_size(
    setup: Setup,
    cells: Sequence[Cell],
    size: int | None,
    stamps: dict[str, Record],
    within: float | None,
    report: ProgressReporter,
    executor: Executor,
) -> None:
    """Time cells at one batch size, and write the columns of each cell as soon as it ends."""
    options, model = setup.suite.timing, cells[0].model
    title = f"{model}: timing" + (f" batches of {size}" if size else "")
    if size is None:
        title = f"{model}: throughput of {cells[0].label}"
        for cell in setup.cells_of(model):  # of another machine, of other settings, or another cell
            setup.directory.delete(cell.key, SWEEP)

    def write(key: str, record: Record) -> None:
        if key in stamps:
            setup.directory.write(key, timing_file(size, options), {**stamps[key], **record})
            del stamps[key]  # after the write, which may fail

    def receive(news: str | tuple[str, Record]) -> None:
        if isinstance(news, str):
            report.set_stage(title + news)
        else:
            write(*news)

    records: dict[str, Record]
    task = TimesTask(tuple(map(CellTask, cells)), options, size, within)
    try:
        records = executor.run(task, setup.context, tell=receive)
    except Failure as failure:
        if size is None:  # the file of a sweep has no place for a reason
            log.warning("%s: %s.", title, failure.reason)
            return
        records = {key: {"timing_reason": failure.reason} for key in stamps}
    for key, record in records.items():  # all cells again, since news can be lost
        write(key, record)


def why_too_large(run: RunDir, cell: Cell, size: int) -> str:
    """Return why a batch of ``size`` does not fit into memory, as sampling found; else ""."""
    used = (run.read(cell.key, QUALITY) or {}).get("batch_used")
    if not isinstance(used, int) or size <= used:
        return ""
    return (
        f"sampling had memory for batches of {used} samples only, so batches of {size} are not "
        f"timed; --batch-size {used} times those"
    )


def timing_file(size: int | None, options: Timing) -> str:
    """Return the name of a cell's file with times at batch size ``size``; None is for its sweep."""
    if size is None:
        return SWEEP
    # times of the first batch size are in the result table
    return TIMING if size == options.batch_size[0] else f"timing-{size}.json"


def write_timings(run: RunDir, cells: Sequence[str], options: Timing) -> None:
    """Write ``timing.csv`` if there are several batch sizes, and ``throughput.csv`` for a sweep."""
    if options.sweep:
        lines = [line for cell in cells for line in _lines_of_sweep(run, cell)]
        write_text(run.path / "throughput.csv", csv_lines(THROUGHPUT, lines))
    if len(options.batch_size) == 1:
        return
    columns, lines = IDENTITY + TIMES, []
    for cell in cells:
        for size in options.batch_size:
            if times := run.read(cell, timing_file(size, options)):
                row = {**(run.read(cell, CELL) or {}), **times}
                lines.append([row.get(column) for column in columns])
    write_text(run.path / "timing.csv", csv_lines(columns, lines))


def _lines_of_sweep(run: RunDir, cell: str) -> list[list[object]]:
    result = run.read(cell, SWEEP)
    if not result:
        return []
    row = {**(run.read(cell, CELL) or {}), **(run.read(cell, QUALITY) or {})}
    about = [row.get("model"), row.get("sampler"), row.get("nfe"), result["timing_device_name"]]
    return [
        [*about, batch, ms, 1e3 * batch / ms, batch == result["knee"], result["ended"]]
        for batch, ms in result["points"]
    ]
