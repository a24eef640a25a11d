"""Commands in the ``sh`` blocks of README, tutorials and how-to pages: they parse, and they run one
after the other from a fresh folder, with stand-ins for what takes minutes or needs a reader's file.
"""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from typing import Any

import new_processes
import numpy as np
import pytest
import typer
from looping import each
from page_commands import (
    CHECKPOINT,
    CHECKPOINTS,
    CODES,
    DOCS,
    PARSED,
    README,
    ROOT,
    RUN,
    SOLVER,
    WITHOUT,
    Command,
    blocks,
    commands,
    commands_of,
    name_of,
    stand_in,
    why_not,
)
from PIL import Image
from remembered import remembered  # noqa: F401

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.cli.scaffold import new_package
from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.results import quantities
from samplerbench.samplers import karras, make, registry
from samplerbench.samplers.registry import load_file

CHECKED: dict[tuple[str, ...], tuple[int, str, str]] = {}
"""What ``check-model`` said of the checkpoint, which has the same files on every page."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    """A folder with the checkpoint ``edm.pkl`` and its images, after some seconds of training."""
    file = DOCS / "examples" / "own_checkpoints.py"
    spec: Any = importlib.util.spec_from_file_location("own_checkpoints", file)
    module = importlib.util.module_from_spec(spec)
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "own_checkpoints", module)
        spec.loader.exec_module(module)
        module.make("edm", folder, 0.01)
    return folder


@pytest.fixture
def reader(tmp_path, checkpoints):
    """Return a function that puts the files of a page's reader into a folder and returns it."""

    def files(page: Path) -> Path:
        text = " ".join(map(str, commands(page)))
        folder = tmp_path / page.stem
        folder.mkdir()
        for name in CHECKPOINTS:
            shutil.copy(checkpoints / "edm.pkl", folder / name)
        (folder / "images").mkdir()
        with np.load(checkpoints / "fashion-14.npz") as stored:
            for number, image in enumerate(stored["x"][:64, 0]):
                grey = np.uint8(np.round(127.5 * (image + 1)))
                Image.fromarray(grey).save(folder / "images" / f"{number}.png")
        solvers = [code for code in blocks(page, "python") if re.search(r"^@dataclass", code, re.M)]
        if solvers:
            (folder / "my_solver.py").write_text(solvers[0], encoding="utf-8")
        for code in blocks(page, "python"):
            if named := re.match(r"# (\w+\.py)\n", code):
                (folder / named[1]).write_text(code, encoding="utf-8")
        for name in set(re.findall(r"[\w-]+\.toml", text)):
            (folder / name).write_text(blocks(page, "toml")[0], encoding="utf-8")
        (folder / "docs").symlink_to(DOCS)
        return folder

    return files


def edit(page: Path, folder: Path) -> None:
    """Make the edits of a page's ``diff`` blocks in the reader's package ``my_solver``."""
    file = folder / "my_solver" / "src" / "my_solver" / "__init__.py"
    for block in blocks(page, "diff"):
        old, new = (
            re.sub(rf"^\{sign} ?", "", line)
            for sign in "-+"
            for line in block.splitlines()
            if line.startswith(sign)
        )
        text = file.read_text(encoding="utf-8")
        assert text.count(old.strip()) == 1, f"{page.name} edits {old.strip()}"
        file.write_text(text.replace(old.strip(), new.strip()), encoding="utf-8")


