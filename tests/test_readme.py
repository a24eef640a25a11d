"""README's commands run as they stand, one after the other, from a fresh folder."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from typing import Any

import new_processes
import pytest
import typer

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.samplers import karras, make

ROOT = Path(__file__).parents[1]
STAND_INS = {
    "run quick": "run smoke --model gmm-2d --samples 64 --no-timing",
    "plan full": "plan smoke --model gmm-2d",
}
"""What runs here, in seconds, in place of what takes minutes: the same commands and options."""
ELSEWHERE = {
    "make ": "creates the environment; .ci/run begins with it",
    "source ": "of the environment that `make` creates; the commands here are this environment's",
    "samplerbench tune": "minutes; tests/tuning",
    "samplerbench advise": "ten minutes, of the reader's checkpoint; tests/advice",
    "samplerbench export": "of the reader's checkpoint; tests/exports",
    "samplerbench check-model": "of the reader's checkpoint; tests/models/checkpoints",
    "samplerbench convert": "of the reader's checkpoint; tests/models/checkpoints",
    "samplerbench run quick --model": "of the reader's checkpoint; tests/models/checkpoints",
}
"""Commands that do not run here, by how they begin, and where they do."""


def blocks(language: str) -> list[str]:
    """README's blocks of code."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words of README's commands, in order."""
    lines = "".join(blocks("sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_readme__a_command_has_the_options_that_it_gives():
    known: Any = typer.main.get_command(app)
    asked = [words[1:] for words in commands() if words[0] == "samplerbench"]
    assert len(asked) > 20
    for name, *options in asked:
        if name != "--version":
            known.commands[name].make_context(name, options)


@pytest.mark.slow
def test_readme__commands_run_one_after_the_other_from_a_fresh_folder(tmp_path):
    site = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "installed")})
    sources = os.pathsep.join([site, str(tmp_path / "my_solver" / "src")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": sources, "COLUMNS": "200"}
    ran = 0
    for words in commands():
        line = " ".join(words)
        if any(line.startswith(begin) for begin in ELSEWHERE):
            continue
        if words[0] == "pip":
            pip = [sys.executable, "-m", *words, "--prefix", tmp_path / "installed", "--no-deps"]
            subprocess.run([*pip, "--no-build-isolation", "-q"], cwd=tmp_path, check=True)
            continue
        assert words[0] == "samplerbench", line
        for begin, instead in STAND_INS.items():
            line = line.replace(f"samplerbench {begin}", f"samplerbench {instead}")
        code, out, err = new_processes.command(*line.split()[1:], cwd=tmp_path, env=environment)
        assert code == 0, f"{line}\n{out[-2000:]}\n{err[-2000:]}"
        assert "Traceback" not in err
        ran += 1
    assert ran >= 12
    assert (tmp_path / "mine" / "report.html").exists()


def test_readme__the_solver_is_dpmpp_2m(tmp_path, monkeypatch):
    (tmp_path / "of_readme.py").write_text("".join(blocks("python")), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mine = import_module("of_readme").Mine()
    result = check_sampler(mine, fast=True)
    assert result.passed, result
    grid = karras(7, 0.01, 80.0)
    ends = [one.plan(grid) for one in (mine, make("dpmpp_2m"))]
    assert ends[0][3].b == pytest.approx(ends[1][3].b)


def test_unknown_sampler__the_folder_says_how_to_make_it_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="unknown sampler 'my_solver'; did you mean sa_solver"):
        make("my_solver")
    (tmp_path / "my_solver.py").touch()
    with pytest.raises(
        ValueError, match=r"unknown sampler 'my_solver'; give --plugin my_solver\.py"
    ):
        make("my_solver")
    (tmp_path / "my_solver").mkdir()
    (tmp_path / "my_solver" / "pyproject.toml").touch()
    with pytest.raises(ValueError, match="not installed: pip install -e my_solver"):
        make("my_solver")
