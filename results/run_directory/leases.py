"""Leases: files that are made where there must be none, touched while their owner lives, and taken
over when it does not.

Network file systems too, with locks or without, let only one process make a file that must not
exist. An owner touches its files every few seconds. A file that is untouched for long, or whose
process is known to be dead, is taken over. The clocks of the machines do not matter: ages are
relative to a file that was touched just now.

A suspended owner may have lost its leases. So each lease holds its owner's token, and an owner
touches and removes only its own.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from .files import PART, read_json

BEAT, STALE = 5.0, 60.0
"""Heartbeat interval and expiry time, in seconds."""

LATE = 3 * BEAT
"""Seconds after the last touch from which on an owner looks whether a lease is still its own."""


class Leases:
    """The leases of one object in one process.

    Args:
        clock: a file of its own on the same file system, which is made when it is needed.
    """

    def __init__(self, clock: Path) -> None:
        self._clock = clock
        self._mine: dict[Path, float] = {}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._beats = False
        self.owner = {
            "host": _host(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "token": uuid4().hex,
        }
        """Owner that a lease of this object records."""

    def take(self, path: Path) -> bool:
        """Make a lease, or take over an expired one; return True if it is this object's now.

        Raises:
            OSError: it cannot be made; FileNotFoundError where its folder is gone.
        """
        for _ in range(2):
            try:
                number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                if not self.is_stale(path) or not self._cleared(path):
                    return False
                continue
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    json.dump(self.owner, file)
            except OSError:  # a full disk: an empty lease would count as taken
                with suppress(OSError):
                    path.unlink()
                raise
            self.keep(path)
            return True
        return False

    def keep(self, path: Path) -> None:
        """Touch a file from now on, which holds :attr:`owner`."""
        with self._lock:
            self._mine[path] = _uptime()
            if not self._beats and not self._stopped.is_set():
                self._beats = True
                threading.Thread(target=self._touch, daemon=True).start()

    def holds(self, path: Path) -> bool:
        """Return True if a lease is still this object's: one that it touched in time counts as
        such.
        """
        with self._lock:
            touched = self._mine.get(path)
        if touched is None:
            return False
        return _uptime() - touched < LATE or self._is_mine(path)

    def has(self, path: Path) -> bool:
        """Return True if it took a lease, and has not released it or seen its loss."""
        with self._lock:
            return path in self._mine

    def release(self, path: Path) -> None:
        """Release a lease if it is still this object's."""
        with self._lock:
            is_known = self._mine.pop(path, None) is not None
        if is_known and self._is_mine(path):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Give all of them back."""
        self._stopped.set()
        with self._lock:
            paths = [*self._mine]
        for path in paths:
            self.release(path)
        with suppress(OSError):
            self._clock.unlink()

    def is_stale(self, path: Path) -> bool:
        """Return True if a lease has expired, or its owner is known to be dead."""
        owner = read_json(path) or {}
        can_be_asked = owner.get("host") == self.owner["host"] and self.owner["born"]
        if can_be_asked and isinstance(owner.get("pid"), int):
            return _born(owner["pid"]) != owner.get("born")
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
                paths = [*self._mine]
            for path in paths:
                try:
                    is_ours = self._is_mine(path)
                    if is_ours:
                        os.utime(path)
                except OSError:
                    continue
                with self._lock:
                    if is_ours and path in self._mine:
                        self._mine[path] = _uptime()
                    elif not is_ours:
                        self._mine.pop(path, None)

    def _cleared(self, path: Path) -> bool:
        """Take a stale lease away; whether it was this process that did."""
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


def _uptime() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _host() -> str:
    """The machine since it began, and the part of it in which the numbers of processes mean the
    same; machines can have one name.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _born(pid: int) -> str:
    """Return the start of a process of this machine in kernel ticks; "" if it is dead or unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
