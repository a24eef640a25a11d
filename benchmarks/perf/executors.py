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

from ...results.run_directory.layout import shard_ranges
from ..planning.planner import load_models, plan
from ..running.executors import Call, Executor, InProcess, Pool, Task, Worker
from ..running.executors.tasks import ShardTask
from ..running.executors.worker_context import WorkerConfig, WorkerContext
from ..scoring.references import load_references
from ..suites.suite import check_suite

EMPTY = 500
"""Tasks of the first table."""


def seconds(
    executor: Executor, tasks: Sequence[Task], warm: Sequence[Task], world: WorkerContext
) -> float:
    """Return what tasks take together, once others have run; a failure of one is raised."""
    begin = 0.0
    for group in (warm, tasks):
        begin = time.perf_counter()
        for _, result in executor.map(group, world):
            if isinstance(result, Exception):
                raise result
    return time.perf_counter() - begin


def empty_tasks() -> dict[str, float]:
    """Return the milliseconds of an empty task, by executor."""
    executors = {"in-process": InProcess(), "worker": Worker(), "--jobs 2": Pool(2)}
    world, times = WorkerContext(WorkerConfig.here({}, "cpu")), {}
    tasks = [Call(abs, (1,))] * EMPTY
    for name, executor in executors.items():
        times[name] = 1e3 * seconds(executor, tasks, tasks[:8], world) / EMPTY
        executor.close()
    return times


def rates(model: str, samples: int, size: int) -> dict[int, float]:
    """Return samples a second, by the number of workers, in shards of ``size`` samples."""
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
        pool, world = Pool(workers), WorkerContext(WorkerConfig.here({}, "cpu"), models, references)
        warm = [ShardTask(cell, 0, min(size, 64), 0, 0, clamp)] * 4 * workers  # all load the model
        result[workers] = samples / seconds(pool, tasks, warm, world)
        pool.close()
    return result


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Measures what executors cost.")
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--shard", type=int, default=128)
    options = parser.parse_args()
    for name, took in empty_tasks().items():
        print(f"an empty shard, {name:<12} {took:8.2f} ms")
    by_workers = rates(options.model, options.samples, options.shard)
    for workers, rate in by_workers.items():
        print(f"{options.model}, {workers} workers   {rate:8.1f} samples/s")
    print(f"speed-up  {by_workers[2] / by_workers[1]:.2f}")


if __name__ == "__main__":
    main()
