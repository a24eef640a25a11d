"""Computation of answers, where each row is measured as a task of an executor."""

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
from samplerbench.models import make_model, model_names
from samplerbench_studies import CARDS

from .measuring.effort import Effort
from .measuring.row import Answer
from .rows import rows
from .store import keep, key_of, recall

Told = Callable[[int, Answer | Failure, float | None], None]
"""Callback with a row's number, its answer or failure, and the seconds it took (None if stored)."""


@dataclass(frozen=True)
class Plan:
    """Settings of a run, which can be sent to a process.

    Attributes:
        name: name of the effort, "fast" or "full".
        out: folder of measurements.
        replace: pairs of a model's name and the name of its replacement.
    """

    name: Literal["fast", "full"]
    out: Path
    replace: tuple[tuple[str, str], ...] = ()

    def effort(self) -> Effort:
        """Return the effort.

        Raises:
            ValueError: a model does not exist.
        """
        known = {*model_names(), *(card.name for card in CARDS.iterdir())}
        if unknown := [name for name, _ in self.replace if name not in known]:
            raise ValueError(
                f"there is no model {unknown[0]!r} to replace; choose {', '.join(sorted(known))}"
            )
        return Effort(
            self.name, self.out, {name: make_model(other) for name, other in self.replace}
        )


def explain(
    plan: Plan, numbers: Sequence[int] | None, executor: Executor, told: Told
) -> dict[int, Answer]:
    """Return answers of the rows, measured unless stored, and of all other rows stored in
    ``plan.out``.

    Args:
        plan: settings of the measurements.
        numbers: numbers of the rows to measure; None for all.
        executor: executor of the tasks, one for each row.
        told: callback for each row, with its answer or the failure.

    Raises:
        ValueError: a row does not exist.
    """
    known, effort = rows(), plan.effort()
    if missing := sorted(set(numbers or ()) - set(known)):
        raise ValueError(
            f"there is no row {missing[0]}; the rows are {', '.join(map(str, sorted(known)))}"
        )
    plan.out.mkdir(parents=True, exist_ok=True)  # an error now, not after minutes of measuring
    found = {
        number: answer
        for number, row in known.items()
        if (answer := recall(row, effort)) is not None
    }
    wanted = [number for number in (numbers or sorted(known)) if number not in found]
    keys = {number: key_of(known[number], effort) for number in wanted}
    tasks = [Call(_measured, (plan, number)) for number in wanted]
    for which, result in executor.map(
        tasks, WorkerContext(WorkerConfig.of_this_process({}, "cpu"))
    ):
        number = wanted[which]
        if isinstance(result, Failure):
            told(number, result, None)
            continue
        measured, seconds = result
        found[number] = keep(known[number], effort, keys[number], measured)
        told(number, found[number], seconds)
    return dict(sorted(found.items()))


def _measured(plan: Plan, number: int) -> tuple[Any, float]:
    """Return the measurement of a row, and the seconds it took."""
    start = perf_counter()
    measured = rows()[number].measure(plan.effort())
    return measured, perf_counter() - start
