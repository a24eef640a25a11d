"""Draws the samples of a run: as many shards at a time as the executor takes, and in as many
processes as were started on the same run directory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

import torch

from ...results.run_directory.claims import Claims
from ...results.run_directory.run_dir import RunDir
from ...results.run_directory.writing import BusyError
from ..sampling.snapshots import how_many
from ..scoring.cost import endpoints_asked
from ..suites.cell import Cell
from .executing import Failure
from .executing.pace import expected
from .executing.tasks import Shard
from .outcomes import missing
from .progress import CellProgress, Reporter
from .setup import Setup

PAUSE = 0.2
"""Seconds between looks at what others do."""

Failed = Callable[[Cell, int, str, str], None]
"""Told of the first shard of a cell that failed: its first sample, status and reason."""


def sample(
    setup: Setup,
    cells: Sequence[Cell],
    report: Reporter,
    planned: Mapping[str, float],
    claims: Claims,
    failed: Failed,
) -> int:
    """Draw the samples that cells lack, shard by shard, and wait for those that others draw.

    A failure is the row of its cell, whose other shards are not begun any more. Why it failed, its
    first shard says, as it does where one process draws them one after the other.

    Args:
        setup: what to run, and where.
        cells: of one model.
        report: told how they get on.
        planned: evaluations that each is expected to take, by its key.
        claims: of this process.
        failed: told of failures, of others' too.

    Returns:
        How many shards this process drew.
    """
    by_key = {cell.key: cell for cell in cells}
    bar = CellProgress(
        report, {key: f"{cell.model}: {cell.label}" for key, cell in by_key.items()}, planned
    )
    first: dict[str, int] = {}
    drawn = 0

    def fails(cell: Cell, start: int, status: str, reason: str) -> None:
        if start < first.get(cell.key, cell.samples):
            first[cell.key] = start
            failed(cell, start, status, reason)
        bar.done(cell.key)

    while todo := _todo(setup.directory, [c for c in cells if c.key not in first]):
        left, before = Counter(cell.key for cell, *_ in todo), drawn

        def wanted(number: int, todo: _Todo = todo) -> bool:
            cell, start, stop = todo[number]
            if cell.key in first or not claims.take(cell.key, start, stop):
                return False
            if setup.directory.shard(cell.key, start, stop).is_file():  # drawn meanwhile
                claims.release(cell.key, start, stop)
                return False
            bar.begins(cell.key)
            return True

        def tell(number: int, count: int, todo: _Todo = todo) -> None:
            cell = todo[number][0]
            bar.samples(cell.key, count, count * expected(setup.models[cell.model], cell))

        results = setup.executor.map(
            [_shard(setup, *one) for one in todo],
            setup.world,
            tell=tell,
            limits=[setup.limits.of(cell, stop - start) for cell, start, stop in todo],
            wanted=wanted,
        )
        with setup.directory.together(), closing(results):
            for number, result in results:
                cell, start, stop = todo[number]
                release = partial(claims.release, cell.key, start, stop)
                if isinstance(result, Failure):
                    fails(cell, start, result.status, result.reason)
                    release()
                else:
                    setup.directory.write_shard(cell.key, start, stop, result, release)
                    drawn, left[cell.key] = drawn + 1, left[cell.key] - 1
                if not left[cell.key]:
                    bar.done(cell.key)
        for key, note in claims.failures().items():
            if key in by_key:
                fails(by_key[key], *note)
        if drawn == before:
            if claims.over:
                return drawn
            time.sleep(PAUSE)
    for key in by_key:
        bar.done(key)
    return drawn


@torch.no_grad()
def follow(setup: Setup, report: Reporter) -> bool:
    """Draw samples for the process that has the directory's lock, until it lacks none; whether it
    is gone, so that another is to lead.

    Raises:
        BusyError: it draws none that this process could.
    """
    directory = setup.directory
    claims = Claims(directory.path)
    try:
        planned = _awaited(directory, claims)
        if planned is None:
            return True
        cells = [cell for cell in setup.cells if cell.key in planned]
        if not cells:
            with directory.lock():  # that says who is there
                return True

        def note(cell: Cell, start: int, status: str, reason: str) -> None:
            claims.fail(cell.key, start, status, reason)

        for name in setup.models:
            own = [cell for cell in cells if cell.model == name]
            sample(setup, own, report, {}, claims, note)
        return claims.planned() is None and _free(directory)
    finally:
        claims.close()


def _awaited(directory: RunDir, claims: Claims) -> set[str] | None:
    """The plan of the process that leads, once it is known; None where there is none any more."""
    while (planned := claims.planned()) is None:
        if _free(directory):
            return None
        time.sleep(PAUSE)
    return planned


def _free(directory: RunDir) -> bool:
    try:
        with directory.lock():
            return True
    except BusyError:
        return False


_Todo = Sequence[tuple[Cell, int, int]]


def _todo(directory: RunDir, cells: Sequence[Cell]) -> _Todo:
    return [(cell, *shard) for cell in cells for shard in missing(directory, cell)]


def _shard(setup: Setup, cell: Cell, start: int, stop: int) -> Shard:
    """A task."""
    reference = setup.references[cell.model]
    return Shard(
        cell,
        start,
        stop,
        how_many(setup.models[cell.model], setup.suite.keep),
        endpoints_asked(setup.suite, cell),
        reference.clamp if reference else None,
    )
