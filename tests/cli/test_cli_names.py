"""What the command line says of a run: names as they are, reasons of failures, and code that
runs only when it was asked for.
"""

import io
import json

import pytest
from rich.console import Console

from samplerbench.benchmarks.cli.common import console
from samplerbench.benchmarks.suites.files import load_suite, python_files
from samplerbench.benchmarks.suites.suite import check_suite

MODEL = """
from samplerbench.models import make_model
from pathlib import Path

Path("ran").touch()

def factory():
    return make_model("gmm-2d")

def make():
    return lambda x: x.flatten(1)
"""
QUICK = ["--samples", "32", "--nfe", "3", "--no-timing"]


def refused(result, sentence):
    code, _, err = result
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "there" / "model.py"
    path.parent.mkdir()
    path.write_text(MODEL)
    return path


def suite_of(folder, **keys):
    path = folder / "mine.toml"
    table = {
        "models": ["model.py:factory"],
        "samplers": ["euler"],
        "nfe": [3],
        "samples": 32,
        **keys,
    }
    path.write_text(
        "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
        + "\n[timing]\nenabled = false\n"
    )
    return path


# -- M1: a name is not an emoji
# ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "show",
    [
        console.say,
        lambda text: console.print_rows([{"name": text}], {"name": "name"}),
        console.out.print,
    ],
)
def test_colons_around_a_word_are_not_an_emoji(monkeypatch, show):
    monkeypatch.setattr(console.out, "_file", file := io.StringIO())
    show("model.py:factory: bad.py:zero:0")
    assert "model.py:factory: bad.py:zero:0" in file.getvalue()


@pytest.mark.slow
def test_a_model_of_a_file_keeps_its_name_everywhere(samplerbench, model):
    spec = f"{model}:factory"
    code, out, _ = samplerbench(
        "run", "smoke", "--model", spec, "--sampler", "euler", "--out", "mine", *QUICK
    )
    assert code == 0
    assert "model.py:factory" in out
    for command in (
        ["show", "mine"],
        ["plan", "smoke", "--model", spec],
        ["compare", "mine", "mine"],
        ["status", "mine", "--json"],
    ):
        out = samplerbench(*command)[1]
        assert "model.py:factory" in out
        assert out.isascii() or not {"🏭", "0️⃣"} & set(out)


def test_titles_and_rows_of_results_are_not_emoji_either():
    from samplerbench.results.result_table import ResultTable
    from samplerbench.results.terminal.ranking import print_table

    rows = [
        {
            "model": "m.py:factory:",
            "sampler": "a:smile:b",
            "budget": 5,
            "nfe": 5.0,
            "fid_proxy": 1.0,
            "status": "ok",
        }
    ]
    print_table(ResultTable.of(rows), target := Console(file=io.StringIO(), width=80))
    text = target.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "m.py:factory:" in text
    assert "a:smile:b" in text


# -- M3: why nothing came out
# --------------------------------------------------------------------------------------------------------

FAULTY = """
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source

@dataclass(frozen=True, kw_only=True)
class {cls}(LinearMultistep):
    name = "{name}"
    source = Source("test", "nowhere", "https://example.org")
    order = 1
    def plan(self, grid):
        raise RuntimeError("no such tableau")
    def nfe(self, grid):
        return len(grid)
"""


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY.format(cls="Bad", name="bad") + FAULTY.format(cls="Worse", name="worse"))
    return path


@pytest.mark.slow
def test_a_run_without_any_result_says_why_and_exits_with_1(samplerbench, faulty):
    args = ["--model", "gmm-2d", "--sampler", "bad", "--sampler", "worse", "--plugin", faulty]
    code, out, _ = samplerbench("run", "smoke", "--out", "mine", *args, *QUICK)
    assert code == 1
    assert "2 of 2 cells are not ok (2 failed); samplerbench status mine says why." in out
    assert "failed: gmm-2d bad steps=3, gmm-2d worse steps=3: RuntimeError: no such tableau" in out
    assert "Report: mine/report.html" in out
    code, out, _ = samplerbench(
        "run", "smoke", "--out", "mine", "--sampler", "euler", *args, *QUICK
    )
    assert code == 0
    assert "2 of 3 cells are not ok" in out


