"""Tasks and executors: the interface that all share, and the executor of this process.

A task is picklable and holds all that its result depends on. docs/adding-an-executor.md is the
guide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...sampling.failure import Failure

if TYPE_CHECKING:
    from .worker_context import WorkerContext

Tell = Callable[[Any], None]
"""Receiver of a task's progress in the task's own unit, such as further samples; picklable."""

TellOf = Callable[[int, Any], None]
"""Receiver of the progress of many tasks: the task's number comes first."""

Wanted = Callable[[int], bool]  # predicate on a task's number: True if the task must still run
LONGEST = 500  # longest part of an exception's message in a reason, in letters


def ignore_progress(*_news: object) -> None:
    """Ignore progress."""


def want_every_task(_number: int) -> bool:
    """Return True."""
    return True


class Task(Protocol):
    """Unit of work for an executor."""

    def prepare(self, world: WorkerContext) -> None:
        """Load the requirements of the task, outside its time limit, or raise a ValueError."""
        ...

    def __call__(self, world: WorkerContext, tell: Tell) -> Any:
        """Return the picklable result, or raise a :class:`Failure`."""
        ...


@dataclass(frozen=True)
class Call:
    """Task: a function of a module, and its picklable arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()

    def prepare(self, world: WorkerContext) -> None:
        """Load nothing."""

    def __call__(self, world: WorkerContext, tell: Tell) -> Any:  # noqa: ARG002
        """Return the function's result."""
        return self.function(*self.args)


class Executor(ABC):
    """Executor of tasks, in this process or elsewhere; a subclass needs :meth:`map` alone.

    Attributes:
        keeps_limits: True if it stops a task that takes too long.
    """

    keeps_limits: bool = False

    @property
    def size(self) -> int:
        """Number of tasks that run at a time, as far as known."""
        return 1

    def start(self) -> None:
        """Start up early, if that takes a while."""
        return

    @abstractmethod
    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each task and its result, as they finish, in any order.

        Tasks beyond the last one taken need not run. When the iterator is closed, or an exception
        such as an interrupt leaves it, running tasks are stopped.

        Args:
            tasks: what to run.
            world: the models of this process, and the setting that recreates them in another.
            tell: receives progress, in the iterating thread.
            limits: seconds after which each task is stopped, if possible; None for never, empty for
                no limits.
            wanted: called in any thread before a task begins; an unwanted task has no result.

        Yields:
            A :class:`Failure` for a task that raised, ended its process or took too long.

        Raises:
            ValueError: a task could not be prepared; unfinished tasks are stopped.
        """

    def run(
        self,
        task: Task,
        world: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,
    ) -> Any:
        """Return the result of one task, or raise its :class:`Failure`; else as :meth:`map`."""
        ((_, result),) = self.map([task], world, tell=lambda _, news: tell(news), limits=[limit])
        if isinstance(result, Failure):
            raise result
        return result

    def alone(self, device: str) -> Executor | None:  # noqa: ARG002
        """Return the executor of timing tasks, on a "cpu" or "cuda" device of their own.

        None stands for this process, once the executor is closed. It is a ValueError if the device is
        ambiguous or shared.
        """
        return None

    def close(self) -> None:
        """Free all resources; a later task acquires them again."""
        return


class Serial(Executor):
    """Executor that runs tasks one by one, in order; a subclass needs :meth:`run` alone."""

    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = ignore_progress,
        limits: Sequence[float | None] = (),
        wanted: Wanted = want_every_task,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`Executor.map`."""
        for number, (task, limit) in enumerate(
            zip(tasks, one_limit_per_task(limits, tasks), strict=True)
        ):
            if not wanted(number):
                continue
            run = partial(self.run, task, world, tell=partial(tell, number), limit=limit)
            yield number, result_or_failure(run)

    @abstractmethod
    def run(
        self,
        task: Task,
        world: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,
    ) -> Any:
        """See :meth:`Executor.run`."""


def result_or_failure(run: Callable[[], Any]) -> Any:
    """Return the result of a call, or the failure that it raises."""
    try:
        return run()
    except Failure as failure:
        return failure


def one_limit_per_task(
    limits: Sequence[float | None], tasks: Sequence[Task]
) -> Sequence[float | None]:
    """Return a time limit for each task: ``limits``, or None for each if these are empty."""
    return limits or [None] * len(tasks)


class InProcess(Serial):
    """Executor in the calling process, without time limits or protection from its tasks."""

    def run(
        self,
        task: Task,
        world: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,  # noqa: ARG002
    ) -> Any:
        """See :meth:`Executor.run`."""
        task.prepare(world)
        return run_prepared(task, world, tell)


def run_in_process(task: Task, number: int, world: WorkerContext, tell: TellOf) -> Any:
    """Return the result of a task of a map in this process, or its failure."""
    return result_or_failure(partial(InProcess().run, task, world, tell=partial(tell, number)))


def run_prepared(task: Task, world: WorkerContext, tell: Tell) -> Any:
    """Return the result of a prepared task; any error becomes a :class:`Failure`."""
    try:
        return task(world, tell)
    except Failure:
        raise
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        raise Failure("failed", f"it called sys.exit({code})") from error
    except (KeyboardInterrupt, GeneratorExit):  # of the caller
        raise
    except BaseException as error:
        raise Failure("failed", error_in_words(error)) from error


def error_in_words(error: BaseException) -> str:
    """Return the kind of an exception and its message, on one line."""
    text = " ".join(str(error).split())[:LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
