"""Answers on disk: one JSON file a row, so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ...results.files import read_json, write_json
from .base import Answer, Effort, Figure, Row, Verdict

PACKAGE = Path(__file__).parents[2]
SHARED = ("batch", "sampling", "schedules", "training")
"""Modules of the folder above that rows use."""
MEASURES = (
    "samplers/**/*.py",
    "models/**/*.py",
    "models/cards/*/card.toml",
    "benchmarks/metrics/*.py",
    *(f"benchmarks/{name}.py" for name in SHARED),
)
"""What every answer depends on; a card holds the checksums of its weights and of its reference, which are compared on reading."""


def answered(row: Row, effort: Effort) -> Answer:
    """The row's answer, from ``effort.out`` if the same code has given it there for the same effort."""
    known = recall(row, effort)
    if known is not None:
        return known
    key = _key(row, effort)  # before measuring: the code may be edited meanwhile
    answer = row(effort)
    if effort.out is not None:
        write_json(_path(row, effort.out), {"key": key, "answer": _packed(answer)})
    return answer


def recall(row: Row, effort: Effort) -> Answer | None:
    """The answer that ``effort.out`` holds, or None; a damaged file, or one of other code or another effort, counts as none."""
    stored = read_json(_path(row, effort.out)) if effort.out is not None else None
    if not isinstance(stored, dict) or stored.get("key") != _key(row, effort):
        return None
    return _unpacked(stored["answer"])


def _path(row: Row, out: Path) -> Path:
    return out / f"row-{row.number}.json"


def _key(row: Row, effort: Effort) -> dict[str, Any]:
    """All that an answer depends on, but for other packages and the shell around the row, which the version stands for."""
    models = {name: model.identity for name, model in sorted(effort.models.items())}
    code = _digest(map(Path, _files(sys.modules[type(row).__module__])))
    what = {"row": row.number, "effort": effort.name, "models": models, "code": code, "measures": _digest(_measures())}
    return what | {"version": version("samplerbench")}


def _measures() -> list[Path]:
    """What numbers come from besides a row's own code: samplers, built-in models with the checksums of their files, metrics."""
    return sorted(path for pattern in MEASURES for path in PACKAGE.glob(pattern))


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _files(module: ModuleType) -> list[str]:
    """Files of a module and of all that it uses of this folder."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        file = getattr(one, "__file__", None)  # modules of the interpreter itself have none
        if file is None or one.__name__ in found or Path(file).parent != Path(__file__).parent:
            continue
        found[one.__name__] = file
        used = {value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) for value in vars(one).values()}
        waiting += [sys.modules[name] for name in used if isinstance(name, str) and name in sys.modules]
    return [found[name] for name in sorted(found)]


def _packed(answer: Answer) -> dict[str, Any]:
    return {
        "figures": [asdict(figure) for figure in (answer.figure, *answer.images)],
        "table": answer.table.to_dict("split"),
        "index_name": answer.table.index.name,
        "verdict": asdict(answer.verdict),
        "details": answer.details,
    }


def _unpacked(stored: dict[str, Any]) -> Answer:
    figure, *images = (Figure(**one) for one in stored["figures"])
    table = pd.DataFrame(**stored["table"])
    table.index.name = stored["index_name"]
    return Answer(figure, table, Verdict(**stored["verdict"]), stored["details"], tuple(images))
