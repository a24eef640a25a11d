"""What an answer on disk depends on, and what the command says of it."""

import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.experiments import run, store
from samplerbench.benchmarks.experiments.base import Answer, Effort, Figure, Verdict


def answer(kind: str) -> Answer:
    return Answer(Figure("<svg></svg>", "", ""), pd.DataFrame({"a": [1]}), Verdict(kind, "so"), "")  # type: ignore[arg-type]


class Steady:
    """A row whose own code and models never change."""

    number, question, claim = 1, "Why?", "Because."

    def __call__(self, effort: Effort) -> Answer:
        return answer("supports")


SOURCES = ("samplers/methods/euler.py", "models/exact/mixture.py", "models/cards/fashion/card.toml", "benchmarks/metrics/frechet.py")


@pytest.mark.parametrize("name", [*SOURCES, "benchmarks/batch.py"])
def test_a_changed_sampler_model_card_or_metric_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    package, effort = tmp_path / "package", Effort("fast", tmp_path / "out")
    for file in (*SOURCES, "benchmarks/batch.py", "benchmarks/cli/console.py"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text("before")
    monkeypatch.setattr(store, "PACKAGE", package)
    store.answered(Steady(), effort)
    (package / "benchmarks/cli/console.py").write_text("after")
    assert store.recall(Steady(), effort) is not None
    (package / name).write_text("after")
    assert store.recall(Steady(), effort) is None


def test_the_measures_are_the_package_s_own_files():
    found = {path.relative_to(store.PACKAGE).as_posix() for path in store._measures()}
    assert {"samplers/base.py", "models/exact/mixture.py", "models/cards/fashion/card.toml", "benchmarks/metrics/frechet.py"} <= found
    assert not [name for name in found if re.search(r"experiments/|cli/|\.safetensors", name)]


def test_rows_use_nothing_else_of_the_folder_above():
    sources = (path.read_text() for path in (store.PACKAGE / "benchmarks/experiments").glob("*.py"))
    used = {name for source in sources for name in re.findall(r"^from \.\.(\w+)", source, re.MULTILINE)}
    assert used == {*store.SHARED, "metrics"}


@pytest.mark.parametrize(
    ("kind", "word"), [("supports", "supported"), ("refines", "refined"), ("refutes", "refuted"), ("inconclusive", "inconclusive")]
)
def test_the_command_says_what_became_of_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, word: str):
    def measured(_plan: object, _numbers: object, _jobs: int, told: run.Told) -> dict[int, Answer]:
        told(4, answer(kind), 3.0)
        return {4: answer(kind)}

    monkeypatch.setattr(run, "explain", measured)
    result = CliRunner().invoke(app, ["explain", "--fast", "--out", str(tmp_path)])
    assert f"Row 4: claim {word} (3 s). so" in result.output
