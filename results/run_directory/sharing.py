"""Sharing of a run directory by several processes: leases, the leader, claims on shards.

A lease is a file that is made where there must be none. Network file systems too, with locks or
without, let only one process do so. Its owner touches it every few seconds. A file that is
untouched for long, or whose process is known to be dead, is taken over. The clocks of the machines
do not matter: ages are relative to a file that was touched just now. A suspended owner may have
lost its leases. So each holds its owner's token, and an owner touches and removes only its own.

The leader plans, scores and writes tables. It holds two things. The kernel's lock on ``.lock`` is
free the moment that its process ends, however it ends. Some network file systems have no such
locks, and others take them for one machine alone without an error. The lease ``.leader`` holds on
all of them.

Each process claims a shard by a lease before it samples it. ``claims/plan.json`` says which cells
the leader runs. Other processes write shards and nothing else, and leave a note for the leader
where one failed. Two processes that sample the same shard, as after a suspension, write the same
file.
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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from . import sealed
from .files import PART, read_json, write_json
from .layout import LEASE, LOCK, check_file_name

BEAT, STALE = 5.0, 60.0  # heartbeat interval and expiry time, in seconds

LATE = 3 * BEAT
"""Seconds after the last touch from which on an owner looks whether a lease is still its own."""

FOLDER, PLAN = "claims", "plan.json"

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system without kernel locks: NFS without its lock manager, Lustre without flock."""


class Leases:
    """Leases that one object of a process holds; file times come from a clock file of its own."""

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
        """Owner that a lease of this object records."""

    def take(self, path: Path) -> bool:
        """Make a lease, or take over an expired one; return True if this object holds it now.

        It is a FileNotFoundError where its folder is gone.
        """
        for _ in range(2):
            try:
                number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                if not self.is_stale(path) or not self._clear_stale(path):
                    return False
                continue
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    json.dump(self.owner, file)
            except OSError:  # a full disk: an empty lease would count as taken
                with suppress(OSError):
                    path.unlink()
                raise
            self.renew_periodically(path)
            return True
        return False

    def renew_periodically(self, path: Path) -> None:
        """Renew a file with :attr:`owner` as its content periodically from now on."""
        with self._lock:
            self._renewed_at[path] = _uptime_seconds()
            if not self._beats and not self._stopped.is_set():
                self._beats = True
                threading.Thread(target=self._touch, daemon=True).start()

    def holds(self, path: Path) -> bool:
        """Return True if this object still holds a lease, as it does after renewing it in time."""
        with self._lock:
            touched = self._renewed_at.get(path)
        if touched is None:
            return False
        return _uptime_seconds() - touched < LATE or self._is_mine(path)

    def release(self, path: Path) -> None:
        """Release a lease if it is still this object's."""
        with self._lock:
            is_known = self._renewed_at.pop(path, None) is not None
        if is_known and self._is_mine(path):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Release all leases."""
        self._stopped.set()
        with self._lock:
            paths = [*self._renewed_at]
        for path in paths:
            self.release(path)
        with suppress(OSError):
            self._clock.unlink()

    def is_stale(self, path: Path) -> bool:
        """Return True if a lease has expired, or its owner is known to be dead."""
        owner = read_json(path) or {}
        can_be_asked = owner.get("host") == self.owner["host"] and self.owner["born"]
        if can_be_asked and isinstance(owner.get("pid"), int):
            return _process_start(owner["pid"]) != owner.get("born")
        # without an owner: its process was killed before it wrote its name
        limit = STALE if owner else 2 * BEAT
        with suppress(OSError):  # it is gone by now, say
            self._clock.touch()
            return self._clock.stat().st_mtime - path.stat().st_mtime > limit
        return False

    def _is_mine(self, path: Path) -> bool:
        try:
            owner = read_json(path)
        except OSError:  # it cannot be known
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
        """Remove a stale lease; return True if this process removed it."""
        aside = path.with_name(f".stale.{uuid4().hex[:12]}{PART}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if not self.is_stale(aside):  # another process was faster, and this is its lease
            with suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink(missing_ok=True)
            return False
        aside.unlink(missing_ok=True)
        return True


def _uptime_seconds() -> float:
    """Return the seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _host_id() -> str:
    """Return the name of the machine since it began, and of its namespace of process numbers."""
    parts = [socket.gethostname()]  # which several machines can have
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_start(pid: int) -> str:
    """Return the start of a process of this machine in kernel ticks; "" if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


class BusyError(ValueError):
    """Another process leads in a run directory."""


class Lead:
    """Leadership of this process in a run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = Leases(folder / f".clock.{uuid4().hex[:12]}{PART}")

    @property
    def is_held(self) -> bool:
        """Return True if this process still leads."""
        return self._leases.holds(self._folder / LEASE)

    def check(self) -> None:
        """Raise a :class:`BusyError` if another process leads by now, as after a minute's sleep."""
        if not self.is_held:
            raise BusyError(
                f"another samplerbench process took the lead in {self._folder} over, since this "
                f"one gave no sign of life for {STALE:.0f} s; what is done is kept, and the same "
                "command again joins it"
            )


