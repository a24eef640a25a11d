"""Plan of a suite: its cells, each with a grid for its budget, in the order of the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import samplers
from ...models.denoiser import Denoiser
from ...models.process import RectifiedFlow
from ...models.reference import Reference
from ...results.values import Record
from ...samplers import Grid, Sampler, make
from ...samplers.spec import parse_spec
from ..sampling.batch import HIGHEST, is_start_at_infinity, without_first_level
from ..sampling.execution import check_executions, why_not_executable
from ..suites.cell import Cell, Start, make_start
from ..suites.suite import ExecutionName, ModelEntry, Spec, Suite
from .budget import evaluations_by_steps, most_steps_within, why_over_budget
from .cache import default_cache
from .model_loading import NamedModel, load_model
from .native import NATIVE, default_schedule
from .schedules import Schedule, make_schedule
from .tuned_schedule import UntunedError, why_untunable

if TYPE_CHECKING:
    from .fitting import Pilot

FIXED_GRID = "fixed-grid"
"""Keyword for all samplers on a fixed grid, without synonyms and samplers for few-step maps."""
_GRID = Grid((80.0, 1.0, 0.0))


def load_models(suite: Suite, device: str = "cpu") -> dict[str, Denoiser]:
    """Return a suite's models by spec, in order; raise a ValueError if :func:`load_model` does."""
    return dict(load_model(entry.name, device) for entry in suite.models)


def plan(
    suite: Suite,
    models: Mapping[str, Denoiser],
    references: Mapping[str, Reference | None],
    device: str = "cpu",
) -> list[Cell]:
    """Plan all cells of a suite, each once; models vary slowest, and steps or budgets fastest.

    ``models`` are as from :func:`load_models`; ``references`` have the same keys, and None for a
    model without one. Searches of schedules run now, or are read from the cache. A sampler that
    uses only the ends of a grid is planned for one schedule, the first. For each sampler, schedules
    that cannot have levels for the sampler are left out if another schedule can.

    Raises a ValueError if a sampler, schedule or option is unknown, tuned levels are missing, or
    the suite cannot run on ``device``.
    """
    check_executions(suite.execution, device)
    specs = expand_fixed_grid_keyword(suite.samplers)
    configured = [made for spec in specs for made in _samplers_of_spec(spec, suite.tolerances)]
    named = [make_schedule(spec) for spec in suite.schedules or ()]
    cells: list[Cell] = []
    for entry, (name, model) in zip(suite.models, models.items(), strict=True):
        schedules = named or list(
            map(make_schedule, sorted({default_schedule(model, s) for s in configured}))
        )
        check_schedules(model, schedules)
        starts = [make_start(start, model, suite.sigma_start, device) for start in suite.start]
        try:
            own = [schedule.for_model(model, default_cache(), device) for schedule in schedules]
            pilot = cache(partial(_make_pilot, model, device))
            for start, sampler, execution in product(starts, configured, suite.execution):
                untunable = bool(why_untunable(sampler))
                suited = [s for s in own if not (s.needs_sampler and untunable)] or own
                if not named:
                    suited = [s for s in own if s.name == default_schedule(model, sampler)]
                if sampler.adaptive or sampler.own_grid:
                    suited = suited[:1]
                for schedule, end in product(suited, suite.end):
                    cell_start = _check_start(start, schedule)
                    subject = PlannedModel(
                        name, model, references[name], device, cell_start, execution, pilot
                    )
                    own_schedule = schedule.for_sampler(sampler)
                    cells += _plan_cells(suite, entry, subject, sampler, own_schedule, end)
        except UntunedError as missing:
            from .remedy import tuning_hint

            what_to_do = tuning_hint(
                missing, NamedModel(name, model), configured, *_steps_and_budgets(suite, entry)
            )
            raise ValueError(f"{missing.what}; {what_to_do}") from missing
    return list({cell.key: cell for cell in cells}.values())


