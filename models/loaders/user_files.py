"""A user's files: their distinction from installed ones, hashes under portable names, and a record of reading.

Python reports every file that it opens to an audit hook; that sees ``open``, ``np.load``,
``np.memmap``, ``torch.load``, ``pathlib`` and imports. It reports databases, shared libraries and
the words of commands too. Readers that open files outside Python (safetensors, ``torch.jit``,
memory-mapped storages, pyarrow) are wrapped for the time being.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
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
_PYTHON = {
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("platstdlib"),
    os.path.dirname(os.__file__),
}
_LIBRARIES = tuple(os.path.realpath(folder) + os.sep for folder in _PYTHON if folder)

Stamp = tuple[int, int, int, int]
"""Size, inode, and the times at which content and entry of a file last changed."""
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
"""Readers: a module, or class of a module, and the name in it."""
_lock = threading.RLock()
_open: list[FileRecorder] = []
_wrapped = contextlib.ExitStack()
_hooked = False


def source_of(path: str) -> str:
    """Return the source of a compiled module; any other path as it is."""
    try:
        return source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path


def is_users_file(path: str) -> bool:
    """Return True for a regular file outside Python, installed packages, this package and the system."""
    parts = Path(path).parts
    if _INSTALLED.intersection(parts) or any(part.startswith(_CACHES) for part in parts):
        return False
    real = os.path.realpath(path)
    # a user's folder may lie in a checkout of this package
    own = tuple(os.path.join(_PACKAGE, folder) + os.sep for folder in _OWN)
    system = (folder + os.sep for folder in _SYSTEM)
    return not real.startswith((*_LIBRARIES, *system, *own)) and os.path.isfile(real)


def named_hashes(paths: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file under a name that is the same on another machine.

    Args:
        paths: of files; missing and unreadable ones are left out.
        folder: files below it are named by their path from there, others by their last part alone;
            of several with one name and other contents, the second is called ``NAME#2`` and so on,
            in the order of their hashes.
    """
    by_name: dict[str, set[str]] = {}
    for path in sorted(set(paths)):
        digest = file_hash(path)
        if digest is None:
            continue
        name = name_from(folder, path)
        portable = os.path.basename(path) if os.path.isabs(name) else Path(name).as_posix()
        by_name.setdefault(portable, set()).add(digest)
    return {
        name if i == 0 else f"{name}#{i + 1}": digest
        for name in sorted(by_name)
        for i, digest in enumerate(sorted(by_name[name]))
    }


def name_from(folder: Path, path: str) -> str:
    """Return the path of a file from ``folder``, or the path itself if it is not in there.

    Links below the folder keep their names, so a changed target is noticed.
    """
    if path.startswith(os.path.abspath(folder) + os.sep):
        return os.path.relpath(path, folder)
    root = os.path.realpath(folder)
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return os.path.relpath(place, root) if place.startswith(root + os.sep) else path


