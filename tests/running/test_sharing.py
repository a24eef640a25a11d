"""Several processes on one run directory make one table, whoever of them is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import new_processes
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from new_runs import new_run
from quiet_runs import quiet_run, quiet_setup
from rich.console import Console

from samplerbench import samplers
from samplerbench.benchmarks.running import runner
from samplerbench.benchmarks.running.progress import ProgressReporter
from samplerbench.benchmarks.running.shards import (
    LONGEST_PAUSE,
    PAUSE,
    draw_for_leader,
    groups_of_like_cost,
    seconds_until_next_scan,
)
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.result_table import load
from samplerbench.results.run_directory import sharing as leases
from samplerbench.results.run_directory.layout import LEASE
from samplerbench.results.run_directory.sharing import FOLDER, STALE, Claims, Lead

SUITE = """
models = ["gmm-64d"]
samplers = ["euler", "heun", "ddpm", "dpmpp_2m"]
nfe = [40]
samples = 1024
batch_size = 64
reference_samples = 16
converged_samples = 64
timing = { enabled = false }
"""


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The suite's file, and the table of a run in one process."""
    folder = tmp_path_factory.mktemp("serial")
    path = folder / "many.toml"
    path.write_text(SUITE)
    suite = check_suite({"name": "many", **tomllib.loads(SUITE)}, str(path))
    return path, quiet_run(suite, folder / "run").frame


LOCKS = {
    "kernel": "",
    "none": "fcntl.flock = lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, 'none'))",
    "silent": "fcntl.flock = lambda *_: None",
}
"""What file systems make of locks."""


