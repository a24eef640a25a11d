"""Leader of a run directory: the one process that plans, scores and writes tables there.

It holds two things. The kernel's lock on ``.lock`` is free the moment that its process ends,
however it ends. Some network file systems have no such locks, and others take them for one machine
alone without an error. The lease ``.leader`` (:mod:`.leases`) holds on all of them, and is taken
over a minute after its owner's last heartbeat, or at once if the owner is known to be dead.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from .files import PART, read_json
from .layout import LEASE, LOCK
from .leases import STALE, Leases

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system without kernel locks: NFS without its lock manager, Lustre without flock."""


class BusyError(ValueError):
    """Another process leads in a run directory."""


class Lead:
    """The lead of a run directory, while this process has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leases = Leases(folder / f".clock.{uuid4().hex[:12]}{PART}")

    @property
    def held(self) -> bool:
        """Return True if this process still leads."""
        return self._leases.holds(self._folder / LEASE)

    def check(self) -> None:
        """Refuse to go on where another process leads by now, as after a minute's sleep.

        Raises:
            BusyError: it does.
        """
        if not self.held:
            raise BusyError(
                f"another samplerbench process took the lead in {self._folder} over, since this "
                f"one gave no sign of life for {STALE:.0f} s; what is done is kept, and the same "
                "command again joins it"
            )


@contextmanager
def leading(folder: Path) -> Iterator[Lead]:
    """Lead in a run directory, as the only process.

    Raises:
        BusyError: another one leads there.
    """
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free:
        try:
            if not free or not lead._leases.take(folder / LEASE):
                raise _busy(folder)
            yield lead
        finally:
            lead._leases.close()


def refuse_busy(folder: Path) -> None:
    """Refuse a run directory that another process leads in; nothing is written.

    Raises:
        BusyError: one does.
    """
    lead = Lead(folder)
    with _kernel_lock(folder / LOCK) as free:
        try:
            is_leased = (folder / LEASE).exists() and not lead._leases.is_stale(folder / LEASE)
        finally:
            lead._leases.close()
    if is_leased or not free:
        raise _busy(folder)


def _busy(folder: Path) -> BusyError:
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
    """The kernel's lock on a file, which it drops when the process ends; whether it is free. Where
    there are no such locks, it always is.
    """
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
