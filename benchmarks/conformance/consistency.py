"""Checks of finite results on the shortest grids, and of identities that every consistent method
obeys.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ...samplers import (
    Grid,
    GridSampler,
    LinearMultistep,
    Multistep,
    Sampler,
    StartRow,
    karras,
    make,
    non_default,
)
from .check import Check, raised
from .problems import GRIDS, AnisotropicGaussian, Log, Rational, Recorder, noise_for

COUNTED = (1, 2, 3, 10)
BATCH = 2
COUNT_RANGE = (0.02, 10.0)


def grids() -> list[Grid]:
    """Return Karras grids to 0 and to sigma_min."""
    return [karras(n, *COUNT_RANGE, to_zero=to_zero) for to_zero in (True, False) for n in COUNTED]


def check_nfe(sampler: Sampler) -> list[Check]:
    """Check rows and calls against ``nfe``, and levels, which may be up to sqrt(2) times the grid's
    first with noise.
    """
    data, wrong, levels = [], [], []
    for grid in grids():
        log = _count(sampler, grid)
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


def _count(sampler: Sampler, grid: Grid) -> Log:
    recorder = Recorder(Rational())
    noise, x = noise_for(sampler, torch.arange(BATCH), (3,))
    sampler.sample(recorder, x * grid.sigma[0], grid, noise)
    return recorder.log


def _summary(data: list[dict[str, Any]]) -> str:
    to_zero = [entry for entry in data if entry["to_zero"]]
    counted = ", ".join(f"{entry['counted']:g}" for entry in to_zero)
    return f"{counted} evaluations at {', '.join(str(n) for n in COUNTED)} steps to 0" + (
        "" if to_zero[0]["declared"] is not None else " (none declared)"
    )


RANGE = (0.02, 80.0)
CLOSE = 1e-12


def check_finite(sampler: Sampler) -> list[Check]:
    """Check that 1, 2 and 3 steps in both precisions end finite and keep shape, dtype and device."""
    steps = (1, 3) if sampler.adaptive else (1, 2, 3)
    failed: list[dict[str, Any]] = []
    for dtype in (torch.float32, torch.float64):
        for grid in (
            karras(n, *RANGE, to_zero=to_zero) for to_zero in (True, False) for n in steps
        ):
            name = str(dtype).removeprefix("torch.")
            if reason := _ends_badly(sampler, grid, dtype):
                where = f"{len(grid)} steps to {grid.sigma[-1]:g} in {name}"
                failed.append(
                    {
                        "steps": len(grid),
                        "to_zero": grid.to_zero,
                        "dtype": name,
                        "reason": f"{where}: {reason}",
                    }
                )
    if failed:
        return [Check("finite", False, failed[0]["reason"], {"failed": failed})]
    return [
        Check(
            "finite",
            True,
            f"{', '.join(str(n) for n in steps)} steps, to 0 and to sigma_min, float32 and float64",
        )
    ]


def _ends_badly(sampler: Sampler, grid: Grid, dtype: torch.dtype) -> str:
    """Return the fault of the end of a run; "" if there is none."""
    noise, latents = noise_for(sampler, torch.arange(4), (3,), dtype)
    x = latents * grid.sigma[0]
    try:
        end = sampler.sample(AnisotropicGaussian(), x, grid, noise)
    except Exception as error:
        return raised(error)
    if (end.shape, end.dtype, end.device) != (x.shape, x.dtype, x.device):
        return f"from {_kind(x)} to {_kind(end)}"
    return "" if bool(end.isfinite().all()) else "values that are not finite"


def check_to_zero(sampler: Sampler) -> list[Check]:
    """Check that the end at sigma = 0 is the datum if there is only one: the last step is x <- d."""
    grid, datum = karras(6, *RANGE), torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64)
    noise, latents = noise_for(sampler, torch.arange(4), (3,))
    end = sampler.sample(
        lambda x, _: datum.expand_as(x).clone(), datum + latents * grid.sigma[0], grid, noise
    )
    error = float((end - datum).abs().max())
    return [
        Check(
            "to zero",
            error < 1e-9,
            f"one datum, and the end at sigma = 0 is it, to {error:.0e}",
            {"error": error},
        )
    ]


def _kind(x: torch.Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')} {x.device}"


def check_translation(sampler: Sampler) -> list[Check]:
    """Check that data moved by a constant vector give samples moved by it: the weights sum to 1."""
    if not sampler.translates:
        return []
    grid, shift = karras(6, *RANGE), 5.0
    ends = []
    for moved in (0.0, shift):
        noise, latents = noise_for(sampler, torch.arange(4), (3,))
        ends.append(
            sampler.sample(AnisotropicGaussian(moved), latents * grid.sigma[0] + moved, grid, noise)
        )
    error = float((ends[1] - shift - ends[0]).abs().max())
    return [
        Check(
            "translation",
            error < 1e-10,
            f"moved data, moved samples: to {error:.0e}",
            {"error": error},
        )
    ]


def check_algebra(sampler: Sampler) -> list[Check]:
    """Check the rows of a linear multistep plan: a + sum_j b_j (p + q)_(i-j) = 1, and no more
    memory than declared.
    """
    if not isinstance(sampler, (LinearMultistep, Multistep)) or not sampler.translates:
        return []
    worst, wrong = 0.0, []
    grids = {name: grid(10) for name, grid in GRIDS.items()} | {
        f"karras of {n} steps to 0": karras(n, *RANGE) for n in (1, 2, 3, 10)
    }
    for name, grid in grids.items():
        rows = sampler.plan(grid)
        for i, row in enumerate(rows):
            if isinstance(row, StartRow):
                worst = max(
                    worst,
                    *(
                        abs(part.a + math.fsum(part.b) - 1)
                        for part in (*row.stages.stages, row.stages)
                    ),
                )
                continue
            if len(row.b) > min(i, sampler.history) + 1:
                return [
                    Check(
                        "algebra",
                        False,
                        f"row {i} reads {len(row.b) - 1} memos of earlier "
                        f"steps, of {min(i, sampler.history)}",
                    )
                ]
            if row.sigma != grid.sigma[i]:
                return [
                    Check(
                        "algebra",
                        False,
                        f"row {i} evaluates at sigma = {row.sigma:.4g}, "
                        f"and its step begins at {grid.sigma[i]:.4g}",
                    )
                ]
            total = _total(rows, i)
            worst = max(worst, abs(total - 1))
            if not abs(total - 1) < CLOSE:
                wrong.append(
                    {
                        "grid": name,
                        "row": i,
                        "sum": total,
                        "memos": len(row.b) - 1,
                        "last": i == len(rows) - 1,
                        "to_zero": grid.to_zero,
                    }
                )
    if wrong:
        first = (
            f"row {wrong[0]['row']} on {wrong[0]['grid']}: a + sum_j b_j (p + "
            f"q)_(i-j) is {wrong[0]['sum']:.10g}, and must be 1"
        )
        return [Check("algebra", False, first, {"error": worst, "wrong": wrong})]
    return [
        Check(
            "algebra",
            worst < CLOSE,
            f"weights of every step sum to 1 within {worst:.0e}",
            {"error": worst},
        )
    ]


def _total(rows: list[Any], i: int) -> float:
    return rows[i].a + math.fsum(
        b * (rows[i - j].p + rows[i - j].q) for j, b in enumerate(rows[i].b)
    )


def check_twin(sampler: Sampler) -> list[Check]:
    """Check that a sampler that declares it equals another gives the same samples."""
    if not sampler.same_as or non_default(sampler):
        return []
    problem, grid = AnisotropicGaussian(), karras(10, *RANGE)
    noise, latents = noise_for(sampler, torch.arange(4), (3,))
    mine, other = (
        s.sample(problem, latents * grid.sigma[0], grid, noise)
        for s in (sampler, make(sampler.same_as))
    )
    error = float((mine - other).abs().max())
    return [
        Check(
            "same as", error < 1e-12, f"equals {sampler.same_as} to {error:.0e}", {"error": error}
        )
    ]
