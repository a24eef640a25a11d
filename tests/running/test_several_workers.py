"""A run in several worker processes: the same table, whichever shard is done first."""

import os
from dataclasses import replace
from pathlib import Path

import new_processes
import pandas as pd
import pytest
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.cli.common import executor_options
from samplerbench.benchmarks.running.executors import Call, Executor, Failure, InProcess, Pool
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.run_directory.run_dir import RunDir

DEADLY = Path(__file__).with_name("deadly.py")
SUITE = {
    "name": "jobs",
    "models": ["gmm-2d"],
    "samplers": ["euler", "raises", "ddpm"],
    "steps": [2, 3],
    "samples": 1100,
    "batch_size": 128,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}
CONTEXT = WorkerContext(WorkerConfig.of_this_process({}, "cpu"))


@pytest.fixture(scope="module", autouse=True)
def plugin():
    samplers.load_file(DEADLY)


def run(out, executor, **changes):
    return quiet_run(check_suite({**SUITE, **changes}, "test"), out, executor=executor).frame


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The folder and the table of a run in this process."""
    folder = tmp_path_factory.mktemp("serial") / "run"
    return folder, run(folder, InProcess())


class Backwards(Executor):
    """The last task first, as a machine may have it done."""

    def __init__(self):
        self.begun = []

    def map(self, tasks, context, *, tell=lambda *_: None, limits=(), wanted=lambda _: True):
        assert len(limits) in (0, len(tasks))
        for number, task in reversed(list(enumerate(tasks))):
            if wanted(number):
                self.begun.append(task)
                yield from (
                    (number, result)
                    for _, result in InProcess().map(
                        [task], context, tell=lambda _, news, which=number: tell(which, news)
                    )
                )


@pytest.mark.slow
def test_several_workers_make_the_table_of_one(serial, tmp_path):
    pool = Pool(2)
    with new_processes.ready():
        frame = run(tmp_path / "run", pool)
        pool.close()
    pd.testing.assert_frame_equal(frame, serial[1], check_exact=True)
    assert set(frame["status"]) == {"ok", "failed"}


@pytest.mark.slow
def test_the_order_of_the_shards_does_not_matter(serial, tmp_path):
    executor = Backwards()
    frame = run(tmp_path / "run", executor)
    pd.testing.assert_frame_equal(frame, serial[1], check_exact=True)
    shards = {path.relative_to(serial[0]) for path in serial[0].glob("parts/*/*-*.npz")}
    assert {
        path.relative_to(tmp_path / "run") for path in (tmp_path / "run").glob("parts/*/*-*.npz")
    } == shards
    assert len(shards) > 4, "cells of several shards"


@pytest.mark.parametrize("make", [InProcess, Backwards])
def test_a_cell_that_failed_is_not_begun_again(tmp_path, make, monkeypatch):
    executor, begun = make(), []
    original = InProcess.run

    def counted(self, task, *args, **kwargs):
        if task.__class__.__name__ == "ShardTask":
            begun.append(task.cell.sampler.name)
        return original(self, task, *args, **kwargs)

    monkeypatch.setattr(InProcess, "run", counted)
    run(tmp_path / "run", executor, samplers=["raises", "euler"], steps=[2])
    assert begun.count("raises") == 1
    assert begun.count("euler") > 1


class Failing(Backwards):
    """Each shard fails by itself; the later ones first."""

    def map(self, tasks, context, *, tell=lambda *_: None, limits=(), wanted=lambda _: True):
        if any(type(task).__name__ != "ShardTask" for task in tasks):
            yield from InProcess().map(tasks, context)
            return
        begun = [number for number in range(len(tasks)) if wanted(number)]
        for number in reversed(begun):
            yield number, Failure("failed", f"from sample {tasks[number].start}")


def test_the_first_shard_says_why_a_cell_failed(tmp_path):
    frame = run(tmp_path / "run", Failing(), samplers=["euler"], steps=[2])
    assert list(frame["reason"]) == ["from sample 0"]
    assert list(frame["status"]) == ["failed"]


def test_what_was_finished_before_an_interrupt_is_kept(serial, tmp_path):
    class Interrupted(Backwards):
        def map(self, tasks, *args, **kwargs):
            for count, one in enumerate(super().map(tasks, *args, **kwargs)):
                if count == 3 and type(tasks[0]).__name__ == "ShardTask":
                    raise KeyboardInterrupt
                yield one

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Interrupted(), samplers=["euler", "ddpm"])
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("parts/*/*-*.npz")}
    assert len(kept) == 3
    assert RunDir.open(tmp_path / "run") is not None
    frame = run(tmp_path / "run", InProcess(), samplers=["euler", "raises", "ddpm"])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    pd.testing.assert_frame_equal(frame, serial[1], check_exact=True)


@pytest.mark.slow
def test_workers_share_the_threads_and_the_gpus():
    pool = Pool(3, gpus=("5", "7"))
    context = WorkerContext(replace(CONTEXT.setting, threads=8))
    with new_processes.ready():
        found = list(pool.map([Call(_seen) for _ in range(12)], context))
        pool.close()
    assert {threads for _, (threads, _) in found} == {2}
    assert {gpu for _, (_, gpu) in found} <= {"5", "7"}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") not in ("5", "7")


def _seen():
    import torch

    return torch.get_num_threads(), os.environ["CUDA_VISIBLE_DEVICES"]


def test_pick_executor__hidden_gpus_leave_a_worker_for_each_core(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    options = executor_options.ExecutorOptions(*[None] * 6)
    executor = executor_options.pick_executor(options, "auto", "auto")
    assert executor.size == executor_options.cores()


@pytest.mark.parametrize(
    ("environment", "seen"),
    [
        ({"LOCAL_RANK": "3", "CUDA_VISIBLE_DEVICES": "5,7"}, "7"),
        ({"SLURM_LOCALID": "2", "CUDA_VISIBLE_DEVICES": "GPU-a"}, "GPU-a"),
        ({"CUDA_VISIBLE_DEVICES": "5,7"}, "5,7"),
        ({"LOCAL_RANK": "x", "CUDA_VISIBLE_DEVICES": "5,7"}, "5,7"),
    ],
)
def test_a_rank_sees_one_gpu_of_its_machine(monkeypatch, environment, seen):
    for name in executor_options.LOCAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    executor_options.take_gpu_of_rank()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--jobs", "0"], "--jobs 0: give a number of processes from 1 to 1024, or auto"),
        (["--jobs", "many"], "--jobs many: give a number"),
        (["--jobs", "2", "--no-isolation"], "--no-isolation has none; leave one of them out"),
        (["--jobs", "2", "--executor", "in-process"], "--executor in-process has none"),
    ],
)
def test_wrong_jobs_are_one_sentence(samplerbench, options, sentence):
    code, _, err = samplerbench("run", "smoke", *options)
    assert code == 2
    assert sentence in " ".join(err.split())
