"""A run that is stopped, whose disk is full, or that is asked to try again: what is kept, what
is said, and what is computed again.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import new_processes
import pytest
import typer
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.cli.common import executor_options
from samplerbench.benchmarks.running.executors import Failure, InProcess, Worker
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.result_table import load
from samplerbench.results.run_directory import sharing as leases
from samplerbench.results.run_directory.files import read_json
from samplerbench.results.run_directory.run_dir import RunDir

DEADLY = Path(__file__).with_name("deadly.py")
PLAIN = """
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source

@dataclass(frozen=True, kw_only=True)
class Plain(LinearMultistep):
    name = "plain"
    source = Source("test", "nowhere", "https://example.org")
    order = 1

    def plan(self, grid):
        return [LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur,)) for cur, nxt in grid.intervals()]
"""
RUN = """
import new_processes, sys
new_processes.fork_from_here()  # its worker has the libraries too
sys.argv[0] = "samplerbench"
from samplerbench.benchmarks.cli import main
main()
"""
SUITE = {
    "name": "small",
    "models": ["gmm-2d"],
    "samplers": ["euler"],
    "steps": [3],
    "samples": 64,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}


def run(out, executor=None, retry=False, **change):
    suite = check_suite({**SUITE, **change}, "test")
    return quiet_run(suite, out, executor=executor, retry=retry).frame


def hanging(tmp_path, *options):
    """A run whose second cell never ends, started as a user does, once the first is there."""
    command = [
        sys.executable,
        "-c",
        RUN,
        "run",
        "smoke",
        "--model",
        "gmm-2d",
        "--sampler",
        "euler",
        "--sampler",
    ]
    command += [
        "hangs",
        "--steps",
        "3",
        "--samples",
        "64",
        "--plugin",
        str(DEADLY),
        "--no-timing",
        "--out",
        str(tmp_path / "out"),
        *options,
    ]
    tests = str(Path(new_processes.__file__).parent)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = new_processes.Popen(command, env=env, **pipes)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("parts/*euler*/*.npz")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGINT, ["--isolation"]), (signal.SIGTERM, ["--no-isolation"])]
)
def test_a_signal_stops_in_good_order_and_says_how_to_go_on(tmp_path, number, options):
    process = hanging(tmp_path, *options)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    last = said.strip().splitlines()[-1]
    assert last.startswith(
        f"stopped by {number.name} with 0 of 2 cells complete, and what is done is kept; "
        "go on with: samplerbench run smoke"
    )
    assert last.endswith(" ".join(options))
    assert len(load(tmp_path / "out")) == 2
    assert (tmp_path / "out" / "table.csv").exists()


@pytest.mark.slow
def test_a_plain_interrupt_that_a_library_made_of_the_signal_says_how_to_go_on_too(
    tmp_path, capfd, monkeypatch
):
    """As Ray does, whose waiting is in C."""
    monkeypatch.setattr(sys, "argv", ["samplerbench", "run", "quick"])

    def waits():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(typer.Exit) as stop,
        executor_options.graceful_shutdown(tmp_path, InProcess()),
    ):
        waits()
    assert stop.value.exit_code == 128 + signal.SIGTERM
    assert capfd.readouterr().err == (
        "stopped by SIGTERM before anything was sampled; go on with: samplerbench run quick\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before
    with (
        pytest.raises(KeyboardInterrupt),
        executor_options.graceful_shutdown(tmp_path, InProcess()),
    ):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker_behind(tmp_path):
    process = hanging(tmp_path, "--isolation")
    workers = children(process.pid)
    assert len(workers) == 1
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid):
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
        if os.getpgid(int(child)) == int(child)  # a worker leads a group
    ]


TROUBLES = {
    "ENOSPC": r"the disk is full: \S+00000064.npz could not be written; free some space",
    "EDQUOT": r"the quota of disk space is used up: \S+64.npz could not be written; free some space",
    "EROFS": r"64.npz could not be written \(Read-only .*\); make its file system writable",
    "EACCES": r"64.npz could not be written \(Permission denied\); give yourself the right to write",
    "EIO": r"64.npz could not be written \(Input/output error\); see to the disk, or the server",
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_cannot_be_written_is_one_sentence_with_the_file_and_a_remedy_and_keeps_the_table(
    tmp_path, monkeypatch, name
):
    number = getattr(errno, name)

    sync, synced = os.fsync, []

    def full(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if "00000000-00000064.npz" in name:
            synced.append(name)
            if len(synced) > 1:
                raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ValueError,
        match=f"{TROUBLES[name]}.* and run the same command again, what is done is kept",
    ):
        run(tmp_path / "out", samplers=["euler", "heun"])
    assert load(tmp_path / "out").frame["status"].tolist() == ["missing", "missing"]
    monkeypatch.undo()
    assert run(tmp_path / "out", samplers=["euler", "heun"])["status"].tolist() == ["ok", "ok"]


@pytest.mark.parametrize("when", ["sampled", "scored"])
def test_a_run_directory_that_is_deleted_in_mid_run_is_said_and_not_made_again(
    tmp_path, monkeypatch, when
):
    out = tmp_path / "out"
    write = {"sampled": "write_shard", "scored": "write_score"}[when]
    original = getattr(RunDir, write)

    def deleted(self, *args, **how):
        shutil.rmtree(out)
        original(self, *args, **how)

    monkeypatch.setattr(RunDir, write, deleted)
    with pytest.raises(ValueError, match="out is gone: it was deleted or moved while the run went"):
        run(out)
    assert not out.exists()


def test_a_disk_that_is_full_before_the_run_leads_is_said_too(tmp_path, monkeypatch):
    def full(*_args, **_how):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(leases.json, "dump", full)
        with pytest.raises(ValueError, match=r"the disk is full: \S+out could not be written"):
            run(tmp_path / "out")
    assert os.listdir(tmp_path / "out" / "parts") == []
    assert run(tmp_path / "out")["status"].tolist() == ["ok"]


def test_a_failed_cell_is_tried_again_only_with_retry(tmp_path, monkeypatch):
    from samplerbench.benchmarks.running.executors import tasks

    sample, calls = tasks.sample_shard, []

    def failing(*args):
        calls.append(args)
        if len(calls) == 1:
            raise ArithmeticError("no more")
        return sample(*args)

    monkeypatch.setattr(tasks, "sample_shard", failing)
    first = run(tmp_path / "out")
    assert (first["status"][0], first["reason"][0]) == ("failed", "ArithmeticError: no more")
    assert run(tmp_path / "out")["status"][0] == "failed"
    assert len(calls) == 1
    assert run(tmp_path / "out", retry=True)["status"][0] == "ok"
    run(tmp_path / "out", retry=True)
    assert len(calls) == 2, "retry computed again what was there"


def test_a_cell_that_was_killed_is_tried_again_unasked(tmp_path, monkeypatch):
    """Whoever killed it, it was not its sampler."""
    from samplerbench.benchmarks.running.executors import tasks

    sample, calls = tasks.sample_shard, []

    def killed_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise Failure("killed", "its process was killed (signal 9), twice")
        return sample(*args)

    monkeypatch.setattr(tasks, "sample_shard", killed_once)
    asked = {"samplers": ["euler", "heun"]}
    first = run(tmp_path / "out", **asked)
    first = first.set_index("status")
    assert set(first.index) == {"killed", "ok"}
    assert "signal 9" in first["reason"]["killed"]
    (drawn,) = (tmp_path / "out").glob("parts/*/0*.npz")
    kept = drawn.stat().st_mtime_ns
    assert run(tmp_path / "out", **asked)["status"].tolist() == ["ok", "ok"]
    assert drawn.stat().st_mtime_ns == kept
    assert len(calls) == 3


@pytest.mark.slow
def test_a_plugin_that_changes_under_a_run_is_refused_and_one_that_only_this_process_knows_runs_here(
    tmp_path,
):
    plugin = tmp_path / "plain.py"
    plugin.write_text(PLAIN)
    samplers.load_file(plugin)
    worker = Worker()
    with new_processes.ready():
        run(tmp_path / "out", worker, samplers=["plain"])  # the worker ends with the run
    plugin.write_text(PLAIN.replace("a=nxt / cur", "a=nxt / cur + 1"))
    with (
        new_processes.ready(),
        pytest.raises(
            ValueError,
            match="the file of sampler plain changed while the run "
            "was going on; run the same command again",
        ),
    ):
        run(tmp_path / "other", worker, samplers=["plain"])

    namespace: dict = {"__name__": "notebook"}
    sys.modules["notebook"] = type(sys)("notebook")
    try:
        exec(PLAIN.replace('"plain"', '"homemade"'), namespace)
        samplers.register(namespace["Plain"])
        with new_processes.ready():
            frame = run(tmp_path / "third", worker, samplers=["homemade"])
        assert frame["status"].tolist() == ["ok"]
    finally:
        del sys.modules["notebook"]
        worker.close()


def test_the_reason_of_a_failure_is_kept_with_the_cell(tmp_path):
    samplers.load_file(DEADLY)
    frame = run(tmp_path / "out", samplers=["raises", "sys_exits"])
    assert frame["reason"].tolist() == [
        "ZeroDivisionError: a step went wrong",
        "it called sys.exit('enough')",
    ]
    kept = [read_json(path) for path in sorted((tmp_path / "out" / "parts").glob("*/quality.json"))]
    assert [one["status"] for one in kept] == ["failed", "failed"]
