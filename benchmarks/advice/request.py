"""Request for advice: the model, its present sampler, and the configurations to compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch

from ... import samplers
from ...models.denoiser import Denoiser, innermost_model
from ...models.process import EDM, Process, RectifiedFlow
from ...models.reference import Extractor
from ...samplers import Sampler
from ...samplers.families.tabulated import Tabulated
from ...samplers.spec import label_of, parse_spec
from ..identity.sampler import digest_of_samples, origin_or_digest
from ..planning.model_loading import load_denoiser
from ..planning.native import NATIVE, default_schedule
from ..planning.planner import plan
from ..planning.schedules import make_schedule
from ..running.executors import Tell
from ..running.executors.worker_context import WorkerContext
from ..running.model_check import check_model
from ..scoring.feature_references import CARD, make_scoring_extractor
from ..suites.cell import Cell
from ..suites.suite import check_suite
from . import candidates, exports
from .answer import describe_configuration

OWN_FIELDS = {name: f"{name}, a solver of its own" for name in exports.BY_NUMBERS}
"""Field of built-in solvers, by library; only for libraries that take steps as numbers too."""
OWN_SCHEDULER = "the checkpoint's own scheduler, "
FIELDS = (*exports.LIBRARIES, *OWN_FIELDS.values())
"""Fields of a race: groups of configurations. The race seeks the best configuration of each."""


class Entry(NamedTuple):
    """Configuration at one budget: description, cell, and fields of the race (:data:`FIELDS`)."""

    label: str
    cell: Cell
    libraries: frozenset[str]

    @property
    def can_run(self) -> bool:
        """True if the cell can run: it has a grid, and no reason to be skipped."""
        return self.cell.grid is not None and not self.cell.skip


class CurrentConfiguration(NamedTuple):
    """Sampler and schedule in use now, in the command line's notation, and how they are known."""

    sampler: str
    schedule: str
    source: str

    @property
    def words(self) -> str:
        """Description of the sampler in use, and of how it is known."""
        if self.sampler == "pipeline":
            return self.source
        return f"{self.sampler} on {self.schedule} ({self.source})"


@dataclass(frozen=True)
class ModelTask:
    """Task that calls ``function`` with the loaded model, the device and ``arguments``."""

    model: str
    identity: str
    device: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def prepare(self, context: WorkerContext) -> None:
        """Load the model. Raises a ValueError if its files have changed meanwhile."""
        if context.load(self.model).model.identity != self.identity:
            raise ValueError(
                f"the files of model {self.model} changed meanwhile; run the same command again"
            )

    @torch.no_grad()
    def __call__(self, context: WorkerContext, tell: Tell) -> Any:  # noqa: ARG002
        """Call the function without gradients, and return its result."""
        return self.function(context.load(self.model), self.device, *self.arguments)


