"""Model of a question: its description, its present sampler, and its configurations as cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from ... import samplers
from ...models import Denoiser
from ...models.denoiser import innermost
from ...models.process import EDM, Process, RectifiedFlow
from ...models.reference import Extractor
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Tabulated
from ..planning.models import load_denoiser
from ..planning.native import NATIVE, default_schedule
from ..planning.planner import plan
from ..planning.schedules import make_schedule
from ..running.model_check import check_model
from ..scoring.references import CARD, extractor_of
from ..suites.cell import Cell
from ..suites.spec import label_of, parse_spec
from ..suites.suite import Suite, check_suite
from .answer import configuration
from .candidates import SCHEDULES, is_candidate, variants
from .exports import (
    BY_NUMBERS,
    LIBRARIES,
    SCHEDULERS,
    export,
    is_written_as_numbers,
    missing,
    solvers,
)

USUAL = (
    *(
        "dpmpp_2m",
        "unipc_2",
        "ipndm",
        "deis_tab_3",
        "unipc_3",
        "dpmpp_3m_published",
        "euler",
        "heun",
    ),
    *(
        "dpm_solver_2m",
        "zab_3",
        "zeab_2",
        "ipndm_3",
        "deis_tab_2",
        "xeab_2",
        "reab_2",
        "warped_ab_2",
    ),
    *("dpm_2", "dpm_solver_2", "zab_4", "unipc_3_published"),
)
"""Samplers to try first where there is no time for all: other libraries' own, and the leaders on
other problems (docs/auto.md, results/reference/frontier).
"""
FIRST_SCHEDULES = (NATIVE, "karras", "uniform_lambda", "uniform_time")
FLOW_SCHEDULES = ("uniform_time(process='flow')", "flow_shift(shift=2.0)", "flow_shift(shift=3.0)")
BATCH = 64
_GRID = Grid((80.0, 1.0, 0.0))
OWN_FIELDS = {name: f"{name}, a solver of its own" for name in BY_NUMBERS}
"""Fields of the configurations that a library has a solver for, where it takes others as numbers."""
OWN_SCHEDULER = "the checkpoint's own scheduler, "
FIELDS = (*LIBRARIES, *OWN_FIELDS.values())
"""Fields of a race: groups of configurations whose best is sought."""


class Entry(NamedTuple):
    """A configuration at one budget.

    Attributes:
        label: sampler and schedule.
        cell: what to run.
        libraries: of :data:`FIELDS`.
    """

    label: str
    cell: Cell
    libraries: frozenset[str]


class CurrentConfiguration(NamedTuple):
    """Present sampler of the user.

    Attributes:
        sampler: as the command line writes it.
        schedule: likewise.
        told: where that is known from, in words.
    """

    sampler: str
    schedule: str
    told: str


@dataclass(frozen=True)
class AdviceRequest:
    """A model and how it is run.

    Attributes:
        spec: of the model, as ``--model`` takes it.
        model: on the device.
        device: "cpu" or "cuda".
        seed: of the latents.
        extractor: feature space, as ``--extractor`` takes it.
        only: samplers to race, in place of all.
        batch: samples at a time.
    """

    spec: str
    model: Denoiser
    device: str
    seed: int
    extractor: str = CARD
    only: tuple[str, ...] = ()
    batch: int = BATCH

    @cached_property
    def features(self) -> Extractor | None:
        """Feature extractor of its samples; None where it has none of its own."""
        return extractor_of(self.spec, self.model, self.extractor)

    def cells(
        self, specs: Sequence[Any], schedules: Sequence[str], budget: int, end: str = "zero"
    ) -> list[Cell]:
        """Return the cells of samplers on schedules at a budget, as a suite plans them."""
        suite: Suite = check_suite(
            {
                "name": "advise",
                "models": [{"name": self.spec}],
                "samplers": list(specs),
                "schedules": list(schedules),
                "nfe": [budget],
                "seed": self.seed,
                "batch_size": self.batch,
                "end": [end],
            },
            "the race",
        )
        identity = (self.model.identity, self.features.identity if self.features else "")
        cells = plan(suite, {self.spec: self.model}, {self.spec: None}, self.device)
        return [replace(cell, identity=identity) for cell in cells]

    def default(self, now: CurrentConfiguration, budget: int) -> Entry:
        """Return the present sampler at a budget."""
        cell = self.cells([now.sampler], [now.schedule], budget)[0]
        return self.entry(cell)

    def alternatives(self, now: CurrentConfiguration, library: str, budget: int) -> list[Entry]:
        """Return the library's own solvers at their defaults, without the present sampler.

        For a folder of diffusers these are its schedulers, for users of Python too.
        """
        if own := solvers(library):
            cells = self.cells(own, ["karras"], budget)
        elif _has_scheduler(self.model):
            others = [
                name for name in SCHEDULERS if not now.told.startswith(f"{OWN_SCHEDULER}{name}")
            ]
            cells = self.cells(
                [{"name": "pipeline", "scheduler": name} for name in others], ["karras"], budget
            )
        else:
            return []
        used = self.default(now, budget).label
        return [entry for entry in self._entries_of(cells) if entry.label != used]

    def entries(self, budget: int, *, auto: bool) -> list[Entry]:
        """Return the deterministic configurations at a budget, the usual ones first.

        Args:
            budget: evaluations per sample.
            auto: whether ``auto`` is among them, whose rule is searched for if it is not in the cache.
        """
        schedules = [
            *self._native,
            *SCHEDULES,
            *(FLOW_SCHEDULES if isinstance(self.process, RectifiedFlow) else ()),
        ]
        chosen = [name for name in samplers.names() if is_candidate(name)]
        specs = self.only or [spec for name in chosen for spec in variants(name)]
        cells = self.cells([s for s in specs if not _stochastic(s)], schedules, budget)
        cells.sort(key=_rank)
        if auto and not self.only:
            cells = [*self.cells(["auto"], SCHEDULES[:1], budget), *cells]
        return list(self._entries_of(cells))

    def stochastic(self, budget: int) -> list[Entry]:
        """Return the stochastic samplers on a fixed grid, on the usual schedules."""
        specs = self.only or samplers.names()
        stochastic_specs = [s for s in specs if _stochastic(s) and _on_a_grid(s)]
        schedules = [*self._native, *SCHEDULES[1:4:2]]
        cells = self.cells(stochastic_specs, schedules, budget) if stochastic_specs else []
        return list(self._entries_of(cells))

    @property
    def _native(self) -> list[str]:
        """Schedule of the levels that the model brings, if it brings any."""
        return [] if self.model.native_levels(1) is None else [NATIVE]

    def _entries_of(self, cells: Sequence[Cell]) -> Iterator[Entry]:
        for cell in cells:
            if cell.skip or cell.grid is None:
                continue
            yield self.entry(cell)

    def entry(self, cell: Cell, *, exported: bool = False) -> Entry:
        """Return a cell as a configuration.

        Args:
            cell: what to run.
            exported: whether to leave out libraries that cannot take these very levels, which means
                making the lines.
        """
        libraries = self._libraries(cell, exported=exported)
        return Entry(_label(cell), cell, libraries)

    def _libraries(self, cell: Cell, *, exported: bool = False) -> frozenset[str]:
        """Return the libraries that take a cell's steps, and :data:`OWN` of each with a solver for them."""
        model, grid = self.model, cell.grid
        libraries = {n for n in LIBRARIES if not missing(n, cell.sampler, model)}
        if grid is None:
            return frozenset(libraries)
        if exported:
            libraries = {n for n in libraries if self._exports(n, cell.sampler, grid)}
        own = {
            n
            for n in libraries & set(OWN_FIELDS)
            if not is_written_as_numbers(n, cell.sampler, grid, model)
        }
        return frozenset(libraries | {OWN_FIELDS[name] for name in own})

    def _exports(self, library: str, sampler: Sampler, grid: Grid) -> bool:
        try:
            export(library, sampler, grid, self.model, self.spec)
        except ValueError:
            return False
        return True

    @property
    def process(self) -> Process | None:
        """Noising process that the model was trained on; None where it is unknown."""
        return getattr(innermost(self.model), "process", None)

    def now(self, text: str | None) -> CurrentConfiguration:
        """Return the present sampler: the user's, the checkpoint's scheduler, or the usual for such models.

        Args:
            text: SAMPLER, or SAMPLER on SCHEDULE; None if the user named none.

        Raises:
            ValueError: there is no such sampler or schedule.
        """
        if text is not None:
            sampler, schedule = sampler_of(text)
            levels = schedule or default_schedule(self.model, sampler)
            return CurrentConfiguration(label_of(sampler), levels, "as you say")
        try:
            own = self.model.own_sampling(10)
        except ValueError:
            own = None
        if own is not None:
            return CurrentConfiguration("pipeline", "karras", f"{OWN_SCHEDULER}{own.told}")
        if isinstance(self.process, RectifiedFlow):
            levels = [*self._native, FLOW_SCHEDULES[0]]
            return CurrentConfiguration("euler", levels[0], "the usual sampler of flow models")
        if self.process is None or isinstance(self.process, EDM):
            return CurrentConfiguration("heun", "karras", "EDM's deterministic sampler")
        own = default_schedule(self.model, samplers.make("euler"))
        return CurrentConfiguration("euler", own, "DDIM on evenly spaced times")


