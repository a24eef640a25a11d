"""Screens of the command line: panels, width, colours, time left, and the next command to type."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest
import typer
from looping import each
from rich.console import Console

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.usage import MACHINE, STUDIES
from samplerbench.benchmarks.running import cell_states, progress
from samplerbench.benchmarks.running.cell_states import CellState
from samplerbench.benchmarks.running.progress import ProgressReporter

COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
VISIBLE = sorted(name for name, command in COMMANDS.items() if not command.hidden)
PANELS = ("Everyday", "Runs", "Frozen suite", "Extend", MACHINE)
RUN = ["--model", "gmm-2d", "--samples", "32", "--nfe", "3", "--no-timing"]
MAIN = "from samplerbench.benchmarks.cli import main; main()"


def commands_after_next(text):
    """Return the commands that stand at the end of an output."""
    last = text[text.rindex("Next:") :]
    return re.findall(r"samplerbench .*", last)


def on_terminal(*args, **variables):
    """Return what a command prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-c", MAIN, *args],
        stdout=theirs,
        env=environment | {"COLUMNS": "80", "TERM": "xterm"} | variables,
        check=True,
    )
    os.close(theirs)
    with open(ours, "rb", buffering=0) as file:
        return file.read(100_000).decode()


def test_help__has_every_command_in_one_panel_and_once(samplerbench):
    _, out, _ = samplerbench("-h")
    sections = re.findall(r"^(\S[^\n]*):\n((?:  .*\n)+)", out, re.MULTILINE)
    listed = {
        name: re.findall(r"^  ([a-z][a-z-]*)  ", body, re.MULTILINE)
        for name, body in sections
        if name in PANELS
    }
    assert tuple(listed) == PANELS
    assert sorted(name for names in listed.values() for name in names) == VISIBLE
    assert listed[MACHINE][0] == "doctor"
    assert not set(STUDIES) & {n for p in PANELS[:-1] for n in listed[p]}


@each("command", ["", *VISIBLE])
def test_help__fits_80_columns_and_cuts_nothing(samplerbench, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    for option in ("-h", "--help-all") if command else ("-h",):
        _, out, _ = samplerbench(*[command][: bool(command)], option)
        for line in out.splitlines():
            assert len(line) <= 80, line
            assert not line.endswith("...") or line.startswith("Usage: ")
        assert not re.search(r"<\w|x[<>]=", out)
        assert "\x1b" not in out


def test_help__has_a_line_for_each_command_at_80_columns(samplerbench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = samplerbench("-h")
    panels = out[: out.index("\nOptions:")]
    assert not re.search(r"^ {4,}", panels, re.MULTILINE)


def test_help__has_colours_on_a_terminal_only_and_none_with_no_color():
    assert "\x1b[1mEveryday\x1b[0m:" in on_terminal("-h")
    assert "\x1b" not in on_terminal("-h", NO_COLOR="1")
    assert "\x1b" not in on_terminal("-h", TERM="dumb")


@pytest.mark.slow
def test_next__each_command_prints_a_command_that_works(samplerbench, tmp_path):
    out = "a run"
    code, text, _ = samplerbench(
        "run", "smoke", "--sampler", "euler", "--sampler", "heun", *RUN, "--out", out
    )
    assert code == 0
    assert commands_after_next(text) == [
        "samplerbench compare 'a run' --baseline euler",
        "samplerbench figures 'a run'",
    ]
    for args, expected in {
        ("show", out): ["compare 'a run' --baseline euler", "report 'a run'"],
        ("show", out, "--errors"): ["show 'a run'"],
        ("report", out): ["show 'a run'", "figures 'a run'"],
        ("compare", out, "--baseline", "euler"): ["show 'a run'", "report 'a run'"],
        ("gate", out, out): ["compare 'a run' 'a run'"],
        ("status", out): ["show 'a run'", "report 'a run'"],
        ("status", out, "--changes"): ["show 'a run'", "report 'a run'"],
        ("plan", "smoke", *RUN): [f"run smoke {' '.join(RUN)}"],
        ("check", "ddim(eta=0.5)"): ["run quick --sampler 'ddim(eta=0.5)'"],
        ("check-model", "gmm-2d"): ["advise --model gmm-2d", "run quick --model gmm-2d"],
        ("doctor", "--seconds", "0.1"): ["run quick"],
        ("list", "suites"): ["plan NAME", "run NAME"],
        ("list", "models"): ["check-model NAME", "run quick --model NAME"],
    }.items():
        code, text, _ = samplerbench(*args)
        assert code == 0, args
        assert commands_after_next(text) == [f"samplerbench {line}" for line in expected]
        assert "\x1b" not in text


def test_next__output_for_programs_has_none(samplerbench):
    code, out, err = samplerbench("export", "--sampler", "heun", "--steps", 3, "--model", "gmm-2d")
    assert code == 0
    assert "Next:" not in out
    assert commands_after_next(err) == ["samplerbench run quick --model gmm-2d --sampler heun"]
    for args in (("doctor", "--json", "--seconds", "0.1"), ("check", "heun", "--json")):
        json.loads(samplerbench(*args)[1])
    assert "Next" not in samplerbench("cite", "heun")[1]


def test_status__says_what_is_missing_and_how_to_go_on(samplerbench, tmp_path):
    args = ["smoke", "--sampler", "euler", *RUN[:4], "--nfe", "3,4", "--no-timing", "--out", "r"]
    assert samplerbench("run", *args)[0] == 0
    part = max((tmp_path / "r" / "parts").iterdir(), key=lambda path: path.name)
    for path in (part / "quality.json", *part.glob("0*.npz")):
        path.unlink()
    code, out, _ = samplerbench("status", "r")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:4]] == [
        ["status", "cells"],
        ["ok", "1"],
        ["missing", "1"],
    ]
    assert commands_after_next(out)[0] == f"samplerbench run {' '.join(args)}"


