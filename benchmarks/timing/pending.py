"""Times the cells of a run directory that were not timed as they would be now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ...models import Denoiser
from ...results.record import Record
from ...results.run_directory.run_dir import RunDir
from ..suites.cell import Cell
from ..suites.suite import Timing
from .cells import time_cells
from .clock import Clock
from .machine import device_of, version
from .settings import backends_set
from .sweep import sweep
from .table import SWEEP, timing_file


def time_pending(
    run: RunDir,
    model: Denoiser,
    cells: Sequence[Cell],
    options: Timing,
    device: str,
    stage: Callable[[str], None],
    until: Callable[[], float | None] = lambda: None,
) -> None:
    """Time the cells of one model that lack times, at each batch size, and sweep over batch sizes.

    Args:
        run: where the times are.
        model: on the device.
        cells: of the model, with samples.
        options: batch sizes, how long and how exactly.
        device: "cpu" or "cuda".
        stage: told what is being done.
        until: asked before each batch size, and before the sweep: the moment of
            :func:`time.monotonic` at which it must be done; None for none.
    """
    for size in options.batch_size if cells else ():
        file, stamps = timing_file(size, options), {}
        for cell in cells:
            stamp = _stamp(cell, options, device, size)
            if not stamp.items() <= (run.read(cell.key, file) or {}).items():
                stamps[cell.key] = stamp
        title = f"{cells[0].model}: timing" + (f" batches of {size}" if size else "")
        if stamps:
            time_cells(
                model,
                [cell for cell in cells if cell.key in stamps],
                options,
                device,
                batch_size=size,
                until=until(),
                progress=lambda share, label, title=title: stage(f"{title} {share:.0%} {label}"),
                done=lambda key, record, file=file, stamps=stamps: run.write(
                    key, file, {**stamps[key], **record}
                ),
            )

    if options.sweep and cells:
        _sweep_pending(run, model, cells[0], options, device, stage, until())


def _sweep_pending(
    run: RunDir,
    model: Denoiser,
    cell: Cell,
    options: Timing,
    device: str,
    stage: Callable[[str], None],
    until: float | None,
) -> None:
    stamp = {**_stamp(cell, options, device, 0), "sweep": options.sweep}
    if stamp.items() <= (run.read(cell.key, SWEEP) or {}).items():
        return
    title = f"{cell.model}: throughput of {cell.label}"
    settings = backends_set(tf32=options.tf32, cudnn_benchmark=options.cudnn_benchmark)
    with settings:
        found = sweep(
            model,
            cell,
            Clock(device).time,
            options.sweep,
            progress=lambda batch: stage(f"{title}, batches of {batch}"),
            until=until,
        )
    if found.points:
        record = {"points": found.points, "knee": found.knee, "ended": found.ended}
        run.write(cell.key, SWEEP, {**stamp, **record})


def _stamp(cell: Cell, options: Timing, device: str, size: int) -> Record:
    """What times, or the lack of them, depend on beside the cell's identity.

    One of these changed is another chance.
    """
    return {
        "timing_device": device,
        "timing_device_name": device_of(device)["name"],
        "timing_threads": torch.get_num_threads(),
        "timing_batch_size": size or cell.batch_size,
        "timing_asked": {
            "samplerbench": version(),
            **options.model_dump(
                mode="json", exclude={"enabled", "batch_size", "minutes", "sweep"}
            ),
        },
    }
