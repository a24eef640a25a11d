"""The page on use without the command line is true, and the packages offer what it uses at
little cost.
"""

import doctest
import importlib.metadata
import io
import pydoc
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from looping import each
from remembered import remembered  # noqa: F401
from rich.console import Console

import samplerbench
from samplerbench import benchmarks
from samplerbench.benchmarks import Suite, load_suite, plan, run

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "python-api.md"


@pytest.mark.slow
def test_the_page_is_true(monkeypatch):
    monkeypatch.chdir(PAGE.parents[2])
    failed, tried = doctest.testfile(
        str(PAGE),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert tried > 20
    assert not failed


@pytest.mark.parametrize("package", ["samplers", "models", "benchmarks", "results"])
def test_each_package_has_the_version(package):
    module = import_module(f"samplerbench.{package}")
    assert module.__version__ == importlib.metadata.version("samplerbench")
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


def test_samplerbench__dir_shows_the_public_names_which_are_there():
    assert {"run", "plan", "load", "check_sampler", "make", "samplers"} <= set(dir(samplerbench))
    assert all(getattr(samplerbench, name) for name in dir(samplerbench))
    assert samplerbench.run is run
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        samplerbench.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "package", ["samplerbench", "samplerbench.results", "samplerbench.benchmarks"]
)
def test_dir__has_no_stray_names(package):
    module = import_module(package)
    assert set(dir(module)) == {*module.__all__, "__version__"}


@pytest.mark.parametrize("terminal", [True, False])
def test_run__says_what_it_does_where_somebody_looks(here, monkeypatch, terminal):
    consoles = []

    def console(**options):
        consoles.append(Console(file=io.StringIO(), force_terminal=terminal, **options))
        return consoles[-1]

    monkeypatch.setattr("samplerbench.benchmarks.api.Console", lambda stderr: console())
    run(SUITE | {"nfe": [9], "samplers": ["euler"]}, "out", device="cpu")
    assert bool(consoles[0].file.getvalue()) == terminal


def test_check_sampler__prints_its_verdict_and_each_failure_in_a_line():
    result = benchmarks.check_sampler("euler", fast=True)
    assert str(result) == f"euler: all {len(result.checks)} checks passed"
    failed = replace(result, checks=[replace(result.checks[0], passed=False), *result.checks[1:]])
    verdict, failure = str(failed).splitlines()
    assert verdict == f"euler: 1 of {len(result.checks)} checks failed"
    assert failure == f"  order: {result.checks[0].detail}"
    assert repr(failed) == str(failed)


@each("name", benchmarks.__all__)
def test_python_api__what_the_harness_offers_is_there(name):
    assert getattr(benchmarks, name).__name__ == name


