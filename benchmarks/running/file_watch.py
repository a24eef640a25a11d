"""Detection of changes in the user's files that a run depends on, from their first opening."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ...models.loaders.user_files import (
    FileRecorder,
    Stamp,
    file_hash,
    record_files,
    relative_name,
    stamp_of,
)
from ...results.run_directory.behaviour_fingerprint import FILE, Fingerprint
from ...results.run_directory.run_dir import RunDir
from ..planning.cache import default_cache
from .executors.worker_context import hashes_of_files


class FileWatch:
    """Detector of changes in files that a run opens outside its directory and the cache."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        folders = run.path, default_cache()
        self._inside = tuple(os.path.realpath(folder) + os.sep for folder in folders)
        self._stamps: dict[str, Stamp | None] = {}
        self._hashes: dict[str, str] = {}
        self._hashes_of_model: dict[str, dict[str, str]] = {}
        self._models: dict[str, tuple[str, Path, frozenset[object]]] = {}

    def watch_files(self, paths: Iterable[str]) -> None:
        """Watch files for changes from now on, without recording them as files of a model."""
        for path in paths:
            self._stamp_once(path, stamp_of(path))

    @contextmanager
    def recording_files_of(self, name: str) -> Iterator[None]:
        """Record the files that the block opens; they count as files of the model ``name``.

        At its end, raises a ValueError if one of the files changed since its first opening.
        """
        with self.recording_opened_files() as recorder:
            try:
                yield
            finally:
                self.add_files(name, hashes_of_files(recorder.stamps), has_results=True)

    @contextmanager
    def recording_opened_files(self) -> Iterator[FileRecorder]:
        """Watch all files that the block opens; yields the recorder of their stamps."""
        with record_files() as recorder:
            try:
                yield recorder
            finally:
                for path, stamp in recorder.stamps.items():
                    self._stamp_once(path, stamp)

    def add_files(self, name: str, opened: Mapping[str, str], *, has_results: bool = False) -> None:
        """Record files that were opened for the model ``name``.

        ``opened`` maps absolute paths to the SHA-256, or to "" for a file that changed since its
        opening. A changed file is recorded, with "" as its hash, only if ``has_results`` is True:
        results depend on it already. At the end, a changed file raises a ValueError.
        """
        hashes, other = self._hashes_of_model.setdefault(name, {}), ""
        for path, content in opened.items():
            if os.path.realpath(path).startswith(self._inside):
                continue
            exists = os.path.exists(path)
            if exists:
                self._stamp_once(path, stamp_of(path))
            before = self._hashes.setdefault(path, content)
            same = content and before == content and (not exists or file_hash(path) == content)
            other = other if same else path
            if same or has_results:
                hashes[path] = content if same else ""
        self._record(name)
        if other:
            raise ValueError(_changed_file_message(other))

    def add_model(self, name: str, digest: str, folder: Path, made: Iterable[Fingerprint]) -> None:
        """Register a model's fingerprint record, to which :meth:`add_files` adds file hashes.

        ``digest`` names the record. Files are named relative to ``folder``. Files whose hashes the
        fingerprints ``made`` contain are not added.
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
        """Raise a ValueError if a watched file was edited, replaced or deleted."""
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
        for path, content in sorted(self._hashes_of_model.get(name, {}).items()):
            named = relative_name(folder, path)
            if not {(named, content), (os.path.basename(named), content)} & facts:
                files[named] = content
        if files and not files.items() <= self._run.late_file_hashes(digest).items():
            self._run.write_late_file_hashes(digest, files)


def _changed_file_message(path: str) -> str:
    return (
        f"{os.path.basename(path)} changed while the run was going on; run the same command again, "
        "and what it made before is set aside"
    )
