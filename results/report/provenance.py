"""Provenance of a run (``run.json``, command, citations), and the digest of a page's sources."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..run_directory.files import read_regular
from ..run_directory.layout import INTERIM
from ..terminal.path_curvature import KEY

TABLE_FILES = ("table.csv", "table.parquet", "table.md", "table.tex")
"""Tables that are written next to a page."""

_NOTE = re.compile(rb"<!-- made of ([0-9a-f]{64}), this is ([0-9a-f]{64}) -->\n\Z")
_LIBRARIES = ("numpy", "pandas", "pyarrow", "jinja2", "markupsafe", "plotly")
_CODE = ("*.py", "*/*.py", "*/*/*.py", "report/templates/*")
_SHARD = re.compile(r"\d+-\d+\.npz")


def digest_of_ingredients(folder: Path, baseline: str) -> str:
    """Return the SHA-256 of a report's inputs: run files, code in results/, libraries, baseline."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    files = [(package, path) for pattern in _CODE for path in sorted(package.glob(pattern))]
    files += [(folder, folder / name) for name in ("run.json", INTERIM)]
    files += [
        (folder, path) for name in ("parts", "samples") for path in _files_below(folder / name)
    ]
    for base, path in files:
        _add_file_to_digest(digest, path.relative_to(base).as_posix(), path)
    about = {
        "baseline": baseline,
        "python": sys.version,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    return digest.hexdigest()


def digest_comment(page: str, folder: Path, baseline: str) -> str:
    """Return the last line of a page: digests of its inputs, and of the page with its tables."""
    made_of = digest_of_ingredients(folder, baseline)
    return f"<!-- made of {made_of}, this is {_digest_of_files(page.encode(), folder)} -->\n"


def is_current(folder: Path, baseline: str) -> bool:
    """Return True if a run directory's report and tables are up to date and unchanged."""
    try:
        data = read_regular(folder / "report.html")
    except OSError:
        return False
    match = _NOTE.search(data)
    if match is None or match[2].decode() != _digest_of_files(data[: match.start()], folder):
        return False
    return match[1].decode() == digest_of_ingredients(folder, baseline)


def _digest_of_files(page: bytes, folder: Path) -> str:
    digest = hashlib.sha256(page)
    for name in TABLE_FILES:
        _add_file_to_digest(digest, name, folder / name)
    return digest.hexdigest()


def _files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and one level below, sorted, but no shards or hidden files."""
    return [
        path
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")])
        if not (path.is_dir() or path.name.startswith(".") or _SHARD.fullmatch(path.name))
    ]


def _add_file_to_digest(digest: hashlib._Hash, name: str, path: Path) -> None:
    """Add a file's name and content to a digest; an unreadable file counts as missing."""
    try:
        content = hashlib.sha256(read_regular(path)).hexdigest()
    except OSError:
        content = "missing"
    digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))


SHOWN_ELSEWHERE = ("citations", KEY)
"""Items of ``run.json`` that other parts of the report show."""


class Section(NamedTuple):
    """Part of ``run.json`` as pairs (dotted name, value)."""

    title: str
    entries: list[tuple[str, str]]


def command_of(run: Mapping[str, Any]) -> str:
    """Return the command line in ``run.json`` as text; "" if it has none."""
    command = (run.get("provenance") or {}).get("command") or ""
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command)


def sections_of(run: Mapping[str, object]) -> list[Section]:
    """Return ``run.json`` as sections: plain items as "run"; nested objects not shown elsewhere."""
    loose = {name: value for name, value in run.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in run.items() if isinstance(value, Mapping)}
    parts = [*([("run", loose)] if loose else []), *nested.items()]
    shown = [(title, value) for title, value in parts if title not in SHOWN_ELSEWHERE]
    return [Section(title, list(_flat_pairs(value))) for title, value in shown]


def differing_entries(runs: Iterable[Iterable[Section]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return (dotted name, value in each run) of the items of ``run.json`` in which runs differ."""
    flat = [
        {f"{title}.{key}": value for title, entries in sections for key, value in entries}
        for sections in runs
    ]
    names = dict.fromkeys(name for entries in flat for name in entries)
    entries_of = [(name, tuple(entries.get(name, "") for entries in flat)) for name in names]
    return [(name, values) for name, values in entries_of if len(set(values)) > 1]


def _flat_pairs(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat_pairs(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat_pairs(item, f"{name}[{index}]")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "–" if value is None or value == {} else str(value)


def citations_of(runs: Iterable[Mapping[str, Any]], samplers: Iterable[str]) -> dict[str, Any]:
    """Return the citations of ``samplers`` from the ``run.json`` of all runs.

    Items: ``sources``, rows (sampler, equation or section, BibTeX key, address of the paper);
    ``bibtex``, the entries; ``unknown``, samplers without a citation.
    """
    table: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        table |= run.get("citations") or {}
    names = sorted(set(samplers))
    cited = [name for name in names if name in table]
    fields = ("where", "key", "url")
    sources = [(name, *(str(table[name].get(field) or "") for field in fields)) for name in cited]
    entries = {str(table[name].get("key")): str(table[name].get("bibtex") or "") for name in cited}
    bibtex = "\n\n".join(entries[key] for key in sorted(entries) if entries[key])
    unknown = [name for name in names if name not in table]
    return {"sources": sources, "bibtex": bibtex, "unknown": unknown}
