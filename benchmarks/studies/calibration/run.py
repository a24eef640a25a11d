"""Runs all cells, resumably: what has been replicated is on disk, and the tables are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ....results.run_directory.files import read_npz, write_npz
from .families import FAMILIES
from .summary import summarise
from .trials import Arrays, Case, Metric

LIMIT = 2000
"""Most samples of the distances between two sets of samples: the time of the kernel distance
grows with their square.
"""

NETWORK = (("network", 32, 480), ("network", 32, 2000))
"""Family, features and samples of the feature space that the default suite gives its network:
as many as there, and more.
"""

CHUNK = 50
"""Replicates between two writes."""


@dataclass(frozen=True)
class Calibration:
    """One run.

    Attributes:
        log: where replicates are kept, one file a cell; what it holds is not drawn again, unless it
            is of another estimator.
        families: of features.
        dimensions: features, >= 2.
        samples: N.
        more: cells beside every family with all numbers of features and samples: family, features,
            samples.
        replicates: of each cell, >= 10.
        progress: told what is being done.
    """

    log: Path
    families: Sequence[str] = tuple(name for name in FAMILIES if name != "network")
    dimensions: Sequence[int] = (16, 128)
    samples: Sequence[int] = (500, 2000, 10000)
    more: Sequence[tuple[str, int, int]] = NETWORK
    replicates: int = 500
    progress: Callable[[str], None] = print

    def __post_init__(self) -> None:
        if self.replicates < 10:
            raise ValueError(
                f"coverage of {self.replicates} replicates says nothing: ask for at least 10"
            )

    @classmethod
    def quick(cls, log: Path, **changes: Any) -> Calibration:
        """A run of seconds, that shows the form of the tables and no more."""
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
        """All cells, those of a metric together."""
        every = (*product(self.families, self.dimensions, self.samples), *self.more)
        metrics: tuple[Metric, ...] = get_args(Metric)
        cells = [Case(metric, *rest) for metric, rest in product(metrics, every)]
        return [
            cell
            for cell in cells
            if cell.metric == "fd" or (cell.n <= LIMIT and (cell.enough or cell.metric == "kid"))
        ]

    def __call__(self) -> list[dict[str, Any]]:
        """Rows of the table; the cheap cells are run first."""
        found = {
            cell: self._arrays(cell) for cell in sorted(self.cells, key=lambda cell: cell.cost)
        }
        return [row for cell in self.cells for row in summarise(cell, found[cell])]

    def _arrays(self, cell: Case) -> Arrays:
        path = self.log / f"{cell.name}.npz"
        stored = read_npz(path) or {}
        # a file without one is of a version that nobody can tell
        known = str(stored.pop("identity", "")) == cell.identity
        arrays: Arrays = stored if known else {}
        done = len(next(iter(arrays.values()), ()))
        while done < self.replicates:
            self.progress(f"{cell.name}: {done} of {self.replicates} replicates")
            fresh = cell.replicates(range(done, min(done + CHUNK, self.replicates)))
            arrays = {
                name: np.concatenate([*([arrays[name]] if done else []), fresh[name]])
                for name in fresh
            }
            write_npz(path, {**arrays, "identity": np.array(cell.identity)})
            done = len(arrays["value"])
        return {name: values[: self.replicates] for name, values in arrays.items()}
