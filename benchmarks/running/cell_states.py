"""States of the cells of a run directory: missing samples, failures, and outdated results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ...results.run_directory.layout import CELL, MADE, QUALITY
from ...results.run_directory.sealed import DamagedError
from ..identity.admission import UNPROVEN, Admission
from ..planning.planner import plan_cells_of_record
from ..scoring.reference_cost import endpoint_count
from ..timing.machine import package_version
from .progress import ProgressReporter

if TYPE_CHECKING:
    from ...results.run_directory.run_dir import RunDir
    from ...results.values import Record
    from ..scoring.scorer import Scorer, TrajectorySource
    from ..suites.cell import Cell
    from .setup import Setup


def missing_shards(run: RunDir, cell: Cell) -> list[tuple[int, int]]:
    """Return the missing sample ranges [start, stop) of a cell; [] if it is skipped or failed."""
    return [] if is_skipped_or_failed(run, cell) else run.missing_shards(cell.key, cell.samples)


def is_skipped_or_failed(run: RunDir, cell: Cell) -> bool:
    """Return True if a cell is skipped, or failed with the present version and settings."""
    quality = run.read(cell.key, QUALITY) or {"status": "ok"}
    failed = quality["status"] != "ok" and quality.get("attempt") == _failure_inputs(cell)
    return bool(cell.skip) or failed


def record_no_samples(run: RunDir, cell: Cell, status: str, reason: str) -> None:
    """Write the status and the reason of a cell without samples into its ``quality.json``."""
    quality = {
        "samples": cell.samples,
        "attempt": _failure_inputs(cell),
        "status": status,
        "reason": reason,
    }
    if run.read(cell.key, QUALITY) != quality:
        run.write(cell.key, QUALITY, quality)


def forget_failures(run: RunDir, cells: Iterable[Cell], *, every: bool) -> None:
    """Delete the records of failed cells, so that a run tries the cells again.

    If ``every`` is False, only records of cells whose process was killed from outside are deleted.
    """
    for cell in cells:
        try:
            status = run.read_or_raise(cell.key, QUALITY).get("status", "ok")
        except (FileNotFoundError, DamagedError):  # admission reports and repairs damage
            continue
        if not cell.skip and status != "ok" and (every or status == "killed"):
            run.delete(cell.key, QUALITY)


def _failure_inputs(cell: Cell) -> Record:
    """Return settings outside a cell's key; after their change, a failed cell is tried again."""
    return {
        "batch_size": cell.batch_size,
        "samplerbench": package_version(),
        "samples": cell.samples,
    }


def other_cells(setup: Setup) -> Iterator[tuple[str, Record, list[Cell] | None]]:
    """Yield (key, identity columns, planned) of each stored cell not in this run.

    ``planned`` is [cell] if the cell can be planned from its columns, else []. It is None if this
    run has not loaded the cell's model.
    """
    run, requested = setup.directory, {cell.key for cell in setup.cells}
    for key in run.cells():
        if key in requested:
            continue
        record = run.read(key, CELL) or {}
        if record.get("model") not in setup.models:
            yield key, record, None
            continue
        space = (run.read(key, MADE) or {}).get("space")
        before = plan_cells_of_record(
            record, space, setup.suite, setup.models, setup.references, setup.device
        )
        yield key, record, [cell for cell in before if cell.key == key]


State = Literal[
    "up to date",
    "changed",
    "restorable",
    "missing",
    "to be scored",
    "failed",
    "skipped",
    "not requested",
]
"""State of a cell. "changed": the cell will be set aside and made again. "restorable": it was set
aside, and will be restored. "failed": it is not tried again. "not requested": the last run did not
request it, and its fingerprints cannot be compared.
"""


class CellState(NamedTuple):
    """State of the cell with the key ``cell``; ``why`` is a clause with the reason, or ""."""

    cell: str
    model: str
    sampler: str  # with options
    steps: Any
    state: State
    why: str = ""


def cell_states_of(setup: Setup) -> list[CellState]:
    """Return the states of a run directory's cells: cells of this run, then of earlier runs."""
    admission = Admission(setup.directory, setup.makers, setup.probes.fingerprint, writes=False)

    def refuse(*_: object) -> Any:
        raise AssertionError("nothing is computed here")

    states: dict[str, CellState] = {}
    spaces = {cell.model: cell.space for cell in setup.cells}
    for name in setup.models:
        cells = setup.cells_of(name)
        planned = [cell for cell in cells if not cell.skip]
        report = ProgressReporter(setup.console, {}, 0.0)
        scorer = make_scorer(setup, name, admission.digests[name], planned, refuse, report)
        for cell in cells:
            state, why = _state_and_reason(setup.directory, admission, cell, scorer)
            states[cell.key] = CellState(cell.key, cell.model, cell.label, cell.steps, state, why)
    for key, record, planned in other_cells(setup):
        model, sampler = (str(record.get(name) or "?") for name in ("model", "sampler"))
        state, why = "not requested", "the last run did not request it"
        if setup.directory.predates_checksums:
            state, why = "changed", UNPROVEN
        elif planned:
            (cell,) = planned
            same_space = cell.space == spaces.get(cell.model)
            why = admission.why_outdated(cell, extractor=same_space)
            state = "changed" if why else "up to date"
        states[key] = CellState(key, model, sampler, record.get("steps"), state, why)
    return [*states.values()]


def make_scorer(
    setup: Setup,
    name: str,
    digests: tuple[str, str],
    cells: Sequence[Cell],
    trajectories_of: TrajectorySource,
    report: ProgressReporter,
) -> Scorer:
    """Return the scorer of ``cells``, which are of the model ``name``.

    ``digests`` is the model's item of :attr:`.Admission.digests`. ``trajectories_of(cell, count)``
    records the trajectories of a cell's first ``count`` samples.
    """
    from ..scoring.scorer import Scorer  # samples are drawn first

    return Scorer(
        setup.directory.of_model(*digests),
        setup.suite,
        setup.models[name],
        setup.references[name],
        max((endpoint_count(setup.suite, cell) for cell in cells), default=0),
        trajectories_of,
        report,
    )


def _state_and_reason(
    run: RunDir, admission: Admission, cell: Cell, scorer: Scorer
) -> tuple[State, str]:
    if cell.skip:
        return "skipped", cell.skip
    if not admission.has_parts(cell.key):
        if admission.find_restorable(cell) is not None:
            return "restorable", "it was set aside, and is what the present code makes"
        return "missing", f"0 of {cell.samples:,} samples are there"
    if why := UNPROVEN if run.predates_checksums else admission.why_outdated(cell):
        return "changed", why
    quality = run.read(cell.key, QUALITY) or {}
    if is_skipped_or_failed(run, cell):
        return "failed", f"{quality.get('status')}: {quality.get('reason')}"
    if lacking := missing_shards(run, cell):
        count = cell.samples - sum(stop - start for start, stop in lacking)
        return "missing", f"{count:,} of {cell.samples:,} samples are there"
    why = scorer.why_unscored(cell)
    return ("to be scored", why) if why else ("up to date", "")
