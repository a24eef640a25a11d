"""A run whose samplers crash, hang, exit, leak and raise finishes: each is a row with its
reason, and the others are as if alone.
"""

import os
from pathlib import Path

import new_processes
import pandas as pd
import pytest
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.running.executors import InProcess, Worker
from samplerbench.benchmarks.suites.suite import check_suite

DEADLY = Path(__file__).with_name("deadly.py")
BAD = {
    "hangs": (
        "timed out",
        r"no result after \d+ s, in step \(deadly.py, line \d+\); "
        r"--retry --time-limit SECONDS gives it longer",
    ),
    "segfaults": (
        "crashed",
        r"its process ended with signal 11 \(segmentation fault\), "
        r"in step \(deadly.py, line \d+\)",
    ),
    "sys_exits": ("failed", r"it called sys.exit\('enough'\)"),
    "leaks": (
        "crashed",
        r"its process held more than 0.684 GiB of memory, in step "
        r"\(deadly.py, line \d+\), and was ended; --retry --memory-limit GIB allows more",
    ),
    "raises": ("failed", r"ZeroDivisionError: a step went wrong"),
    "spawns": (
        "crashed",
        r"its process ended itself with exit code 5, before it had a "
        r"result \(os._exit or the like\)",
    ),
}
GOOD = ["good", "heun", "ddpm"]
SUITE = {
    "name": "deadly",
    "models": ["gmm-2d"],
    "steps": [3],
    "samples": 600,
    "batch_size": 64,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}


@pytest.fixture(scope="module")
def plugin():
    samplers.load_file(DEADLY)


def run(out, names, executor, **how):
    suite = check_suite({**SUITE, "samplers": names}, "test")
    return quiet_run(suite, out, executor=executor, **how).frame


@pytest.fixture(scope="module")
def frames(plugin, tmp_path_factory):
    """The table of a run with bad samplers between good ones, and that of the good ones alone
    in this process.
    """
    mixed = (
        [name for pair in zip(GOOD, list(BAD)[:3], strict=True) for name in pair]
        + list(BAD)[3:]
        + ["euler"]
    )
    folder = tmp_path_factory.mktemp("runs")
    with new_processes.ready():
        one = run(folder / "mixed", mixed, Worker(memory=700 * 2**20), time_limit=4)
    return one, run(folder / "good", [*GOOD, "euler"], InProcess())


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_deadly_sampler_is_a_row_with_its_reason(frames, name):
    (row,) = frames[0].loc[frames[0]["sampler"] == name].to_dict("records")
    status, reason = BAD[name]
    assert row["status"] == status
    assert pd.Series([row["reason"]]).str.fullmatch(reason).all(), row["reason"]


@pytest.mark.slow
def test_the_others_are_bit_for_bit_those_of_a_run_without_it(frames):
    mixed, good = (
        (frame.loc[frame["sampler"].isin([*GOOD, "euler"])].reset_index(drop=True))
        for frame in frames
    )
    assert len(mixed) == len(GOOD) + 1
    assert (mixed["status"] == "ok").all()
    pd.testing.assert_frame_equal(mixed, good, check_exact=True)


def test_run__threads_spin_shortly_unless_times_are_measured(samplerbench, monkeypatch):
    names = "GOMP_SPINCOUNT", "OPENBLAS_THREAD_TIMEOUT"
    for name in (*names, "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    for options, values in (([], [None, None]), (["--no-timing"], ["10000", "4"])):
        for name in (*names, "OMP_WAIT_POLICY"):
            os.environ.pop(name, None)
        assert samplerbench("run", "smoke", "--sampler", "none_such", *options)[0] == 2
        assert [os.environ.get(name) for name in names] == values