def started(suite, out, locks="kernel"):
    command = [
        sys.executable,
        "-c",
        f"import errno, fcntl, runpy; {LOCKS[locks]}\n"
        "from samplerbench.results.run_directory import sharing; sharing.BEAT = 1.0\n"
        "runpy.run_module('samplerbench.benchmarks', run_name='__main__', alter_sys=True)",
        "run",
        str(suite),
        "--out",
        str(out),
    ]
    environment = {**os.environ, "SAMPLERBENCH_ISOLATION": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def shards(out):
    return {p: p.stat().st_mtime_ns for p in Path(out).glob("parts/*/*-*.npz")}


@pytest.mark.slow
def test_three_processes_make_the_table_of_one_and_two_of_them_are_killed(serial, tmp_path):
    """The one that leads, and one that follows; two of them on a machine without locks."""
    path, table = serial
    out = tmp_path / "run"
    with new_processes.ready():
        three = [started(path, out, locks) for locks in LOCKS]
        _wait_for(lambda: len(shards(out)) >= 2)
        kept = shards(out)
        three[0].kill()
        three[1].kill()
        for process in three:
            process.communicate()
        if three[2].returncode:  # it had not come to its place when the others were killed
            started(path, out).communicate()
    found = load(out).frame
    assert all(shards(out)[name] == when for name, when in kept.items())
    pd.testing.assert_frame_equal(found, table, check_exact=True)
    assert not (out / FOLDER).exists()
    assert not list(out.rglob("*.part"))


def _wait_for(there):
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def small(**changes):
    return check_suite(
        {
            "name": "small",
            "models": ["gmm-2d"],
            "samplers": ["euler", "heun"],
            "steps": [2],
            "samples": 1100,
            "batch_size": 128,
            "reference_samples": 8,
            "converged_samples": 64,
            "timing": {"enabled": False},
            **changes,
        },
        "test",
    )


@pytest.mark.slow
def test_one_that_joins_draws_what_the_leader_has_not(tmp_path):
    """The leader holds the lock, and has one shard."""
    whole = quiet_run(small(), tmp_path / "whole").frame
    out = tmp_path / "run"
    quiet_run(small(samples=512), out)  # so that cells are planned
    directory, claims = new_run(out), Claims(out)
    helper = quiet_setup(small(), out, join=True)
    cells = [cell.key for cell in helper.cells]
    with directory.lock():
        claims.publish_plan(cells)
        assert claims.take(cells[0], 512, 1024)

        def leader_ends(*_):
            claims.release(cells[0], 512, 1024)

        timer = threading.Timer(0.7, leader_ends)
        timer.start()
        with ProgressReporter(Console(quiet=True), {}, 1.0) as report:
            assert not draw_for_leader(helper, report), "the leader is there still"
        timer.join()
        claims.delete_claims()
    assert len(shards(out)) == 6
    pd.testing.assert_frame_equal(quiet_run(small(), out).frame, whole, check_exact=True)


def test_one_that_has_other_cells_is_told_who_is_there(tmp_path):
    out = tmp_path / "run"
    directory, claims = new_run(out), Claims(out)
    other = quiet_setup(small(samplers=["ddpm"]), out, join=True)
    with directory.lock():
        claims.publish_plan(["another-cell"])
        with pytest.raises(ValueError, match="another samplerbench process is running"):
            runner.run_or_join(other)
        claims.delete_claims()


@pytest.mark.slow
def test_one_that_joined_goes_on_where_the_leader_ended(tmp_path):
    """As by Ctrl-C, which takes the claims away."""
    out = tmp_path / "run"
    quiet_run(small(samples=512), out)  # so that cells are planned
    directory, claims = new_run(out), Claims(out)
    helper, tables = quiet_setup(small(), out, join=True), []
    runs = threading.Thread(target=lambda: tables.append(runner.run_or_join(helper)))
    with directory.lock():
        claims.publish_plan([cell.key for cell in helper.cells])
        for cell in helper.cells:  # it has all of them, and draws none
            for start, stop in [(512, 1024), (1024, 1100)]:
                assert claims.take(cell.key, start, stop)
        runs.start()
        time.sleep(1)
        assert runs.is_alive()
        claims.delete_claims()
    runs.join(120)
    assert list(tables[0].frame["status"]) == ["ok", "ok"]


def test_one_that_slept_follows_the_one_that_took_over(tmp_path, monkeypatch):
    """On a machine whose locks the other one does not see."""
    whole = quiet_run(small(), tmp_path / "whole").frame
    out, name = tmp_path / "run", leases._host_id
    setup = quiet_setup(small(), out, join=True)
    monkeypatch.setattr(leases, "LATE", 0.0)  # as if a minute had gone by at each look
    monkeypatch.setattr(leases, "_host_id", lambda: "elsewhere")
    other, claims = Lead(out), Claims(out)
    monkeypatch.setattr(leases, "_host_id", name)

    said = ""

    class Sleeps(type(setup.executor)):
        def map(self, tasks, context, **how):
            nonlocal said
            for result in super().map(tasks, context, **how):
                if type(tasks[0]).__name__ == "ShardTask" and not other.is_held:
                    monkeypatch.setattr(leases, "STALE", -1.0)
                    assert other._leases.take(out / LEASE)
                    monkeypatch.setattr(leases, "STALE", 60.0)
                    claims.publish_plan([cell.key for cell in setup.cells])
                    said = (out / "claims" / "plan.json").read_text()
                yield result
            if type(tasks[0]).__name__ == "ShardTask":
                assert (out / "claims" / "plan.json").read_text() == said

    assert runner.run_or_join(replace(setup, executor=Sleeps())) is None
    assert len(shards(out)) == 6, "it drew what was left, and nothing else"
    assert not list(out.glob("parts/*/quality.json"))
    assert not (out / "table.csv").exists()
    other.check()
    claims.delete_claims()
    other._leases.close()
    pd.testing.assert_frame_equal(quiet_run(small(), out).frame, whole, check_exact=True)


def test_one_that_finds_nobody_leads(tmp_path):
    table = runner.run_or_join(quiet_setup(small(), tmp_path / "run", join=True))
    assert table is not None
    assert list(table.frame["status"]) == ["ok", "ok"]
    assert not (tmp_path / "run" / FOLDER).exists()


@pytest.mark.slow
def test_a_failure_of_one_that_joined_is_the_row(tmp_path):
    """The leader hears of it, and nobody draws the cell's other shards."""
    out = tmp_path / "run"
    samplers.load_file(Path(__file__).with_name("deadly.py"))
    setup = quiet_setup(small(samplers=["raises", "euler"]), out, join=True)
    alone = quiet_run(small(samplers=["raises", "euler"]), tmp_path / "alone").frame
    noted = Claims(out)

    class Noting(type(setup.executor)):
        """The leader's executor, beside which another process fails."""

        def map(self, tasks, context, **how):
            if type(tasks[0]).__name__ == "ShardTask":
                reason = alone.loc[alone["sampler"] == "raises", "reason"].item()
                raises = next(task.cell.key for task in tasks if task.cell.sampler.name == "raises")
                assert noted.planned_cells()
                noted.note_failure(raises, 0, "failed", reason)
            return super().map(tasks, context, **how)

    frame = runner.run(replace(setup, executor=Noting())).frame
    pd.testing.assert_frame_equal(frame, alone, check_exact=True)


def test_signals_give_claims_back(tmp_path):
    """An interrupt leaves no claim that others would wait for."""
    setup = quiet_setup(small(), tmp_path / "run", join=True)

    class Interrupted(type(setup.executor)):
        def map(self, tasks, context, **how):
            for count, one in enumerate(super().map(tasks, context, **how)):
                if count and type(tasks[0]).__name__ == "ShardTask":
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(10)
                yield one

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.run(replace(setup, executor=Interrupted()))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (tmp_path / "run" / FOLDER).exists()


@given(costs=st.lists(st.integers(0, 300), max_size=40), turn=st.floats(0, 1, exclude_max=True))
def test_each_shard_has_its_turn_once_and_the_long_ones_first(costs, turn):
    shards = list(enumerate(costs))
    groups = groups_of_like_cost(shards, lambda shard: float(shard[1]), turn)
    assert sorted(shard for group in groups for shard in group) == shards
    for longer, shorter in pairwise(groups):
        assert min(cost for _, cost in longer) > max(cost for _, cost in shorter)
    for group in groups:
        assert max(cost for _, cost in group) < 2 * max(1, min(cost for _, cost in group))
        assert sum(a > b for (a, _), (b, _) in pairwise(group)) <= 1, "in the plan's order, turned"
    if not turn:
        assert all(group == sorted(group) for group in groups)


def test_who_waits_looks_the_more_seldom_the_longer_it_takes():
    assert seconds_until_next_scan(0.0) == seconds_until_next_scan(0.01) == PAUSE
    assert seconds_until_next_scan(0.5) == 4.5
    assert seconds_until_next_scan(100.0) == LONGEST_PAUSE


@pytest.mark.slow
def test_what_is_listed_is_not_claimed_and_a_dead_claim_is_taken_in_the_end(tmp_path):
    """A process that passes shards of others asks about none of them, and yet draws that of a dead
    one, before it ends.
    """
    out = tmp_path / "run"
    quiet_run(small(samples=512), out)  # so that cells are planned
    setup = quiet_setup(small(), out, join=True)
    dead = Claims(out)
    dead.publish_plan([])
    cell = setup.cells[0].key
    assert dead.take(cell, 512, 1024)
    dead._leases._stopped.set()  # nobody touches it any more
    claim = out / FOLDER / f"{cell}.00000512-00001024"
    claim.write_text('{"host": "another", "pid": 1, "born": "1"}')
    old = time.time() - 2 * STALE
    os.utime(claim, (old, old))
    asked, take = [], Claims.take

    def noted(self, key, start, stop):
        asked.append((key, start))
        return take(self, key, start, stop)

    with mock.patch.object(Claims, "take", noted):
        table = runner.run(setup)
    assert list(table.frame["status"]) == ["ok", "ok"]
    assert asked.count((cell, 512)) == 1
    assert asked[-1] == (cell, 512)
