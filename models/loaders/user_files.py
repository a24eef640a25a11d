"""Distinction of a user's files from installed ones, and their hashes under portable names."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import source_from_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_SYSTEM = (
    "/proc",
    "/dev",
    "/sys",
    "/run",
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/System",
    "/Library",
)
_INSTALLED = {"site-packages", "dist-packages"}
_CACHES = ("torchinductor_", "torch_compile_debug", ".triton", "__pycache__")
_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in {
        *(sysconfig.get_path(key) for key in ("stdlib", "platstdlib")),
        os.path.dirname(os.__file__),
    }
    if folder
)
_CHUNK = 1 << 20


def source_of(path: str) -> str:
    """Return the source of a compiled module; any other path as it is."""
    try:
        return source_from_cache(path) if path.endswith(".pyc") else path
    except ValueError:
        return path


def is_users(path: str) -> bool:
    """Return True for a regular file outside Python, installed packages, this package and the system."""
    parts = Path(path).parts
    if _INSTALLED.intersection(parts) or any(part.startswith(_CACHES) for part in parts):
        return False
    real = os.path.realpath(path)
    if real.startswith((*_LIBRARIES, *(folder + os.sep for folder in _SYSTEM))) or _own(Path(real)):
        return False
    return os.path.isfile(real)


def _own(path: Path) -> bool:
    """Return True if a file belongs to this package, installed or not.

    A user's folder may lie in a checkout of it.
    """
    return path.is_relative_to(_PACKAGE) and path.relative_to(_PACKAGE).parts[0] in (
        "samplers",
        "models",
        "benchmarks",
        "results",
        "samplerbench",
    )


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


def difference_of(folder: Path, opened: Mapping[str, str]) -> str:
    """Return a clause on the first file that has changed since; "" for none.

    Args:
        folder: start of the names.
        opened: SHA-256 of each file when it was opened, by :func:`name_from`.
    """
    for name, before in opened.items():
        now = file_hash(os.path.join(folder, name)) or ""
        if now != before:
            return f"{os.path.basename(name)} {'changed' if now else 'is gone'}"
    return ""


Stamp = tuple[int, int, int, int]
"""Size, inode, and the times at which content and entry of a file last changed."""


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
        return _hashed(os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, mtime: int, inode: int) -> str:  # noqa: ARG001 - keys of the cache
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def module_file(name: str) -> str | None:
    """Return the source file of a module that is loaded, or None."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return source_of(os.path.abspath(file)) if isinstance(file, str) else None
