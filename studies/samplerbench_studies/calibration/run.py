"""Calibration run: resumable computation of all cells, with replicates stored on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from samplerbench.benchmarks.running.executors import (
    Call,
    Executor,
    Failure,
    InProcess,
    WorkerConfig,
    WorkerContext,
)
from samplerbench.results.run_directory import read_npz, write_npz

from .families import FAMILIES
from .summary import summarise
from .trials import Arrays, Case, Metric

LIMIT = 2000
"""Most samples for distances between two sets of samples. The kernel distance takes time ~ n²."""

NETWORK = (("network", 32, 480), ("network", 32, 2000))
"""Family, dimension and samples of cells with the feature space of the default suite's network."""

CHUNK = 50
"""Replicates in one task and one write."""


@dataclass(frozen=True)
class Calibration:
    """Calibration run, resumable.

    Attributes:
        log: folder with stored replicates, one file per cell. They are reused if their estimator is
            the present one.
        families: families of features.
        dimensions: numbers of features, >= 2.
        samples: numbers of samples N.
        more: further cells (family, features, samples), in addition to the product of the three
            fields.
        replicates: number of replicates of each cell, >= 10.
        executor: executor of the tasks, each of :data:`CHUNK` replicates of a cell.
        progress: callback with a description of the current work.
    """

    log: Path
    families: Sequence[str] = tuple(name for name in FAMILIES if name != "network")
    dimensions: Sequence[int] = (16, 128)
    samples: Sequence[int] = (500, 2000, 10000)
    more: Sequence[tuple[str, int, int]] = NETWORK
    replicates: int = 500
    executor: Executor = field(default_factory=InProcess)
    progress: Callable[[str], None] = print

    def __post_init__(self) -> None:
        if self.replicates < 10:
            raise ValueError(
                f"coverage of {self.replicates} replicates says nothing: ask for at least 10"
            )

    @classmethod
    def quick(cls, log: Path, **changes: Any) -> Calibration:
        """Return a run of a few seconds, which only shows the form of the tables."""
        small = {
            "families": ("gaussian", "rectified"),
            "dimensions": (4,),
            "samples": (40, 200),
            "more": (),
            "replicates": 40,
        }
        return cls(log, **small | changes)

    @property
    def cells(self) -> list[Case]:
        """Cells grouped by metric; "fd_conv" and "kid" have at most :data:`LIMIT` samples."""
        every = (*product(self.families, self.dimensions, self.samples), *self.more)
        metrics: tuple[Metric, ...] = get_args(Metric)
        cells = [Case(metric, *rest) for metric, rest in product(metrics, every)]
        return [
            cell
            for cell in cells
            if cell.metric == "fd" or (cell.n <= LIMIT and (cell.enough or cell.metric == "kid"))
        ]

    def __call__(self) -> list[dict[str, Any]]:
        """Run all missing replicates, cheap cells first, and return the rows of the table.

        Raises:
            Failure: a chunk could not be drawn. Earlier chunks of its cell, and the other cells,
                are stored.
        """
        order = sorted(self.cells, key=lambda cell: cell.cost)
        kept = {cell: self._kept(cell) for cell in order}
        chunks = [(cell, part) for cell in order for part in self._missing(kept[cell])]
        tasks = [Call(Case.replicates, chunk) for chunk in chunks]
        failure, early = None, {}
        for which, drawn in self.executor.map(
            tasks, WorkerContext(WorkerConfig.of_this_process({}, "cpu"))
        ):
            cell, part = chunks[which]
            if isinstance(drawn, Failure):
                failure = failure or Failure(drawn.status, f"{cell.name}: {drawn.reason}")
                continue
            early[cell, part.start] = drawn
            while (done := _count_replicates(kept[cell])) < self.replicates and (
                cell,
                done,
            ) in early:
                kept[cell] = _join_replicates(kept[cell], early.pop((cell, done)))
                self._keep(cell, kept[cell])
        if failure is not None:
            raise failure
        return [row for cell in self.cells for row in summarise(cell, self._first(kept[cell]))]

    def _kept(self, cell: Case) -> Arrays:
        """Return the stored replicates of a cell with the same estimator; {} without any."""
        stored = read_npz(self._path(cell)) or {}
        # a file without an identity is of an unknown version
        return stored if str(stored.pop("identity", "")) == cell.identity else {}

    def _missing(self, kept: Arrays) -> list[range]:
        """Return the chunks of a cell that have not been drawn."""
        return [
            range(start, min(start + CHUNK, self.replicates))
            for start in range(_count_replicates(kept), self.replicates, CHUNK)
        ]

    def _keep(self, cell: Case, arrays: Arrays) -> None:
        write_npz(self._path(cell), {**arrays, "identity": np.array(cell.identity)})
        self.progress(f"{cell.name}: {_count_replicates(arrays)} of {self.replicates} replicates")

    def _first(self, arrays: Arrays) -> Arrays:
        return {name: values[: self.replicates] for name, values in arrays.items()}

    def _path(self, cell: Case) -> Path:
        return self.log / f"{cell.name}.npz"


def _count_replicates(arrays: Arrays) -> int:
    return len(next(iter(arrays.values()), ()))


def _join_replicates(arrays: Arrays, more: Arrays) -> Arrays:
    if not arrays:
        return more
    return {name: np.concatenate([arrays[name], more[name]]) for name in more}
