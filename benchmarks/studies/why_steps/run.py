"""Answers of rows, several measured at a time, each in a process of its own with one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch

from ....models import make_model
from .measuring.effort import Effort
from .measuring.row import Answer
from .rows import rows
from .store import answered, recall

Told = Callable[[int, Answer, float], None]
"""Called with a row's number, its answer and the seconds that it took."""


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


def explain(plan: Plan, numbers: Sequence[int] | None, jobs: int, told: Told) -> dict[int, Answer]:
    """Answers of the rows, measured unless they are known, with whatever other rows ``plan.out``
    already knows.

    Args:
        plan: what to measure.
        numbers: of the rows; None for all that exist.
        jobs: how many at a time, >= 1.
        told: progress.

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
    with _workers(min(jobs, len(wanted))) as pool:
        if pool is None:
            done = (_measured(plan, number) for number in wanted)
        else:
            done = (
                future.result()
                for future in as_completed(
                    [pool.submit(_measured, plan, number) for number in wanted]
                )
            )
        for number, answer, seconds in done:
            found[number] = answer
            told(number, answer, seconds)
    return dict(sorted(found.items()))


@contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes with one thread each; None where one row at a time is enough."""
    if jobs < 2:
        yield None
        return
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=partial(torch.set_num_threads, 1)
    ) as pool:
        yield pool


def _measured(plan: Plan, number: int) -> tuple[int, Answer, float]:
    start = perf_counter()
    answer = answered(rows()[number], plan.effort())
    return number, answer, perf_counter() - start