def install(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sampler or metric of a package known in this process."""
    file = package / "src" / package.name / "__init__.py"
    if "samplerbench.samplers" in (package / "pyproject.toml").read_text(encoding="utf-8"):
        load_file(file)
        return
    spec: Any = importlib.util.spec_from_file_location(package.name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, package.name, module)
    spec.loader.exec_module(module)


def runnable(page: Path) -> list[Command]:
    """Return the commands of a page that run here: a command needs what those before it write."""
    found, unwritten = [], set()
    for command in commands(page):
        line = " ".join(command.words)
        if why_not(command) or unwritten & set(re.split(r"[\s'()=/]+", line)):
            unwritten |= {command.output, *re.findall(r"--out[ =](\S+)", line)} - {""}
        else:
            found.append(command)
    return found


def run_in_order(page, folder, call):
    """Run the commands of a page in a folder; return those that ran.

    Args:
        page: with the commands.
        folder: of the reader.
        call: gives exit code, output and errors of a command's words.
    """
    ran = runnable(page)
    for command in ran:
        words = stand_in(command)
        code, out, err = call(*words)
        allowed = CODES.get(words[1], {0})
        assert code in allowed, f"{page.name}: {shlex.join(words)}\n{out[-2000:]}\n{err[-2000:]}"
        assert "Traceback" not in err
        if command.output:
            (folder / command.output).write_text(out, encoding="utf-8")
        if words[:2] == ["samplerbench", "new-solver"]:
            edit(page, folder)
    return ran


def test_blocks__hold_a_sensible_number_of_commands():
    ours = {page: [c for c in commands(page) if c.is_ours] for page in RUN}
    assert len(ours[README]) >= 6
    assert len(ours[SOLVER]) >= 5
    assert len(ours[CHECKPOINT]) >= 4
    assert sum(map(bool, ours.values())) >= 12
    assert sum(map(len, ours.values())) >= 40
    assert sum(len(runnable(page)) for page in RUN) >= 40
    assert len(runnable(SOLVER)) >= 7
    assert len(runnable(CHECKPOINT)) >= 4


def test_commands_of__parts_lines_quotes_comments_and_variables():
    block = (
        "A=1 samplerbench run quick \\\n  --nfe 5 && pip install -e x  # a comment\n"
        "samplerbench run 'a?b=1&c=2' > out.txt\n\npython -c \"\nprint(1)\n\"\n"
    )
    assert commands_of(block) == [
        Command(("samplerbench", "run", "quick", "--nfe", "5")),
        Command(("pip", "install", "-e", "x")),
        Command(("samplerbench", "run", "a?b=1&c=2"), "out.txt"),
        Command(("python", "-c", "\nprint(1)\n")),
    ]


@each("page", PARSED, ids=name_of)
def test_page__a_command_has_the_options_that_it_gives(page):
    known: Any = typer.main.get_command(app)
    parent = known.make_context("samplerbench", ["list"])  # without it a command forgets its -h
    for command in commands(page):
        if command.is_ours and command.words[1] not in ("--version", "-h", "--help"):
            _, name, *options = command.words
            known.commands[name].make_context(name, options, parent=parent)


@each("page", RUN, ids=name_of)
def test_page__commands_stand_in_sh_blocks(page):
    """Blocks without a language hold none."""
    text = re.sub(r"^```\w+\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    plain = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [
        block for block in plain if re.search(r"^(samplerbench|pip|make|python) ", block, re.M)
    ]
    assert not found, f"{page.name}: {found[0]}"


def test_page__without_a_command_that_runs_is_listed_with_the_reason():
    silent = {name_of(page) for page in RUN if commands(page) and not runnable(page)}
    assert silent <= set(WITHOUT)
    assert not [page for page in WITHOUT if runnable(ROOT / page)]


@pytest.mark.slow
def test_readme__commands_run_one_after_the_other_from_a_fresh_folder(reader):
    folder = reader(README)
    site = sysconfig.get_path("purelib", vars={"base": str(folder / "installed")})
    sources = os.pathsep.join([site, str(folder / "my_solver" / "src")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": sources, "COLUMNS": "200"}

    def call(program, *words):
        if program == "pip":
            pip = [sys.executable, "-m", "pip", *words, "--prefix", folder / "installed"]
            pip += ["--no-deps", "--no-build-isolation", "-q"]
            done = subprocess.run(pip, cwd=folder, check=False, capture_output=True, text=True)
            return done.returncode, done.stdout, done.stderr
        assert program == "samplerbench", program
        return new_processes.command(*words, cwd=folder, env=environment)

    ran = run_in_order(README, folder, call)
    assert sum(command.is_ours for command in ran) >= 6
    assert (folder / "mine" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if page != README], ids=name_of)
def test_page__commands_run_one_after_the_other_from_a_fresh_folder(
    page, reader, checkpoints, samplerbench, monkeypatch
):
    if not runnable(page):
        return
    folder = reader(page)
    monkeypatch.chdir(folder)
    module = import_module("samplerbench.benchmarks.metrics.metric")
    monkeypatch.setattr(module, "_METRICS", dict(module.metrics()))
    monkeypatch.setattr(quantities, "_OWNED", dict(quantities._OWNED))
    for table in ("_REGISTRY", "_ORIGIN", "_PLUGIN_FILE"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))

    def call(program, *words):
        if program == "samplerbench" and words[0] == "check-model":  # of equal files on two pages
            if words not in CHECKED:
                CHECKED[words] = samplerbench(*words)
            return CHECKED[words]
        if program == "samplerbench":
            return samplerbench(*words)
        if program == "pip":  # really in README and in tests/test_scaffold.py
            install(folder / words[2], monkeypatch)
            return 0, "", ""
        if words[0] == "docs/examples/own_checkpoints.py":
            shutil.copytree(checkpoints, folder / words[words.index("--out") + 1])
            return 0, "", ""
        code = words[1] if words[0] == "-c" else (folder / words[0]).read_text(encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, {"__name__": "__main__"})
        return 0, out.getvalue(), ""

    run_in_order(page, folder, call)


def test_docs__the_solver_on_a_page_is_dpmpp_2m(tmp_path, monkeypatch):
    code = [c for page in PARSED for c in blocks(page, "python") if "class Mine(Multistep)" in c]
    assert code, "no page has DPM-Solver++(2M) as an example"
    for number, text in enumerate(code):
        (tmp_path / f"of_docs_{number}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        mine = import_module(f"of_docs_{number}").Mine()
        result = check_sampler(mine, fast=True)
        assert result.passed, result
        grid = karras(7, 0.01, 80.0)
        ends = [one.plan(grid) for one in (mine, make("dpmpp_2m"))]
        assert ends[0][3].b == pytest.approx(ends[1][3].b)


def test_tutorial__the_file_is_the_one_that_new_solver_writes(tmp_path):
    file = new_package("solver", "my_solver", tmp_path) / "src" / "my_solver" / "__init__.py"
    assert blocks(SOLVER, "python")[0] == file.read_text(encoding="utf-8")


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
