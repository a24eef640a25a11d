"""Sampling of a run's missing shards, shared by all processes in the run directory."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain
from math import frexp
from typing import TypeVar

import numpy as np
import torch

from ...results.run_directory.layout import MADE
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.sharing import STALE, BusyError, Claims, claim_name
from ..identity.admission import Admission
from ..sampling.failure import Failure
from ..sampling.shard import BATCH
from ..sampling.trajectories import picture_count
from ..scoring.reference_cost import endpoint_count
from ..suites.cell import Cell
from .cell_states import missing_shards, record_no_samples
from .executors.shard_limits import expected_evaluations
from .executors.tasks import OPENED, ShardTask
from .progress import ProgressReporter
from .setup import Setup

PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Shortest and longest pause between scans of other processes' work, in seconds."""

PAUSE_RATIO = 9  # pause as a multiple of the last scan's time, which leaves the file system free
FRESH = 1.0  # seconds for which a listing of others' claims is valid

Item = TypeVar("Item")


def groups_of_like_cost(
    shards: Sequence[Item], cost: Callable[[Item], float], turn: float = 0.0
) -> list[list[Item]]:
    """Return the shards in groups of similar cost (factor two), the most expensive group first.

    The last shards are cheap, since other processes must wait for them. ``turn`` in [0, 1) rotates
    each group by a share of its length, so that processes begin with different shards.
    """
    groups: dict[int, list[Item]] = {}
    for shard in shards:
        groups.setdefault(frexp(cost(shard))[1], []).append(shard)
    starts = {size: int(turn * len(group)) for size, group in groups.items()}
    return [
        groups[size][starts[size] :] + groups[size][: starts[size]]
        for size in sorted(groups, reverse=True)
    ]


def seconds_until_next_scan(seconds: float) -> float:
    """Return the pause before the next scan in seconds; the last scan took ``seconds``."""
    return min(LONGEST_PAUSE, max(PAUSE, PAUSE_RATIO * seconds))


def draw_missing_samples(
    setup: Setup, cells: Sequence[Cell], report: ProgressReporter, claims: Claims
) -> None:
    """Draw the missing samples of a model's cells, and wait for shards of other processes.

    After a failure, no other shard of the cell begins. If several shards fail, the one with the
    first samples gives the reason. After memory ran out, the cell's shards are drawn in smaller
    batches instead (:class:`.FittingBatchSizes`).

    ``claims`` holds this process's claims on shards. The leader, which has locked the directory,
    writes all failures into the rows of their cells. Other processes leave notes of failures for
    the leader, and return early if the leader is gone.
    """
    directory, batches, leads = setup.directory, setup.batches, setup.directory.leads
    turn = 0.0 if leads else random.SystemRandom().random()
    by_key = {cell.key: cell for cell in cells}
    costs = {
        key: expected_evaluations(setup.models[cell.model], cell) for key, cell in by_key.items()
    }
    first: dict[str, int] = {}
    others_shards: _OthersShards | None = _OthersShards(directory, claims)

    def fails(cell: Cell, start: int, status: str, reason: str) -> None:
        if start < first.get(cell.key, cell.samples):
            first[cell.key] = start
            if leads:
                record_no_samples(directory, cell, status, reason)
            else:
                claims.note_failure(cell.key, start, status, reason)
        report.end_cell(cell.key)

    todo: list[tuple[Cell, int, int]] = []  # with batches that fit into memory
    started: list[int] = []

    def wanted(number: int) -> bool:
        cell, start, stop = todo[number]
        if (
            cell.key in first
            or (others_shards and others_shards.is_taken(cell.key, start, stop))
            or batches.resize(cell) != cell  # the next round takes the smaller batch
            or not claims.take(cell.key, start, stop)
        ):
            return False
        if directory.has_shard_now(cell.key, start, stop):  # drawn meanwhile
            claims.release(cell.key, start, stop)
            return False
        report.set_stage(f"{cell.model}: {cell.label}")
        started.append(number)
        return True

    def tell(number: int, count: int) -> None:
        cell = todo[number][0]
        report.add_cell_evaluations(cell.key, count * costs[cell.key])

    while True:
        scan_began, started = time.monotonic(), []
        lacking = [
            (batches.resize(cell), *shard)
            for cell in cells
            if cell.key not in first
            for shard in missing_shards(directory, cell)
        ]
        if not lacking:
            break
        todo = [*chain(*groups_of_like_cost(lacking, lambda shard: costs[shard[0].key], turn))]
        shards_left = Counter(cell.key for cell, *_ in todo)
        results = setup.executor.map(
            [_shard_task(setup, *shard) for shard in todo],
            setup.context,
            tell=tell,
            limits=[setup.limits.limit_of(cell, stop - start) for cell, start, stop in todo],
            wanted=wanted,
        )
        with closing(results):
            for number, result in results:
                used, start, stop = todo[number]
                cell = by_key[used.key]
                opened = "{}" if isinstance(result, Failure) else result.pop(OPENED, "{}")
                setup.watch.add_files(cell.model, json.loads(str(opened)))
                setup.watch.check()
                if isinstance(result, Failure):
                    if not batches.shrink(used, stop - start, result):
                        fails(cell, start, result.status, batches.explain(cell, used, result))
                else:
                    if used.batch_size < cell.batch_size:
                        result[BATCH] = np.array(used.batch_size)
                    directory.write_shard(cell.key, start, stop, result)
                    shards_left[cell.key] -= 1
                claims.release(cell.key, start, stop)
                if not shards_left[cell.key]:
                    report.end_cell(cell.key)
        for key, note in claims.failures().items():
            if key in by_key:
                fails(by_key[key], *note)
        if not started:
            if claims.is_leader_gone:
                return
            time.sleep(seconds_until_next_scan(time.monotonic() - scan_began))
        # if all remaining shards are claimed, some claims may be of dead processes
        others_shards = _OthersShards(directory, claims) if started else None
    for key in by_key:
        report.end_cell(key)


