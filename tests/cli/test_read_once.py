"""A command reads each file of a finished run once, and never serves what it wrote itself anew."""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.results.run_directory.disk.read_cache import read_once
from samplerbench.results.run_directory.layout import QUALITY
from samplerbench.results.run_directory.run_dir import RunDir

RUN = (
    "run smoke --model gmm-2d --sampler euler --sampler heun --nfe 5 --samples 64 "
    "--no-timing --no-isolation --out {one}"
)
_opened: list[str] = []


def _hook(event, args):
    """Note the files that are opened to be read."""
    # os.open, whose mode is none, is how open opens some
    named = event == "open" and isinstance(args[0], str) and args[1] is not None
    if named and not set(str(args[1])) & set("wxa"):
        _opened.append(os.path.abspath(args[0]))


sys.addaudithook(_hook)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs of one suite, with their reports."""
    folder = tmp_path_factory.mktemp("runs")
    found = {name: folder / name for name in ("one", "two")}
    for path in found.values():
        done = CliRunner().invoke(app, RUN.format(one=path).split())
        assert done.exit_code == 0, done.output
    return found | {"page": folder / "page.html"}


@pytest.mark.parametrize(
    "command",
    [
        "show {one}",
        "show {one} --errors",
        "status {one}",
        "report {one}",
        "report {one} {two} --out {page}",
        "compare {one} {two}",
        "compare {one} --baseline euler",
        "gate {one} {two}",
        "figures {one} --format svg",
        RUN,
        RUN.replace("run", "plan", 1).replace("--no-isolation", ""),
    ],
)
def test_each_file_of_a_finished_run_is_read_once(runs, command):
    _opened.clear()
    done = CliRunner().invoke(app, command.format(**runs).split())
    assert done.exit_code in (0, 1), done.output
    counts = Counter(
        path
        for path in _opened
        if any(path.startswith(f"{runs[name]}{os.sep}") for name in ("one", "two"))
    )
    assert counts
    # a run admits its cells under the lock, and writes the report after that
    twice = ("run.json", "table.csv", "influence.npz") if command == RUN else ()
    assert {path: n for path, n in counts.items() if n > 1 + path.endswith(twice)} == {}


def test_what_is_written_meanwhile_is_read(tmp_path):
    with read_once():
        writer, reader = RunDir.create(tmp_path), RunDir.open(tmp_path)
        writer.plan("c", {"model": "m"})
        assert reader.read("c", QUALITY) is None
        writer.write("c", QUALITY, {"status": "ok"})
        assert reader.read("c", QUALITY) == {"status": "ok"}
        with writer.lock():
            writer.write("c", QUALITY, {"status": "failed"})
        assert reader.read("c", QUALITY) == {"status": "failed"}
        writer.set_aside("c", "it is another")
        assert reader.cells() == []
        assert reader.read("c", QUALITY) is None


def test_what_others_write_is_read_by_the_next_command(tmp_path):
    RunDir.create(tmp_path).plan("c", {"model": "m"})
    with read_once():
        early = RunDir.open(tmp_path)
        assert early.read("c", QUALITY) is None
    RunDir.open(tmp_path).write("c", QUALITY, {"status": "ok"})
    assert early.read("c", QUALITY) == {"status": "ok"}
    with read_once():
        assert RunDir.open(tmp_path).read("c", QUALITY) == {"status": "ok"}
