"""Which process samples which shard, where several work in one run directory.

Each claims a shard before it samples it, by making a file that must not be there: also network file
systems let only one of many succeed in that. Whoever claims touches its files every few seconds, and a
claim that nobody has touched for long, or whose process is known to be dead, is taken over. Nothing
hangs on the clocks of the machines: ages are taken against a file that was touched just now.

The process that leads has the directory's lock, and says in ``claims/plan.json`` which cells it
runs. Others write shards and nothing else, and leave a note for the leader where one failed. Two
that sample the same shard, as where a claim is taken from one that only slept, write the same file.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from . import sealed
from .files import read_json, write_json
from .places import checked

FOLDER, PLAN = "claims", "plan.json"
BEAT, STALE = 5.0, 60.0
"""Seconds between touches, and from which on a claim that was not touched is nobody's."""


class Note(NamedTuple):
    """Why a shard failed: its first sample, and the row's status and reason."""

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
        self._mine: set[Path] = set()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._owner = {"host": _host(), "pid": os.getpid(), "born": _born(os.getpid())}
        self._clock = self._folder / f"clock.{uuid4().hex[:12]}"
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
        write_json(self._plan, {**self._owner, "cells": list(cells)})
        with self._lock:
            self._mine.add(self._plan)
        self._begin()

    def planned(self) -> set[str] | None:
        """The cells that a leader who lives samples; None where there is none."""
        found = read_json(self._plan)
        if found is None or self._is_stale(self._plan):
            return None
        self._begin()
        cells = found.get("cells")
        return set(map(str, cells)) if isinstance(cells, list) else set()

    @property
    def over(self) -> bool:
        """Whether this process follows one that leads no more."""
        return not self._leads and self.planned() is None

    def take(self, cell: str, start: int, stop: int) -> bool:
        """Claim the shard with samples ``start`` … ``stop - 1``; whether it is this process's now."""
        path = self._claim(cell, start, stop)
        for _ in range(2):
            try:
                number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                if not self._is_stale(path) or not self._cleared(path):
                    return False
                continue
            except FileNotFoundError:  # the leader is done, and took the folder away
                return False
            with self._lock:
                self._mine.add(path)
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    json.dump(self._owner, file)
            except OSError:  # a full disk: others need not wait until it is stale
                self.release(cell, start, stop)
                raise
            return True
        return False

    def release(self, cell: str, start: int, stop: int) -> None:
        """Give a claim back; nothing of one that is somebody else's, be it that it was taken over
        while this process slept.
        """
        path = self._claim(cell, start, stop)
        with self._lock:
            if path not in self._mine:
                return
            self._mine.remove(path)
        if (read_json(path) or self._owner) == self._owner:
            path.unlink(missing_ok=True)

    def fail(self, cell: str, start: int, status: str, reason: str) -> None:
        """Leave a note for the leader that a shard failed."""
        note = {"cell": cell, "start": start, "status": status, "reason": reason}
        path = self._folder / f"{checked(cell)}.{start:08d}.failed"
        with suppress(FileNotFoundError):  # the leader is gone
            sealed.write_json(path, note, f"{FOLDER}/{path.name}")

    def failures(self) -> Mapping[str, Note]:
        """The first shard of each cell that failed, by the cell.

        A note that is damaged is none: the shard is drawn again, and fails again.
        """
        found: dict[str, Note] = {}
        for path in sorted(self._folder.glob("*.failed")):
            with suppress(FileNotFoundError, sealed.Damaged):
                note = sealed.read_json(path, f"{FOLDER}/{path.name}")
                found.setdefault(note.pop("cell"), Note(**note))
        return found

    def close(self) -> None:
        """Give all claims back."""
        self._stopped.set()
        with self._lock:
            mine, self._mine = self._mine, set()
        for path in (*mine, self._clock):
            path.unlink(missing_ok=True)

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
        return self._folder / f"{checked(cell)}.{start:08d}-{stop:08d}"

    def _begin(self) -> None:
        """Touch what is claimed from now on, until :meth:`close`."""
        if not self._clock.exists():
            with suppress(FileNotFoundError):
                self._clock.touch()
                threading.Thread(target=self._touch, daemon=True).start()

    def _touch(self) -> None:
        while not self._stopped.wait(BEAT):
            with self._lock:
                mine = [*self._mine]
            for path in mine:
                with suppress(OSError):
                    os.utime(path)

    def _is_stale(self, path: Path) -> bool:
        """Whether nobody has a claim any more, as far as can be known."""
        owner = read_json(path) or {}
        known = owner.get("host") == self._owner["host"] and self._owner["born"]
        if known and isinstance(owner.get("pid"), int):
            return _born(owner["pid"]) != owner.get("born")
        # one without an owner is of a process that was killed before it wrote its name
        limit = STALE if owner else 2 * BEAT
        with suppress(FileNotFoundError):
            self._clock.touch()
            return self._clock.stat().st_mtime - path.stat().st_mtime > limit
        return False

    def _cleared(self, path: Path) -> bool:
        """Take a stale claim away; whether it was this process that did."""
        aside = path.with_name(f"stale.{uuid4().hex[:12]}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if not self._is_stale(aside):  # somebody was faster, and this is that one's
            with suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True


def _host() -> str:
    """The machine, and the part of it in which the numbers of processes mean the same."""
    with suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _born(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks; "" for none that lives, and
    where the system does not say.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
