"""What every executor promises, tried on those that are known by name here, installed ones among
them, on the pool, and on the one of the guide.
"""

import importlib.util
import math
import os
import signal
import threading
import time
from pathlib import Path

import new_processes
import pytest

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.executors import (
    Call,
    Executor,
    Failure,
    Pool,
    executors,
    make_executor,
)
from samplerbench.benchmarks.running.executors.tasks import ShardTask
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite

GUIDE = Path(__file__).parents[3] / "docs" / "examples" / "fresh_process.py"
CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


def of_the_guide():
    import fresh_process

    return fresh_process.FreshProcess()


def pool():
    return Pool(2)


KINDS = {**{name: name for name in executors()}, "pool": pool, "guide": of_the_guide}


NEEDS = {
    "ray": pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed (pip install 'samplerbench[cluster]')",
    )
}
EVERY = [
    pytest.param(kind, marks=[NEEDS[kind]] if kind in NEEDS else [])
    for kind in KINDS
    if kind != "guide"
]


@pytest.fixture(scope="module", params=EVERY)
def executor(request):
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(GUIDE.parent))
        folders = (GUIDE.parent, Path(__file__).parent, Path(new_processes.__file__).parent)
        patched.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
        kind = KINDS[request.param]
        made = make_executor(kind) if isinstance(kind, str) else kind()
        if request.param == "guide":  # test_executing starts the worker as it is written
            assert made.run(Call(math.hypot, (3, 4)), CONTEXT) == 5
        with new_processes.ready():
            yield made
            made.close()


guide_too = pytest.mark.parametrize(
    "executor",
    [*EVERY, pytest.param("guide", marks=pytest.mark.slow)],
    indirect=True,
    scope="module",
)
"""The guide's executor keeps all promises, and is held to those that its own code is about."""


@pytest.fixture(scope="module")
def elsewhere(executor):
    """Whether tasks run in another process, which may end."""
    return executor.run(Call(os.getpid), CONTEXT) != os.getpid()


class Slow:
    """A task that tells how it gets on."""

    def __init__(self, count):
        self.count = count

    def prepare(self, context):
        pass

    def __call__(self, context, tell):
        for k in range(self.count):
            tell(k)
        tell("a sentence")
        return self.count


class Unprepared(Slow):
    def prepare(self, context):
        raise ValueError("its file is gone")


class Asking(Slow):
    """A task that asks its context for a model."""

    def __call__(self, context, tell):
        return context.load("gmm-2d").model.event, context.setting.threads


@pytest.mark.slow
def test_it_is_one(executor):
    assert isinstance(executor, Executor)
    executor.start()


@pytest.mark.slow
@guide_too
def test_each_task_has_its_result_or_its_failure_in_any_order(executor):
    tasks = [
        Call(math.hypot, (3, 4)),
        Call(math.sqrt, (-1,)),
        Call(exit, (7,)),
        Call(abs, (-2,)),
        Call(_raises),
    ]
    found = dict(executor.map(tasks, CONTEXT))
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert (found[0], found[3]) == (5, 2)
    for number, reason in (
        (1, "ValueError: math domain error"),
        (2, "it called sys.exit(7)"),
        (4, "of its own"),
    ):
        assert isinstance(found[number], Failure)
        assert found[number].reason.startswith(reason)
    assert (found[1].status, found[4].status) == ("failed", "diverged")


def _raises():
    raise Failure("diverged", "of its own")


def test_no_task_is_no_result(executor):
    assert list(executor.map([], CONTEXT)) == []


def test_what_is_not_wanted_any_more_is_left_out(executor):
    found = {}
    tasks = [Call(abs, (-number,)) for number in range(6)]
    for number, result in executor.map(tasks, CONTEXT, wanted=lambda number: number not in (1, 5)):
        found[number] = result
    assert found == {0: 0, 2: 2, 3: 3, 4: 4}


def test_run_is_map_of_one(executor):
    assert executor.run(Call(math.hypot, (3, 4)), CONTEXT) == 5
    with pytest.raises(Failure, match="math domain error"):
        executor.run(Call(math.sqrt, (-1,)), CONTEXT)
    told = []
    assert executor.run(Slow(2), CONTEXT, tell=told.append) == 2
    assert told in ([0, 1, "a sentence"], [])


def test_progress_says_of_which_task_and_comes_in_the_thread_that_iterates(executor):
    told = []

    def tell(number, news):
        told.append((number, news, threading.current_thread()))

    assert dict(executor.map([Slow(1), Slow(3)], CONTEXT, tell=tell)) == {0: 1, 1: 3}
    of_each = [[news for which, news, _ in told if which == number] for number in (0, 1)]
    assert of_each in ([[0, "a sentence"], [0, 1, 2, "a sentence"]], [[], []])
    assert {thread for *_, thread in told} <= {threading.current_thread()}


def test_what_cannot_be_prepared_is_a_value_error_and_the_next_map_is_whole(executor):
    with pytest.raises(ValueError, match="its file is gone"):
        list(executor.map([Call(abs, (1,)), Unprepared(1), Call(abs, (2,))], CONTEXT))
    assert sorted(dict(executor.map([Slow(1), Slow(2)], CONTEXT)).values()) == [1, 2]


