"""What became of a cell in a run directory: what it lacks, whether it failed, and why."""

from __future__ import annotations

from collections.abc import Iterable

from ...results.record import Record
from ...results.run_directory.places import QUALITY
from ...results.run_directory.run_dir import RunDir
from ..suites.cell import Cell
from ..timing.machine import version


def missing(run: RunDir, cell: Cell) -> list[tuple[int, int]]:
    """The shards ``(start, stop)`` that a cell lacks; none of one that has nothing to run."""
    return [] if ended(run, cell) else run.missing(cell.key, cell.samples)


def ended(run: RunDir, cell: Cell) -> bool:
    """Whether a cell is skipped, or failed as it would be run now.

    Another batch size or version is another chance.
    """
    quality = run.read(cell.key, QUALITY)
    failed = quality and quality["status"] != "ok" and quality.get("attempt") == _attempt(cell)
    return bool(cell.skip or failed)


def conclude(run: RunDir, cell: Cell, status: str, reason: str) -> None:
    """Say that a cell has no samples, and why."""
    whole = {
        "samples": cell.samples,
        "attempt": _attempt(cell),
        "status": status,
        "reason": reason,
    }
    if run.read(cell.key, QUALITY) != whole:
        run.write(cell.key, QUALITY, whole)


def forget_failures(run: RunDir, cells: Iterable[Cell]) -> None:
    """Make cells without a result as good as new."""
    for cell in cells:
        quality = run.read(cell.key, QUALITY) or {}
        if not cell.skip and quality.get("status", "ok") != "ok":
            run.delete(cell.key, QUALITY)


def _attempt(cell: Cell) -> Record:
    """What a failure may have depended on beside the cell's identity."""
    return {"batch_size": cell.batch_size, "samplerbench": version(), "samples": cell.samples}