@contextmanager
def hold_lead(folder: Path) -> Iterator[Lead]:
    """Hold the lead in a run directory, as the only process, or raise a :class:`BusyError`."""
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free:
        try:
            if not free or not lead._leases.take(folder / LEASE):
                raise _busy_error(folder)
            yield lead
        finally:
            lead._leases.close()


def check_not_busy(folder: Path) -> None:
    """Raise a :class:`BusyError` if another process leads in a run directory; write nothing."""
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free:
        try:
            is_leased = (folder / LEASE).exists() and not lead._leases.is_stale(folder / LEASE)
        finally:
            lead._leases.close()
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
    """Take the kernel's lock on a file; yield True if it was free, or there are no such locks."""
    with path.open("a") as file:
        try:
            # here, because reading a run needs no lock, and must work where there is no fcntl
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield True


class FailureNote(NamedTuple):
    """Note on a failed shard: its first sample, and the row's status and reason."""

    start: int
    status: str
    reason: str


class Claims:
    """The claims of one process in a run directory."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._plan = self._folder / PLAN
        self._leases = Leases(self._folder / f"clock.{uuid4().hex[:12]}")
        self._leads = False

    def publish_plan(self, cells: Sequence[str]) -> None:
        """Publish, as the leader, the cells to be sampled; earlier followers may still run."""
        if not self._leads:
            self._folder.mkdir(exist_ok=True)
            for note in self._folder.glob("*.failed"):
                note.unlink(missing_ok=True)
        self._leads = True
        write_json(self._plan, {**self._leases.owner, "cells": list(cells)})
        self._leases.renew_periodically(self._plan)

    def planned_cells(self) -> set[str] | None:
        """Return the cells that a living leader samples; None if there is none."""
        plan = read_json(self._plan)
        if plan is None or self._leases.is_stale(self._plan):
            return None
        cells = plan.get("cells")
        return set(map(str, cells)) if isinstance(cells, list) else set()

    @property
    def is_leader_gone(self) -> bool:
        """Return True if this process follows a leader that is gone."""
        return not self._leads and self.planned_cells() is None

    def claim_names(self) -> frozenset[str]:
        """Return the names of all claims (:func:`claim_name`), of dead processes too."""
        try:
            return frozenset(os.listdir(self._folder))
        except FileNotFoundError:  # the leader is done
            return frozenset()

    def take(self, cell: str, start: int, stop: int) -> bool:
        """Claim the shard with samples ``start`` … ``stop - 1``; return True for success."""
        with suppress(FileNotFoundError):  # the leader is done, and took the folder away
            return self._leases.take(self._claim(cell, start, stop))
        return False

    def release(self, cell: str, start: int, stop: int) -> None:
        """Release the claim if this process holds it."""
        self._leases.release(self._claim(cell, start, stop))

    def note_failure(self, cell: str, start: int, status: str, reason: str) -> None:
        """Write a note for the leader that a shard failed."""
        note = {"cell": cell, "start": start, "status": status, "reason": reason}
        path = self._folder / f"{check_file_name(cell)}.{start:08d}.failed"
        if self._folder.is_dir():  # else the leader is gone
            sealed.write_json(path, note, f"{FOLDER}/{path.name}")

    def failures(self) -> Mapping[str, FailureNote]:
        """Return the first shard of each cell that failed; a damaged note is drawn again."""
        failed: dict[str, FailureNote] = {}
        for path in sorted(self._folder.glob("*.failed")):
            with suppress(FileNotFoundError, sealed.DamagedError):
                note = sealed.read_json(path, f"{FOLDER}/{path.name}")
                failed.setdefault(note.pop("cell"), FailureNote(**note))
        return failed

    def close(self) -> None:
        """Release all claims."""
        self._leases.close()

    def end(self) -> None:
        """Release all claims and remove others' leftovers, as the leader at its end."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _claim(self, cell: str, start: int, stop: int) -> Path:
        return self._folder / claim_name(cell, start, stop)


def claim_name(cell: str, start: int, stop: int) -> str:
    """Return the name of the file that claims a shard."""
    return f"{check_file_name(cell)}.{start:08d}-{stop:08d}"