def plan_cells_of_record(
    record: Record,
    space: str | None,
    suite: Suite,
    models: Mapping[str, Denoiser],
    references: Mapping[str, Reference | None],
    device: str,
) -> list[Cell]:
    """Plan the cells of a stored row again, by its identity columns; return [] if impossible.

    ``suite``, of the present run, gives the settings that a row lacks. ``space`` is the feature
    space of the row; None stands for the feature space of the present run.
    """
    try:
        name, start, budget = str(record["model"]), record["start"], record.get("budget")
        steps = record.get("steps") or 1
        axes: dict[str, Any] = {  # None leaves a key of the suite unchanged
            "models": [name],
            "samplers": ({"name": record["sampler"], **json.loads(str(record["params"]))},),
            "schedules": suite.schedules if record["schedule"] == "own" else (record["schedule"],),
            "nfe": (budget,) if budget else None,
            "steps": None if budget else (steps,),
            "start": (start,),
            "sigma_start": record.get("sigma_start") if start == "gaussian" else None,
            "end": (record["end"],),
            "noise": record.get("noise"),
            "execution": (record.get("execution") or "eager",),
        }
        axes |= {axis: record[axis] for axis in ("samples", "seed", "batch_size", "dtype")}
        cells = plan(suite.replaced(**axes), {name: models[name]}, references, device)
        return cells if space is None else [replace(cell, space=space) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        # the sampler is not loaded, a schedule's file is gone, or the record was edited
        return []


def _steps_and_budgets(
    suite: Suite, entry: ModelEntry
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Return the numbers of steps and the budgets of a model: its own, or else the suite's."""
    own = entry.steps is not None or entry.nfe is not None
    return (entry.steps, entry.nfe) if own else (suite.steps, suite.nfe)


def expand_fixed_grid_keyword(specs: Sequence[Spec]) -> list[Spec]:
    """Return the specs, with :data:`FIXED_GRID` replaced by its samplers in alphabetical order."""
    fixed = [
        name
        for name in sorted(samplers.names(complete=True) if FIXED_GRID in specs else ())
        if not (cls := samplers.get(name)).adaptive
        and not cls.same_as
        and not cls.for_maps
        and samplers.make(name).nfe(_GRID) is not None
    ]
    return [entry for spec in specs for entry in (fixed if spec == FIXED_GRID else [spec])]


def _samplers_of_spec(spec: str | dict[str, Any], tolerances: tuple[float, ...]) -> Iterator[Any]:
    """Yield the sampler of a spec; if adaptive without a tolerance, one for each tolerance."""
    options = parse_spec(spec)
    sampler = samplers.make(options)
    open_tolerance = {"rtol", "atol"} <= {f.name for f in fields(sampler)} - set(options)
    if sampler.adaptive and open_tolerance:
        yield from (samplers.make({**options, "rtol": tol, "atol": tol}) for tol in tolerances)
    else:
        yield sampler


def _check_start(start: Start, schedule: Schedule) -> Start:
    """Return the start; if the schedule cannot begin at its level, with a reason to skip it."""
    if start.sigma == start.sigma_max or not schedule.needs_model:
        return start
    why = f"was searched from sigma_max on, not from where start {start.name} ends"
    if schedule.name == NATIVE:
        why = (
            f"begins where the model's scheduler does, not where start {start.name} ends; take another, "
            "such as --schedule karras"
        )
    return replace(start, sigma=start.sigma_max, skip=f"schedule {schedule.label} {why}")


def _make_pilot(model: Denoiser, device: str) -> Pilot:
    from .fitting import Pilot  # few samplers need it

    return Pilot(model, default_cache(), device)


class PlannedModel(NamedTuple):
    """Model of a run with its reference, start, execution mode and pilot, which its cells share."""

    name: str
    model: Denoiser
    reference: Reference | None
    device: str
    start: Start
    execution: ExecutionName
    pilot: Callable[[], Pilot]

    def fit_sampler(self, sampler: Sampler, grid: Grid | None) -> tuple[Any, str]:
        """Return the sampler fitted to the model and the grid, and the reason to skip it or ""."""
        unfit = why_sampler_cannot_run(self.model, sampler)
        if grid is None or unfit:
            return sampler, unfit
        if getattr(sampler, "of_checkpoint", False):
            return configure_pipeline(sampler, self.model, grid, self.start)
        if sampler.for_maps and hasattr(sampler, "with_end"):
            return sampler.with_end(self.model.map_end), ""  # type: ignore[attr-defined]
        if getattr(sampler, "needs_look", False) or getattr(sampler, "needs_statistics", False):
            return self.pilot().fitted(sampler, grid), ""
        return sampler, ""


def _plan_cells(
    suite: Suite,
    entry: ModelEntry,
    subject: PlannedModel,
    sampler: Sampler,
    schedule: Schedule,
    end: str,
) -> Iterator[Cell]:
    model, reference, start = subject.model, subject.reference, subject.start
    counts, budgets = _steps_and_budgets(suite, entry)
    space = suite.extractors[subject.name]
    if suite.reference is not None:
        space = f"{space} {suite.reference}"
    searched = schedule.needs_model and schedule.name != NATIVE
    infinite = is_start_at_infinity(model, sampler, start.name) and not searched
    flow = infinite and isinstance(schedule.process, RectifiedFlow)
    top = HIGHEST if flow else start.sigma
    of_checkpoint = getattr(sampler, "of_checkpoint", False)
    sizes: list[tuple[int | None, int | None]] = [(count, None) for count in counts or ()]
    if sampler.adaptive:  # uses only the ends: (sigma_max, sigma_min, 0)
        sizes = [(2 if end == "zero" else 1, None)]
    elif budgets is not None:
        cost = (
            pipeline_evaluations_by_steps(sampler, model)
            if of_checkpoint
            else evaluations_by_steps(model, sampler, schedule, end, start.sigma, infinite=infinite)
        )
        sizes = [(most_steps_within(budget, cost), budget) for budget in budgets]
    for n, budget in sizes:
        grid, cell_start = None, start
        if n and not start.skip:
            grid = schedule(n, model.sigma_min, top, to_zero=end == "zero")
        if grid and schedule.name == NATIVE and not infinite:
            cell_start = replace(start, sigma=grid.sigma[0])
        grid = without_first_level(grid) if grid and infinite else grid
        tuned = schedule.sampler_at(sampler, n) if grid and n else sampler
        fitted, reason = subject.fit_sampler(tuned, grid)
        if grid and budget and not reason and schedule.needs_sampler:
            reason = why_over_budget(model, fitted, grid, budget)
        reached = end
        if not reason and of_checkpoint and grid is not None:
            reached = "zero" if fitted.levels(grid).to_zero else "sigma_min"
        yield Cell(
            model=subject.name,
            sampler=fitted,
            schedule=schedule,
            start=cell_start,
            end=reached,
            noise=suite.noise if fitted.stochastic else None,
            grid=grid,
            steps=None if sampler.adaptive else n,
            budget=budget,
            samples=entry.samples or suite.samples,
            seed=suite.seed,
            batch_size=entry.batch_size or suite.batch_size,
            dtype=suite.dtype or str(model.dtype).removeprefix("torch."),
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            identity=(model.identity, reference.extractor.identity if reference else ""),
            device=subject.device,
            skip=start.skip
            or reason
            or _why_skipped(subject, sampler, grid, n, budget, infinite=infinite),
            execution=subject.execution,
            space=space,
            infinite=infinite,
        )


def _why_skipped(
    subject: PlannedModel,
    sampler: Sampler,
    grid: Grid | None,
    n: int | None,
    budget: int | None,
    *,
    infinite: bool,
) -> str:
    if infinite and n == 1:
        return f"{sampler.name} needs two steps or more where the first is from an infinite level"
    if infinite and subject.execution != "eager":
        return f"execution {subject.execution} records no step from an infinite level"
    if grid is None:
        return f"one step of {sampler.name} costs more than the budget of {budget}"
    return why_not_executable(subject.execution, sampler, subject.model, grid)


def why_sampler_cannot_run(model: Denoiser, sampler: Sampler) -> str:
    """Return the reason why a sampler cannot run on a denoiser or few-step map; "" if it can."""
    if getattr(sampler, "of_checkpoint", False):
        return ""
    if model.kind == "map" and not sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a denoiser E[x0 | x], and model {model.name} is a few-step "
            "map to the end of the path; take --sampler consistency"
        )
    if model.kind != "map" and sampler.for_maps:
        return (
            f"sampler {sampler.name} needs a few-step map, and model {model.name} is a denoiser "
            "E[x0 | x]; take another sampler, or say kind=map if the model is a map"
        )
    return ""


def check_schedules(model: Denoiser, schedules: list[Schedule]) -> None:
    """Raise a ValueError if a schedule, other than native, depends on a model that is a map."""
    for schedule in schedules:
        if model.kind == "map" and schedule.needs_model and schedule.name != NATIVE:
            raise ValueError(
                f"schedule {schedule.label} is searched with a denoiser, and model {model.name} is a "
                "few-step map to the end of the path; take one that is not, such as --schedule karras"
            )


def configure_pipeline(
    sampler: Any, model: Denoiser, grid: Grid, start: Start
) -> tuple[Sampler, str]:
    """Return ``pipeline`` with the settings of the model's own scheduler on a grid, and "".

    If this is impossible, return the sampler unchanged, and the reason to skip it.
    """
    if start.name != "noise":
        return sampler, f"a model's own scheduler begins with noise, not with start {start.name}"
    try:
        own = model.own_sampling(len(grid), sampler.scheduler)
    except ValueError as error:
        return sampler, f"pipeline: {error}"
    if own is None:
        return sampler, (
            f"no scheduler came with model {model.name}: pipeline is for folders of diffusers"
        )
    if reason := why_sampler_cannot_run(model, make(own.sampler)):
        return sampler, reason
    ends = (own.start, own.end, own.clip, own.description, own.times, model.map_end)
    from ...samplers.methods.pipeline import Preset  # few runs need it

    return sampler.fitted(Preset(own.sampler, own.levels, *ends)), ""


def pipeline_evaluations_by_steps(sampler: Any, model: Denoiser) -> Callable[[int], int]:
    """Return a function from steps to ``pipeline``'s evaluations per sample, one a step or more."""

    @cache
    def cost(n: int) -> int:
        try:
            own = model.own_sampling(n, sampler.scheduler)
        except ValueError:  # the cell gives the reason
            own = None
        says = None if own is None else make(own.sampler).nfe(Grid(own.levels))
        return model.passes * max(n, says or n)

    return cost
