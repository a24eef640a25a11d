"""Texts from files that a terminal, a spreadsheet or Markdown would obey."""

import contextlib
import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looping import each
from rich.console import Console
from synthetic import synthetic_run

from samplerbench.benchmarks.cli import main
from samplerbench.benchmarks.cli.common.console import SafeConsole, print_rows
from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.terminal.ranking import print_table
from samplerbench.results.text import (
    csv_field,
    escape_markdown,
    strip_control_characters,
    unquote_csv_text,
)

EVIL = "\x1b]0;owned\x07\x1b[2Jhe\x1b[31mun\x9b5m\x1b]8;;http://x\x1b\\\u202e"
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
FORMULAS = (
    "=1+1",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "\tx",
    "'=1",
    "''-2",
    "'tis",
    "a=1",
    '=HYPERLINK("http://x","y")',
    "-",
    "'",
)


@given(
    st.text(alphabet=st.sampled_from([*"\x1b[]0;mJ\x07\\\x9b\x9d\x9cPx?A \n\u202e"]), max_size=40)
)
def test_plain_leaves_nothing_that_a_terminal_obeys(words):
    assert not UNSEEN.search(strip_control_characters(words))
    assert strip_control_characters(strip_control_characters(words)) == strip_control_characters(
        words
    )


@given(st.text(max_size=40))
def test_plain_leaves_other_texts_alone(words):
    assert strip_control_characters(
        UNSEEN.sub("", words).replace("\u200e", "").replace("\u200f", "")
    ) == re.sub("[\u200e\u200f\u2066-\u2069]", "", UNSEEN.sub("", words))


def test_plain_takes_whole_sequences():
    assert strip_control_characters(EVIL) == "heun"
    assert escape_markdown(EVIL + "|") == "heun\\|"


@pytest.fixture
def hostile(tmp_path):
    """A run whose files hold what a terminal obeys."""
    run = synthetic_run(
        tmp_path / "run", models=("m",), orders={"euler": 1, "heun": 2}, budgets=(5,), samples=50
    )
    for cell in run.cells():
        record = run.read(cell, "cell.json")
        run.plan(cell, record | {"sampler": record["sampler"] + EVIL, "model": "m" + EVIL})
    run.write(run.cells()[0], "quality.json", {"status": "failed", "reason": f"because{EVIL}"})
    return run.path


@pytest.mark.parametrize(
    "command", [["status"], ["show"], ["show", "--errors"], ["show", "--metric", "rmse"]]
)
def test_no_file_of_a_run_speaks_to_the_terminal(hostile, command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["samplerbench", *command, str(hostile)])
    with contextlib.suppress(SystemExit):
        main()
    said = capsys.readouterr()
    assert "heun" in said.out
    assert not UNSEEN.search(said.out + said.err)


def test_a_console_of_ones_own_is_safe_too(hostile):
    out = io.StringIO()
    print_table(load(hostile), Console(file=out, width=200), metric="rmse")
    assert "heun" in out.getvalue()
    assert not UNSEEN.search(out.getvalue())


def test_markup_of_our_own_still_works():
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, color_system="standard")
    console.print("[bold]strong[/]" + EVIL)
    assert out.getvalue().startswith("\x1b[1mstrong\x1b[0m")
    assert "\x1b]" not in out.getvalue()
    assert callable(print_rows)


def test_the_tables_beside_the_page_are_harmless(hostile, tmp_path):
    write_report(hostile, tmp_path)
    assert not UNSEEN.search((tmp_path / "table.md").read_text())


@each("words", FORMULAS)
def test_csv__no_field_of_the_csv_is_a_formula_and_all_come_back(words, tmp_path):
    row = {
        "model": "m",
        "sampler": words,
        "status": "ok",
        "reason": words,
        "steps": 3,
        "rmse": -0.5,
        "mine": words,
        "budget": 1,
        "extra": -3,
    }
    table = ResultTable.of([row, {**row, "mine": "plain", "sampler": "b"}])
    table.to_csv(tmp_path / "table.csv")
    assert not re.search(r"(?m)(^|,)\"?[=+@\t]", (tmp_path / "table.csv").read_text())
    again = ResultTable.from_csv(tmp_path / "table.csv")
    assert again.frame.equals(table.frame)
    assert again.csv() == table.csv()
    assert unquote_csv_text(csv_field(words)) == words or '"' in csv_field(words)
    assert csv_field(-0.5) == "-0.5"
