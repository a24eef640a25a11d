"""F1: a run that is stopped for longer than a cell may take, and goes on, says nothing of its cells."""

import os
import signal
import subprocess
import sys
import time

import new_processes
import pandas as pd
import pytest
from started import TESTS, children, start, wait_until

from samplerbench.results.result_table import load

SLOW = """
import time
from dataclasses import dataclass
from samplerbench.samplers import LinearMultistep, LinearRow, Source


@dataclass(frozen=True, kw_only=True)
class Slow(LinearMultistep):
    name, order, source = "slow", 1, Source("test", "nowhere", "https://example.org")

    def plan(self, grid):
        return [LinearRow(a, a=b / a, b=(1 - b / a,)) for a, b in grid.intervals()]

    def sample(self, denoise, x, grid, noise):
        if len(x) > 100:
            open(r"BEGUN", "a").close()
            time.sleep(1.0)
        return super().sample(denoise, x, grid, noise)
"""
SUITE = """
models = ["gmm-2d"]
samplers = ["slow", "euler"]
steps = [2]
samples = 600
batch_size = 300
reference_samples = 8
converged_samples = 64
timing = { enabled = false }
"""
LIMIT, PAUSE = 4, 6.0
"""Seconds that a shard may take, which takes one or two, and of a pause."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The suite, its options, and the table of a run that nobody stops."""
    folder = tmp_path_factory.mktemp("pauses")
    (folder / "suite.toml").write_text(SUITE)
    (folder / "slow.py").write_text(SLOW.replace("BEGUN", str(folder / "begun")))
    options = ("--plugin", str(folder / "slow.py"), "--jobs", "2", "--time-limit", str(LIMIT))
    with new_processes.ready():
        run = start(folder / "suite.toml", folder / "run", *options)
        assert run.process.wait(60) == 0, run.said.read_text()
    return folder, options, load(folder / "run").frame


@pytest.mark.faults
@pytest.mark.parametrize("who", ["parent", "worker", "both"])
def test_pause__longer_than_the_limit_is_no_timeout(undisturbed, tmp_path, who):
    folder, options, table = undisturbed
    (folder / "begun").unlink(missing_ok=True)
    with new_processes.ready():
        run = start(folder / "suite.toml", tmp_path / "run", *options)
        wait_until((folder / "begun").exists, "a shard has begun")
        stopped = [run.process.pid] * (who != "worker") + run.workers * (who != "parent")
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        assert run.process.wait(60) == 0, run.said.read_text()
    pd.testing.assert_frame_equal(load(tmp_path / "run").frame, table, check_exact=True)
    assert set(table["status"]) == {"ok"}


TASKS = """
import new_processes, os, sys, time
new_processes.fork_from_here()
from pathlib import Path
from samplerbench.benchmarks.running.executors import Call, Worker
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext

worker, context, folder = Worker(), WorkerContext(WorkerConfig.of_this_process({}, "cpu")), Path(sys.argv[1])
worker.run(Call(os.getpid), context)
for number in range(3):
    (folder / f"{number}").touch()
    worker.run(Call(time.sleep, (0.5,)), context, limit=1.3)
worker.close()
"""


@pytest.mark.slow
def test_worker__a_pause_of_either_process_is_no_time_of_the_task(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", TASKS, str(tmp_path)]
    with new_processes.ready(), (tmp_path / "said").open("wb") as said:
        parent = new_processes.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            for number in range(3):
                wait_until((tmp_path / f"{number}").exists, "the task has begun")
                stopped = [[parent.pid], children(parent.pid), [*children(parent.pid), parent.pid]]
                for pid in stopped[number]:
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(1.5)
                for pid in stopped[number]:
                    os.kill(pid, signal.SIGCONT)
            assert parent.wait(60) == 0, (tmp_path / "said").read_text()
        finally:
            parent.kill()
            parent.wait()
