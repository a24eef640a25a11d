"""Measurements on disk, one file a row, which interrupted runs and edited figures read instead of
measuring again.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

import samplerbench
from samplerbench.results.run_directory import read_npz, write_npz

from .measuring.effort import Effort
from .measuring.row import Answer, M, Row
from .packing import packed, unpacked

HERE = Path(__file__).parent
PACKAGE = Path(samplerbench.__file__).parent
SHARED = (
    "planning/gits",
    "planning/schedules",
    "sampling/batch",
    "sampling/shard",
    "scoring/data",
    "tuning/free",
    "tuning/problem",
    "tuning/search",
)
"""Modules of the benchmark that rows use, besides its metrics."""
MEASURES = (
    "samplers/**/*.py",
    "models/**/*.py",
    "models/cards/**/card.toml",
    "benchmarks/metrics/**/*.py",
    *(f"benchmarks/{name}.py" for name in SHARED),
)
"""What every measurement depends on.

A card holds the checksums of its weights and of its reference, which are compared on reading.
"""
KEY = "key"
"""Name of the array that says what the others depend on."""


def keep(row: Row[M], effort: Effort, key: str, found: M) -> Answer:
    """The answer that a measurement gives, once it is in ``effort.out``.

    Args:
        row: what was measured.
        effort: how.
        key: :func:`key_of` it, taken before it was measured: code may be edited meanwhile.
        found: what ``row.measure`` gave.
    """
    if effort.out is not None:
        write_npz(_path(row, effort.out), {KEY: np.array(key), **packed(found)})
    return row.answer(found)


def recall(row: Row[Any], effort: Effort) -> Answer | None:
    """The answer that is made of the measurement in ``effort.out``, or None.

    A damaged file, or one of other code or effort, counts as none.
    """
    stored = read_npz(_path(row, effort.out)) if effort.out is not None else None
    if stored is None or str(stored.get(KEY)) != key_of(row, effort):
        return None
    return row.answer(unpacked(get_type_hints(row.measure)["return"], stored))


def _path(row: Row[Any], out: Path) -> Path:
    return out / f"row-{row.number}.npz"


def key_of(row: Row[Any], effort: Effort) -> str:
    """All that a measurement depends on, as text; packages other than this one and code around the
    rows only by the version.
    """
    models = {name: model.identity for name, model in sorted(effort.models.items())}
    code = _digest(measuring_files(row))
    what = {
        "row": row.number,
        "effort": effort.name,
        "models": models,
        "code": code,
        "measures": _digest(_measures()),
    }
    return json.dumps(what | {"version": version("samplerbench")})


def measuring_files(row: Row[Any]) -> list[Path]:
    """The file of the row's ``measure``, and those that it imports of the studies, and so on."""
    module = row.measure.__module__.removeprefix(f"{__package__}.")
    found: set[Path] = set()
    waiting = [HERE.joinpath(*module.split(".")).with_suffix(".py")]
    while waiting:
        one = waiting.pop()
        if one not in found and one.exists():
            found.add(one)
            waiting += _imported(one)
    return sorted(found)


def _imported(file: Path) -> Iterator[Path]:
    """Yield the modules of the studies that a file imports."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        place = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for path in (
            place.with_suffix(".py"),
            *(place / f"{alias.name}.py" for alias in node.names),
        ):
            if path.is_relative_to(HERE.parent):
                yield path


def _measures() -> list[Path]:
    """What numbers come from besides a row's own code: samplers, built-in models with the
    checksums of their files, metrics.
    """
    own = HERE.parent.glob("cards/*/card.toml")
    return sorted([*own, *(path for pattern in MEASURES for path in PACKAGE.glob(pattern))])


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
