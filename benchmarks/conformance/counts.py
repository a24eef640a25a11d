"""Counted network evaluations against ``nfe(grid)``, and the noise levels that are asked for."""

from __future__ import annotations

from typing import Any

import torch

from ...samplers import Grid, GridSampler, Sampler, karras
from .check import Check
from .problems import Rational
from .recorder import Log, Recorder, noise_for

STEPS = (1, 2, 3, 10)
BATCH = 2
RANGE = (0.02, 10.0)


def grids() -> list[Grid]:
    """Return Karras grids to 0 and to sigma_min."""
    return [karras(n, *RANGE, to_zero=to_zero) for to_zero in (True, False) for n in STEPS]


def check_nfe(sampler: Sampler) -> list[Check]:
    """Check rows and calls against ``nfe``, and that levels are positive and within the grid.

    A stochastic sampler may go up to sqrt(2) times its first level.
    """
    data, wrong, levels = [], [], []
    for grid in grids():
        log = _run(sampler, grid)
        declared, counted = sampler.nfe(grid), log.rows / BATCH
        data.append(
            {
                "steps": len(grid),
                "to_zero": grid.to_zero,
                "declared": declared,
                "counted": counted,
                "calls": log.calls,
            }
        )
        sequential = isinstance(sampler, GridSampler) and log.calls != declared
        if declared is not None and (counted != declared or sequential):
            end = "0" if grid.to_zero else "sigma_min"
            wrong.append(
                f"{len(grid)} steps to {end}: declared {declared}, counted "
                f"{counted:g} in {log.calls} calls"
            )
        top = grid.sigma[0] * (2**0.5 if sampler.stochastic else 1)
        bottom = grid.sigma[-2] if grid.to_zero else grid.sigma[-1]
        levels += [s for s in log.levels if not bottom * (1 - 1e-9) <= s <= top * (1 + 1e-9)]
    return [
        Check("nfe", not wrong, wrong[0] if wrong else _summary(data), {"grids": data}),
        Check(
            "levels",
            not levels,
            f"asked for sigma = {levels[0]:.4g}, outside the grid"
            if levels
            else "all within the grid",
        ),
    ]


def _run(sampler: Sampler, grid: Grid) -> Log:
    recorder = Recorder(Rational())
    noise, x = noise_for(sampler, torch.arange(BATCH), (3,))
    sampler.sample(recorder, x * grid.sigma[0], grid, noise)
    return recorder.log


def _summary(data: list[dict[str, Any]]) -> str:
    to_zero = [entry for entry in data if entry["to_zero"]]
    counted = ", ".join(f"{entry['counted']:g}" for entry in to_zero)
    return f"{counted} evaluations at {', '.join(str(n) for n in STEPS)} steps to 0" + (
        "" if to_zero[0]["declared"] is not None else " (none declared)"
    )
