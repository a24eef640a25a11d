"""Fingerprints of samplers from short runs (probes), and conformance checks of users' samplers."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import samplers
from ...results.run_directory.behaviour_fingerprint import Fingerprint
from ...results.run_directory.layout import MADE, QUALITY
from ...results.run_directory.run_dir import RunDir
from ..identity.admission import parse_fingerprint
from ..identity.sampler import origin_of
from ..planning.cache import cached_result, default_cache
from ..planning.remedy import plugin_arguments
from ..suites.cell import Cell
from .executors import Executor, Failure, InProcess
from .executors.tasks import CellTask, FingerprintTask, is_user_sampler
from .executors.worker_context import WorkerContext

if TYPE_CHECKING:
    from ...results.result_table import ResultTable

FAULT = "fault"  # key of the reason of a failed probe, among the facts of its fingerprint

ENDED = ("crashed", "timed out")
"""Statuses of failed probes that are not repeated while the sampler's files are unchanged.

Other probes fail quickly, and are repeated.
"""

LONGEST_PROBE = 20.0  # time limit of a probe, in seconds; built-in samplers take milliseconds


class SamplerProbes:
    """Fingerprints of the cells' samplers from probes, short runs on fixed points, one per cell.

    ``run`` is the run directory with the failures of earlier runs. ``executor`` runs samplers that
    are not built in. A probe may take ``time_limit`` seconds, but never more than
    :data:`LONGEST_PROBE`, which 0 and None stand for.

    Attributes:
        failures: failures of the probes that crashed, hung or were killed in this run, by cell key.
    """

    def __init__(
        self, run: RunDir, context: WorkerContext, executor: Executor, time_limit: float | None
    ) -> None:
        self._run, self._context, self._executor = run, context, executor
        self._limit = min(time_limit or LONGEST_PROBE, LONGEST_PROBE)
        self.failures: dict[str, Failure] = {}
        self._fingerprints: dict[str, Fingerprint] = {}

    def fingerprint(self, cell: Cell) -> Fingerprint:
        """Return the fingerprint of a cell's sampler on the cell's grid, made at the first call."""
        if cell.key not in self._fingerprints:
            self._fingerprints[cell.key] = self._recorded_failure(cell) or self._probe(cell)
        return self._fingerprints[cell.key]

    def describe_nonconforming(self, cells: Iterable[Cell], table: ResultTable) -> str:
        """Return a sentence on the user's samplers that fail a quick ``samplerbench check``, or "".

        The check is quick: some of its problems and grids. Not checked are built-in samplers, other
        libraries' samplers, and samplers without a result in the table, which may hang.
        """
        finished = set(table.ok.frame["cell"])
        cells = [cell for cell in cells if cell.key in finished]
        own = {cell.label: cell for cell in cells if is_user_sampler(cell.sampler)}
        checked = {label: self._run_conformance_checks(cell) for label, cell in own.items()}
        failed = {label: names for label, names in checked.items() if names}
        if not failed:
            return ""
        failures = "; ".join(f"{label} ({', '.join(names)})" for label, names in failed.items())
        failing = [own[label].sampler for label in failed]
        words = ["samplerbench", "check", *failed, *plugin_arguments(failing)]
        is_known = all(samplers.origin(sampler.name) for sampler in failing)  # to another process
        command = shlex.join(words) if is_known else "samplerbench.check(SAMPLER)"
        return f"These samplers fail samplerbench check: {failures}; {command} says why."

    def _probe(self, cell: Cell) -> Fingerprint:
        """Run a probe, and return its fingerprint (:func:`..identity.sampler_fingerprint`).

        A sampler that raises stays in the run, since it may work on the cell's model; its
        fingerprint is its files and the failure. A sampler that crashes or hangs is not run again.
        """
        origin = samplers.origin(cell.sampler.name)
        facts: dict[str, Any] = {"origin": origin, "skipped": bool(cell.skip)}
        if cell.skip:
            return Fingerprint("sampler", cell.label, facts, {})
        foreign = bool(origin) or ":" in cell.sampler.name
        executor = self._executor if foreign else InProcess()
        event = tuple(self._context.load(cell.model).model.event)
        try:
            return executor.run(FingerprintTask(cell, event), self._context, limit=self._limit)
        except Failure as failure:
            # only an exception's type is recorded, since its message may have a memory address
            words = failure.reason.partition(":")[0]
            if failure.status in (*ENDED, "killed"):
                words, self.failures[cell.key] = failure.reason, failure
            facts |= origin_of(cell.sampler) | {FAULT: f"{failure.status}: {words}"}
            return Fingerprint("sampler", cell.label, facts, {})

    def _recorded_failure(self, cell: Cell) -> Fingerprint | None:
        """Return the record of a sampler that crashed or hung, in place of a new probe.

        The result is None without such a record, or if the sampler's files changed since.
        """
        quality = self._run.read(cell.key, QUALITY) or {}
        if quality.get("status") not in ENDED:
            return None
        made = self._run.read(cell.key, MADE) or {}
        fingerprint = parse_fingerprint(made.get("sampler"))
        fault = f"{quality['status']}: {quality.get('reason')}"
        facts = origin_of(cell.sampler) | {FAULT: fault}
        return fingerprint if fingerprint and facts.items() <= fingerprint.exact.items() else None

    def _run_conformance_checks(self, cell: Cell) -> list[str]:
        """Return the names of the checks that a sampler fails; [] if it crashes or hangs."""
        from .. import conformance

        fingerprint = self.fingerprint(cell)
        if cell.key in self.failures:
            return []
        # the checks take about a second, so the result is cached until the sampler or a check changes
        files = sorted(Path(conformance.__file__).parent.glob("*.py"))
        checks = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
        options = samplers.non_default(cell.sampler)
        key = {"fingerprint": fingerprint.digest, "options": options, "suite": checks}

        def measure() -> dict[str, Any]:
            task = ConformanceTask(cell)
            return {"failed": self._executor.run(task, self._context, limit=LONGEST_PROBE)}

        try:
            return cached_result(default_cache(), "check", key, measure)["failed"]
        except Failure:
            return []


class ConformanceTask(CellTask):
    """Task that runs the quick conformance checks on a cell's sampler."""

    def prepare(self, context: WorkerContext) -> None:
        """Load nothing, since the checks bring their own models."""

    def __call__(self, context: WorkerContext, tell: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the failed checks."""
        from ..conformance import check_sampler

        return [check.name for check in check_sampler(self.cell.sampler, fast=True).failures]
