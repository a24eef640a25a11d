"""What a task is, what may become of it, and the executors that run it: what all of them promise,
and the one that runs it where it is called.

A task is picklable and says all that its result depends on, so that the same one can run here, in a
worker process, or elsewhere. docs/adding-an-executor.md is the guide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...sampling.failure import Failure

if TYPE_CHECKING:
    from .world import WorkerContext

Tell = Callable[[Any], None]
"""Told how a task gets on, in what the task itself counts: how many more samples are done, or a
sentence. Picklable.
"""

TellOf = Callable[[int, Any], None]
"""The same of many tasks: their number comes first."""

Wanted = Callable[[int], bool]
"""Whether a task, by its number, is still to be run."""

LONGEST = 500
"""Letters of an exception's message that a reason keeps."""


def silent(*_news: object) -> None:
    """Tells nobody."""


def always(_number: int) -> bool:
    """Every task is wanted."""
    return True


class Task(Protocol):
    """Something to run."""

    def prepare(self, world: WorkerContext) -> None:
        """Load what the task needs, which no time limit counts.

        Raises:
            ValueError: it cannot be had.
        """
        ...

    def __call__(self, world: WorkerContext, tell: Tell) -> Any:
        """The result, picklable.

        Raises:
            Failure: there is none.
        """
        ...


@dataclass(frozen=True)
class Call:
    """A function of a module and its arguments, as a task.

    Attributes:
        function: importable by its name.
        args: picklable.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()

    def prepare(self, world: WorkerContext) -> None:
        """Nothing is needed."""

    def __call__(self, world: WorkerContext, tell: Tell) -> Any:  # noqa: ARG002
        """What the function returns."""
        return self.function(*self.args)


class Executor(ABC):
    """Runs tasks, here or elsewhere; a subclass needs :meth:`map` alone.

    Attributes:
        keeps_limits: whether it gives up a task that takes too long.
    """

    keeps_limits: bool = False

    @property
    def size(self) -> int:
        """Tasks that run at a time, as far as is known."""
        return 1

    def start(self) -> None:
        """Get ready early, where that takes a while."""
        return

    @abstractmethod
    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = silent,
        limits: Sequence[float | None] = (),
        wanted: Wanted = always,
    ) -> Generator[tuple[int, Any], None, None]:
        """The number of each task and its result, as they finish, in any order.

        What is not taken from the iterator need not be run; where it is closed, or an exception
        such as an interrupt leaves it, running tasks are given up.

        Args:
            tasks: what to run.
            world: the models of this process, and how another one makes them.
            tell: progress, told by the thread that iterates.
            limits: seconds after which each task is given up, where that is possible, None for
                never; one a task, or empty for no limits.
            wanted: asked in any thread when a task is about to begin; one that is not wanted any
                more is left out, without a result.

        Yields:
            A :class:`Failure` in place of the result of a task that raised, whose process ended,
            or that took too long.

        Raises:
            ValueError: a task could not be prepared; those that have not finished are given up.
        """

    def run(
        self, task: Task, world: WorkerContext, *, tell: Tell = silent, limit: float | None = None
    ) -> Any:
        """The result of one task; arguments as in :meth:`map`.

        Raises:
            Failure: in place of the result.
            ValueError: it could not be prepared.
        """
        ((_, result),) = self.map([task], world, tell=lambda _, news: tell(news), limits=[limit])
        if isinstance(result, Failure):
            raise result
        return result

    def alone(self, device: str) -> Executor | None:  # noqa: ARG002
        """What runs the tasks that take times, on a device that nothing else uses; None where that
        is this process, once the executor is closed.

        Args:
            device: "cpu" or "cuda".

        Raises:
            ValueError: it cannot be said which device, or it is shared.
        """
        return None

    def close(self) -> None:
        """Free what is held; a later task starts anew."""
        return


class Serial(Executor):
    """Runs tasks one after the other, in their order; a subclass needs :meth:`run` alone."""

    def map(
        self,
        tasks: Sequence[Task],
        world: WorkerContext,
        *,
        tell: TellOf = silent,
        limits: Sequence[float | None] = (),
        wanted: Wanted = always,
    ) -> Generator[tuple[int, Any], None, None]:
        """See :meth:`Executor.map`."""
        for number, (task, limit) in enumerate(zip(tasks, each(limits, tasks), strict=True)):
            if not wanted(number):
                continue
            run = partial(self.run, task, world, tell=partial(tell, number), limit=limit)
            yield number, result_of(run)

    @abstractmethod
    def run(
        self, task: Task, world: WorkerContext, *, tell: Tell = silent, limit: float | None = None
    ) -> Any:
        """See :meth:`Executor.run`."""


def result_of(run: Callable[[], Any]) -> Any:
    """What a call returns, or the failure that it raises."""
    try:
        return run()
    except Failure as failure:
        return failure


def each(limits: Sequence[float | None], tasks: Sequence[Task]) -> Sequence[float | None]:
    """One limit a task: those of :meth:`Executor.map`, or None for each where there are none."""
    return limits or [None] * len(tasks)


class InProcess(Serial):
    """Runs tasks where it is called: quick to start, easy to debug, and at the mercy of what it
    runs. Time limits are not kept.
    """

    def run(
        self,
        task: Task,
        world: WorkerContext,
        *,
        tell: Tell = silent,
        limit: float | None = None,  # noqa: ARG002
    ) -> Any:
        """See :meth:`Executor.run`."""
        task.prepare(world)
        return attempted(task, world, tell)


def attempted(task: Task, world: WorkerContext, tell: Tell) -> Any:
    """The result of a prepared task; whatever it raises becomes a failure with a reason.

    Raises:
        Failure: see :class:`Task`; or it raised something else, or tried to leave the process.
    """
    try:
        return task(world, tell)
    except Failure:
        raise
    except SystemExit as error:
        raise Failure(
            "failed", f"it called sys.exit({'' if error.code is None else repr(error.code)})"
        ) from error
    except (KeyboardInterrupt, GeneratorExit):  # of whoever asked for the task
        raise
    except BaseException as error:
        raise Failure("failed", what_was_raised(error)) from error


def what_was_raised(error: BaseException) -> str:
    """The kind of an exception and what it says, on one line."""
    text = " ".join(str(error).split())[:LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
