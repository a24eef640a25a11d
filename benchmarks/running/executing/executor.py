"""What a task is, what may become of it, and the executor that runs it where it is called.

A task is picklable and says all that its result depends on, so that the same one can run here, in a
worker process, or elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...sampling.failure import Failure

if TYPE_CHECKING:
    from .world import World

Tell = Callable[[int], None]
"""Told how many more samples, or whatever a task counts, are done."""

LONGEST = 500
"""Letters of an exception's message that a reason keeps."""


class Task(Protocol):
    """Something to run."""

    def prepare(self, world: World) -> None:
        """Load what the task needs, which no time limit counts.

        Raises:
            ValueError: it cannot be had.
        """
        ...

    def __call__(self, world: World, tell: Tell) -> Any:
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

    def prepare(self, world: World) -> None:
        """Nothing is needed."""

    def __call__(self, world: World, tell: Tell) -> Any:  # noqa: ARG002
        """What the function returns."""
        return self.function(*self.args)


class Executor(Protocol):
    """Runs tasks one at a time.

    Attributes:
        keeps_limits: whether it gives up a task that takes too long.
    """

    keeps_limits: bool

    def start(self) -> None:
        """Get ready early, where that takes a while."""
        ...

    def run(self, task: Task, world: World, *, tell: Tell = ..., limit: float | None = None) -> Any:
        """The result of a task.

        Args:
            task: what to run.
            world: the models of this process, and how another one makes them.
            tell: progress.
            limit: seconds after which the task is given up, where that is possible; None for no
                limit.

        Raises:
            Failure: it raised, or its process ended, or it took too long.
            ValueError: it could not be prepared.
        """
        ...

    def close(self) -> None:
        """Free what is held; a later task starts anew."""
        ...


def silent(_count: int) -> None:
    """Tells nobody."""


class InProcess:
    """Runs tasks where it is called: quick to start, easy to debug, and at the mercy of what it
    runs. Time limits are not kept.
    """

    keeps_limits = False

    def start(self) -> None:
        """It is ready."""

    def run(
        self,
        task: Task,
        world: World,
        *,
        tell: Tell = silent,
        limit: float | None = None,  # noqa: ARG002
    ) -> Any:
        """See :meth:`Executor.run`."""
        task.prepare(world)
        return attempted(task, world, tell)

    def close(self) -> None:
        """Nothing is held."""


def attempted(task: Task, world: World, tell: Tell) -> Any:
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
    except Exception as error:
        text = " ".join(str(error).split())[:LONGEST]
        raise Failure(
            "failed", f"{type(error).__name__}: {text}" if text else type(error).__name__
        ) from error
