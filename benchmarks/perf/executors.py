"""What an executor costs a shard, and how much faster two workers sample than one.

::

    python -m samplerbench.benchmarks.perf.executors
    python -m samplerbench.benchmarks.perf.executors --model fashion --samples 2048

The first table has empty tasks: what packing, pipes and waiting take, of a worker that is there already.
The second has shards of a model, sampled by one worker and by two with a thread each, from the first
shard to the last: loading the model, references, scores and files are not in it. Shards of two workers
end together only where there are many, so that the last one waits for nobody.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from ..planning.planner import load_models, plan
from ..running.executors import Call, Executor, InProcess, Pool, Task, Worker
from ..running.executors.tasks import ShardTask
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from ..scoring.references import load_references
from ..suites.suite import Suite, check_suite

EMPTY = 500
"""Tasks of the first table."""


def seconds(
    executor: Executor, tasks: Sequence[Task], warm: Sequence[Task], world: WorkerContext
) -> float:
    """What tasks take together, once others have run.

    Raises:
        Failure: one of them failed.
    """
    for _, result in executor.map(warm, world):
        if isinstance(result, Exception):
            raise result
    begin = time.perf_counter()
    for _, result in executor.map(tasks, world):
        if isinstance(result, Exception):
            raise result
    return time.perf_counter() - begin


def empty_tasks() -> dict[str, float]:
    """Milliseconds of an empty task, by executor."""
    executors = {"in-process": InProcess(), "worker": Worker(), "--jobs 2": Pool(2)}
    world, found = WorkerContext(WorkerConfig.here({}, "cpu")), {}
    for name, executor in executors.items():
        tasks = [Call(abs, (1,))] * EMPTY
        found[name] = 1e3 * seconds(executor, tasks, tasks[:8], world) / EMPTY
        executor.close()
    return found


def of_fashion(model: str, samples: int, shard: int) -> dict[int, float]:
    """Samples a second, by how many workers.

    Args:
        model: its name.
        samples: how many.
        shard: samples of a task.
    """
    suite: Suite = check_suite(
        {
            "name": "executors",
            "models": [model],
            "samplers": ["euler"],
            "nfe": [10],
            "samples": samples,
            "batch_size": 64,
        },
        "executors",
    )
    models = load_models(suite)
    references = load_references(models)
    (cell,) = plan(suite, models, references)
    reference = references[cell.model]
    clamp = reference.clamp if reference else None
    tasks = [
        ShardTask(cell, start, min(start + shard, samples), 0, 0, clamp)
        for start in range(0, samples, shard)
    ]
    found = {}
    for workers in (1, 2):
        torch.set_num_threads(workers)  # one each
        pool, world = Pool(workers), WorkerContext(WorkerConfig.here({}, "cpu"), models, references)
        warm = [ShardTask(cell, 0, min(shard, 64), 0, 0, clamp)] * 4 * workers  # all load the model
        found[workers] = samples / seconds(pool, tasks, warm, world)
        pool.close()
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measures what executors cost.")
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--shard", type=int, default=128)
    asked = parser.parse_args()
    for name, took in empty_tasks().items():
        print(f"an empty shard, {name:<12} {took:8.2f} ms")
    found = of_fashion(asked.model, asked.samples, asked.shard)
    for workers, rate in found.items():
        print(f"{asked.model}, {workers} workers   {rate:8.1f} samples/s")
    print(f"speed-up  {found[2] / found[1]:.2f}")


if __name__ == "__main__":
    main()
