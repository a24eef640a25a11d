"""Executors by name, on the command line: those of this package, and one that an installed package
brings, which is the one of the guide.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import new_processes
import pandas as pd
import pytest

from samplerbench.benchmarks.cli.common.executor_options import (
    ExecutorOptions,
    make_named_executor,
    workers,
)
from samplerbench.benchmarks.running.executors import (
    InProcess,
    Pool,
    Worker,
    executors,
    make_executor,
)

GUIDE = Path(__file__).parents[3] / "docs" / "examples" / "fresh_process.py"
RUN = ["run", "smoke", "--model", "gmm-2d", "--sampler", "euler", "--nfe", "3", "--samples", "16"]
RUN += ["--no-timing", "--reference-samples", "8", "--converged-samples", "32"]
POINTS = """[samplerbench.executors]
fresh = fresh_process:FreshProcess
broken = fresh_process:no_such_class
raises = fresh_process:main.no_such_part
number = fresh_process:os.getpid
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages with the guide's executor in it, on the path."""
    info = tmp_path / "site-packages" / "fresh-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(POINTS)
    shutil.copy(GUIDE, info.parent)
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.delitem(sys.modules, "fresh_process", raising=False)
    yield info.parent
    sys.modules.pop("fresh_process", None)


def install(site, name, points):
    info = site / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[samplerbench.executors]\n{points}\n")


def test_names(site):
    assert executors() == ["worker", "in-process", "broken", "fresh", "number", "raises", "ray"]
    assert type(make_executor("worker")) is Worker
    assert type(make_executor("in-process")) is InProcess
    assert make_executor("fresh").command[0] == sys.executable
    assert make_executor("fresh:nice -n 5").command[:3] == ["nice", "-n", "5"]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("workr", "there is no executor 'workr'; did you mean 'worker'? The executors are: worker, in-process, "),
        ("slurm", "there is no executor 'slurm'; the executors are: worker, in-process, broken, fresh, number, raises, ray"),
        ("worker:2", "executor 'worker:2' takes nothing behind a colon; write worker"),
        ("fresh:", "executor 'fresh:' has nothing behind its colon; write fresh"),
        ("fresh:'", "executor fresh:' of fresh 0.1 (fresh_process:FreshProcess) failed: ValueError: No closing quotation"),
        ("broken", "executor 'broken' of fresh 0.1 (fresh_process:no_such_class) failed to load: AttributeError: "),
        ("number", "executor number of fresh 0.1 (fresh_process:os.getpid) made a int, which is no samplerbench."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(site, spec, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
        make_executor(spec)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_two_of_one_name_are_refused_with_both_origins(site):
    install(site, "other", "fresh = other:x\nworker = other:y")
    with pytest.raises(
        ValueError, match=r"executors of one name, 'fresh': .*; uninstall all but one"
    ):
        make_executor("fresh")
    with pytest.raises(ValueError, match=r"samplerbench itself and other 1 \(other:y\)"):
        make_executor("worker")
    assert type(make_executor("in-process")) is InProcess


def executor_of(name, isolated, time_limit=None, memory_limit=None):
    options = ExecutorOptions(name, isolated, memory_limit, None, None, None)
    return make_named_executor(options, time_limit)


@pytest.mark.parametrize(
    ("name", "isolated", "kind"),
    [
        (None, None, Worker),
        (None, True, Worker),
        (None, False, InProcess),
        ("worker", True, Worker),
        ("in-process", False, InProcess),
        ("in-process", None, InProcess),
    ],
)
def test_what_options_name_which(monkeypatch, name, isolated, kind):
    monkeypatch.delenv("SAMPLERBENCH_ISOLATION", raising=False)
    assert type(executor_of(name, isolated)) is kind


def test_the_environment_says_what_is_not_said_on_the_command_line(monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_ISOLATION", "0")
    assert type(executor_of(None, None)) is InProcess
    assert type(executor_of("worker", None, 3, 1)) is Worker
    assert type(executor_of(None, True)) is Worker
    assert type(workers(3)) is InProcess
    monkeypatch.setenv("SAMPLERBENCH_ISOLATION", "1")
    assert type(executor_of(None, None)) is Worker
    assert type(workers(3)) is Pool


@pytest.mark.parametrize(
    ("options", "has_workers"),
    [
        ({}, False),
        ({"executor": "worker"}, True),
        ({"isolation": True}, True),
        ({"isolation": False}, False),
        ({"executor": "in-process"}, False),
    ],
)
def test_executor_options__have_workers_unless_the_environment_or_an_option_has_none(
    monkeypatch, options, has_workers
):
    """``advise`` took no notice of the environment."""
    given = ExecutorOptions(**{"executor": None, "isolation": None} | options)
    monkeypatch.setenv("SAMPLERBENCH_ISOLATION", "0")
    assert given.has_workers == has_workers
    monkeypatch.delenv("SAMPLERBENCH_ISOLATION")
    assert given.has_workers == (has_workers or not options)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("worker", False, None, None), "--no-isolation is short for --executor in-process, and --executor worker"),
        (("in-process", True, None, None), "--isolation is short for --executor worker, and --executor in-process"),
        ((None, False, 3.0, None), "--time-limit is kept by ending the samplers' process, which --no-isolation"),
        (("in-process", None, None, 1.0), "--memory-limit is kept by ending the samplers' process, which --exec"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(given, sentence):
    with pytest.raises(ValueError, match="leave one of them out") as caught:
        executor_of(*given)
    assert str(caught.value).startswith(sentence)


def test_an_unknown_executor_is_exit_code_2_before_anything_is_made(tmp_path, site, samplerbench):
    code, _, err = samplerbench(*RUN, "--executor", "nobody", "--out", "run")
    assert code == 2
    assert "there is no executor 'nobody'; the executors are: worker, in-process, " in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_with_an_installed_executor_has_the_numbers_of_every_other(
    tmp_path, site, samplerbench, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(subprocess, "Popen", started := Mock(wraps=new_processes.Popen))
    for name in ("fresh", "in-process"):
        code, _, err = samplerbench(*RUN, "--executor", name, "--out", name)
        assert code == 0, err
    words = [call.args[0][1:] for call in started.call_args_list]
    assert words.count(["-m", "fresh_process"]) > 1
    mine, theirs = (pd.read_csv(tmp_path / name / "table.csv") for name in ("fresh", "in-process"))
    pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
