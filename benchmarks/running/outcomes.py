"""Outcomes of cells in a run directory: missing samples, failures, and their reasons."""

from __future__ import annotations

from collections.abc import Iterable

from ...results.record import Record
from ...results.run_directory.layout import QUALITY
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sealed import Damaged
from ..suites.cell import Cell
from ..timing.machine import version


def missing(run: RunDir, cell: Cell) -> list[tuple[int, int]]:
    """Return the shards ``(start, stop)`` that a cell lacks; none for one with nothing to run."""
    return [] if ended(run, cell) else run.missing(cell.key, cell.samples)


def ended(run: RunDir, cell: Cell) -> bool:
    """Return True if a cell is skipped, or failed as it would run now.

    Another batch size or version is another chance.
    """
    quality = run.read(cell.key, QUALITY)
    failed = quality and quality["status"] != "ok" and quality.get("attempt") == _attempt(cell)
    return bool(cell.skip or failed)


def conclude(run: RunDir, cell: Cell, status: str, reason: str) -> None:
    """Record that a cell has no samples, and the reason."""
    whole = {
        "samples": cell.samples,
        "attempt": _attempt(cell),
        "status": status,
        "reason": reason,
    }
    if run.read(cell.key, QUALITY) != whole:
        run.write(cell.key, QUALITY, whole)


def forget_failures(run: RunDir, cells: Iterable[Cell], *, every: bool) -> None:
    """Reset cells without a result, so that they are tried again.

    Args:
        run: the directory.
        cells: about to run.
        every: True for all of them; else only cells whose process was killed from outside, which is
            no verdict about a sampler.
    """
    for cell in cells:
        try:
            status = run.parsed(cell.key, QUALITY).get("status", "ok")
        except (FileNotFoundError, Damaged):  # which is said, and mended, when cells are admitted
            continue
        if not cell.skip and status != "ok" and (every or status == "killed"):
            run.delete(cell.key, QUALITY)


def _attempt(cell: Cell) -> Record:
    """Return the inputs of a failure besides the cell's identity."""
    return {"batch_size": cell.batch_size, "samplerbench": version(), "samples": cell.samples}
