"""Check that a report is up to date: the page ends in digests of its ingredients and of itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..run_directory.files import read_regular
from ..run_directory.reading import RunReader

BESIDE = ("table.csv", "table.parquet", "table.md", "table.tex")
"""Files that are written with a page."""

_NOTE = re.compile(rb"<!-- made of ([0-9a-f]{64}), this is ([0-9a-f]{64}) -->\n\Z")
_LENGTH = len("<!-- made of , this is  -->\n") + 2 * 64
_LIBRARIES = ("numpy", "pandas", "pyarrow", "jinja2", "markupsafe", "plotly", "pillow")
_CODE = ("*.py", "*/*.py", "*/*/*.py", "report/templates/*")
_SHARD = re.compile(r"\d+-\d+\.npz")


def ingredients(folder: Path, baseline: str) -> str:
    """Return the digest of all that a run directory's report is made of."""
    run = RunReader(folder)
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for pattern in _CODE:
        for path in sorted(package.glob(pattern)):
            _add(digest, path.relative_to(package).as_posix(), path)
    for path in (
        folder / "run.json",
        folder / "looks.json",
        *_below(folder / "parts"),
        *_below(folder / "samples"),
    ):
        place = path.relative_to(folder).as_posix()
        if path.suffix in (".json", ".npz"):
            digest.update(f"{place}\0{run.digest(place)}\0".encode(errors="surrogateescape"))
        else:
            _add(digest, place, path)
    about = {
        "baseline": baseline,
        "python": sys.version,
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    return digest.hexdigest()


def note(page: str, made_of: str, folder: Path) -> str:
    """Return the line that ends a page, once the files next to it are written."""
    return f"<!-- made of {made_of}, this is {_digest_of_files(page.encode(), folder)} -->\n"


def is_current(folder: Path, baseline: str) -> bool:
    """Return True if a run directory's report, and the files next to it, are up to date."""
    try:
        data = read_regular(folder / "report.html")
    except OSError:
        return False
    match = _NOTE.search(data, max(0, len(data) - _LENGTH))
    if match is None or match[2].decode() != _digest_of_files(data[: match.start()], folder):
        return False
    return match[1].decode() == ingredients(folder, baseline)


def _digest_of_files(page: bytes, folder: Path) -> str:
    digest = hashlib.sha256(page)
    for name in BESIDE:
        _add(digest, name, folder / name)
    return digest.hexdigest()


def _below(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Yield the files in a folder, sorted, without shards, no deeper than a run goes."""
    entries: Iterable[os.DirEntry[str]] = ()
    if folder.is_dir():
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            yield from _below(Path(entry.path), depth - 1) if depth else ()
        elif not entry.name.startswith(".") and not _SHARD.fullmatch(entry.name):
            yield Path(entry.path)


def _add(digest: hashlib._Hash, name: str, path: Path) -> None:
    """Feed a file's name and content; one that cannot be read counts as missing."""
    try:
        content = hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        content = "missing"
    digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
