"""Conformity of a run's samplers: the user's samplers that fail ``samplerbench check``.

Built-in samplers pass it in the tests, and other libraries' samplers are not checked. A verdict is
cached until the sampler or the suite changes, since a check takes about a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import samplers
from ...results.result_table import ResultTable
from .. import conformance
from ..conformance import check_sampler
from ..planning.cache import default_cache, remembered
from ..suites.cell import Cell
from .executors import Failure
from .executors.tasks import OfCell
from .executors.worker_context import WorkerContext
from .sampler_probes import LONGEST_LOOK
from .setup import Setup


class ConformanceTask(OfCell):
    """Task: the names of the checks that a cell's sampler fails."""

    def prepare(self, world: WorkerContext) -> None:
        """Load nothing."""

    def __call__(self, world: WorkerContext, tell: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the failed checks."""
        return [check.name for check in check_sampler(self.cell.sampler, fast=True).failures]


def nonconforming(setup: Setup, table: ResultTable) -> str:
    """Return a sentence with the user's samplers that fail ``check``; "" if none does.

    Args:
        setup: of the run.
        table: its rows. Samplers without a result are not checked: their rows give the reason, and
            they may hang.
    """
    finished = set(table.ok.frame["cell"])
    own = {cell.label: cell for cell in setup.cells if cell.key in finished and _is_users(cell)}
    failed = {label: names for label, cell in own.items() if (names := _failed_checks(setup, cell))}
    if not failed:
        return ""
    failures = "; ".join(f"{label} ({', '.join(names)})" for label, names in failed.items())
    name = own[next(iter(failed))].sampler.name
    file = samplers.plugin_file(name)
    command = f"samplerbench check {name}" + (f" --plugin {file}" if file else "")
    return f"These samplers fail samplerbench check: {failures}; {command} says why."


def _is_users(cell: Cell) -> bool:
    """Return True for a plugin, or a class of this session."""
    module = type(cell.sampler).__module__
    return ":" not in cell.sampler.name and not module.startswith(f"{samplers.__name__}.")


def _failed_checks(setup: Setup, cell: Cell) -> list[str]:
    """Return the failed checks of a sampler; empty if it cannot be checked, which its rows say."""
    look = setup.probes.of(cell)
    if look.failure:
        return []
    key: Mapping[str, Any] = {
        "fingerprint": look.fingerprint.digest,
        "options": samplers.non_default(cell.sampler),
        "suite": _suite_digest(),
    }

    def measure() -> dict[str, Any]:
        task = ConformanceTask(cell)
        return {"failed": setup.executor.run(task, setup.world, limit=LONGEST_LOOK)}

    try:
        return remembered(default_cache(), "check", key, measure)["failed"]
    except Failure:
        return []


def _suite_digest() -> str:
    """Return the digest of the conformance suite's code."""
    files = sorted(Path(conformance.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
