"""SIGINT and SIGTERM at random moments, once and twice: the run says how to go on, leaves no process
behind, and ends as the serial one when it is run again.
"""

import signal
import time
from collections import Counter
from random import Random

import pandas as pd
import pytest
from started import alive, descendants, left_behind, phase, shards, start, wait_until

from samplerbench.results.result_table import load


class Signals:
    """Signals to runs of one suite, in one directory after the other.

    Args:
        suite: its file.
        folder: for run directories.
        seed: of the moments.
    """

    def __init__(self, suite, folder, seed):
        self._suite, self._folder, self._random = suite, folder, Random(seed)
        self.moments, self.seconds = Counter(), 0.0

    def measure(self):
        """How long a whole run takes here, from when it can be stopped."""
        run = start(self._suite, self._folder / "whole", "--jobs", "2")
        wait_until(lambda: run.stoppable, "it never began")
        begin = time.monotonic()
        run.ended()
        self.seconds = time.monotonic() - begin

    def once(self, out, number, *, twice=False):
        """Send a signal at a random moment; whether the run ended before."""
        run = start(self._suite, out, "--jobs", "2")
        wait_until(lambda: run.stoppable or run.process.poll() is not None, "it never began")
        time.sleep(self._random.uniform(0, self.seconds))
        if run.process.poll() is not None:
            return True
        theirs, where = descendants(run.process.pid), phase(out)
        run.process.send_signal(number)
        if twice:
            time.sleep(self._random.choice((0, 0.01, 0.1)))
            run.process.send_signal(number)
        said = run.ended()
        code = run.process.returncode
        wait_until(lambda: not any(map(alive, theirs)), "processes are left behind")
        if code == 0:  # it was done already
            return True
        # once the run is over, its report is written, which ends as any program does
        over = twice or where == "table"
        assert code == 128 + number or (over and code == -number), said
        if not over:
            last = said.strip().splitlines()[-1]
            assert last.startswith(f"stopped by {signal.Signals(number).name} "), said
            assert "go on with: samplerbench run " in last
            assert not (out / "claims").exists()
        self.moments[f"{signal.Signals(number).name} {where}{' twice' * twice}"] += 1
        return False


def ended_by_signals(signals, out, suite, table, twice):
    for count, again in enumerate(twice):
        kept = shards(out)
        number = (signal.SIGINT, signal.SIGTERM)[count % 2]
        if signals.once(out, number, twice=again):
            break
        assert kept.items() <= shards(out).items(), "a finished shard was computed again"
    run = start(suite, out, "--jobs", "2")
    assert not run.ended().count("stopped by")
    pd.testing.assert_frame_equal(load(out).frame, table, check_exact=True)
    assert not left_behind(out)


@pytest.mark.faults
def test_signals_at_random_moments(suite, serial, tmp_path):
    signals = Signals(suite, tmp_path, 18)
    signals.measure()
    directories = 0
    while signals.moments.total() < 16:
        directories += 1
        ways = [directories % 2 == 0, directories % 3 == 0]
        ended_by_signals(signals, tmp_path / f"run-{directories}", suite, serial, ways)
        assert directories < 50, signals.moments
    print(f"\n{signals.moments.total()} stops in {directories} directories: {signals.moments}")
