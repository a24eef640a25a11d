"""Probes of the cells' samplers: their fingerprints, and samplers that fail ``check``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ... import samplers
from ...results.result_table import ResultTable
from ...results.run_directory.fingerprint import Fingerprint
from ...results.run_directory.layout import MADE, QUALITY
from ...results.run_directory.run_dir import RunDir
from ..identity import origin_of
from ..planning.cache import cached_result, default_cache
from ..suites.cell import Cell
from .executors import Executor, Failure, InProcess
from .executors.tasks import CellTask, FingerprintTask
from .executors.worker_context import WorkerContext

FAULT = "fault"  # fact of the fingerprint of a sampler that failed in its probe

ENDED = ("crashed", "timed out")
"""Statuses of samplers that are not tried again while their files are the same.

Others fail at once, so they are probed each time.
"""

LONGEST_PROBE = 20.0
"""Longest probe of a sampler, in seconds; built-in samplers take milliseconds for three points."""


class SamplerProbe(NamedTuple):
    """Fingerprint of a sampler, or of its failure, which is set if it ended its process or hung."""

    fingerprint: Fingerprint
    failure: Failure | None = None


class SamplerProbes:
    """Probes of the samplers of cells, once each.

    Earlier failures are on record in ``run``. The executor is for samplers that did not come with
    this package. A smaller ``time_limit`` replaces :data:`LONGEST_PROBE`.
    """

    def __init__(
        self, run: RunDir, world: WorkerContext, executor: Executor, time_limit: float | None
    ) -> None:
        self._run, self._world, self._executor = run, world, executor
        self._limit = min(time_limit or LONGEST_PROBE, LONGEST_PROBE)
        self._probes: dict[str, SamplerProbe] = {}
        self._alike: dict[tuple[object, ...], SamplerProbe] = {}

    def of(self, cell: Cell) -> SamplerProbe:
        """Return the probe of a cell's sampler on the cell's grid."""
        if cell.key not in self._probes:
            self._probes[cell.key] = self._recorded_failure(cell) or self._probe(cell)
        return self._probes[cell.key]

    def fingerprint(self, cell: Cell) -> Fingerprint:
        """Return the fingerprint of a cell's sampler."""
        return self.of(cell).fingerprint

    def describe_nonconforming(self, cells: Iterable[Cell], table: ResultTable) -> str:
        """Return a sentence with the user's samplers that fail ``samplerbench check``, or "".

        Built-in samplers pass it in the tests, and other libraries' samplers are not checked. Nor
        are samplers without a result in the table: their rows give the reason, and they may hang.
        """
        finished = set(table.ok.frame["cell"])
        own = {
            cell.label: cell for cell in cells if cell.key in finished and _is_user_sampler(cell)
        }
        failed = {
            label: names for label, cell in own.items() if (names := self._failed_checks(cell))
        }
        if not failed:
            return ""
        failures = "; ".join(f"{label} ({', '.join(names)})" for label, names in failed.items())
        name = own[next(iter(failed))].sampler.name
        file = samplers.plugin_file(name)
        command = f"samplerbench check {name}" + (f" --plugin {file}" if file else "")
        return f"These samplers fail samplerbench check: {failures}; {command} says why."

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
            task = FingerprintTask(cell, event)
            probe = SamplerProbe(executor.run(task, self._world, limit=self._limit))
        except Failure as failure:
            # of an exception only its type is recorded: its words may name an address
            ended = failure.status in (*ENDED, "killed")
            words = failure.reason if ended else failure.reason.partition(":")[0]
            facts |= origin_of(cell.sampler) | {FAULT: f"{failure.status}: {words}"}
            fingerprint = Fingerprint("sampler", cell.label, facts, {})
            return SamplerProbe(fingerprint, failure if ended else None)
        if not foreign and cell.start.means is None:
            self._alike[alike] = probe
        return probe

    def _recorded_failure(self, cell: Cell) -> SamplerProbe | None:
        """Return the recorded probe of an unchanged sampler that ended its process or hung."""
        quality = self._run.read(cell.key, QUALITY) or {}
        if quality.get("status") not in ENDED:
            return None
        made = self._run.read(cell.key, MADE) or {}
        try:
            fingerprint = Fingerprint.from_json(made.get("sampler"))
        except ValueError:
            return None
        fault = f"{quality['status']}: {quality.get('reason')}"
        same = origin_of(cell.sampler).items() <= fingerprint.exact.items()
        is_same = same and fingerprint.exact.get(FAULT, "") == fault
        return SamplerProbe(fingerprint) if is_same else None

    def _failed_checks(self, cell: Cell) -> list[str]:
        """Return the failed checks of a sampler; empty if it cannot be checked, as its rows say."""
        from .. import conformance

        probe = self.of(cell)
        if probe.failure:
            return []
        # a check takes about a second, so a verdict is cached until the sampler or a check changes
        files = sorted(Path(conformance.__file__).parent.glob("*.py"))
        checks = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
        options = samplers.non_default(cell.sampler)
        key = {"fingerprint": probe.fingerprint.digest, "options": options, "suite": checks}

        def measure() -> dict[str, Any]:
            task = ConformanceTask(cell)
            return {"failed": self._executor.run(task, self._world, limit=LONGEST_PROBE)}

        try:
            return cached_result(default_cache(), "check", key, measure)["failed"]
        except Failure:
            return []


class ConformanceTask(CellTask):
    """Task: the names of the checks that a cell's sampler fails."""

    def prepare(self, world: WorkerContext) -> None:
        """Load nothing."""

    def __call__(self, world: WorkerContext, tell: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the failed checks."""
        from ..conformance import check_sampler

        return [check.name for check in check_sampler(self.cell.sampler, fast=True).failures]


def _is_user_sampler(cell: Cell) -> bool:
    """Return True for a plugin, or a class of this session."""
    module = type(cell.sampler).__module__
    return ":" not in cell.sampler.name and not module.startswith(f"{samplers.__name__}.")
