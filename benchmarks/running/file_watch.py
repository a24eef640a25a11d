"""User's files that a run depends on: stamps from their first opening, and records of late ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ...models.loaders.user_files import (
    FileRecorder,
    Stamp,
    file_hash,
    name_from,
    record_files,
    stamp_of,
)
from ...results.run_directory.fingerprint import FILE, Fingerprint
from ...results.run_directory.run_dir import RunDir
from ..planning.cache import default_cache
from .executors.worker_context import hashes_of_files


class FileWatch:
    """Watch over the files of a run; those in its directory do not count."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        folders = run.path, default_cache()
        self._inside = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self._stamps: dict[str, Stamp | None] = {}
        self._hashes: dict[str, str] = {}
        self._late: dict[str, dict[str, str]] = {}
        self._models: dict[str, tuple[str, Path, frozenset[object]]] = {}

    def expect(self, paths: Iterable[str]) -> None:
        """Watch files that fingerprints or identities name already."""
        for path in paths:
            self._stamp_once(path, stamp_of(path))

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Assign all files that the block opens, and its results, to a model.

        It is a ValueError at the end if a file was edited since it was opened; its results are
        recorded with an unknown file.
        """
        with self.recording_opened_files() as recorder:
            try:
                yield
            finally:
                self.add(name, hashes_of_files(recorder.stamps), made=True)

    @contextmanager
    def recording_opened_files(self) -> Iterator[FileRecorder]:
        """Watch all files that the block opens."""
        with record_files() as recorder:
            try:
                yield recorder
            finally:
                for path, stamp in recorder.stamps.items():
                    self._stamp_once(path, stamp)

    def add(self, name: str, opened: Mapping[str, str], *, made: bool = False) -> None:
        """Add files that the model ``name`` opened; it is a ValueError if one of them changed.

        ``opened`` has the SHA-256 by absolute path, "" for a file that changed since. If results
        were ``made`` of them already, changed files are recorded too.
        """
        late, other = self._late.setdefault(name, {}), ""
        for path, content in opened.items():
            if os.path.realpath(path).startswith(self._inside):
                continue
            exists = os.path.exists(path)
            if exists:
                self._stamp_once(path, stamp_of(path))
            before = self._hashes.setdefault(path, content)
            same = content and before == content and (not exists or file_hash(path) == content)
            other = other if same else path
            if same or made:
                late[path] = content if same else ""
        self._record(name)
        if other:
            raise ValueError(_changed_file_message(other))

    def record(self, name: str, digest: str, folder: Path, made: Iterable[Fingerprint]) -> None:
        """Register the record of a model, so that its files are written with it.

        Files are named from ``folder``. The fingerprints hold hashes of files that need no other
        record.
        """
        facts = frozenset(
            (key.removeprefix(FILE).partition("#")[0], fact)
            for fingerprint in made
            for key, fact in fingerprint.exact.items()
            if key.startswith(FILE)
        )
        self._models[name] = digest, folder, facts
        self._record(name)

    def check(self) -> None:
        """Raise a ValueError if a file was edited since it was opened."""
        for path, stamp in self._stamps.items():
            if stamp_of(path) != stamp:
                raise ValueError(_changed_file_message(path))

    def _stamp_once(self, path: str, stamp: Stamp | None) -> None:
        if path not in self._stamps and not os.path.realpath(path).startswith(self._inside):
            self._stamps[path] = stamp

    def _record(self, name: str) -> None:
        if name not in self._models:
            return
        digest, folder, facts = self._models[name]
        files = {}
        for path, content in sorted(self._late.get(name, {}).items()):
            named = name_from(folder, path)
            if not {(named, content), (os.path.basename(named), content)} & facts:
                files[named] = content
        recorded = self._run.late_file_hashes(digest) if files else {}
        if not files.items() <= recorded.items():
            self._run.write_opened(digest, files)


def _changed_file_message(path: str) -> str:
    return (
        f"{os.path.basename(path)} changed while the run was going on; run the same command again, "
        "and what it made before is set aside"
    )