class _OthersShards:
    """List of drawn and claimed shards, kept for a second, which saves attempts to claim them."""

    def __init__(self, directory: RunDir, claims: Claims) -> None:
        self._directory, self._claims = directory, claims
        self._until, self._claimed = 0.0, frozenset[str]()
        self._drawn: dict[str, set[tuple[int, int]]] = {}

    def is_taken(self, cell: str, start: int, stop: int) -> bool:
        """Return True if a shard is drawn or was claimed a moment ago; any thread may call this."""
        if (now := time.monotonic()) > self._until:
            self._until, self._drawn = now + FRESH, {}
            self._claimed = self._claims.claim_names()
        drawn = self._drawn.get(cell)
        if drawn is None:
            drawn = self._drawn[cell] = self._directory.stored_shards(cell)
        return (start, stop) in drawn or claim_name(cell, start, stop) in self._claimed


@torch.no_grad()
def draw_for_leader(setup: Setup, report: ProgressReporter) -> bool:
    """Draw samples for the leader, the process that runs in the directory, until none is missing.

    Returns True if the leader has ended, so that another process must lead. Raises a BusyError if
    the leader has no samples for this process to draw.
    """
    directory = setup.directory
    claims = Claims(directory.path)
    try:
        planned = _await_plan(directory, claims)
        if planned is None:
            return True
        cells = [cell for cell in setup.cells if cell.key in planned]
        if not cells:
            with directory.lock():  # its error names the owner
                return True

        _await_made_files(directory, claims, cells)
        setup.watch_files_of_models(
            Admission(directory, setup.makers, setup.probes.fingerprint, writes=False)
        )
        for name in setup.models:
            own = [cell for cell in cells if cell.model == name]
            draw_missing_samples(setup, own, report, claims)
        return claims.planned_cells() is None and _has_no_leader(directory)
    finally:
        claims.close()


def _await_plan(directory: RunDir, claims: Claims) -> set[str] | None:
    """Wait for the leader's plan, and return the keys of its cells; None if the leader ended."""
    while (planned := claims.planned_cells()) is None:
        if _has_no_leader(directory):
            return None
        time.sleep(PAUSE)
    return planned


def _await_made_files(directory: RunDir, claims: Claims, cells: Sequence[Cell]) -> None:
    """Wait, :data:`STALE` s at most, for each cell's ``made.json``, which has the shard size."""
    until = time.monotonic() + STALE  # a network file system can take half a minute
    while not all(directory.part_path(cell.key, MADE).is_file() for cell in cells):
        if claims.is_leader_gone or time.monotonic() > until:
            return
        time.sleep(PAUSE)


def _has_no_leader(directory: RunDir) -> bool:
    try:
        with directory.lock():
            return True
    except BusyError:
        return False


def _shard_task(setup: Setup, cell: Cell, start: int, stop: int) -> ShardTask:
    reference = setup.references[cell.model]
    return ShardTask(
        cell,
        start,
        stop,
        picture_count(setup.models[cell.model], setup.suite.keep),
        endpoint_count(setup.suite, cell),
        reference.clamp if reference else None,
    )
