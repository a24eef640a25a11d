"""Recording which of the user's files are opened, such as weights, while a model is made or called.

Python reports every file that it opens to an audit hook; that sees ``open``, ``np.load``,
``np.memmap``, ``torch.load``, ``pathlib`` and imports. Readers that open files outside Python
(safetensors, ``torch.jit``, memory-mapped storages) are wrapped for the time being.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from .user_files import is_users, named_hashes, source_of

_WRITES = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_READERS = (
    ("safetensors", "safe_open"),
    ("torch", "from_file"),
    ("torch.jit", "load"),
    ("torch.UntypedStorage", "from_file"),
    ("h5py.File", "__init__"),
    ("onnxruntime.InferenceSession", "__init__"),
)
"""Module, or class of a module, and the name in it."""

_lock = threading.RLock()
_open: list[FileRecorder] = []
_wrapped = contextlib.ExitStack()
_hooked = False


@dataclass(frozen=True)
class FilesRead:
    """The files that something was made of, and the folder that names are relative to.

    Attributes:
        folder: where names begin.
        paths: absolute paths.
    """

    folder: Path
    paths: frozenset[str] = frozenset()

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each file, as it was when they were first asked for, by names that say
        nothing of this machine.
        """
        return named_hashes(self.paths, self.folder)

    def __or__(self, more: frozenset[str]) -> FilesRead:
        """The same with more files."""
        return self if more <= self.paths else FilesRead(self.folder, self.paths | more)


@dataclass(eq=False)
class FileRecorder:
    """Recorder of the files that this thread, or one that it started, opens."""

    others: frozenset[int | None]
    opened: set[str] = field(default_factory=set)

    @property
    def paths(self) -> frozenset[str]:
        """Absolute paths of the files of the user's among them, sources in place of what was
        compiled from them.
        """
        return frozenset(path for path in map(source_of, tuple(self.opened)) if is_users(path))


@contextlib.contextmanager
def reading() -> Iterator[FileRecorder]:
    """A context that sees which files are read in it."""
    global _hooked
    now = FileRecorder(
        frozenset(thread.ident for thread in threading.enumerate()) - {threading.get_ident()}
    )
    with _lock:
        if not _hooked:  # it cannot be taken away again; while nobody reads, it does nothing
            sys.addaudithook(_hook)
            _hooked = True
        if not _open:
            _wrap_readers()
        _open.append(now)
    try:
        yield now
    finally:
        with _lock:
            _open.remove(now)
            if not _open:
                _wrapped.close()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _open and event == "open" and not (isinstance(args[2], int) and args[2] & _WRITES):
        _note(args[0])


def _note(path: Any) -> None:
    """Remember a file that is opened. Whatever goes wrong here is not the user's concern."""
    if isinstance(path, str | bytes | os.PathLike):
        with contextlib.suppress(Exception):
            absolute, me = os.path.abspath(os.fsdecode(path)), threading.get_ident()
            for now in tuple(_open):
                if me not in now.others:
                    now.opened.add(absolute)


def _wrap_readers() -> None:
    """Have readers that open files outside Python note them, under every name by which a loaded
    module knows them.
    """
    importlib.import_module("safetensors.torch")
    for place, name in _READERS:
        holder = _loaded(place)
        reader = getattr(holder, name, None)
        if holder is None or reader is None:
            continue
        noting = _noting(reader)
        holders = [
            m
            for m in tuple(sys.modules.values())
            if isinstance(m, ModuleType) and vars(m).get(name) is reader
        ]
        for each in holders if isinstance(holder, ModuleType) else [holder]:
            _wrapped.enter_context(mock.patch.object(each, name, noting))


def _loaded(place: str) -> Any:
    """The module, or the class of a module, of this name; None where it is not loaded."""
    module, _, name = place.rpartition(".")
    return sys.modules.get(place) or (
        getattr(sys.modules[module], name, None) if module in sys.modules else None
    )


def _noting(reader: Callable[..., Any]) -> Callable[..., Any]:
    """The reader, which notes every argument that could be a file.

    What is none is left out at the end.
    """

    @functools.wraps(reader)
    def noting(*args: Any, **options: Any) -> Any:
        for argument in (*args, *options.values()):
            _note(argument)
        return reader(*args, **options)

    return noting
