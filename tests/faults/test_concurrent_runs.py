"""Two and three runs in one directory, of which some are killed, and some sleep for a while."""

import signal
import time
import tomllib
from collections import Counter
from random import Random

import pandas as pd
import pytest
from quiet_runs import quiet_run
from started import alive, left_behind, phase, shards, start, wait_until

from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.result_table import load
from samplerbench.results.run_directory.sharing import FOLDER, PLAN

SUITE = """
models = ["gmm-64d"]
samplers = ["euler", "ddpm", "dpmpp_2m"]
nfe = [40]
samples = 2100
batch_size = 64
reference_samples = 8
converged_samples = 64
timing = { enabled = false }
"""
"""Five shards of each cell, which take long enough to be shared."""

BRIEF = """
from samplerbench.results.run_directory import sharing
sharing.BEAT, sharing.LATE, sharing.STALE = 0.2, 0.5, 2.0
"""
ELSEWHERE = BRIEF + "sharing._host_id = lambda: 'elsewhere'\n"
"""As on another machine, where nobody sees which processes live."""

MOST = 4
"""Kills in one directory, after which its runs may end."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "wide.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def serial(suite):
    checked = check_suite({"name": suite.stem, **tomllib.loads(SUITE)}, str(suite))
    begin = time.monotonic()
    return quiet_run(checked, suite.with_name("serial")).frame, time.monotonic() - begin


def as_if_nothing_had_happened(out, table):
    pd.testing.assert_frame_equal(load(out).frame, table, check_exact=True)
    assert not left_behind(out)


def killed_among(suite, out, number, seconds, random, *options):
    """Start runs in one directory and kill some of them, until those that are left have ended; how
    many were killed, and at which moments.
    """
    runs, victims, moments = [start(suite, out, *options) for _ in range(number)], [], Counter()
    kept = {}
    while runs:
        moment = time.monotonic() + random.uniform(0.1, seconds)
        while time.monotonic() < moment and any(run.process.poll() is None for run in runs):
            time.sleep(0.005)
        for run in [run for run in runs if run.process.poll() is not None]:
            assert run.process.returncode == 0, run.ended()
            runs.remove(run)
        if runs and moments.total() < MOST:
            run = random.choice(runs)
            runs.remove(run)
            victims += run.kill()
            moments[phase(out)] += 1
            now = shards(out)
            assert {name: digest for name, (_, digest) in kept.items()}.items() <= {
                name: digest for name, (_, digest) in now.items()
            }.items(), "a finished shard is another one"
            kept = now
            if random.random() < 0.7 or not runs:
                runs.append(start(suite, out, *options))
    wait_until(lambda: not any(map(alive, victims)), "processes are left behind")
    return moments


@pytest.mark.faults
@pytest.mark.parametrize("number", [2, 3])
def test_kills_among_runs_that_share_a_directory(suite, serial, tmp_path, number):
    table, seconds = serial
    random, moments = Random(number), Counter()
    for trial in range(4):
        options = ["--jobs", "2"] if trial % 3 == 2 else ["--no-isolation"]
        out = tmp_path / f"run-{trial}"
        moments += killed_among(suite, out, number, seconds, random, *options)
        as_if_nothing_had_happened(out, table)
    print(f"\n{moments.total()} kills among {number} runs: {moments}")
    assert moments.total() >= 6


@pytest.mark.faults
def test_one_that_sleeps_while_its_claim_is_taken_over_does_no_harm(suite, serial, tmp_path):
    """A process of another machine, that is stopped while it draws a shard."""
    out = tmp_path / "run"
    leader = start(suite, out, "--no-isolation", first=BRIEF)
    wait_until(lambda: (out / FOLDER / PLAN).exists(), "nobody leads")
    sleeper = start(suite, out, "--no-isolation", first=ELSEWHERE)

    def claims_of_it():
        return [p for p in out.glob(f"{FOLDER}/*-*") if "elsewhere" in p.read_text()]

    wait_until(claims_of_it, "it had no share")
    sleeper.process.send_signal(signal.SIGSTOP)
    held = claims_of_it()
    leader.ended()
    assert leader.process.returncode == 0
    as_if_nothing_had_happened(out, serial[0])
    assert held, "it was stopped while it drew a shard"
    sleeper.process.send_signal(signal.SIGCONT)
    sleeper.ended()
    assert sleeper.process.returncode == 0
    as_if_nothing_had_happened(out, serial[0])


@pytest.mark.faults
def test_a_leader_that_sleeps_is_waited_for(suite, serial, tmp_path):
    """It has the lock, and so nobody else can lead; who draws all that is missing meanwhile may end."""
    out = tmp_path / "run"
    leader = start(suite, out, "--no-isolation", first=BRIEF)
    wait_until(lambda: (out / FOLDER / PLAN).exists(), "nobody leads")
    leader.process.send_signal(signal.SIGSTOP)
    other = start(suite, out, "--no-isolation", first=ELSEWHERE)
    before = len(shards(out))
    time.sleep(6)
    assert not (out / "table.csv").exists()
    assert len(shards(out)) <= before + 15
    leader.process.send_signal(signal.SIGCONT)
    for run in (leader, other):
        run.ended()
        assert run.process.returncode == 0
    as_if_nothing_had_happened(out, serial[0])