def sampler_of(text: str) -> tuple[Sampler, str]:
    """Return the sampler of ``SAMPLER`` or ``SAMPLER on SCHEDULE``, and its schedule, "" for none.

    Raises:
        ValueError: there is no such sampler or schedule.
    """
    sampler, _, schedule = text.partition(" on ")
    return samplers.make(parse_spec(sampler)), make_schedule(schedule).label if schedule else ""


def _has_scheduler(model: Denoiser) -> bool:
    """Return True if a scheduler came with the model, whether or not it is one of ours."""
    try:
        return model.own_sampling(10) is not None
    except ValueError:
        return True


def load_subject(
    spec: str,
    device: str,
    seed: int,
    extractor: str,
    only: Sequence[str],
    library: str = LIBRARIES[0],
) -> AdviceRequest:
    """Load the model of a spec for a race. Checks that need no evaluation come first.

    Raises:
        ValueError: it cannot be loaded, it cannot be what its user means, it is a few-step map, of which there is
            nothing to choose, or the library has nothing for it.
    """
    chosen = [samplers.make(parse_spec(text)) for text in only]
    for text, sampler in zip(only, chosen, strict=True):
        if sampler.adaptive or sampler.for_maps or sampler.nfe(_GRID) is None:
            raise ValueError(
                f"--sampler {text}: advise races samplers whose cost a grid decides; leave it out, and compare it by "
                "samplerbench run"
            )
    if chosen and all(sampler.stochastic for sampler in chosen):
        raise ValueError(
            "--sampler: all of these draw noise, and so have no converged samples of their own to race for; add one "
            "that does not, such as --sampler auto"
        )
    name, model = load_denoiser(spec, device)
    racers = [sampler for sampler in chosen if not sampler.stochastic] or [samplers.make("euler")]
    reasons = [missing(library, racer, model) for racer in racers]
    if all(reasons):
        raise ValueError(
            f"--for {library}: it cannot run model {name} ({reasons[0]}); leave out --for for lines of Python"
        )
    check_model(model, None, denoising=model.read is not None, device=device)
    return AdviceRequest(name, model, device, seed, extractor, tuple(only))