def test_what_only_this_process_knows_runs_in_the_thread_that_iterates(executor):
    tasks = [Call(abs, (-1,)), Call(lambda: (os.getpid(), threading.get_ident()))]
    found = dict(executor.map(tasks, CONTEXT))
    assert found == {0: 1, 1: (os.getpid(), threading.get_ident())}


def test_tasks_see_the_models_and_the_setting_of_the_world(executor):
    context = WorkerContext(CONTEXT.setting)
    assert executor.run(Asking(0), context) == ((2,), CONTEXT.setting.threads)


@guide_too
def test_a_shard_is_bit_for_bit_the_one_that_is_made_here(executor):
    suite = check_suite(
        {
            "name": "t", "models": ["gmm-2d"], "samplers": ["heun", "ddpm"],
            "nfe": [5], "samples": 20, "batch_size": 8,
        },
        "test",
    )  # fmt: skip
    models = load_models(suite)
    cells = plan(suite, models, load_references(models))
    tasks = [ShardTask(cell, 0, 20, 4, 8, None) for cell in cells]
    here = [task(WorkerContext(CONTEXT.setting), lambda _: None) for task in tasks]
    found = dict(executor.map(tasks, CONTEXT))
    for number, mine in enumerate(here):
        assert mine.keys() == found[number].keys()
        assert all((mine[name] == found[number][name]).all() for name in mine)


@guide_too
def test_a_task_that_ends_its_process_fails_alone(executor, elsewhere):
    if not elsewhere:
        pytest.skip("runs tasks here")
    tasks = [Call(abs, (-1,)), Call(os._exit, (0,)), Call(_killed), Call(abs, (-2,))]
    found = dict(executor.map(tasks, CONTEXT))
    assert (found[0], found[3]) == (1, 2)
    assert found[1].status == "crashed"
    assert found[2].status in ("crashed", "killed"), "some executors know who ended it"
    assert all("\n" not in found[number].reason for number in (1, 2))


def test_a_task_whose_process_was_killed_once_is_run_again(tmp_path):
    """By the operator, say; where memory runs out it is killed again, which is a failure."""
    pool = Pool(2)
    with new_processes.ready():
        found = dict(
            pool.map([Call(_killed_once, (tmp_path / name,)) for name in ("one", "two")], CONTEXT)
        )
        pool.close()
    assert found == {0: "one", 1: "two"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_worker_is_no_failure_of_its_task(number):
    """As a scheduler sends it to all processes of a job; SIGINT was an exception of the task's."""
    pool = Pool(1)
    with new_processes.ready():
        with pytest.raises(Failure, match="twice; the same command tries it again") as killed:
            pool.run(Call(_signalled, (number,)), CONTEXT)
        pool.close()
    assert killed.value.status == "killed"


def _signalled(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def _killed_once(path):
    if not path.exists():
        path.touch()
        _killed()
    return path.name


def _killed():
    os.kill(os.getpid(), signal.SIGKILL)


@guide_too
def test_what_wanted_raises_ends_the_map(executor):
    """A full disk, where a task is claimed by a file: the pool waited for ever."""

    def full(number):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        list(executor.map([Call(abs, (-1,)), Call(abs, (-2,))], CONTEXT, wanted=full))
    assert executor.run(Call(abs, (-3,)), CONTEXT) == 3


@guide_too
def test_a_task_that_takes_too_long_fails_alone(executor):
    if not executor.keeps_limits:
        pytest.skip("keeps no limits")
    begin = time.monotonic()
    tasks = [Call(time.sleep, (600,)), Call(abs, (-1,))]
    found = dict(executor.map(tasks, CONTEXT, limits=[1.0, None]))
    assert time.monotonic() - begin < 120
    assert found[0].status == "timed out"
    assert found[1] == 1


@pytest.fixture
def interruptible():
    """As in a terminal: in a job that a script runs in the background, SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@guide_too
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_leaves_at_once_and_nothing_runs_on(executor, elsewhere, tmp_path):
    """As Ctrl-C raises it, where the caller has the results of the tasks before."""
    if not elsewhere:
        pytest.skip("the task is interrupted itself")
    tasks, done = [Call(abs, (-1,)), Call(_writes_its_process, (tmp_path / "pid",))], []

    def interrupt():
        while not (done and (tmp_path / "pid").exists()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    def collect():
        for number, _ in executor.map(tasks, CONTEXT):
            done.append(number)

    timer = threading.Thread(target=interrupt)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        collect()
    timer.join()
    assert time.monotonic() - begin < 120
    assert done == [0]
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert dict(executor.map([Call(abs, (-3,))], CONTEXT)) == {0: 3}, "it goes on afterwards"


def _writes_its_process(path):
    whole = path.with_suffix(".part")
    whole.write_text(str(os.getpid()))
    whole.replace(path)
    time.sleep(600)


def test_what_is_closed_early_is_given_up_and_a_closed_executor_starts_anew(executor):
    results = executor.map([Call(abs, (-1,)), Call(abs, (-2,))], CONTEXT)
    next(results)
    results.close()
    executor.close()
    executor.close()
    assert executor.run(Call(math.hypot, (3, 4)), CONTEXT) == 5
