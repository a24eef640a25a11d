"""Benchmarks of executors: their cost per shard, and the speed-up of two workers over one.

::

    python -m samplerbench.benchmarks.perf.executors
    python -m samplerbench.benchmarks.perf.executors --model fashion --samples 2048

The first table has the time of an empty task in a worker that runs already: packing, pipes and waiting.
The second has the samples per second of one worker and of two, with a thread each. It leaves out the
loading of models, references, scores and files. It needs many shards, so that both workers end at
about the same time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from ...results.run_directory.layout import shard_ranges
from ..planning.planner import load_models, plan
from ..running.executors import Call, Executor, InProcess, Pool, Task, Worker
from ..running.executors.tasks import ShardTask
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from ..scoring.feature_references import load_references
from ..suites.suite import check_suite

EMPTY = 500  # number of tasks for the first table


def time_tasks(
    executor: Executor, tasks: Sequence[Task], warm: Sequence[Task], context: WorkerContext
) -> float:
    """Return the seconds of ``tasks``, without those of ``warm`` before; raise a task's failure."""
    begin = 0.0
    for group in (warm, tasks):
        begin = time.perf_counter()
        for _, result in executor.map(group, context):
            if isinstance(result, Exception):
                raise result
    return time.perf_counter() - begin


def time_empty_tasks() -> dict[str, float]:
    """Return the milliseconds per empty task, by executor."""
    executors = {"in-process": InProcess(), "worker": Worker(), "--jobs 2": Pool(2)}
    context, times = WorkerContext(WorkerConfig.of_this_process({}, "cpu")), {}
    tasks = [Call(abs, (1,))] * EMPTY
    for name, executor in executors.items():
        times[name] = 1e3 * time_tasks(executor, tasks, tasks[:8], context) / EMPTY
        executor.close()
    return times


def measure_throughput(model: str, samples: int, size: int) -> dict[int, float]:
    """Return the samples per second in shards of ``size`` samples, by the number of workers."""
    data = {"name": "executors", "models": [model], "samplers": ["euler"], "nfe": [10]}
    suite = check_suite({**data, "samples": samples, "batch_size": 64}, "executors")
    models = load_models(suite)
    references = load_references(models)
    (cell,) = plan(suite, models, references)
    reference = references[cell.model]
    clamp = reference.clamp if reference else None
    tasks = [ShardTask(cell, *bounds, 0, 0, clamp) for bounds in shard_ranges(samples, size)]
    result = {}
    for workers in (1, 2):
        torch.set_num_threads(workers)  # one each
        pool, context = (
            Pool(workers),
            WorkerContext(WorkerConfig.of_this_process({}, "cpu"), models, references),
        )
        warm = [ShardTask(cell, 0, min(size, 64), 0, 0, clamp)] * 4 * workers  # all load the model
        result[workers] = samples / time_tasks(pool, tasks, warm, context)
        pool.close()
    return result


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Measures what executors cost.")
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--shard", type=int, default=128)
    options = parser.parse_args()
    for name, took in time_empty_tasks().items():
        print(f"an empty shard, {name:<12} {took:8.2f} ms")
    by_workers = measure_throughput(options.model, options.samples, options.shard)
    for workers, rate in by_workers.items():
        print(f"{options.model}, {workers} workers   {rate:8.1f} samples/s")
    print(f"speed-up  {by_workers[2] / by_workers[1]:.2f}")


if __name__ == "__main__":
    main()