def described(model: Denoiser) -> Mapping[str, Any]:
    """Return an answer's facts about the model."""
    return {
        "event": list(model.event),
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "passes": model.passes,
        "identity": model.identity,
        "latent": model.decoder is not None,
    }


def span_of(model: Denoiser) -> float | None:
    """Return the width of the data's range; None for latents, and where there is no range."""
    limits = model.limits if model.decoder is None else None
    return (
        None
        if limits is None or not math.isfinite(limits[1] - limits[0])
        else limits[1] - limits[0]
    )


def _label(cell: Cell) -> str:
    own = cell.sampler.own_grid or getattr(cell.sampler, "of_checkpoint", False)
    tuned = isinstance(cell.sampler, Tabulated)
    return configuration(cell.label, "" if own else cell.schedule.label, coefficients=tuned)


def _rank(cell: Cell) -> tuple[int, int, int]:
    """Return a sort key that puts plain and usual configurations first."""
    name, schedule = cell.sampler.name, cell.schedule.label
    first = FIRST_SCHEDULES.index(schedule) if schedule in FIRST_SCHEDULES else len(FIRST_SCHEDULES)
    usual = USUAL.index(name) if name in USUAL else len(USUAL)
    return len(cell.params), first, usual


def _stochastic(spec: Any) -> bool:
    return bool(samplers.make(parse_spec(spec)).stochastic)


def _on_a_grid(spec: Any) -> bool:
    sampler = samplers.make(parse_spec(spec))
    fixed = sampler.nfe(_GRID) is not None
    return fixed and not (
        sampler.adaptive or sampler.same_as or sampler.for_maps or sampler.batch_coupled
    )