def test_status__of_changes_goes_on_with_the_run_if_it_has_something_to_do(
    samplerbench, monkeypatch
):
    """After an upgrade that changed all cells, the command was missing."""
    args = ["smoke", "--sampler", "euler", *RUN, "--out", "r"]
    assert samplerbench("run", *args)[0] == 0
    for states, is_todo in {
        ("changed",): True,
        ("up to date", "missing"): True,
        ("up to date", "skipped"): False,
    }.items():
        cells = [CellState("key", "gmm-2d", "euler", 3, state) for state in states]
        monkeypatch.setattr(cell_states, "cell_states_of", lambda _, cells=cells: cells)
        out = samplerbench("status", "r", "--changes")[1]
        assert (f"samplerbench run {' '.join(args)}" in commands_after_next(out)) == is_todo


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress__has_cells_stage_and_the_time_left(monkeypatch, is_terminal):
    monkeypatch.setattr(progress, "FIRST_LINE", 0.05)
    monkeypatch.setattr(progress, "LINE_PERIOD", 0.05)
    out = io.StringIO()
    console = Console(file=out, force_terminal=is_terminal, width=80, color_system=None)
    stage = "fashion: converged endpoints of 64 samples, and more words than a terminal has"
    with (
        ProgressReporter(console, dict.fromkeys("abc", 0.0), 100.0) as report,
        report.track_part(stage, 100.0),
    ):
        for _ in range(5):
            report.add_evaluations(1.0)
            time.sleep(0.1)
        report.end_cell("b")
        time.sleep(0.2)
        report.show_time_limit(60)
        time.sleep(0.2)
    text = out.getvalue()
    assert re.search(r"1/3 cells, 0:\d\d left", text)
    assert "1/3 cells, up to 0:5" in text
    assert "fashion: conv" in text
    if is_terminal:
        lines = re.split(r"[\r\n]|\x1b\[[0-9;?]*[a-zA-Z]", text)
        assert max(map(len, lines)) <= 80
    else:
        assert "\x1b" not in text
