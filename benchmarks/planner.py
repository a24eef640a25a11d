"""From a suite to cells: which grids a budget buys, in an order that a reader expects."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from .. import samplers
from ..models import Denoiser, Reference, make_model
from ..results.record import Record
from ..samplers import Grid
from .schedules import Schedule, make_schedule
from .spec import canonical, format_spec, parse_spec
from .suite import ModelEntry, Suite

SAMPLING_VERSION = 1
"""Raised when built-in samplers or the noise change what a cell's samples are, so that old parts are not taken for new ones."""

ADAPTIVE_STEPS = 2  # an adaptive sampler needs the ends only: (sigma_max, sigma_min, 0)


@dataclass(frozen=True)
class Cell:
    """One row of the table to be: a model, a sampler on a grid, and how many samples.

    Attributes:
        model: the model's spec.
        sampler: the configured sampler.
        schedule: what made the grid.
        end: "zero" or "sigma_min".
        grid: the noise levels; None if the budget buys no step, with the reason in ``skip``.
        steps: intervals; None for an adaptive sampler.
        budget: evaluations per sample that were allowed; None if steps were asked for.
        samples, seed, batch_size, dtype: as in the suite.
        sigma_min, sigma_max: the model's range.
        identity: what pins the model's numbers, and the extractor's.
        device: "cpu" or "cuda".
        skip: why there is nothing to run; "" if there is.
    """

    model: str
    sampler: Any
    schedule: Schedule
    end: str
    grid: Grid | None
    steps: int | None
    budget: int | None
    samples: int
    seed: int
    batch_size: int
    dtype: str
    sigma_min: float
    sigma_max: float
    identity: tuple[str, str]
    device: str
    skip: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """The sampler's non-default fields."""
        return samplers.non_default(self.sampler)

    @property
    def label(self) -> str:
        """The sampler as the command line writes it."""
        return format_spec({"name": self.sampler.name, **self.params})

    def record(self, suite: str) -> Record:
        """The identity columns of the row."""
        return {
            "suite": suite,
            "model": self.model,
            "sampler": self.sampler.name,
            "params": canonical(self.params),
            "schedule": self.schedule.label,
            "start": "noise",
            "end": self.end,
            "sigma_max": self.sigma_max,
            "sigma_min": self.sigma_min,
            "steps": self.steps,
            "budget": self.budget,
            "samples": self.samples,
            "seed": self.seed,
            "dtype": self.dtype,
            "device": self.device,
            "batch_size": self.batch_size,
        }

    @property
    def key(self) -> str:
        """Name of the cell's folder: readable, and a hash of everything that its samples depend on.

        The number of samples is not among them: a larger one extends the cell. Nor is the batch size, unless the sampler couples a batch.
        """
        what = {k: v for k, v in self.record("").items() if k not in ("suite", "samples", "batch_size")}
        what |= {"identity": self.identity, "version": SAMPLING_VERSION, "origin": samplers.origin(self.sampler.name)}
        if self.sampler.batch_coupled:
            what["batch_size"] = self.batch_size
        digest = hashlib.sha256(canonical(what).encode()).hexdigest()[:10]
        size = f"nfe{self.budget}" if self.budget is not None else f"n{self.steps}" if self.steps is not None else "adaptive"
        return file_name(f"{self.model}.{self.sampler.name}.{size}", digest)


def file_name(text: str, digest: str) -> str:
    """A readable and safe name for a file: what can be kept of ``text``, and a digest."""
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-._+")[-80:].lstrip("-._+")
    return f"{readable or 'x'}-{digest}"


def load_models(suite: Suite) -> dict[str, Denoiser]:
    """The models of a suite by spec, in order.

    Raises:
        ValueError: unknown model or option.
    """
    loaded = {}
    for entry in suite.models:
        spec = parse_spec(entry.name)
        options = {key: value for key, value in spec.items() if key != "name"}
        loaded[format_spec(spec)] = make_model(spec["name"], **options)
    return loaded


