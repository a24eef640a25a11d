"""``timing.csv``: one line per cell and batch size, for suites with several; ``throughput.csv``:
one line per model and batch size of a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...results.record import Record
from ...results.run_directory.files import write_text
from ...results.run_directory.layout import CELL as IDENTITY
from ...results.run_directory.layout import QUALITY
from ...results.run_directory.run_dir import RunDir
from ...results.text import csv_lines
from ..suites.suite import Timing

CELL = ("model", "sampler", "params", "schedule", "start", "end", "steps", "budget", "dtype")
TIMES = (
    "timing_batch_size",
    "timing_execution",
    "timing_device",
    "timing_device_name",
    "timing_threads",
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
    "joules_per_sample",
    "timing_rounds",
    "timing_discarded",
    "timing_converged",
    "timing_flag",
    "timing_reason",
)


SWEEP = "sweep.json"
"""Name of the part with a sweep over batch sizes."""


def timing_file(size: int, options: Timing) -> str:
    """Return the name of the part with a cell's times at one batch size.

    The first size has the name that the result table reads.
    """
    return "timing.json" if size == options.batch_size[0] else f"timing-{size}.json"


def write_timings(run: RunDir, cells: Sequence[str], options: Timing) -> None:
    """Write ``timing.csv`` into the run directory, if more than one batch size is timed, and
    ``throughput.csv`` if there was a sweep.

    Args:
        run: directory of the parts.
        cells: keys, in the order of the lines.
        options: with the batch sizes.
    """
    if options.enabled and options.sweep:
        lines = [line for cell in cells for line in _sweep_lines(run, cell)]
        write_text(run.path / "throughput.csv", csv_lines(THROUGHPUT, lines))
    if not options.enabled or len(options.batch_size) == 1:
        return
    columns = CELL + TIMES
    rows = (
        _row(run, cell, timing_file(size, options)) for cell in cells for size in options.batch_size
    )
    write_text(
        run.path / "timing.csv",
        csv_lines(columns, ([row.get(column) for column in columns] for row in rows if row)),
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


def _sweep_lines(run: RunDir, cell: str) -> list[list[object]]:
    result = run.read(cell, SWEEP)
    if not result:
        return []
    row = {**(run.read(cell, IDENTITY) or {}), **(run.read(cell, QUALITY) or {})}
    about = [row.get("model"), row.get("sampler"), row.get("nfe"), result["timing_device_name"]]
    return [
        [*about, batch, ms, 1e3 * batch / ms, batch == result["knee"], result["ended"]]
        for batch, ms in result["points"]
    ]


def _row(run: RunDir, cell: str, file: str) -> Record:
    times = run.read(cell, file)
    return {**(run.read(cell, IDENTITY) or {}), **times} if times else {}
