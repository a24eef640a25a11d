"""Schedules by name, which map N, sigma_min and sigma_max to a grid; levels from text."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...models.denoiser import Denoiser
from ...models.process import VE, Cosine, Process, RectifiedFlow, VPLinear
from ...results.run_directory.reading import log
from ...samplers import Grid, Sampler, make
from ...samplers.schedules import SCHEDULES
from ...samplers.spec import format_spec, parse_spec, short_repr
from ..suites.suite import LARGEST
from . import (  # noqa: F401 - registers the schedules
    dmn,
    gits,
    hso,
    native,
    optimal_kl,
    oss,
    published_schedule,
    tuned_schedule,
)
from .native import default_schedule, warning_if_noise_hides_data

PROCESSES = {"vp_linear": VPLinear, "vp_cosine": Cosine, "flow": RectifiedFlow, "ve": VE}
"""Processes by their names, the values of an option ``process``; the first is the default."""

_DEFAULTS = {"process": next(iter(PROCESSES)), "base": "kl_optimal"}
_OWN_SHIFT = ("shift", "model")
"""Option of ``shifted`` that takes the shift of the model's own scheduler, and its value."""
# Ranges (sigma_min, sigma_max) and number of steps on which a new schedule is tried for errors.
_TRIALS = ((0.01, 1.0), (0.002, 80.0))
_TRIAL_STEPS = 8


@dataclass(frozen=True)
class Schedule:
    """Schedule with its non-default options; a call returns a grid.

    ``searched`` makes the grids for a model (set by :meth:`for_model`), or for a model and a sampler
    (set by :meth:`for_sampler`). Before, and for a schedule by formula, it is None.
    """

    name: str
    options: tuple[tuple[str, Any], ...]
    searched: Any = field(default=None, compare=False, repr=False)

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """Return the grid of ``n`` steps from ``sigma_max`` to 0 (``to_zero``) or to ``sigma_min``.

        Raises a ValueError if there is no such grid, or if :meth:`for_model` or :meth:`for_sampler`
        must be called first.
        """
        if self.needs_model and self.searched is None:
            raise ValueError(
                f"schedule {self.label!r} depends on the model; call its for_model(model) first"
            )
        if self.needs_sampler and self.searched.sampler is None:
            raise ValueError(
                f"schedule {self.label!r} depends on the sampler; call its for_sampler(sampler) first"
            )
        try:
            if self.searched is not None:
                return self.searched(n, sigma_min, sigma_max, to_zero=to_zero)
            options = _resolve_options(self.name, self.options)
            return SCHEDULES[self.name].make(n, sigma_min, sigma_max, to_zero=to_zero, **options)
        except ArithmeticError as error:
            ends = f"between sigma = {sigma_min:g} and {sigma_max:g}"
            raise ValueError(
                f"schedule {self.label!r} has no levels {ends} "
                f"({type(error).__name__}); choose milder options"
            ) from error

    @property
    def label(self) -> str:
        """Name and options as on the command line."""
        return format_spec({"name": self.name, **dict(self.options)})

    @property
    def process(self) -> Process | None:
        """Noising process that the levels depend on; None for schedules without this option."""
        return _resolve_options(self.name, self.options).get("process")

    @property
    def needs_model(self) -> bool:
        """True if the levels depend on the model."""
        return SCHEDULES[self.name].needs_model or _OWN_SHIFT in self.options

    def for_model(
        self, model: Denoiser, cache: Path | None = None, device: str = "cpu"
    ) -> Schedule:
        """Return this schedule with levels for a model; unchanged if they depend on no model.

        Levels are searched or read from ``cache``. A ValueError says why a model has none.
        """
        if not self.needs_model:
            return self
        if not SCHEDULES[self.name].needs_model:
            return replace(self, searched=_with_shift(self, model.own_shift(), model.name))
        search = SCHEDULES[self.name].make(**dict(self.options))
        return replace(self, searched=search(model, cache, device))

    def without_search_results(self) -> Schedule:
        """Return this schedule without its search results."""
        return replace(self, searched=None)

    @property
    def needs_sampler(self) -> bool:
        """True if the levels depend on the sampler as well as on the model."""
        return SCHEDULES[self.name].needs_sampler

    def for_sampler(self, sampler: Sampler) -> Schedule:
        """Return this schedule with levels for a sampler; unchanged if they depend on no sampler.

        Call :meth:`for_model` first. Raises a ValueError if there can be no levels for the sampler.
        """
        if not self.needs_sampler or self.searched is None:
            return self
        return replace(self, searched=self.searched.for_sampler(sampler))

    def sampler_at(self, sampler: Sampler, n: int) -> Sampler:
        """Return the sampler for ``n`` steps, with tuned coefficients if the schedule has any."""
        return self.searched.sampler_at(n) if self.needs_sampler and n else sampler

    def nfe(self, sampler: Sampler, grid: Grid) -> int | None:
        """Return a sampler's evaluations on a grid, with any coefficients of the schedule."""
        own = self.searched if self.needs_sampler else None
        return getattr(own, "nfe", sampler.nfe)(grid)

    def facts(self, n: int) -> dict[str, Any]:
        """Return result-table columns at ``n`` steps; {} if levels do not depend on the sampler."""
        return self.searched.facts(n) if self.needs_sampler and self.searched is not None else {}