@dataclass(frozen=True)
class AdviceRequest:
    """Request for advice on a model.

    Attributes:
        spec: spec of the model, a value of ``--model``.
        device: "cpu" or "cuda".
        extractor: feature space, a value of ``--extractor``.
        only: samplers to race; empty for all.
        library: library to recommend for.
        default: present sampler, as ``SAMPLER[ on SCHEDULE]``; None to take it from the model.
    """

    spec: str
    model: Denoiser
    device: str
    seed: int
    extractor: str = CARD
    only: tuple[str, ...] = ()
    library: str = exports.LIBRARIES[0]
    default: str | None = None

    @cached_property
    def feature_extractor(self) -> Extractor | None:
        """Feature extractor for the model's samples; None if the model has none."""
        return make_scoring_extractor(self.spec, self.model, self.extractor)

    def foreign_sampler_digests(self) -> dict[str, str]:
        """Return origins and digests of the named samplers that are not of this package, by spec.

        Samples are part of them, since a sampler may read files that no import opens.
        """
        specs = (*self.only, self.current_configuration.sampler)
        made = {spec: samplers.make(parse_spec(spec)) for spec in specs}
        return {
            spec: f"{origin} {digest_of_samples(sampler, 8, self.model.event)}"
            for spec, sampler in made.items()
            if (origin := origin_or_digest(sampler, 8))
        }

    def task(self, function: Callable[..., Any], *arguments: Any) -> ModelTask:
        """Return the task that calls a function of :mod:`.tasks` with the model and arguments."""
        return ModelTask(self.spec, self.model.identity, self.device, function, arguments)

    @property
    def process(self) -> Process | None:
        """Noising process that the model was trained on; None if it is unknown."""
        return getattr(innermost_model(self.model), "process", None)

    @property
    def _native(self) -> list[str]:
        return [] if self.model.native_levels(1) is None else [NATIVE]

    def plan_cells(self, specs: Sequence[Any], schedules: Sequence[str], budget: int) -> list[Cell]:
        """Return the cells of samplers ``specs`` on ``schedules`` at a budget, down to level 0."""
        if not specs:
            return []
        suite = check_suite(
            {
                "name": "advise",
                "models": [{"name": self.spec}],
                "samplers": list(specs),
                "schedules": list(schedules),
                "nfe": [budget],
                "seed": self.seed,
                "batch_size": candidates.BATCH,
                "end": ["zero"],
            },
            "the race",
        )
        extractor = self.feature_extractor
        identity = self.model.identity, extractor.identity if extractor else ""
        cells = plan(suite, {self.spec: self.model}, {self.spec: None}, self.device)
        return [replace(cell, identity=identity) for cell in cells]

    def default_entry(self, budget: int) -> Entry:
        """Return the entry of the present sampler at a budget."""
        current = self.current_configuration
        return self.entry(self.plan_cells([current.sampler], [current.schedule], budget)[0])

    def alternatives(self, budget: int) -> list[Entry]:
        """Return other usual solvers: the library's, or else diffusers' for a pipeline."""
        specs: Sequence[Any] = exports.target(self.library).SOLVERS
        if not specs and self._own_scheduler is not None:
            specs = [
                {"name": "pipeline", "scheduler": name}
                for name in exports.SCHEDULERS
                if not self.current_configuration.source.startswith(f"{OWN_SCHEDULER}{name}")
            ]
        used = self.default_entry(budget).label
        entries = self._runnable_entries(self.plan_cells(specs, ["karras"], budget))
        return [entry for entry in entries if entry.label != used]

    def entries(self, budget: int, *, auto: bool) -> list[Entry]:
        """Return deterministic entries, usual ones first, after "auto" if ``auto`` is True."""
        flow = candidates.FLOW_SCHEDULES if isinstance(self.process, RectifiedFlow) else ()
        names = set(filter(candidates.is_candidate, samplers.names(complete=True)))
        if not flow:
            names.discard(candidates.IN_FLOW_TIME)
        specs = self.only or [s for name in sorted(names) for s in candidates.variants(name)]
        cells = self.plan_cells(
            [spec for spec in specs if not samplers.make(parse_spec(spec)).stochastic],
            [*self._native, *candidates.SCHEDULES, *flow],
            budget,
        )
        cells.sort(key=candidates.usual_first_key)
        if auto and not self.only:
            cells = [*self.plan_cells(["auto"], candidates.SCHEDULES[:1], budget), *cells]
        return self._runnable_entries(cells)

    def stochastic_entries(self, budget: int) -> list[Entry]:
        """Return the entries of stochastic samplers of fixed cost, on the usual schedules."""
        names = self.only or samplers.names(complete=True)
        specs = list(filter(candidates.is_stochastic_candidate, names))
        schedules = [*self._native, "karras", "uniform_lambda"]
        return self._runnable_entries(self.plan_cells(specs, schedules, budget))

    def _runnable_entries(self, cells: Iterable[Cell]) -> list[Entry]:
        return [self.entry(cell) for cell in cells if cell.grid is not None and not cell.skip]

    def entry(self, cell: Cell) -> Entry:
        """Return the entry of a cell, with the fields of the race (:data:`FIELDS`) that it is in.

        A library's field has the cells whose steps the library can take. A library's field in
        :data:`OWN_FIELDS` has the cells that its built-in solvers run. A fitted cell is in no
        field of a library that has no lines for the fitted levels.
        """
        sampler, grid = cell.sampler, cell.grid
        schedule = "" if sampler.own_grid else cell.schedule.label
        tabulated = isinstance(sampler, Tabulated)
        label = describe_configuration(cell.label, schedule, coefficients=tabulated)
        fields = {
            name for name in exports.LIBRARIES if not exports.missing(name, sampler, self.model)
        }
        if grid is not None:
            if isinstance(cell.schedule, candidates.FittedSchedule):
                fields = {name for name in fields if self.export_lines(name, cell).code}
            fields |= {
                OWN_FIELDS[name]
                for name in fields & set(OWN_FIELDS)
                if not exports.is_written_as_numbers(name, sampler, grid, self.model)
            }
        return Entry(label, cell, frozenset(fields))

    def export_lines(self, library: str, cell: Cell) -> exports.Export:
        """Return the lines with which a library takes a cell's steps, or no code and the reason."""
        assert cell.grid is not None
        if cell.infinite:
            why = (
                "lines cannot begin at an infinite level; advise on the model without sigma_max=inf"
            )
            return exports.Export(library, "", why)
        try:
            return exports.export(library, cell.sampler, cell.grid, self.model, self.spec)
        except ValueError as error:
            return exports.Export(library, "", str(error))

    @cached_property
    def _own_scheduler(self) -> str | None:
        """Scheduler of the model in words; "" for one that this library lacks, None without one."""
        try:
            own = self.model.own_sampling(10)
        except ValueError:
            return ""
        return None if own is None else f"{OWN_SCHEDULER}{own.description}"

    @cached_property
    def current_configuration(self) -> CurrentConfiguration:
        """Present configuration: ``default``, or else the model's scheduler or a usual sampler."""
        if self.default is not None:
            sampler, schedule = parse_current_sampler(self.default)
            levels = schedule or default_schedule(self.model, sampler)
            return CurrentConfiguration(label_of(sampler), levels, "as you say")
        if self._own_scheduler:
            return CurrentConfiguration("pipeline", "karras", self._own_scheduler)
        if isinstance(self.process, RectifiedFlow):
            levels = [*self._native, candidates.FLOW_SCHEDULES[0]]
            return CurrentConfiguration("euler", levels[0], "the usual sampler of flow models")
        if self.process is None or isinstance(self.process, EDM):
            return CurrentConfiguration("heun", "karras", "EDM's deterministic sampler")
        own = default_schedule(self.model, samplers.make("euler"))
        return CurrentConfiguration("euler", own, "DDIM on evenly spaced times")


