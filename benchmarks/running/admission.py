"""Before anything is computed: what a run is goes into ``run.json``, and what the present code
would not make, or is damaged, is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...results.run_directory.places import CELL, MADE, QUALITY
from ...results.run_directory.reading import log
from ...results.terminal.path_curvature import KEY as CURVATURE
from ..planning.planner import planned_before
from .identity import UNPROVEN, Identity
from .outcomes import conclude
from .setup import Setup

Digests = Mapping[str, tuple[str, str]]
"""The digests of each model's record and of its extractor's, by the name of the model."""


def admit(setup: Setup) -> Digests:
    """Plan all cells in the run directory, which is locked, with nothing beside them that is
    damaged or of other code.

    Those that cannot run have their rows then.
    """
    run = setup.directory
    _announce(setup)
    identity = Identity(run, setup.makers, setup.probes.fingerprint)
    run.mend_references()
    _inspect_others(setup, identity)
    with run.together():
        for cell in setup.cells:
            if not identity.admit(cell, cell.record(setup.suite.name) | cell.facts):
                continue
            run.mend(cell.key)
            if (run.read(cell.key, QUALITY) or {}).get("samples") != cell.samples:
                # they are about to be read; those of a finished cell are only kept
                run.mend_shards(cell.key)
    with run.together():
        for cell in setup.cells:
            if cell.skip:
                conclude(run, cell, "skipped", cell.skip)
            elif failure := setup.probes.of(cell).failure:
                conclude(run, cell, failure.status, failure.reason)
    return {name: identity.digests(name) for name in setup.makers}


def _announce(setup: Setup) -> None:
    """Write what this run is before anything is computed.

    Earlier runs into the same directory stay on record.
    """
    run, about = setup.directory, setup.about
    known = run.run()
    earlier = list(known.get("earlier", []))
    if known and _essence(known) != _essence(about):
        earlier.append({"suite": known.get("suite"), "provenance": known.get("provenance")})
    models: Mapping[str, str] = known.get("models") or {}
    same = {name for name, found in models.items() if about["models"].get(name, found) == found}
    curvature: Mapping[str, Any] = known.get(CURVATURE) or {}
    if run.old and (count := run.set_all_aside(UNPROVEN)):
        log.warning(
            "%d cells in %s are set aside: what made them was not kept by the "
            "version that they are from.",
            count,
            run.path,
        )
    kept = {name: found for name, found in curvature.items() if name in same}
    run.announce({**about, CURVATURE: kept, "earlier": earlier})


def _essence(run: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes two runs into a directory the same one."""
    where = run.get("provenance") or {}
    return (
        run.get("suite"),
        *(where.get(key) for key in ("samplerbench", "git", "machine", "torch", "device")),
    )


def _inspect_others(setup: Setup, identity: Identity) -> None:
    """Rows of earlier runs that this one does not ask for, as far as their samplers and models
    are here.
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
        # of a sampler that is not loaded, or searched levels that are gone: the model is known all
        # the same
        if not same:
            identity.inspect_model(key, str(record["model"]))