# -- S1: code that nobody asked for
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, "model.py:factory"),
        ({"models": [{"name": "model.py:factory", "samples": 8}]}, "model.py:factory"),
        ({"models": [{"name": {"name": "model.py:factory"}}]}, "model.py:factory"),
        ({"models": ["perturbed:model.py:factory"]}, "model.py:factory"),
        ({"models": ["gmm-2d"], "extractor": "model.py:make"}, "model.py:make"),
    ],
    ids=str,
)
def test_a_suite_does_not_run_python_files_unasked(
    samplerbench, model, tmp_path, command, keys, named
):
    toml = suite_of(
        model.parent,
        **{
            key: value
            for key, value in keys.items()
            if not isinstance(value, list) or key != "models"
        },
    )
    if "models" in keys:
        import tomllib

        text = toml.read_text().replace(
            'models = ["model.py:factory"]', f"models = {_toml(keys['models'])}"
        )
        toml.write_text(text)
        assert tomllib.loads(text)["models"] == keys["models"]
    refused(samplerbench(command, toml), "names the Python file")
    refused(samplerbench(command, toml), named)
    refused(samplerbench(command, toml), "add --trust-suite")
    assert not (tmp_path / "ran").exists()


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return (
        "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, list) else json.dumps(value)
    )


@pytest.mark.slow
def test_a_trusted_suite_s_files_are_beside_it(samplerbench, model, tmp_path):
    toml = suite_of(model.parent, extractor="model.py:make")
    code, out, err = samplerbench("run", toml, "--trust-suite", "--out", "mine")
    assert (code, err) == (0, "")
    assert "model.py:factory" in out
    assert (tmp_path / "ran").exists()


def test_what_the_command_line_names_needs_no_trust(samplerbench, model):
    toml = suite_of(model.parent)
    assert samplerbench("plan", toml, "--model", "gmm-2d")[0] == 0
    assert samplerbench("plan", toml, "--model", f"{model}:factory")[0] == 0
    refused(samplerbench("plan", toml, "--sampler", "heun"), "add --trust-suite")


def test_other_files_of_a_suite_are_beside_it_too_and_need_no_trust(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    (folder / "images").mkdir(parents=True)
    keys = {
        "models": ["gmm-2d"],
        "extractor": "pixels",
        "schedules": ["tuned(file='grids.json')", "karras(rho=5)"],
    }
    monkeypatch.chdir(tmp_path)
    suite = load_suite(str(suite_of(folder, **keys, reference="x.npy")))
    assert suite.schedules == (f"tuned(file='{folder}/grids.json')", "karras(rho=5)")
    assert suite.reference == f"{folder}/x.npy"
    assert load_suite(str(suite_of(folder, **keys, real="images"))).reference == f"{folder}/images"
    assert load_suite(str(suite_of(folder, **keys, real="digits"))).reference == "digits"
    assert not list(python_files(suite))
    monkeypatch.chdir(folder)
    assert load_suite(str(suite_of(folder, **keys, real="x.npy"))).reference == "x.npy"


def test_an_extractor_of_one_model_needs_trust_too():
    entry = {"name": "gmm-2d", "extractor": "mine.py:make"}
    suite = check_suite({"name": "x", "models": [entry], "samplers": ["heun"], "nfe": [5]}, "x")
    assert [key for key, _ in python_files(suite)] == ["extractor"]


@pytest.mark.slow
def test_plan_takes_what_run_takes_and_says_what_is_done(samplerbench):
    args = [
        "smoke",
        "--model",
        "gmm-2d",
        "--sampler",
        "euler",
        "--sampler",
        "heun",
        *QUICK,
        "--out",
        "mine",
        "--threads",
        "1",
    ]
    assert "have results" not in samplerbench("plan", *args)[1]
    assert samplerbench("run", *args)[0] == 0
    code, out, _ = samplerbench(
        "plan", *args, "--until-decided", "--baseline", "euler", "--max-samples", "64"
    )
    assert code == 0
    assert "2 of these cells have results in mine" in out
