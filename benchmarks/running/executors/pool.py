"""Pool of worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from .executor import (
    Executor,
    Task,
    TellOf,
    Wanted,
    ignore_progress,
    result_or_failure,
    run_in_this_process,
    want_every_task,
)
from .process_state import default_memory_limit
from .transport import packed
from .worker import Worker

if TYPE_CHECKING:
    from .worker_context import WorkerContext


class Pool(Executor):
    """Executor with several worker processes, each served by a thread of this process.

    Workers share torch's threads equally, at least one each. Unpicklable tasks run in the thread
    that iterates :meth:`map`. A pool runs one map at a time. Workers live until :meth:`close`.

    Args:
        size: number of workers, >= 1.
        memory: bytes each worker may hold, 0 for no limit; None shares 80 % of the memory equally.
        gpus: values of CUDA_VISIBLE_DEVICES, given to workers in turn; empty leaves it unchanged.
    """

    keeps_limits = True

    def __init__(self, size: int, memory: int | None = None, gpus: Sequence[str] = ()) -> None:
        self._size, self._given_up, self._gpus = size, Event(), gpus
        self._memory = default_memory_limit() // size if memory is None else memory
        self._workers: list[Worker] = []
        self._threads: list[Thread] = []

    @property
    def size(self) -> int:
        """Number of workers, which run one task each."""
        return self._size

    def map(
        self,
        tasks: Sequence[Task],
        context: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield (index, result) of tasks as they finish; see :meth:`.Executor.map`."""
        todo = deque(enumerate(zip(tasks, limits or [None] * len(tasks), strict=True)))
        setting = replace(context.setting, threads=max(1, context.setting.threads // self._size))
        messages: SimpleQueue[tuple[str, int, Any]] = SimpleQueue()

        def tell_number(number: int, news: Any) -> None:
            messages.put(("progress", number, news))

        def work(worker: Worker) -> None:
            while not self._given_up.is_set():
                try:
                    number, (task, limit) = todo.popleft()
                except IndexError:
                    return
                try:
                    if not wanted(number):
                        outcome = "unwanted", number, None
                    elif (sent := packed(task, setting)) is None:
                        outcome = "in process", number, None
                    else:
                        news = partial(tell_number, number)
                        result = result_or_failure(worker.run_packed, sent, news, limit)
                        outcome = "done", number, result
                except BaseException as error:  # a full disk in ``wanted``, or an unprepared task
                    messages.put(("error", number, error))
                    return
                messages.put(outcome)

        self._stop()
        self._threads = [
            Thread(target=work, args=(worker,), daemon=True)
            for worker in self._first_workers(min(self._size, len(tasks)))
        ]
        try:
            for thread in self._threads:
                thread.start()
            remaining = len(tasks)
            while remaining:
                kind, number, value = messages.get()
                if kind != "progress":
                    remaining -= 1
                if kind == "progress":
                    tell(number, value)
                elif kind == "error":
                    raise value
                elif kind == "in process":
                    yield number, run_in_this_process(tasks[number], number, context, tell)
                elif kind == "done":
                    yield number, value
        finally:
            self._stop()

    def start(self, *, fork: bool = False) -> None:
        """Start all worker processes early; for ``fork`` see :meth:`.Worker.start`."""
        for worker in self._first_workers(self._size):
            worker.start(fork=fork)

    def _first_workers(self, count: int) -> list[Worker]:
        while len(self._workers) < count:
            gpu = self._gpus[len(self._workers) % len(self._gpus)] if self._gpus else None
            environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
            self._workers.append(Worker(self._memory, self._given_up, environment))
        return self._workers[:count]

    def close(self) -> None:
        """End the worker processes at once."""
        self._stop()
        for worker in self._workers:
            worker.close()

    def _stop(self) -> None:
        """Stop the running tasks, and wait until all threads have ended."""
        self._given_up.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._given_up.clear()