def change_in_words(folder: Path, opened: Mapping[str, str]) -> str:
    """Return a clause on the first file whose SHA-256 differs from the one in ``opened``, by :func:`name_from`
    ``folder``; "" if none does.
    """
    for name, before in opened.items():
        now = file_hash(os.path.join(folder, name)) or ""
        if now != before:
            return f"{os.path.basename(name)} {'changed' if now else 'is gone'}"
    return ""


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of a file, which every edit changes; None if there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def file_hash(path: str) -> str | None:
    """Return the hexadecimal SHA-256 of a file, cached by size, time and inode; None if it cannot be read."""
    try:
        stat = os.stat(path)
        return _hash_of_version(os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _hash_of_version(path: str, size: int, mtime: int, inode: int) -> str:  # noqa: ARG001 - keys of the cache
    """Return the SHA-256 of a file's present version, cached by its stamp."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def module_file(name: str) -> str | None:
    """Return the source file of a module that is loaded, or None."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return source_of(os.path.abspath(file)) if isinstance(file, str) else None


@dataclass(frozen=True)
class FilesRead:
    """Absolute paths of files that an object was made of, and the folder that their names are relative to."""

    folder: Path
    paths: frozenset[str] = frozenset()

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each file at the first access, by portable names."""
        return named_hashes(self.paths, self.folder)

    def __or__(self, more: frozenset[str]) -> FilesRead:
        """Return this with more files."""
        return self if more <= self.paths else FilesRead(self.folder, self.paths | more)


@dataclass(eq=False)
class FileRecorder:
    """Recorder of the files that this thread, or one that it started, opens."""

    others: frozenset[int | None]
    opened: dict[str, Stamp | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    @property
    def stamps(self) -> dict[str, Stamp | None]:
        """Absolute paths of the user's files that were read, sources in place of compiled files, each with
        its stamp at its first opening.

        Files that were also written are logs or caches of the user's code, and left out.
        """
        read = tuple(self.opened.items())
        return {p: stamp for p, stamp in read if p not in self.written and is_users_file(p)}

    @property
    def paths(self) -> frozenset[str]:
        """The paths of :attr:`stamps`."""
        return frozenset(self.stamps)


@contextlib.contextmanager
def record_files() -> Iterator[FileRecorder]:
    """Record the files that are read in this context."""
    global _hooked
    now = FileRecorder(
        frozenset(thread.ident for thread in threading.enumerate()) - {threading.get_ident()}
    )
    with _lock:
        if not _hooked:  # it cannot be removed; without a recorder it does nothing
            sys.addaudithook(_record_event)
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


def _record_event(event: str, args: tuple[Any, ...]) -> None:
    if not _open:
        return
    if event == "open":
        _record_file(args[0], written=isinstance(args[2], int) and bool(args[2] & _WRITES))
    elif event in _NAMED:
        with contextlib.suppress(Exception):
            for path in _NAMED[event](*args):
                if os.path.isfile(path):
                    _record_file(path)


def _files_in_command(program: Any, command: Any, folder: Any = None, *_: object) -> list[str]:
    """Return the words of a command that may be files."""
    command_words = [command] if isinstance(command, str | bytes) else list(command or ())
    texts = [os.fsdecode(word) for word in (program, *command_words) if word]
    words = [word for text in texts for word in (text, *_words_of_shell(text))]
    parts = [part for word in words for part in (word, word.partition("=")[2])]
    return [os.path.join(os.fsdecode(folder or ""), part) for part in parts]


def _words_of_shell(text: str) -> list[str]:
    """Return the words of a shell's command, without separators and redirections."""
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, ""
    with contextlib.suppress(ValueError):  # a quotation that does not end
        return list(words)
    return []


def _files_of_database(path: Any, *_: object) -> list[str]:
    """Return the file of a database, which a URI may name."""
    return [os.fsdecode(path).removeprefix("file:").partition("?")[0]]


_NAMED: dict[str, Callable[..., list[str]]] = {
    "sqlite3.connect": _files_of_database,
    "subprocess.Popen": _files_in_command,
    "os.exec": _files_in_command,
    "os.posix_spawn": lambda path, words, *_: _files_in_command(path, words),
    "os.system": lambda command: _files_in_command(None, command),
    "ctypes.dlopen": lambda path: [os.fsdecode(path)] if path else [],
    "import": lambda _name, path, *_: [path] if path else [],
}
"""Readers of file names by event, for files that are opened unseen by the hook."""


def _record_file(path: Any, *, written: bool = False) -> None:
    """Record a file that is opened. An error in here must not reach the user."""
    if isinstance(path, str | bytes | os.PathLike):
        with contextlib.suppress(Exception):
            absolute, me = source_of(os.path.abspath(os.fsdecode(path))), threading.get_ident()
            for now in tuple(_open):
                if me in now.others:
                    continue
                if written:
                    now.written.add(absolute)
                elif absolute not in now.opened:
                    now.opened[absolute] = stamp_of(absolute)


def _wrap_readers() -> None:
    """Wrap readers that open files outside Python, under each of their names in loaded modules."""
    importlib.import_module("safetensors.torch")
    by_name: dict[str, list[tuple[Callable[..., Any], Callable[..., Any]]]] = {}
    for place, name in _READERS:
        holder = _loaded_object(place)
        reader = getattr(holder, name, None)
        if holder is None or reader is None:
            continue
        noting = _recording(reader)
        if not isinstance(holder, ModuleType):
            _wrapped.enter_context(mock.patch.object(holder, name, noting))
            continue
        by_name.setdefault(name, []).append((reader, noting))
    for module in tuple(sys.modules.values()):
        if not isinstance(module, ModuleType):
            continue
        names = vars(module)
        for name in by_name.keys() & names.keys():  # quick: few of thousands of modules have one
            for reader, noting in by_name[name]:
                if names.get(name) is reader:
                    names[name] = noting
                    _wrapped.callback(names.__setitem__, name, reader)
                    break


def _loaded_object(place: str) -> Any:
    """Return the loaded module, or class of a module, of this name; else None."""
    module, _, name = place.rpartition(".")
    return sys.modules.get(place) or getattr(sys.modules.get(module), name, None)


def _recording(reader: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a reader to record each argument that could be a file."""

    @functools.wraps(reader)
    def noting(*args: Any, **options: Any) -> Any:
        for argument in (*args, *options.values()):
            _record_file(argument)
        return reader(*args, **options)

    return noting
