"""Admission: ``run.json`` describes the run, and damaged or outdated cells are set aside. Also,
without writing, the states of a directory's cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ...results.record import Record
from ...results.run_directory.layout import CELL, MADE, QUALITY
from ...results.run_directory.reading import log
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sealed import Damaged
from ...results.terminal.path_curvature import KEY as CURVATURE
from ..identity.admission import UNPROVEN, Identity
from ..planning.planner import planned_before
from ..scoring.cost import endpoints_asked
from ..scoring.scorer import Scorer
from ..suites.cell import Cell
from ..timing.machine import version
from .progress import Reporter
from .setup import Setup


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


Digests = Mapping[str, tuple[str, str]]
"""Digests of each model's record and of its extractor's, by the name of the model."""


def admit(setup: Setup) -> Digests:
    """Plan all cells in the locked run directory, and set aside all that is damaged or of other
    code.

    Cells that cannot run have their rows then.
    """
    run = setup.directory
    _announce(setup)
    identity = Identity(run, setup.makers, setup.probes.fingerprint)
    setup.put_on_record(identity)
    run.mend_references()
    _inspect_others(setup, identity)
    with run.together():
        for cell in setup.cells:
            if not identity.admit(cell, cell.record(setup.suite.name) | cell.facts):
                continue
            run.mend(cell.key)
            if (run.read(cell.key, QUALITY) or {}).get("samples") != cell.samples:
                # they are about to be read; a finished cell's are only kept
                run.mend_shards(cell.key)
    with run.together():
        for cell in setup.cells:
            if cell.skip:
                conclude(run, cell, "skipped", cell.skip)
            elif failure := setup.probes.of(cell).failure:
                conclude(run, cell, failure.status, failure.reason)
    return {name: identity.digests(name) for name in setup.makers}


def _announce(setup: Setup) -> None:
    """Describe this run before anything is computed.

    Earlier runs into the same directory stay on record.
    """
    run, about = setup.directory, setup.about
    stored = run.run()
    earlier = list(stored.get("earlier", []))
    if stored and _essence(stored) != _essence(about):
        earlier.append({"suite": stored.get("suite"), "provenance": stored.get("provenance")})
    models: Mapping[str, str] = stored.get("models") or {}
    same = {name for name, own in models.items() if about["models"].get(name, own) == own}
    curvature: Mapping[str, Any] = stored.get(CURVATURE) or {}
    if run.old and (count := run.set_all_aside(UNPROVEN)):
        log.warning(
            "%d cells in %s are set aside: what made them was not kept by the "
            "version that they are from.",
            count,
            run.path,
        )
    curvature_of_same = {name: own for name, own in curvature.items() if name in same}
    run.announce({**about, CURVATURE: curvature_of_same, "earlier": earlier})


def _essence(run: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the values that two runs into a directory share if they are the same one."""
    where = run.get("provenance") or {}
    return (
        run.get("suite"),
        *(where.get(key) for key in ("samplerbench", "git", "machine", "torch", "device")),
    )


def _inspect_others(setup: Setup, identity: Identity) -> None:
    """Inspect rows of earlier runs that this one does not request, if their samplers and models are
    available.
    """
    run, models = setup.directory, setup.models
    keys, spaces = {cell.key for cell in setup.cells}, {c.model: c.space for c in setup.cells}
    for key in run.cells():
        record = run.read(key, CELL) or {}
        if key in keys or record.get("model") not in models:
            continue
        space = (run.read(key, MADE) or {}).get("space")
        before = planned_before(record, space, setup.suite, models, setup.references, setup.device)
        same = [cell for cell in before if cell.key == key]
        for cell in same:
            identity.inspect(cell, extractor=space in (None, spaces.get(cell.model)))
        # of a sampler that is not loaded, or lost searched levels: the model is known nevertheless
        if not same:
            identity.inspect_model(key, str(record["model"]))


