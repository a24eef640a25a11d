"""Cache of the files of a run directory, so that each is read and checked once.

Files are remembered under the lock of the directory, while no other process writes, and within
:func:`.once.read_once`. Otherwise
nothing is: another process may change any file, and a damaged one must be found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .disk.files import jsonable, write_bytes
from .disk.read_cache import directories
from .disk.write_behind import WriteBehind
from .sealed import Arrays, Opened, Sealed, Unsealed, open_json, open_npz, read_back
from .sharing import Lead

_ARRAYS_UNREAD = Opened()


class Contents:
    """The files of one run directory that were read, and one that waits to be written.

    JSON files are remembered with their objects. So are the arrays that a reader asks to be kept,
    while nothing is written; of others only what says whether they are sound, since they can be
    large.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Opened] = {}
        self._shared = self._locked = self._writes = False
        self._behind: WriteBehind | None = None
        self._written: set[str] = set()
        self.pending_run: dict[str, Any] | None = None
        self.lead: Lead | None = None
        self.changes = 0

    @contextmanager
    def exclusive(self, lead: Lead) -> Iterator[None]:
        """While this lasts, files change only as this process says by :meth:`forget`."""
        self._known, self.pending_run, self._locked, self._writes = {}, None, True, True
        self.lead = lead
        try:
            yield
        finally:
            self.pending_run, self._locked, self.lead = None, False, None
            if not self._shared:
                self._known = {}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let writes wait for more (:mod:`.disk.behind`); at the end all files are there."""
        if self._behind is not None:  # within another one
            yield
            return
        self._behind, self._written = WriteBehind(), set()
        try:
            yield
        finally:
            behind, self._behind = self._behind, None
            behind.close()

    def settle(self) -> None:
        """Wait for what was written, before anybody looks at the folders."""
        if self._behind is not None:
            self._behind.settle()

    def write(
        self, place: str, path: Path, file: Sealed, then: Callable[[], object] | None = None
    ) -> None:
        """Write a file, and remember it.

        Args:
            place: of the file in the directory.
            path: of that place.
            file: the sealed file.
            then: called once it is there, maybe by another thread.
        """
        if self._behind is None:
            write_bytes(path, file.data)
            if then is not None:
                then()
        else:
            self._behind.write(path, file.data, then)
            self._written.add(place)
        self._remember(place, read_back(file))

    def share(self) -> None:
        """Remember files from now on, as if the directory did not change."""
        self._shared = True

    def unshare(self) -> None:
        """End :meth:`share`."""
        self._shared, self._known = False, {}

    @property
    def old(self) -> bool:
        """Return True if the run is older than checksums: its files can be read, but prove nothing."""
        opened = self._json("run.json")
        # which no earlier version wrote: then it is run.json that is damaged
        sealed_once = (self._folder / "made").is_dir()
        unsealed = isinstance(opened.fault, Unsealed) and "suite" in (opened.value or {})
        return unsealed and not sealed_once

    def json(self, place: str, made_by: str | None = None) -> dict[str, Any]:
        """The object in a JSON file.

        Args:
            place: of the file in the directory.
            made_by: what its seal must say; None to take anything.

        Raises:
            FileNotFoundError: there is no such file.
            Damaged: it is not what its name says.
        """
        return dict(self._checked(self._json(place), made_by))

    def npz(
        self,
        place: str,
        made_by: str | None = None,
        sha256: str | None = None,
        *,
        keep: bool = False,
    ) -> Arrays:
        """The arrays in a file; exceptions as :meth:`json`.

        Args:
            place: as there.
            made_by: as there.
            sha256: the digest that the file must have, where another file says so.
            keep: whether they may be asked for again.
        """
        opened = self._known.get(place, _ARRAYS_UNREAD)
        if opened.value is None and (opened.fault is None or isinstance(opened.fault, Unsealed)):
            self._await(place)
            opened = open_npz(self._folder / place, place)
            remembered = opened if keep and not self._writes else replace(opened, value=None)
            self._remember(place, remembered)
        return dict(self._checked(opened, made_by, sha256))

    def check(self, place: str, made_by: str | None = None, sha256: str | None = None) -> None:
        """Raise what :meth:`npz` would: a digest that holds says that the arrays are those that
        were written.
        """
        opened = self._sound(place)
        if isinstance(opened.fault, Unsealed) and self.old:
            self.npz(place)
        else:
            opened.check(made_by, sha256)

    def digest(self, place: str) -> str:
        """Return the digest of the content of a JSON file or of arrays; "" where there is no file."""
        return (self._json if place.endswith(".json") else self._sound)(place).digest

    def forget(self, place: str) -> None:
        """Remember nothing more of a file, which changes."""
        self.changes += 1
        self._known.pop(place, None)

    def forget_folder(self, place: str) -> None:
        """Remember nothing more of the files in a folder, which is moved, or of a file."""
        for name in [name for name in self._known if name == place or name.startswith(f"{place}/")]:
            self.forget(name)

    def defer(self, run: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        """Return True if a new ``run.json`` adds only time, command and conditions, under the lock.

        It is then kept as :attr:`pending_run` until another file is written.
        """
        same = self._locked and _timeless(run) == _timeless(known)
        self.pending_run = dict(run) if same else None
        return same

    def _await(self, place: str) -> None:
        """Wait for a file that was written."""
        if place in self._written:
            self.settle()

    def _json(self, place: str) -> Opened:
        return self._once(place, lambda: open_json(self._folder / place, place))

    def _sound(self, place: str) -> Opened:
        return self._once(place, lambda: open_npz(self._folder / place, place, arrays=False))

    def _checked(
        self, opened: Opened, made_by: str | None = None, sha256: str | None = None
    ) -> dict[str, Any]:
        """Return the content of a file if it is as expected; a run without checksums is not
        checked.
        """
        if not (isinstance(opened.fault, Unsealed) and self.old):
            opened.check(made_by, sha256)
        assert opened.value is not None
        return opened.value

    def _once(self, place: str, read: Callable[[], Opened]) -> Opened:
        if place not in self._known:
            self._await(place)
            opened = read()
            self._remember(place, opened)
            return opened
        return self._known[place]

    def _remember(self, place: str, opened: Opened) -> None:
        if self._locked or self._shared:
            self._known[place] = opened


def contents_of(folder: Path) -> Contents:
    """Return the contents of a run directory, shared with others within :func:`.once.read_once`."""
    shared, key = directories(), os.path.abspath(folder)
    if shared is None:
        return Contents(folder)
    contents = shared.get(key)
    if not isinstance(contents, Contents):
        contents = shared[key] = Contents(folder)
        contents.share()
    return contents


def _timeless(run: Mapping[str, Any]) -> object:
    provenance = {
        name: value
        for name, value in (run.get("provenance") or {}).items()
        if name not in ("started", "command", "conditions")
    }
    return jsonable({**run, "provenance": provenance})
