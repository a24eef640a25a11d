"""Samplers given by a triangular table of coefficients, such as one tuned for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..base import FOUND, Sampler
from ..grid import Grid
from ..loop import GridSampler, cached_plan
from ..registry import register_unlisted
from ..types import Source
from .linear import LinearMultistep, LinearRow, UnguidedRow


class TableRow(NamedTuple):
    """Coefficients of the step x <- a x + sum_j b_j d_{i-j}, with the denoised images d so far.

    A first row with empty b makes no evaluation, and leaves no image for later steps.

    Attributes:
        a: weight of the state.
        b: weights of the denoised images, newest first; one more in each step.
        level: level > 0 that the network gets with the unchanged state; None for the grid's level.
    """

    a: float
    b: tuple[float, ...]
    level: float | None = None


Table = tuple[TableRow, ...]

SUM_TOLERANCE = 1e-6
"""Difference of a row's sum of weights from 1 below which a sampler counts as translating."""
ROUNDING = 1e-12
"""Largest absolute weight of the state that is set to 0, as in a step to sigma = 0."""


@dataclass(frozen=True, kw_only=True)
class Tabulated(LinearMultistep):
    """Sampler that takes its coefficients from a table with one row a step, such as a tuned one.

    It has the name and the options of the sampler that it stands for. Its order is unknown.

    Attributes:
        stands_for: the sampler in whose place the table is used.
        table: the coefficients; a grid must have as many steps as the table has rows.
    """

    stands_for: Sampler = field(metadata=FOUND)
    table: Table = field(metadata=FOUND)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.stands_for.name

    @property
    def source(self) -> Any:  # type: ignore[override]
        return self.stands_for.source

    @property
    def history(self) -> int:  # type: ignore[override]
        return len(self.table) - 1

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """True if ``stands_for`` translates and the weights of each row sum to 1."""
        sums = (row.a + sum(row.b) for row in self.table)
        return self.stands_for.translates and all(abs(total - 1) < SUM_TOLERANCE for total in sums)

    def nfe(self, grid: Grid) -> int:
        """Return the evaluations per sample: one a step, but none for a first row with empty b."""
        return len(grid) - (not self.table[0].b)

    def plan(self, grid: Grid) -> list[LinearRow]:
        """Return the rows of the table on the levels of ``grid``.

        Raises:
            ValueError: the table is for another number of steps.
        """
        if len(grid) != len(self.table):
            raise ValueError(
                f"the coefficients of {self.name} are for {len(self.table)} steps, not for "
                f"{len(grid)}; tune it for that many"
            )
        return [
            LinearRow(row.level or sigma, row.a, row.b or (0.0,), gain=None if row.b else 0.0)
            for sigma, row in zip(grid.sigma[:-1], self.table, strict=True)
        ]


@register_unlisted
@dataclass(frozen=True, kw_only=True)
class FromSchedule(LinearMultistep):
    """Sampler whose coefficients come with the schedule, such as the schedule ``published``."""

    name = "tabulated"
    source = Source(
        "shaul2024bns", "section 3.1, non-stationary solvers", "https://arxiv.org/abs/2403.01329v1"
    )

    def nfe(self, grid: Grid) -> int:
        """Raise a ValueError: without a schedule there are no coefficients."""
        return len(self.plan(grid))

    def plan(self, grid: Grid) -> list[LinearRow]:  # noqa: ARG002 - of the interface
        """Raise a ValueError: without a schedule there are no coefficients."""
        raise ValueError(
            "sampler tabulated has no coefficients of its own; give a schedule that has them, as in "
            "--schedule \"published(file='table.json')\""
        )


def why_not_tabulable(sampler: Sampler, grid: Grid) -> str:
    """Return the reason why :func:`tabulate` cannot represent a sampler on a grid; "" if it can."""
    if not isinstance(sampler, GridSampler):
        return "does not step along a grid"
    if getattr(sampler, "needs_statistics", False):
        return "has coefficients of its own for each dimension"
    rows = cached_plan(sampler, grid)
    if isinstance(rows[0], UnguidedRow):
        return "reads two images of an evaluation"
    if len(rows) != len(grid) or not all(isinstance(row, LinearRow) for row in rows):
        return "makes steps of several evaluations"
    if any(row.c for row in rows):
        return "draws noise"
    if any(row.gain is not None for row in rows[1:]):
        return "makes a step without an evaluation after its first"
    return ""


def tabulate(sampler: Sampler, grid: Grid) -> Table:
    """Return the table of coefficients that makes a linear method's steps on a grid.

    Substituting the history entries p x + q d makes every state a sum of the first state and
    denoised images. Each state is then a multiple of the state before it plus denoised images.

    Raises:
        ValueError: no table represents the steps (:func:`why_not_tabulable` says why).
    """
    if reason := why_not_tabulable(sampler, grid):
        raise ValueError(
            f"sampler {sampler.name} has no table of coefficients: it {reason}; give a "
            "multistep method such as dpmpp_2m"
        )
    assert isinstance(sampler, GridSampler)
    return table_of_rows(cached_plan(sampler, grid), grid)


