"""Timing of a run directory's cells whose times are missing or outdated, and tables of times.

``timing.csv`` has a line per cell and batch size, for suites with several batch sizes.
``throughput.csv`` has a line per model and batch size of a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ...models.denoiser import Denoiser
from ...results.record import AROUND
from ...results.run_directory.files import write_text
from ...results.run_directory.layout import CELL, QUALITY, TIMING
from ...results.run_directory.run_dir import RunDir
from ...results.text import csv_lines
from ...results.values import Record
from ..suites.cell import Cell
from ..suites.suite import Timing
from .cells import Done, Progress, time_cells
from .machine import describe_device, package_version
from .sweep import sweep_record

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
class Timer:
    """Timer of cells of ``model``, which is on ``device``, "cpu" or "cuda", in this process.

    A subclass may time them in another process.
    """

    model: Denoiser
    options: Timing
    device: str

    def timing_conditions(self) -> Record:
        """Return the result of :func:`conditions_for_times` in the timing process."""
        return conditions_for_times(self.device)

    def time(
        self, cells: Sequence[Cell], size: int, within: float | None, progress: Progress, done: Done
    ) -> None:
        """Time cells at batch size ``size``; 0 is each cell's own (see :func:`.time_cells`)."""
        time_cells(
            self.model,
            cells,
            self.options,
            self.device,
            batch_size=size,
            progress=progress,
            done=done,
            within=within,
        )

    def sweep_batch_sizes(
        self, cell: Cell, within: float | None, progress: Callable[[int], None]
    ) -> Record:
        """Time a cell at many batch sizes; see :func:`.sweep_record`."""
        return sweep_record(self.model, cell, self.options, self.device, within, progress)


def conditions_for_times(device: str) -> Record:
    """Return the device, its name and torch's threads in this process, on which times depend."""
    return {
        "timing_device": device,
        "timing_device_name": describe_device(device)["name"],
        "timing_threads": torch.get_num_threads(),
    }


def time_pending(
    run: RunDir,
    cells: Sequence[Cell],
    timer: Timer,
    stage: Callable[[str], None],
    within: Callable[[], float | None] = lambda: None,
) -> None:
    """Time one model's cells whose times are missing or outdated, and sweep batch sizes if asked.

    ``run`` stores the times of the sampled ``cells``, and ``stage`` receives the present stage in
    words. ``within`` is called before each batch size and sweep for its limit in seconds, or None.
    """
    if not cells:
        return
    options, machine = timer.options, timer.timing_conditions()
    for size in options.batch_size:
        file, stamps = timing_file(size, options), {}
        for cell in cells:
            stamp = machine | _timing_inputs(cell, options, size)
            if stamp.items() <= (run.read(cell.key, file) or {}).items():
                continue
            if reason := why_too_large(run, cell, size or cell.batch_size):
                run.write(cell.key, file, {**stamp, "timing_reason": reason})
            else:
                stamps[cell.key] = stamp
        title = f"{cells[0].model}: timing" + (f" batches of {size}" if size else "")
        if stamps:
            timer.time(
                [cell for cell in cells if cell.key in stamps],
                size,
                within(),
                lambda share, label, title=title: stage(f"{title} {share:.0%} {label}"),
                lambda key, record, file=file, stamps=stamps: run.write(
                    key, file, {**stamps[key], **record}
                ),
            )

    if options.sweep:
        cell = cells[0]
        stamp = machine | _timing_inputs(cell, options, 0) | {"sweep": options.sweep}
        if stamp.items() <= (run.read(cell.key, SWEEP) or {}).items():
            return
        title = f"{cell.model}: throughput of {cell.label}"
        result = timer.sweep_batch_sizes(
            cell, within(), lambda batch: stage(f"{title}, batches of {batch}")
        )
        if result.get("points"):
            run.write(cell.key, SWEEP, {**stamp, **result})


def why_too_large(run: RunDir, cell: Cell, size: int) -> str:
    """Return why a batch of ``size`` does not fit into memory, as sampling found; else ""."""
    used = (run.read(cell.key, QUALITY) or {}).get("batch_used")
    if not isinstance(used, int) or size <= used:
        return ""
    return (
        f"memory held batches of {used} samples, not of {cell.batch_size}: a batch of {size} is not "
        f"timed, and no other for it; --batch-size {used} times that"
    )


def _timing_inputs(cell: Cell, options: Timing, size: int) -> Record:
    """Return inputs of a timing other than machine and cell; a change outdates the times."""
    left_out = {"enabled", "batch_size", "minutes", "sweep"}
    requested = {
        "samplerbench": package_version(),
        **options.model_dump(mode="json", exclude=left_out),
    }
    return {"timing_batch_size": size or cell.batch_size, "timing_asked": requested}


def timing_file(size: int, options: Timing) -> str:
    """Return the name of a cell's file with its times at one batch size."""
    # times of the first batch size are in the result table
    return TIMING if size == options.batch_size[0] else f"timing-{size}.json"


def write_timings(run: RunDir, cells: Sequence[str], options: Timing) -> None:
    """Write ``timing.csv`` if there are several batch sizes, and ``throughput.csv`` for a sweep."""
    if options.enabled and options.sweep:
        lines = [line for cell in cells for line in _lines_of_sweep(run, cell)]
        write_text(run.path / "throughput.csv", csv_lines(THROUGHPUT, lines))
    if not options.enabled or len(options.batch_size) == 1:
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