def test_importing_the_harness_is_light():
    code = (
        "import sys, samplerbench.benchmarks; print([m for m in ('torch', 'pydantic', "
        "'pandas', 'importlib.metadata') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import site; site.main()\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch" not in found.stdout
    assert "pydantic" not in found.stdout
    assert "pandas" not in found.stdout


SUITE = {
    "name": "mine",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "nfe": [1, 9],
    "samples": 32,
    "reference_samples": 8,
    "converged_samples": 32,
    "timing": {"enabled": False},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the suite in a file."""
    monkeypatch.chdir(tmp_path)
    text = 'models = ["gmm-2d"]\nsamplers = ["euler", "heun"]\nnfe = [1, 9]\nsamples = 32\n'
    (tmp_path / "mine.toml").write_text(
        f"{text}reference_samples = 8\nconverged_samples = 32\ntiming.enabled = false\n"
    )
    return tmp_path


def test_a_suite_is_asked_for_in_four_ways(here):
    ways = [SUITE, Suite(**SUITE), "mine.toml", Path("mine.toml"), load_suite("mine.toml")]
    first, *others = [[cell.key for cell in plan(way, device="cpu")] for way in ways]
    assert len(first) == 4
    assert all(other == first for other in others)
    assert not [path for path in here.iterdir() if path.name != "mine.toml"], "nothing is written"
    assert len({cell.model for cell in plan("smoke")}) == 2


def test_what_is_planned_is_what_runs(here, capfd):
    cells = plan(SUITE, device="cpu")
    assert [cell.skip[:20] for cell in cells if cell.skip] == ["one step of heun cos"] * bool(
        cells[2].skip
    )
    table = run(SUITE, "out", device="cpu")
    assert sorted(row["cell"] for row in table.frame.to_dict("records")) == sorted(
        cell.key for cell in cells
    )
    assert capfd.readouterr() == ("", ""), "there is no console"
    made = {
        path: path.stat().st_mtime_ns
        for path in (here / "out" / "parts").rglob("*")
        if path.is_file()
    }
    again = run(SUITE, Path("out"), device="cpu", progress=True)
    assert again.frame.equals(table.frame)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert run(SUITE, device="cpu").frame["rmse"].equals(table.frame["rmse"])
    assert [path.name for path in (here / "results" / "runs").iterdir()] == [
        f"mine-{Suite(**SUITE).digest}"
    ]


def test_a_question_is_sampled_until_it_is_decided(here):
    question = {"until": {"target_se": 1e-9, "max_samples": 64}, "nfe": [9]}
    table = run(SUITE | question, "out", device="cpu")
    assert table.frame["samples"].max() == 64
    assert (here / "out" / "looks.json").exists()


def test_run__until_with_rows_of_the_baseline_alone_is_an_error(here):
    with pytest.raises(ValueError, match="every row is of the baseline 'ddim'"):
        run(SUITE | {"until": {"baseline": "ddim"}, "samplers": ["ddim", "ddim(eta=0.5)"]}, "out")


def test_a_metric_and_a_sampler_of_this_session_run(here, monkeypatch):
    from samplerbench.benchmarks.metrics import Measured, metric, metrics
    from samplerbench.results import quantities
    from samplerbench.samplers import get, register, registry

    module = import_module("samplerbench.benchmarks.metrics.metric")
    monkeypatch.setattr(module, "_METRICS", dict(metrics()))
    monkeypatch.setattr(quantities, "_OWNED", dict(quantities._OWNED))
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    farthest = quantities.Quantity(name="farthest", meaning="largest coordinate")

    @metric("farthest", version=1, needs={"samples"}, quantities=(farthest,))
    def _farthest(cell):
        return Measured({"farthest": abs(cell.known).max()})

    @register
    @dataclass(frozen=True, kw_only=True)
    class Mine(get("euler")):
        name = "mine"

    table = run(SUITE | {"samplers": ["mine"], "nfe": [9]}, "out", device="cpu")
    assert table.frame["sampler"].tolist() == ["mine"]
    assert table.frame["farthest"].item() > 0


@each(
    ("asked", "words"),
    [
        ({"suite": "smoek"}, "unknown suite 'smoek'; did you mean smoke?"),
        ({"suite": 3}, "a suite is a name, a path, a dictionary or a Suite, not a int"),
        ({"suite": SUITE | {"samplrs": ["heun"]}}, "the suite: unknown key 'samplrs'; did you mean " "'samplers'?"),
        ({"suite": SUITE | {"samplers": ["huen"]}}, "unknown sampler 'huen'; did you mean heun?"),
        ({"suite": SUITE | {"metrics": ["kdi"]}}, "unknown metric 'kdi'; did you mean kid?"),
        ({"suite": SUITE | {"models": [Path]}}, "models.0: a model is a text such as 'gmm-2d', not a type; write the class into a file"),
        ({"suite": SUITE, "device": "tpu"}, "there is no device 'tpu'; choose one of auto, " "cpu, cuda"),
        ({"suite": SUITE, "out": "mine.toml"}, "mine.toml is a file, not a run directory"),
        ({"suite": "code.toml"}, "code.toml names the Python file 'code.py:make', which " "would run; look at it, and pass load_suite("),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)  # fmt: skip
def test_python_api__a_mistake_is_one_sentence(here, asked, words):
    (here / "code.toml").write_text('models = ["code.py:make"]\nsamplers = ["euler"]\nnfe = [1]\n')
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        run(**asked)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(here.rglob("*.csv")), "nothing was run"


@each(
    ("call", "words"),
    [
        (lambda: plan(SUITE, samplers="heun"), "samplers are a list such as ['heun'], not a str"),
        (lambda: benchmarks.tune("gmm-2d", "heun", nfe=[4]), "samplers are a list"),
        (lambda: benchmarks.advise({"name": "gmm-2d"}, only=["huen"]), "did you mean heun?"),
        (
            lambda: benchmarks.advise("gmm-2d", []),
            "give --nfe with at least one number, or --ms, not both",
        ),
        (lambda: benchmarks.advise("gmm-2d", [5], ms=3.0), "or --ms, not both"),
        (lambda: benchmarks.check_model("gmm-2d", samples=1), "samples=1: give 2 or more"),
        (lambda: benchmarks.frechet_distance(0.0, 1.0, 0.0, 1.0), "a number is no mean (d,)"),
        (lambda: benchmarks.export([1, 0], schedule="karras"), "--schedule karras needs --steps"),
        (lambda: benchmarks.export(steps=2.5, model="gmm-2d"), "2.5 steps: give a whole number"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_python_api__arguments_that_mean_nothing(here, call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        call()
    assert words in str(caught.value)


def test_export__takes_an_array():
    assert benchmarks.export(np.array([3.0, 0.0]))["sigmas"] == [3.0, 0.0]


def test_help_reads_well():
    text = pydoc.plain(pydoc.render_doc(benchmarks))
    assert "plan(suite:" in text
    assert "cells that a suite would run, without running them." in text
    assert "Run a suite's cells that are missing in a run directory" in text
    assert set(benchmarks.__all__) <= set(dir(benchmarks))


def test_advise_and_tune__no_time_and_no_sampler_are_one_sentence(tmp_path):
    for minutes in (0, float("nan")):
        with pytest.raises(ValueError, match="--minutes must be a finite time above 0"):
            samplerbench.advise("gmm-2d", minutes=minutes, out=tmp_path)
    with pytest.raises(ValueError, match="no sampler to tune"):
        samplerbench.tune("gmm-2d", [], nfe=[5], out=tmp_path / "t.json")


def test_advise__the_command_of_its_answer_is_the_call_that_was_made(monkeypatch):
    """In a notebook, it was what started the notebook."""
    monkeypatch.setattr("samplerbench.benchmarks.advice.advise", lambda _spec, **given: given)
    model = samplerbench.from_function(lambda x, _sigma: x, event=(2,), name="held")
    given = benchmarks.advise(model, nfe=[4, 8], minutes=2.0, device="cpu", progress=print)
    assert given["command"] == "samplerbench.advise(model, nfe=[4, 8], minutes=2.0)"
    assert benchmarks.advise("gmm-2d")["command"] == "samplerbench.advise('gmm-2d')"
    assert benchmarks.advise("gmm-2d", only=iter(["heun"]))["only"] == ["heun"]