def table_of_rows(rows: Sequence[LinearRow], grid: Grid) -> Table:
    """Return the table of linear steps without noise; only the first may lack its evaluation.

    If the level of a row is not the grid's, the table gives the row's level to the network.
    """
    n = len(rows)
    states = [np.eye(n + 1)[n]]  # weights of d_0 … d_{n-1}, and of the first state
    table, gain = [], rows[0].gain
    for i, row in enumerate(rows):
        state = row.a * states[i]
        for back, weight in enumerate(row.b):
            p, q = rows[i - back].p, rows[i - back].q
            if i == back and gain is not None:
                p, q = p + q * gain, 0.0
            state = state + weight * p * states[i - back]
            state[i - back] += weight * q
        a = float(state[n] / states[i][n]) if states[i][n] else 0.0
        a = a if abs(a) > ROUNDING else 0.0
        images = (state - a * states[i])[: i + 1][::-1].tolist()
        level = None if row.gain is not None or row.sigma == grid.sigma[i] else row.sigma
        table.append(TableRow(a, tuple(images if gain is None else images[:-1]), level))
        states.append(state)
    return tuple(table)


def move_coefficients(table: Table | None, old_grid: Grid, new_grid: Grid) -> Table | None:
    """Return a table's coefficients for the levels of another grid; None without a table.

    The weight of the state changes in proportion to nxt / cur of the step, and the newest image's
    weight so that the row keeps its sum. A row's level for the network keeps its ratio to the
    grid's level, but is at most the new grid's first level.
    """
    if table is None:
        return None
    rows = []
    for row, old, new in zip(table, old_grid.intervals(), new_grid.intervals(), strict=True):
        share = (new[1] / new[0]) / (old[1] / old[0]) if old[1] else 1.0
        newest = [row.b[0] + row.a * (1 - share)] if row.b else []
        level = row.level and min(row.level * new[0] / old[0], new_grid.sigma[0])
        rows.append(TableRow(row.a * share, (*newest, *row.b[1:]), level))
    return tuple(rows)


def correction_weights(sampler: Sampler, grid: Grid) -> list[float]:
    """Return, for each step i, the part of image d_i's weight that corrects step i - 1; 0 for none.

    Raises:
        ValueError: no table represents the steps, the sampler has no corrector, or a history
            entry is not the denoised image of its step.
    """
    own = tabulate(sampler, grid)
    if not getattr(sampler, "corrector", False):
        raise ValueError(
            f"sampler {sampler.name} has no corrector, which ratios need; give unipc_2 or unipc_3"
        )
    assert isinstance(sampler, GridSampler)
    if any(row.p or row.gain is not None for row in cached_plan(sampler, grid)):
        raise ValueError(
            f"ratios compensate the denoised image of every step, which {sampler.name} with these "
            "options does not keep; give unipc_2 or unipc_3 with prediction='data'"
        )
    predictor = tabulate(replace(sampler, corrector=False), grid)  # type: ignore[call-arg]
    return [both.b[0] - alone.b[0] for both, alone in zip(own, predictor, strict=True)]


def apply_dynamic_compensation(
    table: Table, corrections: Sequence[float], times: Sequence[float], ratios: Sequence[float]
) -> Table:
    """Return a table whose images are shifted in time: dynamic compensation (DC-Solver).

    In step i >= 2 a parabola in time goes through d_i and the two previous images, already shifted.
    Its value at times_{i-1} + r_i (times_i - times_{i-1}) replaces d_i in this and all later steps.
    Only the correction of step i - 1 reads the unshifted d_i. With r_i = 1 nothing changes.

    Sources: arXiv:2409.03755v1, section 3.2; the authors' dc_solver.py with dc_order = 2, which has
    no ratio in the first two steps either.

    Args:
        table: n rows, all with an evaluation.
        corrections: weights of d_i that correct step i - 1 (:func:`correction_weights`), ``(n,)``.
        times: distinct times of the evaluations, ``(n,)``.
        ratios: r_i from step 2 on, ``(n - 2,)``.
    """
    shifts = np.eye(len(table))  # row i has the weights of the images in the shifted d_i
    rows = list(table[:2])
    for i, (row, ratio) in enumerate(zip(table[2:], ratios, strict=True), 2):
        nodes = np.array(times[i - 2 : i + 1])
        to = nodes[1] * (1 - ratio) + nodes[2] * ratio
        others = [np.delete(nodes, j) for j in range(3)]
        lagrange = [np.prod((to - o) / (t - o)) for t, o in zip(nodes, others, strict=True)]
        shifts[i] = lagrange @ shifts[i - 2 : i + 1]
        weights = np.array(row.b[::-1])
        read = weights.copy()
        read[i] -= corrections[i]
        moved = weights + read @ (shifts - np.eye(len(table)))[: i + 1, : i + 1]
        rows.append(row._replace(b=tuple(moved[::-1].tolist())))
    return tuple(rows)
