"""Claims on shards, where several processes work in one run directory.

Each claims a shard before it samples it, by a lease (:mod:`.leases`). The process that leads has the
lock of the directory, and says in ``claims/plan.json`` which cells it runs. Others write shards and
nothing else, and leave a note for the leader where one failed. Two processes that sample the same
shard, as after a suspension, write the same file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from . import sealed
from .files import read_json, write_json
from .layout import checked
from .leases import Leases

FOLDER, PLAN = "claims", "plan.json"


class Note(NamedTuple):
    """Note on a failed shard: its first sample, and the row's status and reason."""

    start: int
    status: str
    reason: str


class Claims:
    """The claims of one process in a run directory.

    Args:
        directory: the run directory.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._leases = Leases(self._folder / f"clock.{uuid4().hex[:12]}")
        self._leads = False

    def lead(self, cells: Sequence[str]) -> None:
        """Say which cells are to be sampled. What is left of an earlier leader's claims stays: its
        followers may live. The caller has the directory's lock.
        """
        if not self._leads:
            self._folder.mkdir(exist_ok=True)
            for note in self._folder.glob("*.failed"):
                note.unlink(missing_ok=True)
        self._leads = True
        write_json(self._plan, {**self._leases.owner, "cells": list(cells)})
        self._leases.keep(self._plan)

    def planned(self) -> set[str] | None:
        """The cells that a leader who lives samples; None where there is none."""
        plan = read_json(self._plan)
        if plan is None or self._leases.is_stale(self._plan):
            return None
        cells = plan.get("cells")
        return set(map(str, cells)) if isinstance(cells, list) else set()

    @property
    def over(self) -> bool:
        """Return True if this process follows a leader that is gone."""
        return not self._leads and self.planned() is None

    def listed(self) -> frozenset[str]:
        """Names of the claims that there are (:func:`claim_of`), of dead processes too."""
        try:
            return frozenset(os.listdir(self._folder))
        except FileNotFoundError:  # the leader is done
            return frozenset()

    def take(self, cell: str, start: int, stop: int) -> bool:
        """Claim the shard with samples ``start`` … ``stop - 1``; whether it is this process's now."""
        with suppress(FileNotFoundError):  # the leader is done, and took the folder away
            return self._leases.take(self._claim(cell, start, stop))
        return False

    def release(self, cell: str, start: int, stop: int) -> None:
        """Release the claim if this process holds it."""
        self._leases.release(self._claim(cell, start, stop))

    def fail(self, cell: str, start: int, status: str, reason: str) -> None:
        """Leave a note for the leader that a shard failed."""
        note = {"cell": cell, "start": start, "status": status, "reason": reason}
        path = self._folder / f"{checked(cell)}.{start:08d}.failed"
        if self._folder.is_dir():  # else the leader is gone
            sealed.write_json(path, note, f"{FOLDER}/{path.name}")

    def failures(self) -> Mapping[str, Note]:
        """The first shard of each cell that failed, by the cell.

        A note that is damaged is none: the shard is drawn again, and fails again.
        """
        failed: dict[str, Note] = {}
        for path in sorted(self._folder.glob("*.failed")):
            with suppress(FileNotFoundError, sealed.Damaged):
                note = sealed.read_json(path, f"{FOLDER}/{path.name}")
                failed.setdefault(note.pop("cell"), Note(**note))
        return failed

    def close(self) -> None:
        """Give all claims back."""
        self._leases.close()

    def end(self) -> None:
        """Give all claims back and take away what is left of others', too; the caller has the
        directory's lock, and lacks no samples.
        """
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _plan(self) -> Path:
        return self._folder / PLAN

    def _claim(self, cell: str, start: int, stop: int) -> Path:
        return self._folder / claim_of(cell, start, stop)


def claim_of(cell: str, start: int, stop: int) -> str:
    """Return the name of the file that claims a shard."""
    return f"{checked(cell)}.{start:08d}-{stop:08d}"
