"""Timing of a run directory's cells without present times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from ...models import Denoiser
from ...results.record import Record
from ...results.run_directory.layout import QUALITY
from ...results.run_directory.run_dir import RunDir
from ..suites.cell import Cell
from ..suites.suite import Timing
from .cells import Done, Progress, time_cells
from .machine import device_of, version
from .sweep import sweep_on
from .table import SWEEP, timing_file


class Place(Protocol):
    """Timer of a model's cells."""

    def machine(self) -> Record:
        """Return the result of :func:`machine_of` for its device."""
        ...

    def time(
        self,
        cells: Sequence[Cell],
        size: int,
        within: float | None,
        progress: Progress,
        done: Done,
    ) -> None:
        """Time cells at a batch size; see :func:`.time_cells`."""
        ...

    def sweep(self, cell: Cell, within: float | None, progress: Callable[[int], None]) -> Record:
        """Time a cell at many batch sizes; see :func:`.sweep_on`."""
        ...


@dataclass(frozen=True)
class LocalTimer:
    """Timer in this process.

    Attributes:
        model: on the device.
        options: duration and precision. device: "cpu" or "cuda".
    """

    model: Denoiser
    options: Timing
    device: str

    def machine(self) -> Record:
        """See :class:`Place`."""
        return machine_of(self.device)

    def time(
        self,
        cells: Sequence[Cell],
        size: int,
        within: float | None,
        progress: Progress,
        done: Done,
    ) -> None:
        """See :class:`Place`."""
        time_cells(
            self.model,
            cells,
            self.options,
            self.device,
            batch_size=size,
            progress=progress,
            done=done,
            within=within,
        )

    def sweep(self, cell: Cell, within: float | None, progress: Callable[[int], None]) -> Record:
        """See :class:`Place`."""
        return sweep_on(self.model, cell, self.options, self.device, within, progress)


def machine_of(device: str) -> Record:
    """Return the conditions for times of this process."""
    return {
        "timing_device": device,
        "timing_device_name": device_of(device)["name"],
        "timing_threads": torch.get_num_threads(),
    }


def time_pending(
    run: RunDir,
    cells: Sequence[Cell],
    options: Timing,
    place: Place,
    stage: Callable[[str], None],
    within: Callable[[], float | None] = lambda: None,
) -> None:
    """Time the cells of one model that lack times, at each batch size, and sweep over batch sizes.

    Args:
        run: stores the times.
        cells: of the model, with samples.
        options: batch sizes, duration and precision.
        place: the timer.
        stage: receives the present stage.
        within: gives, before each batch size and before the sweep, its seconds; None for no limit.
    """
    machine = place.machine() if cells else {}
    for size in options.batch_size if cells else ():
        file, stamps = timing_file(size, options), {}
        for cell in cells:
            stamp = machine | _stamp(cell, options, size)
            if stamp.items() <= (run.read(cell.key, file) or {}).items():
                continue
            if reason := _too_large(run, cell, size or cell.batch_size):
                run.write(cell.key, file, {**stamp, "timing_reason": reason})
            else:
                stamps[cell.key] = stamp
        title = f"{cells[0].model}: timing" + (f" batches of {size}" if size else "")
        if stamps:
            place.time(
                [cell for cell in cells if cell.key in stamps],
                size,
                within(),
                lambda share, label, title=title: stage(f"{title} {share:.0%} {label}"),
                lambda key, record, file=file, stamps=stamps: run.write(
                    key, file, {**stamps[key], **record}
                ),
            )

    if options.sweep and cells:
        cell = cells[0]
        stamp = machine | _stamp(cell, options, 0) | {"sweep": options.sweep}
        if stamp.items() <= (run.read(cell.key, SWEEP) or {}).items():
            return
        title = f"{cell.model}: throughput of {cell.label}"
        result = place.sweep(cell, within(), lambda batch: stage(f"{title}, batches of {batch}"))
        if result.get("points"):
            run.write(cell.key, SWEEP, {**stamp, **result})


def _too_large(run: RunDir, cell: Cell, size: int) -> str:
    """Return the reason not to time a batch: memory could not hold it while sampling, and here no
    worker shields this process. It is "" if nothing speaks against it.
    """
    used = (run.read(cell.key, QUALITY) or {}).get("batch_used")
    if not isinstance(used, int) or size <= used:
        return ""
    return (
        f"memory held batches of {used} samples, not of {cell.batch_size}: a batch of {size} is not "
        f"timed, and no other for it; --batch-size {used} times that"
    )


def _stamp(cell: Cell, options: Timing, size: int) -> Record:
    """Return the inputs of times, or of their lack, besides the machine and the cell's identity.

    A change of one of these is another chance.
    """
    return {
        "timing_batch_size": size or cell.batch_size,
        "timing_asked": {
            "samplerbench": version(),
            **options.model_dump(
                mode="json", exclude={"enabled", "batch_size", "minutes", "sweep"}
            ),
        },
    }
