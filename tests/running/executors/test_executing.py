"""The executors: what comes back, what is a failure, what a task looks like to another process,
and how long a shard may take.
"""

import math
import operator
import os
import pickle
import sys
import threading
import time
from dataclasses import replace

import new_processes
import numpy as np
import pytest
import torch

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.executors import Call, Failure, InProcess, Worker, transport
from samplerbench.benchmarks.running.executors import worker as worker_module
from samplerbench.benchmarks.running.executors.process_state import (
    default_memory_limit,
    describe_exit,
    memory_of,
    place_in_code,
)
from samplerbench.benchmarks.running.executors.shard_limits import (
    GENEROUS,
    SHORTEST,
    ShardTimeLimits,
    evaluations_per_second,
)
from samplerbench.benchmarks.running.executors.tasks import ShardTask
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.sampling.engine import engine_of
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import from_function, make_model

CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.close()


def test_in_process__a_deleted_working_folder_fails_no_task(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert InProcess().run(Call(math.hypot, (3, 4)), CONTEXT) == 5


def test_in_process__the_random_generators_of_a_notebook_go_on_as_without_a_task():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    InProcess().run(Call(torch.rand, (5,)), CONTEXT)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.slow
def test_both_executors_give_what_a_function_returns_and_a_failure_for_what_it_raises(worker):
    for executor in (InProcess(), worker):
        assert executor.run(Call(math.hypot, (3, 4)), CONTEXT) == 5
        with pytest.raises(Failure, match="ValueError: math domain error") as caught:
            executor.run(Call(math.sqrt, (-1,)), CONTEXT)
        assert caught.value.status == "failed"
        with pytest.raises(Failure, match=r"it called sys.exit\(7\)"):
            executor.run(Call(exit, (7,)), CONTEXT)
        with pytest.raises(Failure, match="Unusual: past all nets"):
            executor.run(Call(_past_all_nets), CONTEXT)


class Unusual(BaseException):
    """What ``except Exception`` lets pass."""


def _past_all_nets():
    raise Unusual("past all nets")


@pytest.mark.slow
def test_a_worker_is_replaced_when_it_dies_or_has_to_be_ended(worker):
    with pytest.raises(
        Failure, match="ended itself with exit code 0, before it had a result"
    ) as crashed:
        worker.run(Call(os._exit, (0,)), CONTEXT)
    assert crashed.value.status == "crashed"
    with new_processes.ready():  # those that replace it
        begin = time.monotonic()
        with pytest.raises(Failure, match="no result after 1 s") as late:
            worker.run(Call(time.sleep, (600,)), CONTEXT, limit=1)
        assert late.value.status == "timed out"
        assert time.monotonic() - begin < 120
        assert worker.run(Call(math.hypot, (3, 4)), CONTEXT) == 5


def test_worker__a_fork_is_as_good_as_a_fresh_process(monkeypatch):
    monkeypatch.setattr(worker_module, "can_fork", lambda: True)  # pytest's thread computes nothing
    worker = Worker()
    worker.start(fork=True)
    try:
        forked = worker.run(Call(os.getpid), CONTEXT)
        assert worker.run(Call(os.getppid), CONTEXT) == os.getpid() != forked
        assert worker.run(Call(os.getpgid, (0,)), CONTEXT) == forked
        assert worker.run(Call(math.hypot, (3, 4)), CONTEXT) == 5
        assert worker.run(Call(os.read, (0, 1)), CONTEXT) == b""
        with pytest.raises(Failure, match=r"in wait_for_ever \(test_executing.py, line \d+\)"):
            worker.run(Call(wait_for_ever), CONTEXT, limit=0.2)
        worker.start(fork=True)
        with pytest.raises(Failure, match="ended itself with exit code 3"):
            worker.run(Call(os._exit, (3,)), CONTEXT)
        with new_processes.ready():  # one that replaces it is never a fork: this process computed
            assert worker.run(Call(os.getpid), CONTEXT) not in (forked, os.getpid())
    finally:
        worker.close()


def wait_for_ever():
    time.sleep(600)


def test_can_fork__not_beside_another_thread_nor_a_gpu(monkeypatch, tmp_path):
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    assert not worker_module.can_fork()
    waiting.set()
    thread.join()
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # pytest's thread computes nothing
    monkeypatch.setattr(worker_module, "GPUS", ())
    monkeypatch.setattr("sys.stdout", None)  # as Python has it where the shell's >&- closed it
    assert worker_module.can_fork() == (not torch.cuda.is_available())
    monkeypatch.setattr(worker_module, "GPUS", (str(tmp_path),))
    assert not worker_module.can_fork()


@pytest.mark.slow
def test_what_cannot_be_sent_runs_here(worker):
    assert worker.run(Call(lambda: os.getpid()), CONTEXT) == os.getpid()
    assert worker.run(Call(os.getpid), CONTEXT) != os.getpid()


def test_a_result_that_cannot_be_sent_is_a_failure(worker):
    with pytest.raises(Failure, match="its result cannot be sent"):
        worker.run(Call(open, (os.devnull,)), CONTEXT)


def cells(**change):
    suite = {
        "name": "t",
        "models": ["gmm-64d"],
        "samplers": ["euler"],
        "nfe": [5],
        "samples": 40,
        "batch_size": 16,
    }
    suite = check_suite({**suite, **change}, "test")
    models = load_models(suite)
    references = load_references(models)
    return models, references, plan(suite, models, references)


@pytest.mark.slow
def test_a_task_that_was_sent_gives_the_same_arrays_for_every_kind_of_cell(monkeypatch):
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 2)
    samplers = [
        "auto",
        "ddpm",
        "ddim(eta=0.5)",
        "dpmpp_3m_sde",
        "scipy_rk45",
        "dpm_solver_adaptive_23",
    ]
    models, references, planned = cells(
        samplers=samplers, start=["noise", "mean", "gaussian"], tolerances=[1e-2], noise="brownian"
    )
    extractors = {name: reference.extractor for name, reference in references.items()}
    here, there = (
        WorkerContext(WorkerConfig.of_this_process({}, "cpu"), models, extractors),
        WorkerContext(WorkerConfig.of_this_process({}, "cpu")),
    )
    assert len(planned) == 18
    chosen = [cell for cell in planned if cell.start.name == "noise" or cell.sampler.name == "ddpm"]
    assert len(chosen) == 8  # each sampler, and each start
    for cell in chosen:
        task = ShardTask(cell, 0, 40, 8, 16, None)
        sent = pickle.loads(pickle.dumps(task))
        assert sent.cell.sampler == cell.sampler
        assert sent.cell.key == cell.key
        sent.prepare(there)
        mine, theirs = task(here, lambda n: None), sent(there, lambda n: None)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_engine_of__shards_that_a_worker_unpickled_share_one_recording():
    models, _, (cell,) = cells(start=["gaussian"])
    model, cell = models[cell.model], replace(cell, execution="cuda-graph")
    shards = [ShardTask(cell, first, first + 16, 0, 0, None) for first in (0, 16)]
    first, second = (pickle.loads(pickle.dumps(shard)).cell for shard in shards)
    assert first.start.gaussian is not second.start.gaussian
    assert engine_of(model, first) is engine_of(model, second)


