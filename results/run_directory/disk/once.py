"""A command reads each file of a run directory once, whatever it makes of it.

What is imported here is quick to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Remembering(Protocol):
    """What is known of a directory."""

    def unshare(self) -> None:
        """Remember it no longer."""
        ...


_directories: ContextVar[dict[str, Remembering] | None] = ContextVar("directories", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """Within, each file of a run directory is read once, however many objects ask for it.

    What another process writes meanwhile is not seen, so that all that is said of a run is said of
    the same files. What this process writes is.
    """
    if _directories.get() is not None:  # within another one
        yield
        return
    known: dict[str, Remembering] = {}
    token = _directories.set(known)
    try:
        yield
    finally:
        _directories.reset(token)
        for contents in known.values():
            contents.unshare()


def directories() -> dict[str, Remembering] | None:
    """What is known of each directory, by its absolute path, within :func:`read_once`; None
    outside.
    """
    return _directories.get()