def schedule_options(name: str) -> dict[str, Any]:
    """Return the options of a schedule with their defaults, a process as its name."""
    parameters = inspect.signature(SCHEDULES[name].make).parameters.values()
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "to_zero"]
    return {p.name: _DEFAULTS.get(p.name, p.default) for p in options}


def make_schedule(spec: str | Mapping[str, Any]) -> Schedule:
    """Return the schedule of a spec, such as "karras(rho=7)".

    Raises a ValueError if a name is unknown, a value is invalid, or the options give no grid.
    """
    options = parse_spec(spec)
    name = options.pop("name")
    if name not in SCHEDULES:
        from ...samplers.other_names import describe_other_name, spec_of_other_name

        if elsewhere := spec_of_other_name("schedule", name):
            return make_schedule(elsewhere | options)
        close = difflib.get_close_matches(name, SCHEDULES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(SCHEDULES)}"
        hint = describe_other_name("schedule", name) or hint
        raise ValueError(f"unknown schedule {name!r}; {hint}")
    defaults = schedule_options(name)
    for key, value in options.items():
        if key not in defaults:
            raise ValueError(
                f"schedule {name!r} has no option {key!r}; its options: {', '.join(defaults) or 'none'}"
            )
        wanted = type(defaults[key])
        fits = type(value) is wanted or (wanted, type(value)) == (float, int)
        if not fits and (name, key, value) != ("shifted", *_OWN_SHIFT):
            raise ValueError(
                f"schedule {name!r}: option {key!r} must be a {wanted.__name__}, got {value!r}"
            )
    schedule = Schedule(name, tuple(sorted((k, v) for k, v in options.items() if v != defaults[k])))
    if SCHEDULES[name].needs_model:
        SCHEDULES[name].make(**options)
        return schedule
    trial = _with_shift(schedule, 3.0) if schedule.needs_model else schedule
    for lo, hi in _TRIALS:
        trial(_TRIAL_STEPS, lo, hi)
    return schedule


def _with_shift(schedule: Schedule, shift: float | None, model: str = "") -> Schedule:
    if shift is None:
        raise ValueError(f"model {model} does not say its shift; give a number, such as shift=3.0")
    return replace(schedule, options=tuple((dict(schedule.options) | {"shift": shift}).items()))


def _resolve_options(name: str, options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    resolved = schedule_options(name) | dict(options)
    if "base" in resolved:
        base = resolved["base"] = make_schedule(resolved["base"])
        if base.needs_model:
            raise ValueError(
                f"{name}: base {base.label!r} needs a model; take a formula, such as karras"
            )
    if "process" in resolved:
        process = resolved["process"]
        if process not in PROCESSES:
            raise ValueError(
                f"{name}: unknown process {process!r}; choose one of {', '.join(PROCESSES)}"
            )
        resolved["process"] = PROCESSES[process]()
    return resolved


def read_levels(text: str) -> tuple[float, ...]:
    """Return the levels in a text: a list of numbers, or "schedule:steps:sigma_min:sigma_max".

    >>> read_levels("80,1,0")
    (80.0, 1.0, 0.0)
    >>> read_levels("uniform_lambda:2:1:100")
    (100.0, 1.0, 0.0)

    Raises a ValueError if the text is neither, or if its levels are no valid grid.
    """
    schedule, *fields = text.rsplit(":", 3) if ":" in text else (None, *text.split(","))
    try:
        numbers = tuple(float(part) for part in fields)
        is_whole = schedule and len(numbers) == 3 and numbers[0].is_integer()
        if schedule is not None and not is_whole:
            raise ValueError("a schedule needs a whole number of steps and two levels")
    except ValueError as error:
        raise ValueError(
            f"cannot read the levels {short_repr(text)}; write levels that fall, such as 80,5,0.5,0, or "
            "SCHEDULE:STEPS:SIGMA_MIN:SIGMA_MAX, such as 'karras(rho=7):10:0.002:80'"
        ) from error
    if schedule is None:
        return Grid(numbers).sigma
    steps, low, high = numbers
    return make_schedule(schedule)(_check_step_count(steps), low, high).sigma


def _check_step_count(number: float) -> int:
    if number > LARGEST:
        raise ValueError(
            f"{number:.12g} steps are too many for a list of levels; give at most {LARGEST:,}"
        )
    if number != int(number):
        raise ValueError(f"{number:.12g} steps: give a whole number")
    return int(number)


def levels_of_schedule(
    schedule: str | None, steps: int, model: Denoiser, sampler: Sampler | None = None
) -> tuple[tuple[float, ...], Sampler | None]:
    """Return a schedule's levels for a model, and the sampler with the schedule's coefficients.

    Levels go down to 0. A schedule of None is the default schedule. A sampler of None counts as
    euler, and is returned as None. Searches run on the CPU. Raises a ValueError for an unknown
    schedule or an invalid ``steps``.
    """
    solver = sampler or make("euler")
    spec = default_schedule(model, solver) if schedule is None else schedule
    chosen = make_schedule(spec).for_model(model).for_sampler(solver)
    grid = chosen(_check_step_count(steps), model.sigma_min, model.sigma_max)
    if not solver.own_grid and (warning := warning_if_noise_hides_data(grid, model, chosen.label)):
        log.warning("%s", warning)
    return grid.sigma, sampler and chosen.sampler_at(sampler, steps)
