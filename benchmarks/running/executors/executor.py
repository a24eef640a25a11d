"""Interfaces of tasks and executors, and the executor that runs tasks in this process.

A task is picklable and holds all that its result depends on. See docs/how-to/adding-an-executor.md.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...sampling.failure import Failure, error_in_words

if TYPE_CHECKING:
    from .worker_context import WorkerContext

Tell = Callable[[Any], None]
"""Callback that receives a task's progress: a picklable value, such as a number of new samples."""

TellOf = Callable[[int, Any], None]
"""Callback that receives the progress of many tasks: a task's number, then its progress."""

Wanted = Callable[[int], bool]  # predicate on a task's number: True if the task must still run


def ignore_progress(*_news: object) -> None:
    """Discard a task's progress; default of the argument ``tell`` of executors."""


def want_every_task(_number: int) -> bool:
    """Return True for every task; default of the argument ``wanted`` of executors."""
    return True


class Task(Protocol):
    """Unit of work for an executor."""

    def prepare(self, context: WorkerContext) -> None:
        """Load what the task needs, before its time limit begins.

        Raises a ValueError, whose message is for the user, if something cannot be loaded.
        """
        ...

    def __call__(self, context: WorkerContext, tell: Tell) -> Any:
        """Run the task, and return its picklable result or raise a :class:`Failure`."""
        ...


@dataclass(frozen=True)
class Call:
    """Task that calls a module-level function with picklable arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()

    def prepare(self, context: WorkerContext) -> None:
        """Load nothing, since a function needs no model."""

    def __call__(self, context: WorkerContext, tell: Tell) -> Any:  # noqa: ARG002
        """Return the function's result."""
        return self.function(*self.args)


class Executor(ABC):
    """Base class of executors, which run tasks here or elsewhere; subclasses define :meth:`map`.

    Attributes:
        keeps_limits: True if the executor stops tasks that exceed their time limit.
    """

    keeps_limits: bool = False

    @property
    def size(self) -> int:
        """Number of tasks that run at the same time; an estimate on a cluster."""
        return 1

    def start(self) -> None:
        """Start processes early, if there are any, so that no task waits for their start."""
        return

    @abstractmethod
    def map(
        self,
        tasks: Sequence[Task],
        context: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield (index in ``tasks``, result) of each task as it finishes, in any order.

        If the caller stops iterating, the remaining tasks need not run. Closing the iterator stops
        running tasks, and so does an exception that leaves it, such as an interrupt.

        Args:
            tasks: tasks to run.
            context: models of this process, and the setting that recreates them in another process.
            tell: receives progress, in the iterating thread.
            limits: seconds that each task may take, None for no limit; empty for no limits at all.
                An executor without ``keeps_limits`` ignores them.
            wanted: called with a task's index, in any thread, before the task. If it returns
                False, the task does not run, and nothing is yielded for it.

        Yields:
            Index and result; a :class:`Failure` for a task that raises, crashes or takes too long.

        Raises:
            ValueError: a task could not be prepared; unfinished tasks are stopped.
        """

    def run(
        self,
        task: Task,
        context: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,
    ) -> Any:
        """Run one task, and return its result or raise its :class:`Failure`; see :meth:`map`."""
        ((_, result),) = self.map([task], context, tell=lambda _, news: tell(news), limits=[limit])
        if isinstance(result, Failure):
            raise result
        return result

    def alone(self, device: str) -> Executor | None:  # noqa: ARG002
        """Return an executor for timing, whose tasks have a "cpu" or "cuda" device to themselves.

        None means: call :meth:`close` to end the executor's processes, and time in this process.
        Raises a ValueError if the devices are shared, or of several types.
        """
        return None

    def close(self) -> None:
        """Free all resources; a later task acquires them again."""
        return


class Serial(Executor):
    """Executor that runs tasks one by one, in order; a subclass must define :meth:`run`."""

    def map(
        self,
        tasks: Sequence[Task],
        context: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield (index, result) of each task, in order; see :meth:`Executor.map`."""
        each_limit = limits or [None] * len(tasks)
        for number, (task, limit) in enumerate(zip(tasks, each_limit, strict=True)):
            if not wanted(number):
                continue
            news = partial(tell, number)
            yield number, result_or_failure(self.run, task, context, tell=news, limit=limit)

    @abstractmethod
    def run(
        self,
        task: Task,
        context: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,
    ) -> Any:
        """Run one task, and return its result or raise its Failure; see :meth:`Executor.run`."""


def result_or_failure(run: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function, and return its result or the :class:`Failure` that it raises."""
    try:
        return run(*args, **options)
    except Failure as failure:
        return failure


class InProcess(Serial):
    """Executor in the calling process, without time limits and without protection from crashes.

    Attributes:
        wraps_errors: True to raise a task's exceptions as Failures, and restore changed defaults.
    """

    wraps_errors: bool = True

    def run(
        self,
        task: Task,
        context: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,  # noqa: ARG002
    ) -> Any:
        """Run one task in this process; ``limit`` is ignored. See :meth:`Executor.run`."""
        task.prepare(context)
        return run_prepared(task, context, tell) if self.wraps_errors else task(context, tell)


def run_in_this_process(task: Task, number: int, context: WorkerContext, tell: TellOf) -> Any:
    """Run task ``number`` of :meth:`Executor.map` here, and return its result or its Failure."""
    return result_or_failure(InProcess().run, task, context, tell=partial(tell, number))


@contextmanager
def _restoring_defaults() -> Iterator[None]:
    """Restore the working folder, torch's defaults and the random generators, for later tasks."""
    import numpy as np
    import torch

    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    with ExitStack() as restored:
        with suppress(FileNotFoundError):  # the working folder may have been deleted
            restored.enter_context(chdir("."))
        try:
            yield
        finally:
            torch.set_rng_state(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            random.setstate(states[2])
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(gradients)
            if torch.get_default_device() != device:
                torch.set_default_device(None if device.type == "cpu" else device)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def run_prepared(task: Task, context: WorkerContext, tell: Tell) -> Any:
    """Return the result of a prepared task; raise any error but an interrupt as a Failure.

    Defaults of the process that the task changed are restored, since other tasks depend on them.
    """
    try:
        with _restoring_defaults():
            return task(context, tell)
    except Failure:
        raise
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        raise Failure("failed", f"it called sys.exit({code})") from error
    except (KeyboardInterrupt, GeneratorExit):  # these are meant for the caller
        raise
    except BaseException as error:
        raise Failure("failed", error_in_words(error)) from error
