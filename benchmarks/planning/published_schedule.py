"""Schedule ``published``: levels, and coefficients for ``tabulated``, from an authors' file."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.denoiser import Denoiser
from ...samplers import Grid, Sampler, Source
from ...samplers.families.tabulated import FromSchedule, Tabulated, move_coefficients
from ...samplers.schedules import schedule
from ...samplers.spec import canonical_json, label_of
from .tuned_schedule import carry_grid

if TYPE_CHECKING:
    from .published_tables import PublishedTable

NEAR = 0.05
"""Largest difference in log sigma between a table's ends and the model's without ``carry``."""


@schedule(
    Source(
        "shaul2024bns",
        "section 3.1, non-stationary solvers",
        "https://arxiv.org/abs/2403.01329v1",
        (
            "A row also has the level that the network is given, and its sum is free; "
            "DyWeight and other published solvers need both.",
            "The last state is the image, even if its level is not quite 0.",
        ),
    ),
    needs_model=True,
    needs_sampler=True,
)
def published(
    *, file: str = "table.json", part: str = "", carry: bool = False
) -> Callable[[Denoiser, Path | None, str], PublishedGrids]:
    """Levels of a published solver, from its authors' file, with coefficients for ``tabulated``.

    Args:
        file: a ``network-snapshot-*.pkl`` of DyWeight, ``ns_sampling.py`` of NeuralSolver, or a
            ``.json``; with * and ?, several files.
        part: name of the dictionary in a ``.py`` that has several.
        carry: True to move tables to the model's range, at the same relative positions in log sigma.

    The files are read for each model. A ValueError names a file that cannot be used.
    """

    def read(model: Denoiser, _cache: Path | None, _device: str) -> PublishedGrids:
        from .published_tables import read_tables  # few runs need it

        paths = sorted(glob.glob(file)) or [file]
        tables: dict[int, PublishedTable] = {}
        for table in (t for path in paths for t in read_tables(Path(path), part, model.sigma_max)):
            n = len(table.grid)
            if n in tables:
                raise ValueError(
                    f"schedule published: {tables[n].file} and {table.file} both have {n} steps; "
                    "name one of them"
                )
            tables[n] = fit_to_range(table, model, carry=carry)
        return PublishedGrids(file, tables)

    return read


def fit_to_range(table: PublishedTable, model: Denoiser, *, carry: bool) -> PublishedTable:
    """Return a table moved to the model's range, at the same relative positions in log sigma.

    Raises a ValueError if an end moves by more than :data:`NEAR`, and ``carry`` is False.
    """
    own = replace(table, sigma_min=table.sigma_min or model.sigma_min)
    ends = [(own.sigma_min, model.sigma_min), (own.sigma_max, model.sigma_max)]
    if all(a == b for a, b in ends):
        return own
    if not carry and any(abs(math.log(a / b)) > NEAR for a, b in ends):
        raise ValueError(
            f"schedule published: {table.file} is for levels from {own.sigma_max:g} to "
            f"{own.sigma_min:g}, and {model.name} has {model.sigma_max:g} to {model.sigma_min:g}; "
            "carry=True moves it there"
        )
    grid = carry_grid(own.grid, own, model)
    moved = move_coefficients(table.table, own.grid, grid)
    return replace(
        own, grid=grid, table=moved, sigma_min=model.sigma_min, sigma_max=model.sigma_max
    )


@dataclass(frozen=True)
class PublishedGrids:
    """Published tables for one model, by steps; ``sampler`` is None until :meth:`for_sampler`."""

    file: str
    tables: dict[int, PublishedTable]
    sampler: Any = None

    def for_sampler(self, sampler: Sampler) -> PublishedGrids:
        """Return the tables for a sampler; raise ValueError if ``tabulated`` lacks coefficients."""
        bare = next((t.file for t in self.tables.values() if t.table is None), None)
        if bare and isinstance(sampler, FromSchedule):
            raise ValueError(
                f"{bare} has levels without coefficients; give a sampler, such as ipndm"
            )
        return replace(self, sampler=sampler)

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """Return the grid of ``n`` steps.

        Raises a ValueError if the file has no such grid, the range is not the model's, or ``to_zero`` is False.
        """
        if not to_zero:
            raise ValueError(f"the tables of {self.file} end at 0; run them with end zero")
        own = self._table(n)
        if (own.sigma_min, own.sigma_max) != (sigma_min, sigma_max):
            raise ValueError(
                f"{self.file} begins at {own.sigma_max:g}, not at {sigma_max:g}; run it without that start"
            )
        return own.grid

    def sampler_at(self, n: int) -> Sampler:
        """Return the sampler for ``n`` steps; ``tabulated`` gets the published coefficients."""
        table = self._table(n).table if isinstance(self.sampler, FromSchedule) else None
        return self.sampler if table is None else Tabulated(stands_for=self.sampler, table=table)

    def nfe(self, grid: Grid) -> int | None:
        """Return the evaluations per sample on a grid, with published coefficients if tabulated."""
        if not isinstance(self.sampler, FromSchedule):
            return self.sampler.nfe(grid)
        own = self.tables.get(len(grid))
        return len(grid) - bool(own and own.table and not own.table[0].b)

    def facts(self, n: int) -> dict[str, Any]:
        """Return the digest of the numbers for ``n`` steps, as ``tuning_digest``."""
        own = self._table(n)
        content = canonical_json([own.grid.sigma, own.table])
        return {"tuning_digest": hashlib.sha256(content.encode()).hexdigest()[:8]}

    def _table(self, n: int) -> PublishedTable:
        if n not in self.tables:
            sizes = ", ".join(map(str, sorted(self.tables)))
            raise ValueError(
                f"{self.file} has tables of {sizes} steps, not of {n} for {label_of(self.sampler)}; "
                f"give --steps {sizes.replace(' ', '')}"
            )
        return self.tables[n]
