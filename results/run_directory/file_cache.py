"""Cache of the files of a run directory.

Files are cached only while this process leads the run (:mod:`.sharing`). Otherwise every read
checks the file again, since another process may have changed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .files import to_jsonable, write_bytes
from .sealed import OpenedFile, SealedFile, UnsealedError, as_if_opened, open_sealed
from .sharing import Lead


class RunFileCache:
    """Reader and writer of one run directory's files, which caches them within :meth:`exclusive`.

    A *place* is a file's path relative to the run directory. JSON files are cached with their
    objects. Of ``.npz`` files, which can be large, only the seal, or the fault found, is cached.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cache: dict[str, OpenedFile] = {}
        self.pending_run: dict[str, Any] | None = None
        self.lead: Lead | None = None
        self.changes = 0

    @contextmanager
    def exclusive(self, lead: Lead) -> Iterator[None]:
        """Cache files during the block, in which each change of a file must call :meth:`forget`."""
        self._cache, self.pending_run, self.lead = {}, None, lead
        try:
            yield
        finally:
            self._cache, self.pending_run, self.lead = {}, None, None

    def write(self, place: str, path: Path, file: SealedFile) -> None:
        """Write a file to ``path``, and cache it as the content of ``place``."""
        write_bytes(path, file.data)
        self._remember(place, as_if_opened(file))

    @property
    def predates_checksums(self) -> bool:
        """Return True if the run is older than checksums, so that its files are read unchecked."""
        opened = self.open("run.json")
        # versions without seals wrote no made/; with it, an unsealed run.json is damaged
        sealed_once = (self._folder / "made").is_dir()
        unsealed = isinstance(opened.fault, UnsealedError) and "suite" in (opened.value or {})
        return unsealed and not sealed_once

    def read(
        self, place: str, made_by: str | None = None, sha256: str | None = None
    ) -> dict[str, Any]:
        """Return the object in a JSON file, or the arrays of an ``.npz`` file by name.

        ``made_by`` and the digest ``sha256`` in the seal are checked (None: any).

        Raises:
            FileNotFoundError: there is no such file.
            DamagedError: the file is damaged, or has another ``made_by`` or digest.
            NewerError: a newer version of this package wrote the file.
        """
        opened = self._cache.get(place)
        is_sound = opened and isinstance(opened.fault, UnsealedError | None)
        if opened is None or (is_sound and opened.value is None):  # arrays are not cached
            opened = open_sealed(self._folder / place, place)
            self._remember(place, opened)
        if not (isinstance(opened.fault, UnsealedError) and self.predates_checksums):
            opened.check(made_by, sha256)
        return dict(opened.value or {})

    def check(self, place: str, made_by: str | None = None, sha256: str | None = None) -> None:
        """Raise what :meth:`read` raises, but parse no arrays of a sealed file."""
        opened = self.open(place)
        if not (isinstance(opened.fault, UnsealedError) and self.predates_checksums):
            opened.check(made_by, sha256)
        elif place.endswith(".npz"):
            self.read(place)

    def forget(self, place: str) -> None:
        """Remove a file that is about to change from the cache, and count the change."""
        self.changes += 1
        self._cache.pop(place, None)

    def forget_folder(self, place: str) -> None:
        """Call :meth:`forget` for a file, or for all files of a folder, if they are cached."""
        for name in [name for name in self._cache if name == place or name.startswith(f"{place}/")]:
            self.forget(name)

    def defer_run(self, run: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
        """Keep ``run`` for later, if only start time, command or conditions differ from ``before``.

        Return True if it is kept; the next change of a file writes it. Outside :meth:`exclusive`,
        nothing is kept.
        """
        same = self.lead is not None and _without_time(run) == _without_time(before)
        self.pending_run = dict(run) if same else None
        return same

    def open(self, place: str) -> OpenedFile:
        """Return a file's seal and content, cached or read; an ``.npz`` file's without its arrays."""
        if place in self._cache:
            return self._cache[place]
        opened = open_sealed(self._folder / place, place, arrays=False)
        self._remember(place, opened)
        return opened

    def _remember(self, place: str, opened: OpenedFile) -> None:
        if self.lead is not None:
            self._cache[place] = replace(opened, value=None) if place.endswith(".npz") else opened


def _without_time(run: Mapping[str, Any]) -> object:
    provenance = {
        name: value
        for name, value in (run.get("provenance") or {}).items()
        if name not in ("started", "command", "conditions")
    }
    return to_jsonable({**run, "provenance": provenance})
