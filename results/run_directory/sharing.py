"""Sharing of a run directory by several processes: leases, the leader, claims on shards.

A lease is a file that only one process can create, on network file systems too. Its owner touches
the file every few seconds. Another process takes the lease over if the owner is dead. An owner that
it cannot examine, as on another host, counts as dead after a minute without a touch. Ages are
relative to a file touched just now, so the machines' clocks need not agree. A suspended owner may
lose a lease. So an owner touches and removes only files with its own token.

The leader plans, scores and writes tables. It holds the kernel's lock on ``.lock`` and the lease
``.leader``. The kernel frees the lock when the process ends. Some network file systems have no such
locks, or silently keep them to one machine. The lease works on all of them.

Each process claims a shard by a lease before sampling it. ``claims/plan.json`` lists the cells that
the leader runs. Other processes write only shards, and a note for the leader on each failed shard.
Two processes that sample the same shard write the same file.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from . import sealed
from .files import PART, read_json, write_json
from .layout import LEASE, LOCK, check_file_name

BEAT, STALE = 5.0, 60.0  # heartbeat interval and expiry time, in seconds

LATE = 3 * BEAT
"""Seconds without a touch after which an owner reads its lease, which another may have taken."""

FOLDER, PLAN = "claims", "plan.json"

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of file systems without kernel locks, such as NFS without its lock manager."""