def load_references(models: Mapping[str, Denoiser]) -> dict[str, Reference | None]:
    """What the samples of each model are scored against; made once, since it can cost tens of thousands of samples.

    Raises:
        ValueError: a user's model cannot give its samples or moments.
    """
    references = {}
    for name, model in models.items():
        try:
            references[name] = model.reference()
        except Exception as error:
            raise ValueError(f"model {name}: its reference cannot be made ({type(error).__name__}: {error})") from error
    return references


def plan(suite: Suite, models: Mapping[str, Denoiser], references: Mapping[str, Reference | None], device: str = "cpu") -> list[Cell]:
    """All cells of a suite, models outermost and budgets innermost, each once.

    An adaptive sampler uses only the ends of a grid, so it is planned for one schedule.

    Raises:
        ValueError: unknown sampler, schedule or option.
    """
    configured = [configured_sampler for spec in suite.samplers for configured_sampler in _configured(spec, suite.tolerances)]
    schedules = [make_schedule(spec) for spec in suite.schedules]
    cells = [
        cell
        for entry, (name, model) in zip(suite.models, models.items(), strict=True)
        for sampler in configured
        for schedule in schedules[: 1 if sampler.adaptive else None]
        for end in suite.end
        for cell in _cells(suite, entry, Subject(name, model, references[name], device), sampler, schedule, end)
    ]
    return list({cell.key: cell for cell in cells}.values())


def _configured(spec: str | dict[str, Any], tolerances: tuple[float, ...]) -> Iterator[Any]:
    """The sampler; one per tolerance if it is adaptive and the spec leaves its tolerance open."""
    given = parse_spec(spec)
    sampler = samplers.make(given)
    open_tolerance = {"rtol", "atol"} <= {f.name for f in fields(sampler)} - set(given)
    if sampler.adaptive and open_tolerance:
        yield from (samplers.make({**given, "rtol": tol, "atol": tol}) for tol in tolerances)
    else:
        yield sampler


class Subject(NamedTuple):
    """A model as a suite names it, its reference, and where it runs."""

    name: str
    model: Denoiser
    reference: Reference | None
    device: str


def _cells(suite: Suite, entry: ModelEntry, subject: Subject, sampler: Any, schedule: Schedule, end: str) -> Iterator[Cell]:
    model, reference = subject.model, subject.reference
    own = entry.steps is not None or entry.nfe is not None
    counts, budgets = (entry.steps, entry.nfe) if own else (suite.steps, suite.nfe)
    sizes: list[tuple[int | None, int | None]]
    if sampler.adaptive:
        sizes = [(ADAPTIVE_STEPS if end == "zero" else 1, None)]
    elif budgets is not None:
        sizes = [(steps_within(budget, model, sampler, schedule, end), budget) for budget in budgets]
    else:
        sizes = [(count, None) for count in counts or ()]
    for n, budget in sizes:
        yield Cell(
            model=subject.name,
            sampler=sampler,
            schedule=schedule,
            end=end,
            grid=schedule(n, model.sigma_min, model.sigma_max, to_zero=end == "zero") if n else None,
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
            skip="" if n else f"one step of {sampler.name} costs more than the budget of {budget}",
        )


def steps_within(budget: int, model: Denoiser, sampler: Any, schedule: Schedule, end: str) -> int | None:
    """The largest number of steps whose evaluations fit in a budget; None if not even one step does."""

    def cost(n: int) -> int:
        says = sampler.nfe(schedule(n, model.sigma_min, model.sigma_max, to_zero=end == "zero"))
        if says is None:
            raise ValueError(
                f"sampler {sampler.name!r} cannot say what it costs (nfe() gives None), so give --steps, or declare adaptive = True"
            )
        return model.passes * says

    return bisect_right(range(1, budget + 1), budget, key=cost) or None
