"""Checks of a sampler: finite results, declared evaluations, and identities of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...samplers import (
    Grid,
    GridSampler,
    LinearMultistep,
    LinearRow,
    Multistep,
    Sampler,
    StartRow,
    get,
    karras,
    make,
    names,
    non_default,
)
from ...samplers.families.tabulated import tabulate, why_not_tabulable
from .check import Check, exception_in_words
from .problems import (
    GRIDS,
    AnisotropicGaussian,
    Rational,
    RecordingDenoiser,
    draw_samples,
    is_single,
    noise_and_latents,
)

IDS = torch.arange(4)
STEP_COUNTS = (1, 2, 3, 10)
BATCH = 2
RANGE = (0.02, 80.0)
CLOSE = 1e-12
EXACT, ROUNDED = 1e-9, 1e-5
"""Smallest error of samples that float64 cannot make, and float32, in which some samplers compute."""


def check_nfe(sampler: Sampler) -> Iterator[Check]:
    """Check that a sampler makes ``nfe`` evaluations, at levels within the grid's positive levels.

    A ``GridSampler`` must make one call per evaluation. Without a declared ``nfe`` only the levels
    are checked. A stochastic sampler's levels may reach sqrt(2) times the grid's highest level.
    """
    data, wrong, levels = [], [], []
    for to_zero, n in product((True, False), STEP_COUNTS):
        grid, recorder = karras(n, 0.02, 10.0, to_zero=to_zero), RecordingDenoiser(Rational())
        draw_samples(sampler, recorder, grid, torch.arange(BATCH))
        calls, counted = len(recorder.outputs), recorder.row_count / BATCH
        declared = sampler.nfe(grid)
        row = {"steps": n, "to_zero": to_zero, "declared": declared, "counted": counted}
        data.append({**row, "calls": calls})
        sequential = isinstance(sampler, GridSampler) and calls != declared
        if declared is not None and (counted != declared or sequential):
            end = "0" if to_zero else "sigma_min"
            counts = f"declared {declared}, counted {counted:g} in {calls} calls"
            wrong.append(f"{n} steps to {end}: {counts}")
        top = grid.sigma[0] * (2**0.5 if sampler.stochastic else 1)
        bottom = grid.sigma[-2] if to_zero else grid.sigma[-1]
        low, high = bottom * (1 - 1e-9), top * (1 + 1e-9)
        levels += [level for level in recorder.levels if not low <= level <= high]
    counts = ", ".join(f"{entry['counted']:g}" for entry in data if entry["to_zero"])
    detail = f"{counts} evaluations at {', '.join(map(str, STEP_COUNTS))} steps to 0"
    if data[0]["declared"] is None:
        detail += " (none declared)"
    yield Check("nfe", not wrong, wrong[0] if wrong else detail, {"grids": data})
    outside = f"asked for sigma = {levels[0]:.10g}, outside the grid" if levels else ""
    yield Check("levels", not levels, outside or "all within the grid")


def check_finite(sampler: Sampler) -> Iterator[Check]:
    """Check that short runs give finite results with the latents' shape, dtype and device."""
    steps = (1, 3) if sampler.adaptive else (1, 2, 3)
    grids = [karras(n, *RANGE, to_zero=to_zero) for to_zero in (True, False) for n in steps]
    failed: list[dict[str, Any]] = []
    for dtype, grid in product((torch.float32, torch.float64), grids):
        if reason := _fault_of_run(sampler, grid, dtype):
            name, n = str(dtype).removeprefix("torch."), len(grid)
            reason = f"{n} steps to {grid.sigma[-1]:g} in {name}: {reason}"
            failed.append({"steps": n, "to_zero": grid.to_zero, "dtype": name, "reason": reason})
    if failed:
        yield Check("finite", False, failed[0]["reason"], {"failed": failed})
    else:
        counts = f"{', '.join(map(str, steps))} steps, to 0 and to sigma_min, float32 and float64"
        yield Check("finite", True, counts)


def _fault_of_run(sampler: Sampler, grid: Grid, dtype: torch.dtype) -> str:
    """Return a description of a run's exception or of a fault in its result; "" without a fault."""
    noise, latents = noise_and_latents(sampler, IDS, (3,), dtype)
    x = latents * grid.sigma[0]
    try:
        end = sampler.sample(AnisotropicGaussian(), x, grid, noise)
    except Exception as error:
        return exception_in_words(error)
    if (end.shape, end.dtype, end.device) != (x.shape, x.dtype, x.device):
        return f"from {_tensor_in_words(x)} to {_tensor_in_words(end)}"
    return "" if bool(end.isfinite().all()) else "values that are not finite"


def _tensor_in_words(x: Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')} {x.device}"


def check_to_zero(sampler: Sampler) -> Iterator[Check]:
    """Check that runs to level 0 end at the data point, for data of a single point."""
    datum = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64)
    grid = karras(6, *RANGE)
    end = draw_samples(sampler, lambda x, _: datum.expand_as(x).clone(), grid, IDS, shift=datum)
    error = float((end - datum).abs().max())
    detail = f"one datum: the end at sigma = 0 is off by {error:.0e}"
    yield Check("to zero", error < _most_rounding(sampler, end), detail, {"error": error})