class Leases:
    """Leases that this object holds. It touches the file ``clock`` to get the file system's time."""

    def __init__(self, clock: Path) -> None:
        self._clock = clock
        self._renewed_at: dict[Path, float] = {}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._beats = False
        self.owner = {
            "host": _host_id(),
            "pid": os.getpid(),
            "born": _process_start(os.getpid()),
            "token": uuid4().hex,
        }
        """Content of a lease of this object: host, process, its start, and a random token."""

    def take(self, path: Path) -> bool:
        """Create a lease or take over an expired one. Return True if this object holds it now.

        Raises a FileNotFoundError if the folder of ``path`` is gone.
        """
        for _ in range(2):
            try:
                file = path.open("x", encoding="utf-8")
            except FileExistsError:
                if not self.is_stale(path) or not self._clear_stale(path):
                    return False
                continue
            try:
                with file:
                    json.dump(self.owner, file)
            except OSError:  # such as a full disk: the empty file would count as a lease
                with suppress(OSError):
                    path.unlink()
                raise
            self.renew_periodically(path)
            return True
        return False

    def renew_periodically(self, path: Path) -> None:
        """Start touching a file every few seconds, in a thread, while this object owns it."""
        with self._lock:
            self._renewed_at[path] = _uptime_seconds()
            if not self._beats and not self._stopped.is_set():
                self._beats = True
                threading.Thread(target=self._touch, daemon=True).start()

    def holds(self, path: Path) -> bool:
        """Return True if this object holds a lease. The file is read only if the last touch is old."""
        with self._lock:
            touched = self._renewed_at.get(path)
        if touched is None:
            return False
        return _uptime_seconds() - touched < LATE or self._is_mine(path)

    def release(self, path: Path) -> None:
        """Delete the file of a lease if this object still holds it, and stop renewing it."""
        with self._lock:
            is_known = self._renewed_at.pop(path, None) is not None
        if is_known and self._is_mine(path):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Release all leases and end the renewing thread."""
        self._stopped.set()
        with self._lock:
            paths = [*self._renewed_at]
        for path in paths:
            self.release(path)
        with suppress(OSError):
            self._clock.unlink()

    def is_stale(self, path: Path) -> bool:
        """Return True if a lease's owner is dead or, if this is unknown, the lease has expired."""
        owner = read_json(path) or {}
        can_be_asked = owner.get("host") == self.owner["host"] and self.owner["born"]
        if can_be_asked and isinstance(owner.get("pid"), int):
            return _process_start(owner["pid"]) != owner.get("born")
        # a file without an owner: the process was killed before it wrote one
        limit = STALE if owner else 2 * BEAT
        with suppress(OSError):  # the lease may be gone by now
            self._clock.touch()
            return self._clock.stat().st_mtime - path.stat().st_mtime > limit
        return False

    def _is_mine(self, path: Path) -> bool:
        try:
            owner = read_json(path)
        except OSError:  # unreadable: the owner is unknown
            return True
        return (owner or {}).get("token") == self.owner["token"]

    def _touch(self) -> None:
        while not self._stopped.wait(BEAT):
            with self._lock:
                paths = [*self._renewed_at]
            for path in paths:
                try:
                    is_ours = self._is_mine(path)
                    if is_ours:
                        os.utime(path)
                except OSError:
                    continue
                with self._lock:
                    if is_ours and path in self._renewed_at:
                        self._renewed_at[path] = _uptime_seconds()
                    elif not is_ours:
                        self._renewed_at.pop(path, None)

    def _clear_stale(self, path: Path) -> bool:
        """Remove a stale lease. Return False if another process was faster."""
        aside = path.with_name(f".stale.{uuid4().hex[:12]}{PART}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if not self.is_stale(aside):  # another process took over first: put its lease back
            try:
                os.link(aside, path)
            except OSError:  # a third process has the lease, or the file system has no hard links
                if not path.exists():
                    aside.rename(path)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True


def _uptime_seconds() -> float:
    """Return seconds of a monotonic clock, one that runs during suspension where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _host_id() -> str:
    """Return a text for host, boot and PID namespace, within which process numbers are unique."""
    parts = [socket.gethostname()]  # several machines can have one name
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_start(pid: int) -> str:
    """Return the start time of a process in kernel ticks since boot, as text; "" if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


class BusyError(ValueError):
    """Error: another process leads in a run directory."""


class Lead:
    """Lead of this process: its right to plan, score and write tables in a run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = Leases(folder / f".clock.{uuid4().hex[:12]}{PART}")

    @property
    def is_held(self) -> bool:
        """Return True if this process still leads."""
        return self._leases.holds(self._folder / LEASE)

    def check(self) -> None:
        """Raise a :class:`BusyError` if another process took the lead, as after a suspension."""
        if not self.is_held:
            raise BusyError(
                f"another samplerbench process took the lead in {self._folder} over, since this "
                f"one gave no sign of life for {STALE:.0f} s; what is done is kept, and the same "
                "command again joins it"
            )


@contextmanager
def hold_lead(folder: Path) -> Iterator[Lead]:
    """Hold the lead in a run directory during the block, or raise a :class:`BusyError`."""
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free, closing(lead._leases):
        if not free or not lead._leases.take(folder / LEASE):
            raise _busy_error(folder)
        yield lead


def check_not_busy(folder: Path) -> None:
    """Raise a :class:`BusyError` if another process leads in a run directory."""
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free, closing(lead._leases):
        is_leased = (folder / LEASE).exists() and not lead._leases.is_stale(folder / LEASE)
    if is_leased or not free:
        raise _busy_error(folder)


def _busy_error(folder: Path) -> BusyError:
    owner: dict[str, object] = {}
    with suppress(OSError):
        owner = read_json(folder / LEASE) or {}
    host = str(owner.get("host") or "").partition(" ")[0]
    return BusyError(
        f"another samplerbench process is running in {folder}{f' (on {host})' if host else ''}; "
        "wait for it to end or choose another --out"
    )


@contextmanager
def _kernel_lock(path: Path) -> Iterator[bool]:
    """Take the kernel's lock on a file. Yield False if another process has it, else True."""
    # imported here: reading a run needs no lock, and some systems have no fcntl
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield True


class FailureNote(NamedTuple):
    """Note on a failed shard: its first sample, and the status and reason for the cell's row."""

    start: int
    status: str
    reason: str


class Claims:
    """Claims of one process on shards of a run directory, the leader's plan, and failure notes."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._plan = self._folder / PLAN
        self._leases = Leases(self._folder / f"clock.{uuid4().hex[:12]}")
        self._leads = False

    def publish_plan(self, cells: Sequence[str]) -> None:
        """As the leader, publish the cells to sample. The first call deletes old failure notes."""
        if not self._leads:
            self._folder.mkdir(exist_ok=True)
            for note in self._folder.glob("*.failed"):
                note.unlink(missing_ok=True)
        self._leads = True
        write_json(self._plan, {**self._leases.owner, "cells": list(cells)})
        self._leases.renew_periodically(self._plan)

    def planned_cells(self) -> set[str] | None:
        """Return the keys of the cells in the leader's plan; None if no leader is alive."""
        plan = read_json(self._plan)
        if plan is None or self._leases.is_stale(self._plan):
            return None
        cells = plan.get("cells")
        return set(map(str, cells)) if isinstance(cells, list) else set()

    @property
    def is_leader_gone(self) -> bool:
        """Return True if this process does not lead, and no leader is alive."""
        return not self._leads and self.planned_cells() is None

    def claim_names(self) -> frozenset[str]:
        """Return the names of all files in the folder of claims; empty if the folder is gone."""
        try:
            return frozenset(os.listdir(self._folder))
        except FileNotFoundError:  # the leader is done, and removed the folder
            return frozenset()

    def take(self, cell: str, start: int, stop: int) -> bool:
        """Claim the shard of samples ``start`` … ``stop - 1``. Return True if this succeeded."""
        with suppress(FileNotFoundError):  # the leader is done, and removed the folder
            return self._leases.take(self._folder / claim_name(cell, start, stop))
        return False

    def release(self, cell: str, start: int, stop: int) -> None:
        """Release the claim on a shard if this process holds it."""
        self._leases.release(self._folder / claim_name(cell, start, stop))

    def note_failure(self, cell: str, start: int, status: str, reason: str) -> None:
        """Write a note for the leader on a failed shard, unless the leader is gone."""
        note = {"cell": cell, "start": start, "status": status, "reason": reason}
        path = self._folder / f"{check_file_name(cell)}.{start:08d}.failed"
        if self._folder.is_dir():  # without the folder, the leader is gone
            sealed.write_json(path, note, f"{FOLDER}/{path.name}")

    def failures(self) -> Mapping[str, FailureNote]:
        """Return the note on the first failed shard of each cell. Damaged notes are left out."""
        failed: dict[str, FailureNote] = {}
        for path in sorted(self._folder.glob("*.failed")):
            with suppress(FileNotFoundError, sealed.DamagedError):
                note = sealed.read_json(path, f"{FOLDER}/{path.name}")
                failed.setdefault(note.pop("cell"), FailureNote(**note))
        return failed

    def close(self) -> None:
        """Release all claims."""
        self._leases.close()

    def delete_claims(self) -> None:
        """Release all claims and delete the folder of claims, as the leader at its end."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def claim_name(cell: str, start: int, stop: int) -> str:
    """Return the file name of the claim on a shard."""
    return f"{check_file_name(cell)}.{start:08d}-{stop:08d}"