State = Literal[
    "up to date", "changed", "comes back", "missing", "to be scored", "ended", "skipped", "not told"
]
"""State of a cell. ``changed``: it will be set aside and made again. ``comes back``: it was set
aside, and equals the cell of the present code. ``ended``: it failed, and is not tried again. ``not
told``: the last run into the directory did not request it, and its fingerprints cannot be compared.
"""


class Standing(NamedTuple):
    """State of one cell.

    Attributes:
        cell: its key.
        model, sampler: from its row.
        steps: numbers of steps; None for adaptive samplers.
        state: see :data:`State`.
        why: reason in a clause, or "".
    """

    cell: str
    model: str
    sampler: str
    steps: Any
    state: State
    why: str = ""


def standings(setup: Setup) -> list[Standing]:
    """Return the states of a run directory's cells: requested ones, then others.

    Args:
        setup: of the run that would continue.
    """
    run = setup.directory
    identity = Identity(run, setup.makers, setup.probes.fingerprint, writes=False)
    requested = {
        cell.key: _requested_standing(setup, identity, cell, scorer)
        for name in setup.models
        for scorer in [_scorer(setup, identity, name)]
        for cell in setup.cells_of(name)
    }
    return [*requested.values(), *_other_standings(setup, identity, set(requested))]


def _scorer(setup: Setup, identity: Identity, name: str) -> Scorer:
    """Return a scorer that detects whether a model's cells have present scores."""
    cells = [cell for cell in setup.cells_of(name) if not cell.skip]

    def watch(*_: object) -> Any:
        raise AssertionError("nothing is computed here")

    return Scorer(
        setup.directory.of_model(*identity.digests(name)),
        setup.suite,
        setup.models[name],
        setup.references[name],
        max((endpoints_asked(setup.suite, cell) for cell in cells), default=0),
        watch,
        Reporter(setup.console, 0, 0.0),
    )


def _requested_standing(setup: Setup, identity: Identity, cell: Cell, scorer: Scorer) -> Standing:
    run = setup.directory
    state, why = _state(run, identity, cell, scorer)
    return Standing(cell.key, cell.model, cell.label, cell.steps, state, why)


def _state(run: RunDir, identity: Identity, cell: Cell, scorer: Scorer) -> tuple[State, str]:
    if cell.skip:
        return "skipped", cell.skip
    if not identity.there(cell.key):
        if identity.returning(cell) is not None:
            return "comes back", "it was set aside, and is what the present code makes"
        return "missing", f"0 of {cell.samples:,} samples are there"
    if why := UNPROVEN if run.old else identity.fault(cell):
        return "changed", why
    quality = run.read(cell.key, QUALITY) or {}
    if ended(run, cell):
        return "ended", f"{quality.get('status')}: {quality.get('reason')}"
    if lacking := missing(run, cell):
        count = cell.samples - sum(stop - start for start, stop in lacking)
        return "missing", f"{count:,} of {cell.samples:,} samples are there"
    why = scorer.lacks(cell)
    return ("to be scored", why) if why else ("up to date", "")


def _other_standings(setup: Setup, identity: Identity, requested: set[str]) -> Iterator[Standing]:
    """Yield the states of cells from earlier runs into the directory."""
    run = setup.directory
    for key in run.cells():
        if key in requested:
            continue
        record = run.read(key, CELL) or {}
        model, sampler = (str(record.get(name) or "?") for name in ("model", "sampler"))
        why = "the last run did not ask for it"
        named = Standing(key, model, sampler, record.get("steps"), "not told", why)
        if record.get("model") not in setup.models:
            yield named
            continue
        space = (run.read(key, MADE) or {}).get("space")
        before = planned_before(
            record, space, setup.suite, setup.models, setup.references, setup.device
        )
        same = next((cell for cell in before if cell.key == key), None)
        if same is None:
            yield named
        elif why := identity.fault(same):
            yield named._replace(state="changed", why=why)
        else:
            yield named._replace(state="up to date", why="")
