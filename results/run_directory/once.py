"""A command reads each file of a run directory once, whatever it makes of it.

What is imported here is quick to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import Contents

_directories: ContextVar[dict[str, Contents] | None] = ContextVar("directories", default=None)


@contextmanager
def read_once() -> Iterator[None]:
    """Within, each file of a run directory is read once, however many objects ask for it.

    What another process writes meanwhile is not seen, so that all that is said of a run is said of
    the same files. What this process writes is.
    """
    if _directories.get() is not None:  # within another one
        yield
        return
    directories: dict[str, Contents] = {}
    token = _directories.set(directories)
    try:
        yield
    finally:
        _directories.reset(token)
        for contents in directories.values():
            contents.unshare()


def shared_by_all(folder: str, make: Callable[[], Contents]) -> Contents | None:
    """What is known of a directory by all that read it within :func:`read_once`; None outside.

    Args:
        folder: its absolute path.
        make: what is known of it when the first one asks.
    """
    directories = _directories.get()
    if directories is None:
        return None
    if folder not in directories:
        directories[folder] = make()
        directories[folder].share()
    return directories[folder]
