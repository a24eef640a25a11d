"""Whether a command would find nothing to do in a run directory, since it asks what the last one
asked, by the same code, and every file is as that one left it.

What a run otherwise takes to find this out is to load its models and to plan, probe and admit every
cell. Here each file is read and its seal checked, which takes 20 microseconds a file, and nothing is
concluded from times of files, which a copy or a restored backup changes or keeps as it likes. Shards of
samples are only looked for, as in every run whose cells are scored.

What is not found unchanged says nothing: the run then looks for itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...installed import packages
from .atomic import write_bytes

RECORD = "unchanged.json"

_PACKAGES = ("benchmarks", "models", "results", "samplers")
_SEALED = ("made", "parts", "reference", "samples")
_BESIDE = ("report.html", "table.csv", "table.md", "table.parquet", "table.tex")
_OURS = {"run.json", *_SEALED, *_BESIDE, "set-aside", "figures", "timing.csv", RECORD}
_SHARD = re.compile(r"\d+-\d+\.npz")
_MARK, _SHA, _EMPTY = b"samplerbench seal ", b'"sha256": "', b"0" * 64
_GPUS = ("nvidia*", "kfd", "dxg")
_AT_ONCE = 1 << 20


class _Changed(Exception):  # noqa: N818 - it says what a directory is
    """A file is not what it should be."""


def question_of(suite: str, options: Mapping[str, Any]) -> str:
    """What a command asks: digest of the suite's text, of all options, and of which GPUs there are.

    Args:
        suite: name of a suite, or path of a file.
        options: as they were given, but for where the run goes.
    """
    try:
        text = hashlib.sha256(Path(suite).read_bytes()).hexdigest()
    except OSError:
        text = ""  # one of this package's, whose files are part of the code
    about = {
        "suite": [suite, text],
        "options": {name: str(value) for name, value in options.items()},
        "gpus": [sorted(map(str, Path("/dev").glob(name))) for name in _GPUS],
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def remember(folder: Path, question: str) -> None:
    """Record that a command which asks this finds nothing to do in a run directory as it is; not
    where a file of it is damaged.
    """
    (folder / RECORD).unlink(missing_ok=True)
    if state := state_of(folder):
        found = {"question": question, "state": _with_code(question, state)}
        write_bytes(folder / RECORD, (json.dumps(found) + "\n").encode())


def remembers(folder: Path, question: str) -> bool:
    """Whether :func:`remember` was told so, and all is as it was then."""
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or found.get("question") != question:
        return False
    state = state_of(folder)
    return bool(state) and found.get("state") == _with_code(question, state)


def state_of(folder: Path) -> str:
    """Digest of what lies in a run directory; "" where a file is damaged, unknown, or being
    written.
    """
    digest = hashlib.sha256()
    try:
        for place, content in _contents(str(folder)):
            digest.update(f"{place}\0{content}\0".encode(errors="surrogateescape"))
    except (_Changed, OSError):
        return ""
    return digest.hexdigest()


def _contents(folder: str) -> Iterator[tuple[str, str]]:
    """Places in a run directory, sorted, each with what its content is known by."""
    for entry in _entries(folder):
        if entry.name not in _OURS:
            raise _Changed(entry.name)
    yield "run.json", _seal_of(_read(f"{folder}/run.json"), "run.json")
    for name in _BESIDE:
        yield name, _hash(f"{folder}/{name}")
    for name in _SEALED:
        if os.path.isdir(f"{folder}/{name}"):
            yield from _below(folder, name)


def _below(folder: str, within: str) -> Iterator[tuple[str, str]]:
    for entry in _entries(f"{folder}/{within}"):
        place = f"{within}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder, place)
        elif not entry.is_file(follow_symlinks=False):
            raise _Changed(place)
        elif within.startswith("parts/") and _SHARD.fullmatch(entry.name):
            yield place, str(entry.stat().st_size)
        else:
            yield place, _seal_of(_read(entry.path), place)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as there:
        return sorted(
            (entry for entry in there if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )


def _seal_of(data: bytes, place: str) -> str:
    """The digest in the seal of a file, which holds (:mod:`..sealed`).

    Raises:
        _Changed: it does not.
    """
    start = max(0, data.rfind(_MARK)) if place.endswith(".npz") else 0
    at = data.find(_SHA, start) + len(_SHA)
    end = at + len(_EMPTY)
    digest = hashlib.sha256(data[:at])
    digest.update(_EMPTY)
    digest.update(data[end:])
    said = data[at:end].decode(errors="replace")
    if digest.hexdigest() != said or data.find(f'"of": "{place}"'.encode(), start, at) < 0:
        raise _Changed(place)
    return said


def _read(path: str) -> bytes:
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        parts = [os.read(number, _AT_ONCE)]
        while len(parts[-1]) == _AT_ONCE:
            parts.append(os.read(number, _AT_ONCE))
    finally:
        os.close(number)
    return b"".join(parts)


def _hash(path: str) -> str:
    """That of a file which may be missing."""
    try:
        return hashlib.sha256(_read(path)).hexdigest()
    except FileNotFoundError:
        return "missing"


def _with_code(question: str, state: str) -> str:
    """Digest of a question, a state, and the code that answers: all files of this package, and the
    versions of what is installed.
    """
    digest = hashlib.sha256(f"{question}\0{state}\0{sys.version}".encode())
    root = Path(__file__).parents[3]
    for name in _PACKAGES:
        for folder, folders, files in os.walk(root / name):
            folders[:] = sorted(each for each in folders if each not in ("__pycache__", "runs"))
            for file in sorted(files):
                path = f"{folder}/{file}"
                place = os.path.relpath(path, root)
                digest.update(f"{place}\0{_hash(path)}\0".encode(errors="surrogateescape"))
    digest.update(json.dumps(packages(), sort_keys=True).encode())
    return digest.hexdigest()
