"""``kill -9`` of workers and of whole runs, at random moments: the table is the serial one, nothing
that was finished is computed again, and nothing is left behind.
"""

import os
import signal
import time
from collections import Counter
from random import Random

import pandas as pd
import pytest
from started import alive, left_behind, phase, shards, start, wait_until

from samplerbench.results.result_table import load

MOST = 6
"""Kills in one directory, after which its run may end."""


class Campaign:
    """Kills of runs of one suite.

    Args:
        suite: its file.
        serial: its table.
        folder: for run directories.
        seed: of the moments and the victims.
    """

    def __init__(self, suite, serial, folder, seed):
        self._suite, self._serial, self._folder = suite, serial, folder
        self._random, self.seconds = Random(seed), 0.0
        self.kills, self.moments, self.directories = 0, Counter(), 0

    def directory(self, jobs):
        """Run the suite in a new directory, with kills, until it is done."""
        self.directories += 1
        out = self._folder / f"run-{self.directories}"
        options = ["--jobs", str(jobs)]
        if not self.seconds:  # how long one takes here that nothing happens to
            begin = time.monotonic()
            whole = start(self._suite, out.with_name("whole"), *options)
            assert not whole.ended().count("samplerbench:")
            self.seconds = time.monotonic() - begin
        before = self.kills
        while True:
            kept = shards(out)
            done = self._killed_or_done(out, options, self.kills - before)
            now = shards(out)
            assert kept.items() <= now.items(), "a finished shard was computed again"
            if done and self._complete(out):
                break
        self._as_if_nothing_had_happened(out)

    def _killed_or_done(self, out, options, kills):
        """Start a run and kill in it; whether it came to its end."""
        run, victims, begin, untouched = (
            start(self._suite, out, *options),
            [],
            time.monotonic(),
            True,
        )
        while kills < MOST:
            moment = time.monotonic() + self._random.uniform(0, self.seconds)
            while run.process.poll() is None and time.monotonic() < moment:
                time.sleep(0.005)
            if run.process.poll() is not None:
                if untouched:  # moments later than that would miss it again
                    self.seconds = min(self.seconds, time.monotonic() - begin)
                break
            kills, untouched = kills + 1, False
            if self._random.random() < 0.6 and self._kill_a_worker(run, out):
                continue
            self.kills += 1
            victims += run.kill()
            self.moments[f"run: {phase(out)}"] += 1
            break
        code = run.process.wait(120)
        said = run.ended()
        wait_until(lambda: not any(map(alive, victims)), "processes are left behind")
        assert code in (0, 1, 2, -9), said
        return code >= 0

    def _kill_a_worker(self, run, out):
        """Whether there was one."""
        workers = run.workers
        if not workers:
            return False
        os.kill(self._random.choice(workers), signal.SIGKILL)
        self.kills += 1
        self.moments[f"worker: {phase(out)}"] += 1
        return True

    def _complete(self, out):
        return set(load(out).frame["status"]) == {"ok"}

    def _as_if_nothing_had_happened(self, out):
        pd.testing.assert_frame_equal(load(out).frame, self._serial, check_exact=True)
        assert not left_behind(out)


@pytest.mark.faults
def test_a_hundred_kills_at_random_moments(suite, serial, tmp_path):
    campaign = Campaign(suite, serial, tmp_path, 18)
    while campaign.kills < 100:
        campaign.directory(jobs=2 + campaign.directories % 3)
    print(f"\n{campaign.kills} kills in {campaign.directories} directories: {campaign.moments}")


@pytest.mark.slow
def test_a_worker_and_then_the_run_are_killed_while_they_sample(suite, serial, tmp_path):
    out = tmp_path / "run"
    first = start(suite, out, "--jobs", "2")
    wait_until(lambda: shards(out) or first.process.poll() is not None, "nothing is sampled")
    os.kill(first.workers[0], signal.SIGKILL)
    wait_until(lambda: len(shards(out)) > 3 or first.process.poll() is not None, "no more is")
    victims, kept = first.kill(), shards(out)
    wait_until(lambda: not any(map(alive, victims)), "processes are left behind")
    assert start(suite, out, "--jobs", "2").process.wait(120) == 0
    assert kept.items() <= shards(out).items()
    assert len(kept) > 3
    pd.testing.assert_frame_equal(load(out).frame, serial, check_exact=True)
    assert not left_behind(out)
