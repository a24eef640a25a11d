"""Cache of the files of a run directory.

Files are remembered under the lock of the directory, while no other process writes. Otherwise nothing
is: another process may change any file, and a damaged one must be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .files import to_jsonable, write_bytes
from .sealed import (
    Arrays,
    OpenedFile,
    SealedFile,
    UnsealedError,
    open_json,
    open_npz,
    opened_as_written,
)
from .sharing import Lead


class Contents:
    """Files of one run directory that were read, and a ``run.json`` that waits to be written.

    JSON files are remembered with their objects; of arrays, which can be large, only whether they
    are sound.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cache: dict[str, OpenedFile] = {}
        self.pending_run: dict[str, Any] | None = None
        self.lead: Lead | None = None
        self.changes = 0

    @contextmanager
    def exclusive(self, lead: Lead) -> Iterator[None]:
        """Keep ``lead`` during the block, in which files change only as :meth:`forget` announces."""
        self._cache, self.pending_run, self.lead = {}, None, lead
        try:
            yield
        finally:
            self._cache, self.pending_run, self.lead = {}, None, None

    def write(self, place: str, path: Path, file: SealedFile) -> None:
        """Write a file to ``path``, and remember it as the content of ``place``."""
        write_bytes(path, file.data)
        self._remember(place, opened_as_written(file))

    @property
    def predates_checksums(self) -> bool:
        """Return True if the run is older than checksums: its files can be read, but prove nothing."""
        opened = self._opened("run.json")
        # which no earlier version wrote: then it is run.json that is damaged
        sealed_once = (self._folder / "made").is_dir()
        unsealed = isinstance(opened.fault, UnsealedError) and "suite" in (opened.value or {})
        return unsealed and not sealed_once

    def json(self, place: str, made_by: str | None = None) -> dict[str, Any]:
        """Return the object in a JSON file whose seal says ``made_by`` (None: anything).

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: it is not what its name says.
        """
        return dict(self._content_if_expected(self._opened(place), made_by))

    def npz(self, place: str, made_by: str | None = None, sha256: str | None = None) -> Arrays:
        """Return the arrays in a file with the digest ``sha256`` (None: any); see :meth:`json`."""
        opened = self._cache.get(place)
        if opened is None or opened.fault is None or isinstance(opened.fault, UnsealedError):
            opened = open_npz(self._folder / place, place)
            self._remember(place, replace(opened, value=None))
        return dict(self._content_if_expected(opened, made_by, sha256))

    def check(self, place: str, made_by: str | None = None, sha256: str | None = None) -> None:
        """Raise the exceptions of :meth:`npz`, from the digest alone."""
        opened = self._opened(place)
        if isinstance(opened.fault, UnsealedError) and self.predates_checksums:
            self.npz(place)
        else:
            opened.check(made_by, sha256)

    def digest(self, place: str) -> str:
        """Return the digest of the content of a JSON file or of arrays; "" where there is no file."""
        return self._opened(place).digest

    def forget(self, place: str) -> None:
        """Drop the cached content of a file that is about to change."""
        self.changes += 1
        self._cache.pop(place, None)

    def forget_folder(self, place: str) -> None:
        """Drop the cached contents of a file, or of all files in a folder that is moved."""
        for name in [name for name in self._cache if name == place or name.startswith(f"{place}/")]:
            self.forget(name)

    def defer(self, run: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Defer a ``run.json`` that is new only in time, command and conditions; return True if so."""
        same = self.lead is not None and _without_time(run) == _without_time(before)
        self.pending_run = dict(run) if same else None
        return same

    def _opened(self, place: str) -> OpenedFile:
        """Return a file, of arrays without them, from the cache where it is there."""
        if place in self._cache:
            return self._cache[place]
        path = self._folder / place
        is_json = place.endswith(".json")
        opened = open_json(path, place) if is_json else open_npz(path, place, arrays=False)
        self._remember(place, opened)
        return opened

    def _content_if_expected(
        self, opened: OpenedFile, made_by: str | None = None, sha256: str | None = None
    ) -> dict[str, Any]:
        """Return the content of a file that matches its seal or belongs to a run without checksums."""
        if not (isinstance(opened.fault, UnsealedError) and self.predates_checksums):
            opened.check(made_by, sha256)
        assert opened.value is not None
        return opened.value

    def _remember(self, place: str, opened: OpenedFile) -> None:
        if self.lead is not None:
            self._cache[place] = opened


def _without_time(run: Mapping[str, Any]) -> object:
    provenance = {
        name: value
        for name, value in (run.get("provenance") or {}).items()
        if name not in ("started", "command", "conditions")
    }
    return to_jsonable({**run, "provenance": provenance})
