"""Storage of measurements, one file per row, which later runs and edited figures reuse."""

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
    "tuning/free_parameters",
    "tuning/problem",
    "tuning/search",
)
"""Modules of the benchmark that rows use, in addition to its metrics."""
MEASURES = (
    "samplers/**/*.py",
    "models/**/*.py",
    "models/cards/**/card.toml",
    "benchmarks/metrics/**/*.py",
    *(f"benchmarks/{name}.py" for name in SHARED),
)
"""Files on which every measurement depends.

A card contains the checksums of its weights and its reference, which are compared on reading.
"""
KEY = "key"
"""Name of the array with the key (:func:`key_of`) of the measurement."""


def keep(row: Row[M], effort: Effort, key: str, found: M) -> Answer:
    """Store a measurement in ``effort.out``, and return the answer made of it.

    Args:
        row: measured row.
        effort: effort of the measurement.
        key: :func:`key_of` the row before its measurement, since code may be edited meanwhile.
        found: result of ``row.measure``.
    """
    if effort.out is not None:
        write_npz(_path(row, effort.out), {KEY: np.array(key), **packed(found)})
    return row.answer(found)


def recall(row: Row[Any], effort: Effort) -> Answer | None:
    """Return the answer by the measurement stored in ``effort.out``, or None.

    A file that is damaged, or was made by other code or effort, is ignored.
    """
    stored = read_npz(_path(row, effort.out)) if effort.out is not None else None
    if stored is None or str(stored.get(KEY)) != key_of(row, effort):
        return None
    return row.answer(unpacked(get_type_hints(row.measure)["return"], stored))


def _path(row: Row[Any], out: Path) -> Path:
    return out / f"row-{row.number}.npz"


def key_of(row: Row[Any], effort: Effort) -> str:
    """Return everything that a measurement depends on, as text.

    Other packages, and code around the rows, enter by the version only.
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
    """Return the file of the row's ``measure``, and all files of the studies that it imports."""
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
    """Return the files that affect all measurements: samplers, metrics, models, cards."""
    own = HERE.parent.glob("cards/*/card.toml")
    return sorted([*own, *(path for pattern in MEASURES for path in PACKAGE.glob(pattern))])


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