class Loads:
    """What calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("loads", "words"),
    [
        (Loads(sys.exit, 3), "SystemExit: 3"),
        (Loads(operator.getitem, {}, "x"), "KeyError: 'x'"),
        (Loads(int, "x"), "invalid literal"),
    ],
)
def test_unpacked__only_a_value_error_is_without_its_class(loads, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        transport.unpacked(pickle.dumps(loads), b"")


def test_a_model_that_is_another_one_by_now_is_refused():
    _, _, (cell,) = cells()
    with pytest.raises(
        ValueError, match="the files of model gmm-64d changed while the run was going on"
    ):
        ShardTask(replace(cell, identity=("another", cell.identity[1])), 0, 4, 0, 0, None).prepare(
            CONTEXT
        )


def test_limits_are_generous_and_follow_what_is_asked():
    models, _, (cell, adaptive) = cells(samplers=["euler", "scipy_rk45"], tolerances=[1e-2])
    measured = []

    def measure(cell):
        measured.append(cell)
        return 1.0

    limits = ShardTimeLimits(models, None, measure)
    assert limits.limit_of(cell, 16) == GENEROUS * 5 * 16
    assert limits.limit_of(cell, 17) == GENEROUS * 5 * 32, "a sampler may run whole batches"
    assert limits.limit_of(adaptive, 16) > 100 * limits.limit_of(cell, 16)
    assert len(measured) == 1
    assert ShardTimeLimits(models, None, lambda cell: 1e9).limit_of(cell, 16) == SHORTEST
    assert ShardTimeLimits(models, 3.0, measure).limit_of(cell, 16) == 3.0
    assert ShardTimeLimits(models, 0, measure).limit_of(cell, 16) is None


def test_what_the_system_says_of_a_process():
    assert 2**24 < memory_of(os.getpid()) < 2**40
    assert memory_of(2**30) == 0
    assert (
        2**26 < default_memory_limit() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    )
    assert describe_exit(-6) == "ended with signal 6 (it aborted)"
    assert describe_exit(-9) == (
        "was killed (signal 9), perhaps because the machine ran out of memory"
    )
    assert describe_exit(-200) == "ended with signal 200"


def test_where_it_was_is_the_innermost_line_of_the_users_own():
    served = (transport.__file__, 9, transport.serve_tasks.__name__)
    frames = [(os.__file__, 3, "walk"), ("/home/me/mine.py", 12, "step"), served]
    lines = "".join(f'  File "{file}", line {line} in {name}\n' for file, line, name in frames)
    other = 'Thread 0x01 (most recent call first):\n  File "/lost/x.py", line 1 in wait\n'
    dump = f"{other}\nCurrent thread 0x02 (most recent call first):\n{lines}"
    assert place_in_code(dump) == ", in step (mine.py, line 12)"
    assert (
        place_in_code(dump.replace("/home/me/mine.py", os.__file__)) == ", in walk (os.py, line 3)"
    )
    assert place_in_code("") == ""


def test_evaluations_per_second__ends_when_there_are_enough():
    model, calls = make_model("gaussian"), []
    observed = Meter(tell=calls.append).attach(model)
    assert evaluations_per_second(observed, 8, "cpu", seconds=60.0, enough=0.0) > 0
    assert calls == [8, 8]  # one to warm up, one to measure


def test_evaluations_per_second__is_measured_at_a_level_of_the_model():
    levels = []
    model = from_function(
        lambda x, sigma: levels.append(float(sigma)) or x, event=(2,), sigma_min=2.0
    )
    evaluations_per_second(model, 8, "cpu", seconds=0.0)
    assert set(levels) == {2.0}
