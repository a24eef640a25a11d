"""Timing of cells on the device of an executor, such as a GPU of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ....results.values import Record
from ...suites.cell import Cell
from ...suites.suite import Timing
from ...timing.cells import Done, Progress
from ...timing.pending_cells import Timer, conditions_for_times
from ...timing.sweep import sweep_record
from .executor import Call, Executor, Failure, Tell
from .tasks import CellTask
from .worker_context import WorkerContext


@dataclass(frozen=True)
class TimesTask:
    """Task that times cells of one model.

    ``size`` is the batch size, 0 for each cell's own. ``within`` limits the total seconds.
    """

    parts: tuple[CellTask, ...]
    options: Timing
    size: int
    within: float | None

    def prepare(self, world: WorkerContext) -> None:
        """Load the model; raise a ValueError if its files changed since the plan."""
        for part in self.parts:
            part.prepare(world)

    def __call__(self, world: WorkerContext, tell: Tell) -> dict[str, Record]:
        """Return the timing columns by cell key; ``tell`` gets (share done, label of the cell)."""
        cells = [part.cell for part in self.parts]
        model, records = world.load(cells[0].model).model, dict[str, Record]()
        timer = Timer(model, self.options, world.setting.device)
        timer.time(cells, self.size, self.within, lambda *news: tell(news), records.__setitem__)
        return records


@dataclass(frozen=True)
class SweepTask(CellTask):
    """Task that times a cell at many batch sizes; ``within`` limits the seconds."""

    options: Timing
    within: float | None

    def __call__(self, world: WorkerContext, tell: Tell) -> Record:
        """Return the :func:`.sweep_record`; ``tell`` gets each batch size before it is timed."""
        model = world.load(self.cell.model).model
        return sweep_record(model, self.cell, self.options, world.setting.device, self.within, tell)


@dataclass(frozen=True)
class RemoteTimer(Timer):
    """Timer that runs on ``executor``, which is from :meth:`.Executor.alone`."""

    executor: Executor
    world: WorkerContext

    def timing_conditions(self) -> Record:
        """Return the executor's device and threads; raise a ValueError if the task fails."""
        try:
            return self.executor.run(Call(conditions_for_times, (self.device,)), self.world)
        except Failure as failure:
            raise ValueError(
                f"no times can be taken where they were to be: {failure.reason}; --no-timing "
                "leaves them out"
            ) from failure

    def time(
        self, cells: Sequence[Cell], size: int, within: float | None, progress: Progress, done: Done
    ) -> None:
        """Time cells as :meth:`.Timer.time`. After a failure, ``done`` gets its reason for each."""
        task = TimesTask(tuple(map(CellTask, cells)), self.options, size, within)
        records: dict[str, Record]
        try:
            records = self.executor.run(task, self.world, tell=lambda news: progress(*news))
        except Failure as failure:
            records = {cell.key: {"timing_reason": failure.reason} for cell in cells}
        for key, record in records.items():
            done(key, record)

    def sweep_batch_sizes(
        self, cell: Cell, within: float | None, progress: Callable[[int], None]
    ) -> Record:
        """Return :meth:`.Timer.sweep_batch_sizes` on the executor; {} if the task fails."""
        task = SweepTask(cell, self.options, within)
        try:
            return self.executor.run(task, self.world, tell=progress)
        except Failure:
            return {}
