"""Tasks that tamper with the process that runs them: what was asked for, or a failure with its reason,
and the next one has its own result.
"""

import os
import signal
import stat
import threading
import time

import new_processes
import pytest

from samplerbench.benchmarks.running.executors import Call, Failure, Worker
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext

CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


@pytest.fixture(scope="module")
def worker():
    with new_processes.ready():
        made = Worker()
        yield made
        made.close()


def _writes_into_the_connection():
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, b"\0\0\0\5abcde")
        except OSError:
            continue
    time.sleep(60)


def _closes_everything():
    os.closerange(3, 256)
    time.sleep(60)


def _stops():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "status", "reason"),
    [
        (
            _writes_into_the_connection,
            "crashed",
            "its process wrote into the connection to its parent, and was ended",
        ),
        (
            _closes_everything,
            "crashed",
            "its process closed the connection to its parent, and was ended",
        ),
        (_stops, "timed out", "no result after 1 s"),
    ],
)
def test_it_is_a_failure_with_its_reason_and_the_next_one_runs(
    worker, task, status, reason, monkeypatch
):
    monkeypatch.setattr("samplerbench.benchmarks.running.executors.worker.STOPPED", 0.5)
    with pytest.raises(Failure) as raised:
        worker.run(Call(task), CONTEXT, limit=1 if status == "timed out" else 50)
    assert raised.value.status == status
    assert raised.value.reason.startswith(reason)
    assert worker.run(Call(abs, (-1,)), CONTEXT) == 1


def _returns_twice():
    if os.fork() == 0:
        time.sleep(0.3)
        return "the fork's"
    return "its own"


def test_what_a_fork_returns_is_no_result_of_the_next_task(worker):
    """It has the connection too, and its answer came when the next one was waited for."""
    assert worker.run(Call(_returns_twice), CONTEXT) == "its own"
    assert worker.run(Call(time.sleep, (1,)), CONTEXT) is None
    assert worker.run(Call(abs, (-3,)), CONTEXT) == 3


class _Unkind:
    def __del__(self):
        raise ValueError("on its way out")


def _leaves_things_behind(path):
    threading.Thread(target=time.sleep, args=(600,)).start()
    unkind = _Unkind()
    del unkind
    child = os.fork()
    if child == 0:
        time.sleep(600)
    path.write_text(f"{child}")
    return "done"


def test_what_a_task_leaves_behind_ends_with_the_process(worker, tmp_path):
    assert worker.run(Call(_leaves_things_behind, (tmp_path / "pid",)), CONTEXT) == "done"
    child = int((tmp_path / "pid").read_text())
    assert _state(child) in "SR"
    worker.close()
    deadline = time.monotonic() + 20
    while _state(child) not in ("", "Z"):  # nobody has asked after it yet
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
