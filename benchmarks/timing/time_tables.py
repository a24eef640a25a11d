"""Files with times in a run directory: of each cell, and two tables.

``timing.csv`` has a line per cell and batch size, for suites with several batch sizes.
``throughput.csv`` has a line per model and batch size of a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...results.record import AROUND
from ...results.run_directory.files import write_text
from ...results.run_directory.layout import CELL, QUALITY, TIMING
from ...results.run_directory.run_dir import RunDir
from ...results.text import csv_lines
from ..suites.suite import Timing

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


def timing_file(size: int | None, options: Timing) -> str:
    """Return the name of a cell's file with its times at one batch size; of its sweep for None."""
    if size is None:
        return SWEEP
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
