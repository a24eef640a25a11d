"""Read cache: a command reads each file of a run directory once.

What is imported here is quick to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Remembering(Protocol):
    """Cached contents of a directory."""

    def unshare(self) -> None:
        """Stop remembering the directory."""
        ...


_directories: ContextVar[dict[str, Remembering] | None] = ContextVar("directories", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """Read each file of a run directory once within the context, however many objects ask for it.

    Writes of other processes are not seen meanwhile, so that all results of a run describe the same
    files. Writes of this process are.
    """
    if _directories.get() is not None:  # within another one
        yield
        return
    cached: dict[str, Remembering] = {}
    token = _directories.set(cached)
    try:
        yield
    finally:
        _directories.reset(token)
        for contents in cached.values():
            contents.unshare()


def directories() -> dict[str, Remembering] | None:
    """Return the cached contents by the directory's absolute path; None outside :func:`read_once`."""
    return _directories.get()
