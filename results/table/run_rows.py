"""The rows of a run directory, put together from the files of its cells."""

from __future__ import annotations

from collections.abc import Mapping

from ..quantities import column_kinds
from ..record import Kind, Record
from ..run_directory.layout import CELL, QUALITY, TIMING
from ..run_directory.reading import log
from ..run_directory.run_dir import RunDir
from ..run_directory.sealed import Damaged
from .dtypes import misfit


def rows_of_run(run: RunDir) -> list[Record]:
    """A row for each planned cell of a run; where it has no results, ``status`` says why."""
    kinds = column_kinds()
    return [row for cell in run.cells() if (row := _row(run, cell, kinds)) is not None]


def _row(run: RunDir, cell: str, kinds: Mapping[str, Kind]) -> Record | None:
    """A cell's row; None where its identity is not there.

    Measured columns win over planned ones: an extended cell keeps its old numbers until the new
    ones are there.
    """
    planned = run.read(cell, CELL)
    if planned is None:
        return None
    try:
        quality = run.parsed(cell, QUALITY)
    except FileNotFoundError:
        quality = {}
    except Damaged as fault:
        quality = {
            "status": "damaged",
            "reason": f"quality.json: {fault}; run the suite into this folder again",
        }
        log.warning(
            "%s is damaged: %s. Its row has no results; run the suite into this folder again.",
            run.part(cell, QUALITY),
            fault,
        )
    timing = run.read(cell, TIMING) or {}
    row: Record = {}
    faults: Record = {}
    for file, part in ((TIMING, timing), (CELL, planned), (QUALITY, quality)):
        for name, value in part.items():
            # only an edited file can hold it
            if name in kinds and (wrong := misfit(value, kinds[name], name)):
                remedy = "delete the file and run the suite into this folder again"
                faults = {"status": "damaged", "reason": f"{file}: {wrong}; {remedy}"}
            elif not isinstance(value, list | dict):
                row[name] = value
    row |= faults
    # as in `typed`, where only some of the cells are scored again
    row.setdefault("fd_conv_flag", row.get("fid_flag"))
    return row | {"status": row.get("status") or ("ok" if quality else "missing"), "cell": cell}
