"""State that the stages of a run of ``advise`` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...running.executors import Executor
from ..asked.request import AdviceRequest, CurrentConfiguration, Entry
from ..racing.clock import Clock

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """State of a run of ``advise``.

    Attributes:
        asked: the model, and how it is run.
        out: folder of the answer.
        clock: the time that there is.
        executor: where samplers run.
        now: what is used now.
        library: whose users ask.
        ms: milliseconds that a sample may take, in place of budgets; None for budgets.
        progress: called with each stage, in words.
    """

    asked: AdviceRequest
    out: Path
    clock: Clock
    executor: Executor
    now: CurrentConfiguration
    library: str
    ms: float | None
    progress: Progress


def runs(entry: Entry) -> bool:
    """Return True if there is anything to run."""
    return entry.cell.grid is not None and not entry.cell.skip
