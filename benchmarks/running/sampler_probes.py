"""Fingerprints of the cells' samplers, made by the executor, or in this process for built-in
ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ... import samplers
from ...results.run_directory.fingerprint import Fingerprint
from ...results.run_directory.layout import MADE, QUALITY
from ...results.run_directory.run_dir import RunDir
from ..identity import origin_of
from ..suites.cell import Cell
from .executors import Executor, Failure, InProcess
from .executors.tasks import FingerprintTask
from .executors.worker_context import WorkerContext

FAULT = "fault"
"""Fact of the fingerprint of a sampler that failed in its probe."""

ENDED = ("crashed", "timed out")
"""Statuses of samplers that are not tried again while their files are the same.

Others fail at once, so they are probed each time.
"""

LONGEST_LOOK = 20.0
"""Longest probe of a sampler, in seconds; built-in samplers take milliseconds for three points."""


class SamplerProbe(NamedTuple):
    """Result of a sampler's probe.

    Attributes:
        fingerprint: of the sampler, or of its failure.
        failure: of a sampler that ended its process or hung; None for others.
    """

    fingerprint: Fingerprint
    failure: Failure | None = None


class SamplerProbes:
    """Probes of the samplers of cells, once each.

    Args:
        run: the directory, where earlier failures are on record.
        world: the models.
        executor: for samplers that did not come with this package.
        time_limit: seconds for a probe, if less than :data:`LONGEST_LOOK`; None or 0 for that.
    """

    def __init__(
        self, run: RunDir, world: WorkerContext, executor: Executor, time_limit: float | None
    ) -> None:
        self._run, self._world, self._executor = run, world, executor
        self._limit = min(time_limit or LONGEST_LOOK, LONGEST_LOOK)
        self._found: dict[str, SamplerProbe] = {}
        self._alike: dict[tuple[object, ...], SamplerProbe] = {}

    def of(self, cell: Cell) -> SamplerProbe:
        """Return the probe of a cell's sampler on the cell's grid."""
        if cell.key not in self._found:
            self._found[cell.key] = self._recorded_failure(cell) or self._probe(cell)
        return self._found[cell.key]

    def fingerprint(self, cell: Cell) -> Fingerprint:
        """Return the fingerprint of a cell's sampler."""
        return self.of(cell).fingerprint

    def _probe(self, cell: Cell) -> SamplerProbe:
        """Probe a sampler.

        One that fails on three points in the plane may still work on its model, so it runs, pinned
        by its files alone. One that ends its process or hangs does not run again.
        """
        origin = samplers.origin(cell.sampler.name)
        facts: dict[str, Any] = {"origin": origin, "skipped": bool(cell.skip)}
        if cell.skip:
            return SamplerProbe(Fingerprint("sampler", cell.label, facts, {}))
        foreign = bool(origin) or ":" in cell.sampler.name
        executor = self._executor if foreign else InProcess()
        event = tuple(self._world.subject(cell.model).model.event)
        alike = (
            cell.label,
            tuple(samplers.found_for_model(cell.sampler).items()),
            cell.grid,
            cell.start.means is None,
            cell.noise,
            cell.sigma_max,
            cell.sigma_min,
        )
        if alike in self._alike:  # the same sampler on the same grid, for another model
            return self._alike[alike]
        try:
            probe = SamplerProbe(
                executor.run(FingerprintTask(cell, event), self._world, limit=self._limit)
            )
            if not foreign and cell.start.means is None:
                self._alike[alike] = probe
            return probe
        except Failure as failure:
            # of an exception only its type is recorded: its words may name an address
            ended = failure.status in (*ENDED, "killed")
            words = failure.reason if ended else failure.reason.partition(":")[0]
            facts |= origin_of(cell.sampler) | {FAULT: f"{failure.status}: {words}"}
            return SamplerProbe(
                Fingerprint("sampler", cell.label, facts, {}), failure if ended else None
            )

    def _recorded_failure(self, cell: Cell) -> SamplerProbe | None:
        """Return the recorded probe of a sampler that ended its process or hung, while its row says
        the same and its origin is the same.
        """
        quality = self._run.read(cell.key, QUALITY) or {}
        if quality.get("status") not in ENDED:
            return None
        try:
            fingerprint = Fingerprint.from_json(
                (self._run.read(cell.key, MADE) or {}).get("sampler")
            )
        except ValueError:
            return None
        fault = f"{quality['status']}: {quality.get('reason')}"
        same = origin_of(cell.sampler).items() <= fingerprint.exact.items()
        return (
            SamplerProbe(fingerprint)
            if same and fingerprint.exact.get(FAULT, "") == fault
            else None
        )
