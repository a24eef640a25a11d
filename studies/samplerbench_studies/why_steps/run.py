"""Answers of rows, each measured as a task of an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from samplerbench.benchmarks.running.executors import (
    Call,
    Executor,
    Failure,
    WorkerConfig,
    WorkerContext,
)
from samplerbench.models import make_model

from .measuring.effort import Effort
from .measuring.row import Answer
from .rows import rows
from .store import keep, key_of, recall

Told = Callable[[int, Answer | Failure, float | None], None]
"""Called with a row's number, its answer and the seconds that it took; or with why it has none."""


@dataclass(frozen=True)
class Plan:
    """What to measure, in words that a process can be sent.

    Attributes:
        name: of the effort.
        out: folder of measurements.
        replace: names of models, and of those that stand in for them.
    """

    name: Literal["fast", "full"]
    out: Path
    replace: tuple[tuple[str, str], ...] = ()

    def effort(self) -> Effort:
        """The effort itself.

        Raises:
            ValueError: no such model.
        """
        return Effort(
            self.name, self.out, {name: make_model(other) for name, other in self.replace}
        )


def explain(
    plan: Plan, numbers: Sequence[int] | None, executor: Executor, told: Told
) -> dict[int, Answer]:
    """Answers of the rows, measured unless they are known, with whatever other rows ``plan.out``
    already knows.

    Args:
        plan: what to measure.
        numbers: of the rows; None for all that exist.
        executor: where they are measured, each row a task.
        told: progress; of a row that has no answer, why.

    Raises:
        ValueError: a row that does not exist.
    """
    known, effort = rows(), plan.effort()
    if missing := sorted(set(numbers or ()) - set(known)):
        raise ValueError(
            f"there is no row {missing[0]}; the rows are {', '.join(map(str, sorted(known)))}"
        )
    found = {
        number: answer
        for number, row in known.items()
        if (answer := recall(row, effort)) is not None
    }
    wanted = [number for number in (numbers or sorted(known)) if number not in found]
    keys = {number: key_of(known[number], effort) for number in wanted}
    tasks = [Call(_measured, (plan, number)) for number in wanted]
    for which, result in executor.map(tasks, WorkerContext(WorkerConfig.here({}, "cpu"))):
        number = wanted[which]
        if isinstance(result, Failure):
            told(number, result, None)
            continue
        measured, seconds = result
        found[number] = keep(known[number], effort, keys[number], measured)
        told(number, found[number], seconds)
    return dict(sorted(found.items()))


def _measured(plan: Plan, number: int) -> tuple[Any, float]:
    """What a row finds, and the seconds that it took."""
    start = perf_counter()
    measured = rows()[number].measure(plan.effort())
    return measured, perf_counter() - start
