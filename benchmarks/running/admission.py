"""Before anything is computed: models are looked at, and what the present code would not make,
or is damaged, is set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ... import samplers
from ...results.run_directory.fingerprint import Fingerprint
from ...results.run_directory.places import CELL, MADE, QUALITY
from ...results.run_directory.run_dir import RunDir
from ..fingerprint import extractor_fingerprint, model_fingerprint, origin_of
from ..planning.planner import planned_before
from ..scoring.real_data import real_data
from ..suites.cell import Cell
from ..suites.suite import Suite
from .executing import Executor, Failure, InProcess
from .executing.tasks import Look
from .executing.world import World
from .identity import Identity, Makers
from .model_check import check_model

FAULT = "fault"
"""Fact of the fingerprint of a sampler that failed when it was looked at."""

ENDED = ("crashed", "timed out")
"""Fates of samplers that are not tried again while their files are the same.

Others fail at once, so they are looked at each time.
"""

LONGEST_LOOK = 20.0
"""Seconds; built-in samplers take milliseconds for three points."""

REAL = 256
"""Real samples that a user's model is tried on."""


class Admission:
    """Admits the cells of a suite to a run directory.

    Args:
        run: the directory, locked when cells are admitted.
        suite: what was asked for.
        world: its models and references.
        executor: where samplers run that did not come with this package.
        device: "cpu" or "cuda".
        time_limit: seconds that looking at a sampler may take, if that is less than
            :data:`LONGEST_LOOK`; None or 0 for that.

    Attributes:
        unfit: failures, by cell, of samplers that ended their process or hung when they were looked
            at.
    """

    def __init__(
        self,
        run: RunDir,
        suite: Suite,
        world: World,
        executor: Executor,
        device: str,
        time_limit: float | None,
    ) -> None:
        self.run, self.suite, self.world, self.executor, self.device = (
            run,
            suite,
            world,
            executor,
            device,
        )
        self.time_limit = min(time_limit or LONGEST_LOOK, LONGEST_LOOK)
        self.unfit: dict[str, Failure] = {}
        self._probed: dict[str, Fingerprint] = {}
        self._alike: dict[tuple[object, ...], Fingerprint] = {}

    def __call__(self, cells: Sequence[Cell]) -> dict[str, tuple[str, str]]:
        """Plan all cells, with nothing beside them that is damaged or of other code.

        Returns:
            The digests of each model and its extractor.
        """
        identity = Identity(self.run, self.makers, self._probe)
        self.run.mend_references()
        self._inspect_others(cells, identity)
        for cell in cells:
            identity.admit(cell, cell.record(self.suite.name) | cell.facts)
            self.run.mend(cell.key)
            if (self.run.read(cell.key, QUALITY) or {}).get("samples") != cell.samples:
                # they are about to be read; those of a finished cell are only kept
                self.run.mend_shards(cell.key)
        return {name: identity.digests(name) for name in self.makers}

    def _inspect_others(self, cells: Sequence[Cell], identity: Identity) -> None:
        """Rows of earlier runs that this one does not ask for, as far as their samplers and
        models are here.
        """
        models, references = self.world.models, self.world.references
        keys, spaces = {cell.key for cell in cells}, {cell.model: cell.space for cell in cells}
        for key in self.run.cells():
            record = self.run.read(key, CELL) or {}
            if key not in keys and record.get("model") in models:
                space = (self.run.read(key, MADE) or {}).get("space")
                before = planned_before(record, space, self.suite, models, references, self.device)
                same = [cell for cell in before if cell.key == key]
                for cell in same:
                    identity.inspect(cell, extractor=space in (None, spaces.get(cell.model)))
                # of a sampler that is not loaded, or searched levels that are gone: the model is
                # known all the same
                if not same:
                    identity.inspect_model(key, str(record["model"]))

    @cached_property
    def makers(self) -> dict[str, Makers]:
        """What models and extractors do.

        Raises:
            ValueError: a model cannot be what its user means, or an extractor fails.
        """
        found = {}
        for name, model in self.world.models.items():
            own, reference = model.read is not None, self.world.references[name]  # of a user's file
            data = (
                real_data(model, self.suite.real).held_out[:REAL]
                if own and self.suite.real
                else None
            )
            check_model(model, reference, data=data, denoising=own, device=self.device)
            try:
                extractor = reference and extractor_fingerprint(
                    reference.extractor, model.event, reference.clamp, self.device
                )
            except Exception as error:
                raise ValueError(
                    f"the extractor of model {name} fails on noise "
                    f"({type(error).__name__}: {error})"
                ) from error
            found[name] = Makers(model_fingerprint(model, self.device), extractor)
        return found

    def _probe(self, cell: Cell) -> Fingerprint:
        """What a cell's sampler does, found where samplers run, or here for a built-in one."""
        if cell.key not in self._probed:
            self._probed[cell.key] = self._known_failure(cell) or self._looked_at(cell)
        return self._probed[cell.key]

    def _looked_at(self, cell: Cell) -> Fingerprint:
        """The fingerprint of a sampler.

        One that fails on three points in the plane may still do what it was made for, so it is
        tried, and its files are all that pins it. One that ends its process or hangs is not tried
        again.
        """
        facts: dict[str, Any] = {
            "origin": samplers.origin(cell.sampler.name),
            "skipped": bool(cell.skip),
        }
        if cell.skip:
            return Fingerprint("sampler", cell.label, facts, {})
        foreign = bool(facts["origin"]) or ":" in cell.sampler.name
        executor = self.executor if foreign else InProcess()
        alike = (
            cell.label,
            cell.grid,
            cell.start.means is None,
            cell.noise,
            cell.sigma_max,
            cell.sigma_min,
        )
        if alike in self._alike:  # the same sampler on the same grid, for another model
            return self._alike[alike]
        try:
            found = executor.run(Look(cell), self.world, limit=self.time_limit)
            if not foreign and cell.start.means is None:
                self._alike[alike] = found
            return found
        except Failure as failure:
            if failure.status in ENDED:
                self.unfit[cell.key] = failure
            # of an exception only its type is kept: its words may name an address
            ended = failure.status in ENDED
            what = failure.reason if ended else failure.reason.partition(":")[0]
            return Fingerprint(
                "sampler",
                cell.label,
                facts | origin_of(cell.sampler) | {FAULT: f"{failure.status}: {what}"},
                {},
            )

    def _known_failure(self, cell: Cell) -> Fingerprint | None:
        """The fingerprint on record of a sampler that ended its process or hung, while its row
        says the same and its origin is the same.
        """
        try:
            known = Fingerprint.from_json((self.run.read(cell.key, MADE) or {}).get("sampler"))
        except ValueError:
            return None
        quality = self.run.read(cell.key, QUALITY) or {}
        ended = (
            quality.get("status") in ENDED
            and known.exact.get(FAULT, "") == f"{quality['status']}: {quality.get('reason')}"
        )
        return known if ended and origin_of(cell.sampler).items() <= known.exact.items() else None
