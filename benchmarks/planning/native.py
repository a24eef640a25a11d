"""Schedule ``native``, the levels that come with a model; default schedules; noise warning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from ...models.denoiser import Denoiser, innermost_model
from ...results.run_directory.reading import log
from ...samplers import Grid, Sampler, Source
from ...samplers.schedules import schedule
from ..suites.cell import Cell

NATIVE, USUAL = "native", "karras"
"""Default schedules: for models that come with levels, and for other models."""
HIDDEN = 100.0
"""Ratio of level to data spread above which the noise hides all but the data's mean.

For Gaussian data with mean m and spread s, E[x0 | x] - m = s² / (s² + sigma²) (x - m). For sigma
much larger than s this is about s² / sigma in size. So at this ratio it is a hundredth of the
spread.
"""
HIDDEN_SHARE = 0.5
"""Smallest share of such levels for a warning; the first level and 0 are not counted."""


def default_schedule(model: Denoiser, sampler: Sampler) -> str:
    """Return "native" if the model comes with levels and the sampler uses them, else "karras"."""
    ends_only = sampler.adaptive or sampler.own_grid
    return USUAL if ends_only or model.native_levels(1) is None else NATIVE


@schedule(
    Source(
        "lin2024flawed",
        "Table 2, with the spacing that the checkpoint says",
        "https://arxiv.org/abs/2305.08891v4",
        ("Flows and formulas are spaced evenly in their time, and NCSN++ geometrically.",),
    ),
    needs_model=True,
)
def native() -> Callable[[Denoiser, Path | None, str], Callable[..., Grid]]:
    """Levels that come with a model, from its scheduler, its beta table, or its flow's times."""

    def levels_of(model: Denoiser, _cache: Path | None, _device: str) -> Callable[..., Grid]:
        if model.native_levels(1) is None:
            raise ValueError(
                f"schedule {NATIVE}: model {model.name} brings no levels but its range, "
                f"{model.sigma_max:g} to {model.sigma_min:g}; take another, such as --schedule {USUAL}"
            )
        return partial(_native_grid, model)

    return levels_of


def _native_grid(
    model: Denoiser, n: int, sigma_min: float, _sigma_max: float, *, to_zero: bool
) -> Grid:
    """Return the model's own grid of ``n`` steps, which ends at 0 or at ``sigma_min``.

    The grid begins where the model's scheduler begins, which may lie below ``sigma_max``.
    """
    levels = model.native_levels(n if to_zero else n + 1)
    assert levels is not None
    return Grid((*levels, 0.0) if to_zero else (*levels[:-1], sigma_min))


def warn_if_noise_hides_data(cells: Iterable[Cell], models: Mapping[str, Denoiser]) -> None:
    """Log the warnings of :func:`warning_if_noise_hides_data`, once for each model and schedule."""
    warned = set()
    for cell in cells:
        label = cell.schedule.label
        key = (cell.model, label)
        if cell.grid is None or cell.skip or cell.sampler.own_grid or key in warned:
            continue
        if warning := warning_if_noise_hides_data(cell.grid, models[cell.model], label):
            warned.add(key)
            log.warning("%s", warning)


def warning_if_noise_hides_data(grid: Grid, model: Denoiser, name: str) -> str:
    """Return a warning if half of the inner levels exceed HIDDEN times the data spread, or ""."""
    spread = data_spread_of(model)
    inner = [level for level in grid.sigma[1:] if level > 0]
    high = sum(level > HIDDEN * spread for level in inner)
    if not inner or high < HIDDEN_SHARE * len(inner):
        return ""
    remedy = (
        f" --schedule {NATIVE} or" if model.native_levels(1) is not None and name != NATIVE else ""
    )
    return (
        f"{high} of the {len(inner)} levels of {name} after the first lie above {HIDDEN * spread:.4g}, "
        f"{HIDDEN:.0f} times the spread of the data of {model.name}, where nothing but their mean is left; "
        f"take{remedy} --sampler auto"
    )


def data_spread_of(model: Denoiser) -> float:
    """Return the data's spread: sigma_data, or else half the range of values.

    If both are unknown, the result is 1, or infinity for a model without a noising process, so that
    no warning is given.
    """
    process = getattr(innermost_model(model), "process", None)
    data = getattr(process, "sigma_data", None)
    if data is not None:
        return float(data)
    limits = model.limits
    if limits is not None and math.isfinite(limits[1] - limits[0]):
        return (limits[1] - limits[0]) / 2
    return math.inf if process is None else 1.0
