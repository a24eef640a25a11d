"""JSON files of a run directory that were found sound, remembered for as long as no other
process writes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .files import jsonable

Json = dict[str, Any]


class JsonCache:
    """What was read from a run directory under its lock, so that each file is read and checked
    once, and a file that waits to be written.

    Outside of :meth:`exclusive` nothing is remembered: another process may change any file, and a
    damaged one must be found.
    """

    def __init__(self) -> None:
        self._files: dict[str, dict[str | None, Json]] | None = None
        self.pending_run: Json | None = None
        self.changes = 0

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While this lasts, files change only as this process says by :meth:`forget`."""
        self._files, self.pending_run = {}, None
        try:
            yield
        finally:
            self._files, self.pending_run = None, None

    def read(self, place: str, made_by: str | None, read: Callable[[], Json]) -> Json:
        """A file's content, as it was read before or as ``read`` gives it now.

        What ``read`` raises is not remembered.

        Args:
            place: of the file in the directory.
            made_by: what its seal must say.
            read: reads and checks it.
        """
        if self._files is None:
            return read()
        known = self._files.setdefault(place, {})
        if made_by not in known:
            known[made_by] = known[None] = read()
        return dict(known[made_by])

    def forget(self, place: str) -> None:
        """Remember nothing more of a file, which changes."""
        self.changes += 1
        if self._files:
            self._files.pop(place, None)

    def forget_folder(self, place: str) -> None:
        """Remember nothing more of the files in a folder, which is moved, or of a file."""
        for known in [
            known for known in self._files or () if known == place or known.startswith(f"{place}/")
        ]:
            self.forget(known)

    def defer(self, run: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Whether a new ``run.json`` says no more than the one that is there, but for the moment
        and the command, and so can wait.

        It is kept as :attr:`pending_run` then, until another file is written: what adds nothing to
        a directory leaves it as it is.
        """
        self.pending_run = (
            dict(run) if self._files is not None and _timeless(run) == _timeless(known) else None
        )
        return self.pending_run is not None


def _timeless(run: Mapping[str, Any]) -> object:
    made = {
        name: value
        for name, value in (run.get("provenance") or {}).items()
        if name not in ("started", "command", "conditions")
    }
    return jsonable({**run, "provenance": made})
