import doctest
import importlib
import pkgutil
import subprocess
import sys
from html import escape
from pathlib import Path

import pandas as pd
import pytest
from synthetic import HOSTILE_SAMPLER

import samplerbench.results as results
from samplerbench.results.result_table import ResultTable

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "results-api.md"


@pytest.mark.parametrize(
    "ask",
    [
        lambda table: table.wide("rmsee"),
        lambda table: table.best_per_budget("rmsee"),
        lambda table: table.pivot("sampler", "budget", "rmsee"),
    ],
)
def test_views__an_unknown_column_is_one_sentence_with_those_like_it(ask):
    row = {"model": "m", "sampler": "euler", "budget": 5, "nfe": 5.0, "status": "ok", "rmse": 1.0}
    with pytest.raises(ValueError, match="no column 'rmsee'; did you mean rmse"):
        ask(ResultTable.of([row]))


def test_the_package_offers_load_and_nothing_that_is_not_there(run):
    assert isinstance(results.load(run.path), results.ResultTable)
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        results.loads  # noqa: B018


def test_importing_the_package_does_not_import_pandas_or_matplotlib():
    code = (
        "import sys, samplerbench.results, samplerbench.results.palette; print([m for m "
        "in ('pandas', 'matplotlib') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


def test_the_guide_is_true(monkeypatch):
    monkeypatch.chdir(DOCS.parents[2])
    failed, tried = doctest.testfile(
        str(DOCS),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert tried > 5
    assert not failed


@pytest.mark.slow
def test_the_examples_in_docstrings_are_true():
    names = [
        module.name for module in pkgutil.walk_packages(results.__path__, results.__name__ + ".")
    ]
    outcomes = {name: doctest.testmod(importlib.import_module(name)) for name in names}
    assert {name for name, outcome in outcomes.items() if outcome.failed} == set()
    assert sum(outcome.attempted for outcome in outcomes.values()) >= 5


def test_a_notebook_shows_names_as_text(run):
    html = results.load(run.path)._repr_html_()
    assert HOSTILE_SAMPLER not in html
    assert escape(HOSTILE_SAMPLER, quote=False) in html
    assert html.count("<tr") < 100
    assert "kid" not in html  # empty columns are left out
    assert html.index("lower is better") < html.index("<details>")
    assert results.load(run.path).plot("rmse")._repr_png_().startswith(b"\x89PNG")


def test_a_folder_with_a_table_alone_is_loaded_and_parts_win_over_it(run, tmp_path):
    results.load(run.path).to_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(results.load(tmp_path).frame, results.load(run.path).frame)
    (tmp_path / "parts").mkdir()
    assert len(results.load(tmp_path)) == 0


def test_wide_has_a_line_for_each_curve_and_the_value_of_its_row():
    rows = [
        {"model": "m", "sampler": s, "budget": n, "nfe": n, "rmse": 1 / n, "status": "ok"}
        for s in ("a", "b")
        for n in (2, 4)
    ]
    wide = ResultTable.of(rows).wide("rmse")
    assert wide.to_dict() == {
        2: {("m", "a"): 0.5, ("m", "b"): 0.5},
        4: {("m", "a"): 0.25, ("m", "b"): 0.25},
    }
