"""Write-behind: many files at a time are made durable, and none becomes visible before.

To wait for the disk takes 0.2 to 5 ms a file, however small, and as long for a thousand files at once.
So a thread collects what is written while it waits, has the file system flush all of it together, and
only then renames it. What :mod:`.atomic` promises holds: under its final name a file is whole and on the
disk. A process that is killed loses what the thread was about to rename, milliseconds of work.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .atomic import flush_file, write_bytes, write_part

FEW = 2
"""Files up to which each is flushed by itself, without waiting for other processes' data."""

MOST = 2000
"""Files that may wait; a writer that is further ahead waits for the disk."""

MOST_BYTES = 1 << 27
"""Bytes that may."""

syncfs: Callable[[int], int] | None = (
    getattr(ctypes.CDLL(None), "syncfs", None) if os.name == "posix" else None
)
"""Flushes the file system of an open file, where the system has that: Linux."""


class _Waiting(NamedTuple):
    part: str
    path: Path
    content: bytes
    then: Callable[[], object] | None


class WriteBehind:
    """Makes files durable in a thread of its own; to be closed."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._busy = self._closed = False
        self._error: BaseException | None = None
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, path: Path, content: bytes, then: Callable[[], object] | None = None) -> None:
        """Have ``path`` hold ``content`` soon.

        Args:
            path: the final name; its folder is made if need be.
            content: of the file.
            then: called by the thread, once the file is there.

        Raises:
            OSError: this file, or an earlier one, cannot be written.
        """
        part = write_part(path, content)
        with self._change:
            self._waiting.append(_Waiting(part, path, content, then))
            self._bytes += len(content)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._change.notify_all()
            self._change.wait_for(lambda: not self._full or self._error)
        self._complain()

    def settle(self) -> None:
        """Wait until all files are there.

        Raises:
            OSError: one cannot be written.
        """
        with self._change:
            self._change.wait_for(lambda: not (self._waiting or self._busy) or self._error)
        self._complain()

    def close(self) -> None:
        """:meth:`settle`, and end the thread."""
        try:
            self.settle()
        finally:
            with self._change:
                self._closed = True
                self._change.notify_all()
            if self._thread is not None:
                self._thread.join()
            for file in self._waiting:  # after an error
                with suppress(OSError):
                    os.unlink(file.part)

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= MOST or self._bytes > MOST_BYTES

    def _complain(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                batch, self._waiting, self._bytes, self._busy = self._waiting, [], 0, True
                self._change.notify_all()
            pending = deque(batch)
            try:
                together = len(batch) > FEW and _flush_file_system(batch[0].part)
                while pending:
                    if not together:
                        with suppress(FileNotFoundError):
                            flush_file(pending[0].part)
                    _rename(pending[0])
                    file = pending.popleft()
                    if file.then is not None:
                        file.then()
            except BaseException as error:
                if isinstance(error, OSError) and pending:
                    error.filename = str(pending[0].path)
                with self._change:
                    self._waiting, self._error = [*pending, *self._waiting], error
                    self._change.notify_all()
                return
            with self._change:
                self._busy = False
                self._change.notify_all()


def _rename(file: _Waiting) -> None:
    """Give a file its final name; it is written again where another process took it for one that a
    killed one was writing.
    """
    try:
        os.replace(file.part, file.path)
    except FileNotFoundError:
        write_bytes(file.path, file.content)


def _flush_file_system(path: str) -> bool:
    """Have all that was written to the file system of a file on the disk; False where the system
    cannot.
    """
    if syncfs is None:
        return False
    try:
        number = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return syncfs(number) == 0
    finally:
        os.close(number)