def _most_rounding(sampler: Sampler, x: Tensor) -> float:
    """Return the bound for samples ``x``; the plans of grid samplers are in float64."""
    return EXACT if isinstance(sampler, GridSampler) and not is_single(x) else ROUNDED


def check_translation(sampler: Sampler) -> Iterator[Check]:
    """Check that shifted data shift samples equally, for samplers that declare ``translates``."""
    if not sampler.translates:
        return
    grid, shift = karras(6, *RANGE), 5.0
    still, moved = (
        draw_samples(sampler, AnisotropicGaussian(by), grid, IDS, shift=by) for by in (0.0, shift)
    )
    error = float((moved - shift - still).abs().max())
    detail = f"samples of moved data are off by {error:.0e}"
    yield Check("translation", error < _most_rounding(sampler, still), detail, {"error": error})


def check_algebra(sampler: Sampler) -> Iterator[Check]:
    """Check that the weights of a linear multistep method sum to 1 in each step.

    In step i, x has the weight a, and the history entry p x + q d of step i-j has the weight b_j.
    So the sum is a + sum_j b_j (p + q)_(i-j). The entries must exist, and each step must evaluate
    at the level where it begins. Other samplers, plans with other rows, and samplers without
    ``translates`` get no check.
    """
    if not isinstance(sampler, (LinearMultistep, Multistep)) or not sampler.translates:
        return
    worst, wrong = 0.0, []
    grids = {name: grid(10) for name, grid in GRIDS.items()} | {
        f"karras of {n} steps to 0": karras(n, *RANGE) for n in STEP_COUNTS
    }
    for name, grid in grids.items():
        rows = sampler.plan(grid)
        if not all(isinstance(row, (LinearRow, StartRow)) for row in rows):
            return
        for i, row in enumerate(rows):
            if isinstance(row, StartRow):
                parts = (*row.stages.stages, row.stages)
                offs = [abs(part.a + math.fsum(part.b) - 1) for part in parts]
                worst = float(np.max([worst, *offs]))  # max would drop a NaN
                continue
            entries, at_hand, fault = len(row.b) - 1, min(i, sampler.history), ""
            if entries > at_hand:
                fault = f"row {i} reads {entries} entries of earlier steps, of {at_hand}"
            elif row.sigma != grid.sigma[i]:
                fault = f"row {i} evaluates at sigma = {row.sigma:.4g}, and its step begins at {grid.sigma[i]:.4g}"
            if fault:
                yield Check("algebra", False, fault)
                return
            weights = (b * (rows[i - j].p + rows[i - j].q) for j, b in enumerate(row.b))
            total = row.a + math.fsum(weights)
            worst = max(worst, abs(total - 1))
            if not abs(total - 1) < CLOSE:
                place = {"grid": name, "row": i, "sum": total, "entries": entries}
                wrong.append({**place, "last": i == len(rows) - 1, "to_zero": grid.to_zero})
    if wrong:
        where = f"row {wrong[0]['row']} on {wrong[0]['grid']}"
        detail = f"{where}: a + sum_j b_j (p + q)_(i-j) is {wrong[0]['sum']:.10g}, and must be 1"
        yield Check("algebra", False, detail, {"error": worst, "wrong": wrong})
    else:
        detail = f"weights of every step sum to 1 within {worst:.0e}"
        yield Check("algebra", worst < CLOSE, detail, {"error": worst})


def _registered_twin(sampler: Sampler) -> str:
    """Return the name of a built-in sampler with the same coefficients; "" if there is none."""
    grids = [karras(7, *RANGE, to_zero=to_zero) for to_zero in (True, False)]

    def weights(of: Sampler) -> list[float]:
        if any(why_not_tabulable(of, grid) for grid in grids):
            return []
        rows = [row for grid in grids for row in tabulate(of, grid)]
        return [w for row in rows for w in (row.a, *row.b, *[0.0] * (7 - len(row.b)))]

    if not (mine := weights(sampler)):
        return ""
    for name in sorted(set(names()) - {sampler.name}):
        cls = get(name)
        if cls.same_as or not cls.__module__.startswith("samplerbench."):  # plugins may be broken
            continue
        its = weights(make(name))
        if its and np.allclose(mine, its, rtol=1e-9, atol=CLOSE):
            return name
    return ""


def check_same_as(sampler: Sampler) -> Iterator[Check]:
    """Check that a sampler gives the same samples as the sampler that it names in ``same_as``.

    A sampler with ``same_as`` is only checked at default options. For a sampler without ``same_as``,
    the result names a built-in sampler with the very same steps, if there is one.
    """
    if not sampler.same_as:
        twin = _registered_twin(sampler)
        if twin:
            detail = f"takes the steps of {twin}; declare same_as = {twin!r} if it is meant"
            yield Check("same as", True, detail, asserted=False)
        return
    if non_default(sampler):
        return
    problem, grid = AnisotropicGaussian(), karras(10, *RANGE)
    mine, other = (draw_samples(s, problem, grid, IDS) for s in (sampler, make(sampler.same_as)))
    error = float((mine - other).abs().max())
    detail = f"equals {sampler.same_as} to {error:.0e}"
    yield Check("same as", error < CLOSE, detail, {"error": error})
