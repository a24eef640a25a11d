"""Times that are taken where an executor has a device for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....results.record import Record
from ...suites.cell import Cell
from ...suites.suite import Timing
from ...timing.cells import Done, Progress, time_cells
from ...timing.pending import machine_of
from .executor import Call, Executor, Failure, Tell
from .tasks import OfCell
from .world import World


@dataclass(frozen=True)
class Times:
    """The times of cells of one model, at one batch size, by the key of the cell.

    Attributes:
        parts: the cells.
        options: how long and how exactly.
        size: samples per timed batch; 0 takes each cell's own.
    """

    parts: tuple[OfCell, ...]
    options: Timing
    size: int

    def prepare(self, world: World) -> None:
        """Load the model.

        Raises:
            ValueError: see :meth:`.OfCell.prepare`.
        """
        for part in self.parts:
            part.prepare(world)

    def __call__(self, world: World, tell: Tell) -> dict[str, Record]:
        """The timing columns; news is what :data:`.Progress` is told."""
        cells = [part.cell for part in self.parts]
        found: dict[str, Record] = {}
        time_cells(
            world.subject(cells[0].model).model,
            cells,
            self.options,
            world.setting.device,
            batch_size=self.size,
            progress=lambda share, label: tell((share, label)),
            done=found.__setitem__,
        )
        return found


@dataclass(frozen=True)
class There:
    """A :class:`.Place`: where an executor runs one task at a time, on a device of its own.

    Attributes:
        executor: what :meth:`.Executor.alone` gave.
        world: of the run.
        options: how long and how exactly.
    """

    executor: Executor
    world: World
    options: Timing

    def machine(self) -> Record:
        """See :class:`.Place`.

        Raises:
            ValueError: it cannot be asked.
        """
        try:
            return self.executor.run(Call(machine_of, (self.world.setting.device,)), self.world)
        except Failure as failure:
            raise ValueError(
                f"no times can be taken where they were to be: {failure.reason}; --no-timing "
                "leaves them out"
            ) from failure

    def time(self, cells: Sequence[Cell], size: int, progress: Progress, done: Done) -> None:
        """See :class:`.Place`. A cell that ends the process of the times leaves all without."""

        def tell(news: Any) -> None:
            progress(*news)

        task = Times(tuple(map(OfCell, cells)), self.options, size)
        found: dict[str, Record]
        try:
            found = self.executor.run(task, self.world, tell=tell)
        except Failure as failure:
            found = {cell.key: {"timing_reason": failure.reason} for cell in cells}
        for key, record in found.items():
            done(key, record)
