"""What a process of their own costs the samplers of a run: the same shards here and in a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.executors import Call, Executor, InProcess, Worker
from samplerbench.benchmarks.running.executors.tasks import ShardTask
from samplerbench.benchmarks.running.executors.worker_context import WorkerConfig, WorkerContext
from samplerbench.benchmarks.scoring.references import load_references
from samplerbench.benchmarks.suites.suite import load_suite

SAMPLES = 512


@pytest.fixture(scope="module", params=["in process", "worker"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    executor = InProcess() if request.param == "in process" else Worker()
    yield executor
    executor.close()


@pytest.mark.parametrize("model", ["gmm-64d", "fashion"])
def test_shard(benchmark: BenchmarkFixture, executor: Executor, model: str) -> None:
    """A shard of one cell of the quick suite."""
    benchmark.group = f"shard of {SAMPLES} samples, {model}"
    suite = load_suite("quick").replaced(models=(model,), samplers=("heun",), nfe=(20,))
    models = load_models(suite)
    references = load_references(models)
    (cell,) = plan(suite, models, references)
    reference = references[cell.model]
    task = ShardTask(
        cell,
        0,
        SAMPLES,
        suite.keep,
        suite.reference_samples,
        reference.clamp if reference else None,
    )
    world = WorkerContext(WorkerConfig.here(suite.extractors, "cpu"), models, references)
    benchmark.pedantic(executor.run, args=(task, world), rounds=3, warmup_rounds=1)


def test_task(benchmark: BenchmarkFixture, executor: Executor) -> None:
    """The way there and back."""
    benchmark.group = "task that does nothing"
    world = WorkerContext(WorkerConfig.here({}, "cpu"))
    benchmark.pedantic(executor.run, args=(Call(abs, (1,)), world), rounds=50, warmup_rounds=1)
