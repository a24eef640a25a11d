"""Files of the user: their distinction from installed files, their hashes, and a recorder of reads.

Python reports each file that it opens to an audit hook. The hook sees ``open``, ``np.load``, ``np.memmap``,
``torch.load``, ``pathlib`` and imports. It also sees databases, shared libraries and the words of commands. Readers
that open files outside Python (safetensors, ``torch.jit``, memory-mapped storages, pyarrow) are wrapped while a
recorder is active.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import shlex
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import source_from_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

_PACKAGE = Path(__file__).resolve().parents[2]
_SYSTEM = ("/proc", "/dev", "/sys", "/run", "/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64")
_SYSTEM += ("/usr/share/zoneinfo", "/System", "/Library")
_OWN = ("samplers", "models", "benchmarks", "results", "samplerbench")
_INSTALLED = {"site-packages", "dist-packages"}
_CACHES = ("torchinductor_", "torch_compile_debug", ".triton", "__pycache__")
_PYTHON = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
_PYTHON |= {os.path.dirname(os.__file__)}
_LIBRARIES = tuple(os.path.realpath(folder) + os.sep for folder in _PYTHON if folder)

Stamp = tuple[int, int, int, int]
"""Size, inode number, and times of the last change of a file's content and of its inode."""
_WRITES = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_READERS = (
    ("safetensors", "safe_open"),
    ("torch", "from_file"),
    ("torch.jit", "load"),
    ("torch.UntypedStorage", "from_file"),
    ("h5py.File", "__init__"),
    ("onnxruntime.InferenceSession", "__init__"),
    ("pyarrow.parquet", "read_table"),
    ("pyarrow.parquet.ParquetFile", "__init__"),
    ("pyarrow.dataset", "dataset"),
    ("pyarrow.feather", "read_table"),
    ("pyarrow.csv", "read_csv"),
    ("pyarrow", "memory_map"),
    ("pyarrow", "OSFile"),
)
"""Readers that open files outside Python: a module or class, and the name of the reader in it."""
_READER_NAMES = frozenset(name for _, name in _READERS)
_INSTALLED_PLACES = (*_PYTHON, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
_without_readers: dict[str, tuple[ModuleType, dict[str, Any], int]] = {}
"""Installed modules without a reader, by name: module, its dict, and the dict's size then."""
_lock = threading.RLock()
_active_recorders: list[FileRecorder] = []
_wrapped = contextlib.ExitStack()
_hook_added = False


def source_of(path: str) -> str:
    """Return the source file of a module compiled into ``__pycache__``, or else ``path``."""
    try:
        return source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path


def is_users_file(path: str) -> bool:
    """Return True for a file outside Python, packages, samplerbench, caches and system folders."""
    parts = Path(path).parts
    if _INSTALLED.intersection(parts) or any(part.startswith(_CACHES) for part in parts):
        return False
    real = os.path.realpath(path)
    # a user's folder may lie in a checkout of this package
    own = tuple(os.path.join(_PACKAGE, folder) + os.sep for folder in _OWN)
    system = (folder + os.sep for folder in _SYSTEM)
    return not real.startswith((*_LIBRARIES, *system, *own)) and os.path.isfile(real)


def named_hashes(paths: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, by a name that is the same on other machines.

    Args:
        paths: paths of files. Missing and unreadable files are left out.
        folder: files below this folder are named by their relative path, others by their file name alone. If files of
            one name differ, they are called ``NAME``, ``NAME#2``, ``NAME#3`` in the order of their hashes.
    """
    by_name: dict[str, set[str]] = {}
    for path in set(paths):
        if digest := file_hash(path):
            name = relative_name(folder, path)
            portable = os.path.basename(path) if os.path.isabs(name) else Path(name).as_posix()
            by_name.setdefault(portable, set()).add(digest)
    return {
        name if i == 0 else f"{name}#{i + 1}": digest
        for name in sorted(by_name)
        for i, digest in enumerate(sorted(by_name[name]))
    }


def relative_name(folder: Path, path: str) -> str:
    """Return ``path`` relative to ``folder``, or unchanged if the file is not below the folder.

    Symbolic links below the folder keep their own names, so that a changed target is noticed.
    """
    if path.startswith(os.path.abspath(folder) + os.sep):
        return os.path.relpath(path, folder)
    root = os.path.realpath(folder)
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return os.path.relpath(place, root) if place.startswith(root + os.sep) else path


def change_in_words(folder: Path, opened: Mapping[str, str]) -> str:
    """Return a clause on the first file whose hash is not ``opened[name]``; "" if none changed."""
    for name, before in opened.items():
        now = file_hash(os.path.join(folder, name)) or ""
        if now != before:
            return f"{os.path.basename(name)} {'changed' if now else 'is gone'}"
    return ""


def stamp_of(path: str) -> Stamp | None:
    """Return a file's size, inode and times of change (:data:`Stamp`); None if it is missing."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def file_hash(path: str) -> str | None:
    """Return a file's SHA-256, cached by path, size, time and inode; None if unreadable."""
    try:
        stat = os.stat(path)
        return _hash_of_version(os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _hash_of_version(path: str, size: int, mtime: int, inode: int) -> str:  # noqa: ARG001 - keys of the cache
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_file(name: str) -> str | None:
    """Return the source file of a loaded module; None if it is not loaded or has no file."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return source_of(os.path.abspath(file)) if isinstance(file, str) else None


@dataclass(frozen=True)
class FilesRead:
    """Files that an object was made of: absolute ``paths``, to be named relative to ``folder``."""

    folder: Path
    paths: frozenset[str] = frozenset()

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each file by its name (:func:`named_hashes`), computed at the first access."""
        return named_hashes(self.paths, self.folder)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of a hash of the files, and of their names if there are several."""
        if len(self.hashes) == 1:
            return next(iter(self.hashes.values()))[:16]
        plain = json.dumps(dict(self.hashes), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    def __or__(self, more: frozenset[str]) -> FilesRead:
        """Return a copy with more paths."""
        return self if more <= self.paths else FilesRead(self.folder, self.paths | more)


@dataclass(eq=False)
class FileRecorder:
    """Record of the files that threads open, except the threads ``ignored_threads``.

    Keys of ``opened``, with stamps at the first opening, and ``written`` are absolute paths.
    """

    ignored_threads: frozenset[int | None]
    opened: dict[str, Stamp | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    @property
    def stamps(self) -> dict[str, Stamp | None]:
        """Stamps of the user's files that were read, by absolute path, taken at the first opening.

        A compiled file counts as its source file. Files that were also written are left out: they are
        logs or caches of the user's code.
        """
        read = tuple(self.opened.items())
        return {p: stamp for p, stamp in read if p not in self.written and is_users_file(p)}

    @property
    def paths(self) -> frozenset[str]:
        """Absolute paths of the files in :attr:`stamps`."""
        return frozenset(self.stamps)


@contextlib.contextmanager
def record_files() -> Iterator[FileRecorder]:
    """Yield a recorder of the files that this thread and new threads read in this context."""
    global _hook_added
    recorder = FileRecorder(
        frozenset(thread.ident for thread in threading.enumerate()) - {threading.get_ident()}
    )
    with _lock:
        if not _hook_added:  # a hook cannot be removed; without a recorder it does nothing
            sys.addaudithook(_record_event)
            _hook_added = True
        if not _active_recorders:
            _wrap_readers()
        _active_recorders.append(recorder)
    try:
        yield recorder
    finally:
        with _lock:
            _active_recorders.remove(recorder)
            if not _active_recorders:
                _wrapped.close()


def _record_event(event: str, args: tuple[Any, ...]) -> None:
    if not _active_recorders:
        return
    if event == "open":
        _record_file(args[0], written=isinstance(args[2], int) and bool(args[2] & _WRITES))
    elif event in _PATHS_OF_EVENT:
        with contextlib.suppress(Exception):
            for path in _PATHS_OF_EVENT[event](*args):
                if os.path.isfile(path):
                    _record_file(path)


def _files_in_command(program: Any, command: Any, folder: Any = None, *_: object) -> list[str]:
    """Return words of a command, joined to ``folder``, each of which may be the path of a file."""
    command_words = [command] if isinstance(command, str | bytes) else list(command or ())
    texts = [os.fsdecode(word) for word in (program, *command_words) if word]
    words = [word for text in texts for word in (text, *_words_of_shell(text))]
    parts = [part for word in words for part in (word, word.partition("=")[2])]
    return [os.path.join(os.fsdecode(folder or ""), part) for part in parts]


def _words_of_shell(text: str) -> list[str]:
    """Return the words and operators of a shell command; [] for an unterminated quotation."""
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, ""
    with contextlib.suppress(ValueError):  # a quotation is not closed
        return list(words)
    return []


_PATHS_OF_EVENT: dict[str, Callable[..., list[str]]] = {
    "sqlite3.connect": lambda path, *_: [os.fsdecode(path).removeprefix("file:").partition("?")[0]],
    "subprocess.Popen": _files_in_command,
    "os.posix_spawn": lambda path, words, *_: _files_in_command(path, words),
    "os.system": lambda command: _files_in_command(None, command),
    "ctypes.dlopen": lambda path: [os.fsdecode(path)] if path else [],
    "import": lambda _name, path, *_: [path] if path else [],
}
"""Functions from an audit event's arguments to possible paths, for events other than ``open``."""


def _record_file(path: Any, *, written: bool = False) -> None:
    """Record an opened file with all active recorders; errors are suppressed."""
    if isinstance(path, str | bytes | os.PathLike):
        with contextlib.suppress(Exception):
            absolute = source_of(os.path.abspath(os.fsdecode(path)))
            thread = threading.get_ident()
            for recorder in tuple(_active_recorders):
                if thread in recorder.ignored_threads:
                    continue
                if written:
                    recorder.written.add(absolute)
                elif absolute not in recorder.opened:
                    recorder.opened[absolute] = stamp_of(absolute)


def _wrap_readers() -> None:
    """Wrap readers that open files outside Python, under each of their names in loaded modules."""
    importlib.import_module("safetensors.torch")
    by_name: dict[str, list[tuple[Callable[..., Any], Callable[..., Any]]]] = {}
    for place, name in _READERS:
        module, _, last = place.rpartition(".")  # a loaded module, or a class in one
        holder = sys.modules.get(place) or getattr(sys.modules.get(module), last, None)
        reader = getattr(holder, name, None)
        if holder is None or reader is None:
            continue
        recording = _wrap_reader(reader)
        if isinstance(holder, ModuleType):
            by_name.setdefault(name, []).append((reader, recording))
        else:
            _wrapped.enter_context(mock.patch.object(holder, name, recording))
    for place, module in sys.modules.copy().items():
        known = _without_readers.get(place)
        if known and known[0] is module and known[2] == len(known[1]):
            continue
        names = vars(module) if isinstance(module, ModuleType) else {}
        found = [name for name in _READER_NAMES if name in names]
        if not found and str(names.get("__file__")).startswith(_INSTALLED_PLACES):
            _without_readers[place] = module, names, len(names)
        for name in found:
            for reader, recording in by_name.get(name, ()):
                if names.get(name) is reader:
                    names[name] = recording
                    _wrapped.callback(names.__setitem__, name, reader)
                    break


def _wrap_reader(reader: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(reader)
    def recording(*args: Any, **options: Any) -> Any:
        for argument in (*args, *options.values()):
            _record_file(argument)
        return reader(*args, **options)

    return recording