def parse_current_sampler(text: str) -> tuple[Sampler, str]:
    """Return the sampler and the label of the schedule in a text ``SAMPLER[ on SCHEDULE]``.

    The label is "" without a schedule. Raises a ValueError for an unknown sampler or schedule.
    """
    sampler, _, schedule = text.partition(" on ")
    return samplers.make(parse_spec(sampler)), make_schedule(schedule).label if schedule else ""


def make_request(
    spec: str,
    device: str,
    seed: int,
    extractor: str,
    only: Sequence[str],
    library: str = exports.LIBRARIES[0],
    default: str | None = None,
) -> AdviceRequest:
    """Load the model of a spec, check it, and return the request for advice on it.

    Raises:
        ValueError: the model cannot be loaded or has a defect, ``only`` or ``default`` cannot be raced, or
            ``library`` cannot run the model.
    """
    chosen = [samplers.make(parse_spec(text)) for text in only]
    named = [(f"--sampler {text}", sampler) for text, sampler in zip(only, chosen, strict=True)]
    if default is not None:  # before a model is loaded, which may take minutes
        named.append((f"--default {default}", parse_current_sampler(default)[0]))
    for option, sampler in named:
        if sampler.adaptive or sampler.for_maps or sampler.nfe(candidates.TRIAL_GRID) is None:
            raise ValueError(
                f"{option}: advise races samplers whose cost a grid decides; leave it out, and compare it by "
                "samplerbench run"
            )
    if chosen and all(sampler.stochastic for sampler in chosen):
        raise ValueError(
            "--sampler: all of these draw noise, and so have no converged samples of their own to race for; add one "
            "that does not, such as --sampler auto"
        )
    name, model = load_denoiser(spec, device)
    racers = [sampler for sampler in chosen if not sampler.stochastic] or [samplers.make("euler")]
    reasons = [exports.missing(library, racer, model) for racer in racers]
    if all(reasons):
        raise ValueError(
            f"--for {library}: it cannot run model {name} ({reasons[0]}); leave out --for for lines of Python"
        )
    check_model(model, None, denoising=model.read is not None, device=device)
    return AdviceRequest(name, model, device, seed, extractor, tuple(only), library, default)


def width_of_data_range(model: Denoiser) -> float | None:
    """Return the width of the data's range; None if unknown or infinite, and for latent models."""
    if model.decoder is not None or model.limits is None:
        return None
    low, high = model.limits
    return high - low if math.isfinite(high - low) else None
