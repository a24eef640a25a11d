"""Measurements on disk, what they depend on, and what the command says of them."""

import ast
import importlib
import math
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from answering import answered
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.running.executors import InProcess
from samplerbench_studies.arrays import FloatArray
from samplerbench_studies.why_steps import run, store
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.row import Answer, Figure, Row, Verdict
from samplerbench_studies.why_steps.measuring.solver import SolverCurve
from samplerbench_studies.why_steps.packing import packed, unpacked
from samplerbench_studies.why_steps.rows import rows
from samplerbench_studies.why_steps.statistics.intervals import Interval

BENCHMARKS = "samplerbench.benchmarks"


def answer(kind: str) -> Answer:
    return Answer(Figure("<svg></svg>", "", ""), pd.DataFrame({"a": [1]}), Verdict(kind, "so"), "")  # type: ignore[arg-type]


class Found(NamedTuple):
    """A measurement of every type that rows keep."""

    exact: float
    infinite: float
    maybe: Interval | None
    none: Interval | None
    lines: Mapping[float, Sequence[Interval]]
    names: list[str]
    line: SolverCurve
    array: FloatArray


INTERVAL = Interval(0.1, 0.1 + 1e-17, math.pi)
FOUND = Found(
    1 / 3,
    math.nan,
    INTERVAL,
    None,
    {1.0: [INTERVAL], 4.0: []},
    ["a", ""],
    SolverCurve("euler", [8, 16], 1, [8, 16], [0.5, 1.0], [1e-3, 1e-300], INTERVAL),
    np.arange(6, dtype=np.float64).reshape(2, 3) / 7,
)


def steady(number: int = 1) -> tuple[Row[Found], Counter[str]]:
    """A row that always finds the same, and counts how often it is measured and told."""
    calls: Counter[str] = Counter()

    def measure(_: Effort) -> Found:
        calls["measure"] += 1
        return FOUND

    def tell(found: Found) -> Answer:
        calls["tell"] += 1
        np.testing.assert_equal(tuple(found), tuple(FOUND))
        return answer("supports")

    return Row(number, "Why?", "Because.", measure, tell), calls


def test_what_is_measured_comes_back_whole():
    found = unpacked(Found, packed(FOUND))
    np.testing.assert_equal(tuple(found), tuple(FOUND))
    assert [type(value) for value in found] == [type(value) for value in FOUND]
    assert type(found.lines[1.0][0]) is Interval


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=str(number)) for number, row in rows().items()]
)
def test_telling_is_no_part_of_measuring(row: Row):
    """Else an edit of a figure would measure its row again."""
    names = {path.name for path in store.measuring_files(row)}
    assert {"effort.py", "intervals.py", f"{row.measure.__module__.rpartition('.')[2]}.py"} <= names
    beside = {"samplerbench_studies", "analysis", "models", "discrete"}  # these tell nothing
    folders = {path.parent.name for path in store.measuring_files(row)}
    assert folders - beside <= {"measuring", "statistics"}
    assert "row.py" not in names


def test_edited_figures_are_drawn_anew_and_edited_measuring_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, effort = tmp_path / "why_steps", Effort("fast", tmp_path / "out")
    row, calls = steady()
    shutil.copytree(store.HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(store, "HERE", folder)
    row.measure.__module__ = rows()[1].measure.__module__
    answered(row, effort)
    for name in (
        "figures/drawing.py",
        "figures/one_jump.py",
        "rows/row_01_one_jump.py",
        "measuring/big_steps.py",
    ):
        (folder / name).write_text("edited = True")
    answered(row, effort)
    assert calls == {"measure": 1, "tell": 2}
    with (folder / "statistics" / "intervals.py").open("a") as file:
        file.write("edited = True")
    answered(row, effort)
    assert calls == {"measure": 2, "tell": 3}


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (first, calls), (second, _), told = steady(), steady(2), []

    def interrupted(_: Effort) -> Found:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "rows", lambda: {1: first, 2: replace(second, measure=interrupted)})
    plan = run.Plan("fast", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.explain(plan, None, InProcess(), lambda number, *_: told.append(number))
    monkeypatch.setattr(run, "rows", lambda: {1: first, 2: second})
    assert list(run.explain(plan, None, InProcess(), lambda number, *_: told.append(number))) == [
        1,
        2,
    ]
    assert told == [1, 2]
    assert calls["measure"] == 1


SOURCES = (
    "samplers/methods/euler.py",
    "models/exact/mixture.py",
    "models/cards/fashion/card.toml",
    "benchmarks/metrics/estimators/frechet.py",
)


@pytest.mark.parametrize("name", [*SOURCES, "benchmarks/sampling/batch.py"])
def test_a_changed_sampler_model_card_or_metric_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    package, effort = tmp_path / "package", Effort("fast", tmp_path / "out")
    for file in (*SOURCES, "benchmarks/sampling/batch.py", "benchmarks/cli/common/console.py"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text("before")
    monkeypatch.setattr(store, "PACKAGE", package)
    row, _ = steady()
    answered(row, effort)
    (package / "benchmarks/cli/common/console.py").write_text("after")
    assert store.recall(row, effort) is not None
    (package / name).write_text("after")
    assert store.recall(row, effort) is None


def test_the_measures_are_the_package_s_own_files():
    ours = [path for path in store._measures() if path.is_relative_to(store.PACKAGE)]
    found = {path.relative_to(store.PACKAGE).as_posix() for path in ours}
    assert {
        "samplers/base.py",
        "models/exact/mixture.py",
        "models/cards/fashion/card.toml",
        "benchmarks/metrics/estimators/frechet.py",
    } <= found
    assert not [name for name in found if re.search(r"studies/|cli/|\.safetensors", name)]


def homes_of(source):
    """The modules of benchmarks, as paths, where the names are defined that a file imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(BENCHMARKS):
            package = Path(importlib.import_module(node.module).__file__ or "")
            inner = node.module.removeprefix(BENCHMARKS).strip(".")
            homes = {
                alias.name: imported.module
                for imported in ast.walk(ast.parse(package.read_text()))
                if isinstance(imported, ast.ImportFrom) and imported.level == 1
                for alias in imported.names
            }
            for alias in node.names:
                home = homes.get(alias.name) if package.name == "__init__.py" else None
                yield ".".join(filter(None, (inner, home))).replace(".", "/")


def test_rows_use_nothing_else_of_the_folder_above():
    used = {home for path in store.HERE.rglob("*.py") for home in homes_of(path.read_text())}
    used.add("planning/gits")  # its schedule equal_error, asked for by its name
    assert {name for name in used if not name.startswith(("metrics", "running"))} == set(
        store.SHARED
    )


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("supports", "supported"),
        ("refines", "partly supported"),
        ("refutes", "refuted"),
        ("inconclusive", "inconclusive"),
    ],
)
def test_the_command_says_what_became_of_the_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, word: str
):
    def measured(
        _plan: object, _numbers: object, _executor: object, told: run.Told
    ) -> dict[int, Answer]:
        told(4, answer(kind), 3.0)
        return {4: answer(kind)}

    monkeypatch.setattr(run, "explain", measured)
    result = CliRunner().invoke(app, ["explain", "--fast", "--out", str(tmp_path)])
    assert f"Row 4: claim {word} (3 s). so" in result.output
