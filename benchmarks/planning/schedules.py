"""Schedules by name: how N, sigma_min and sigma_max become a grid."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...models import Denoiser
from ...models.process import VE, Cosine, Process, RectifiedFlow, VPLinear
from ...samplers import Grid, Sampler, karras
from ...samplers.schedules import SCHEDULES
from ..suites.spec import format_spec, parse_spec
from . import equal_error, gits, native, optimal_kl  # noqa: F401 - registers the schedules
from .tuned import schedule as tuned

PROCESSES = {"vp_linear": VPLinear, "vp_cosine": Cosine, "flow": RectifiedFlow, "ve": VE}
"""Values of an option ``process``; the first is the default."""

# Ranges on which a schedule is tried when it is made, with enough steps for levels between the
# ends.
_TRIALS = ((0.01, 1.0), (0.002, 80.0))
_TRIAL_STEPS = 8


@dataclass(frozen=True)
class Schedule:
    """A schedule with its options: call it with (n, sigma_min, sigma_max, to_zero=…).

    Attributes:
        name: registry name.
        options: those that are not at their default.
        searched: what :meth:`for_model` found, for a schedule that needs a model; what
            :meth:`for_sampler` made of it, for one that needs a sampler too.
    """

    name: str
    options: tuple[tuple[str, Any], ...]
    searched: Any = field(default=None, compare=False, repr=False)

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """The grid of ``n`` steps.

        Raises:
            ValueError: the levels do not make a grid, the options take them out of the range of
                floats, or the model is missing.
        """
        if self.needs_model and self.searched is None:
            raise ValueError(
                f"schedule {self.label!r} depends on the model; call its for_model(model) first"
            )
        if self.needs_sampler and hasattr(self.searched, "of"):
            raise ValueError(
                f"schedule {self.label!r} depends on the sampler; call its "
                "for_sampler(sampler) first"
            )
        try:
            if self.searched is not None:
                return self.searched(n, sigma_min, sigma_max, to_zero=to_zero)
            return SCHEDULES[self.name].make(
                n, sigma_min, sigma_max, to_zero=to_zero, **_resolved(self.name, self.options)
            )
        except ArithmeticError as error:
            ends = f"between sigma = {sigma_min:g} and {sigma_max:g}"
            raise ValueError(
                f"schedule {self.label!r} has no levels {ends} "
                f"({type(error).__name__}); choose milder options"
            ) from error

    @property
    def label(self) -> str:
        """As the command line writes it."""
        return format_spec({"name": self.name, **dict(self.options)})

    @property
    def process(self) -> Process | None:
        """Whose native time its levels are in; None for most."""
        return _resolved(self.name, self.options).get("process")

    @property
    def needs_model(self) -> bool:
        """Whether its levels depend on the model."""
        return SCHEDULES[self.name].needs_model

    def for_model(
        self, model: Denoiser, cache: Path | None = None, device: str = "cpu"
    ) -> Schedule:
        """This schedule on a model: itself, unless it needs one.

        Args:
            model: on ``device``.
            cache: folder where a search is kept; None searches again each time.
            device: "cpu" or "cuda".
        """
        if not self.needs_model:
            return self
        return replace(
            self, searched=SCHEDULES[self.name].make(**dict(self.options)).on(model, cache, device)
        )

    def bare(self) -> Schedule:
        """This schedule without what was searched for it."""
        return replace(self, searched=None)

    @property
    def needs_sampler(self) -> bool:
        """Whether its levels depend on the sampler too."""
        return SCHEDULES[self.name].needs_sampler

    def for_sampler(self, sampler: Sampler) -> Schedule:
        """This schedule, on a model, for a sampler: itself, unless it needs one.

        Raises:
            ValueError: it has nothing for the sampler.
        """
        return (
            replace(self, searched=self.searched.of(sampler))
            if self.needs_sampler and self.searched is not None
            else self
        )

    def sampler_at(self, sampler: Sampler, n: int) -> Sampler:
        """The sampler on its grid of ``n`` steps: itself, unless coefficients were tuned for it."""
        return self.searched.sampler_at(n) if self.needs_sampler and n else sampler

    def suits(self, sampler: Sampler) -> bool:
        """Whether it can have levels for such a sampler: one that needs a sampler has none for
        what cannot be tuned.
        """
        return not self.needs_sampler or not tuned.untunable(sampler)

    def sketch(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """A grid of ``n`` steps to count evaluations on: its own, or another one where its own
        are there for some numbers of steps only.
        """
        make = karras if self.needs_sampler else self
        return make(n, sigma_min, sigma_max, to_zero=to_zero)

    def facts(self, n: int) -> dict[str, Any]:
        """What the table says about its grid of ``n`` steps: what it cost, and what it is worth
        elsewhere; nothing for a formula.
        """
        return self.searched.facts(n) if self.needs_sampler and self.searched is not None else {}


def options_of(name: str) -> dict[str, Any]:
    """Options of a schedule and their defaults; a process is meant by name."""
    parameters = inspect.signature(SCHEDULES[name].make).parameters.values()
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "to_zero"]
    return {p.name: next(iter(PROCESSES)) if p.name == "process" else p.default for p in options}


def make_schedule(spec: str | Mapping[str, Any]) -> Schedule:
    """A schedule from its name and options.

    Raises:
        ValueError: unknown name or option, or an option that gives no grid.
    """
    given = parse_spec(spec)
    name = given.pop("name")
    if name not in SCHEDULES:
        close = difflib.get_close_matches(name, SCHEDULES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(SCHEDULES)}"
        raise ValueError(f"unknown schedule {name!r}; {hint}")
    known = options_of(name)
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"schedule {name!r} has no option {key!r}; its options: {', '.join(known) or 'none'}"
            )
        if not _fits(value, known[key]):
            raise ValueError(
                f"schedule {name!r}: option {key!r} must be a "
                f"{type(known[key]).__name__}, got {value!r}"
            )
    schedule = Schedule(name, tuple(sorted((k, v) for k, v in given.items() if v != known[k])))
    if schedule.needs_model:
        SCHEDULES[name].make(**given)
    else:
        for lo, hi in _TRIALS:
            schedule(_TRIAL_STEPS, lo, hi)
    return schedule


def _resolved(name: str, options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """All options of a schedule, with the process itself in place of its name."""
    resolved = options_of(name) | dict(options)
    if "process" in resolved:
        process = resolved["process"]
        if process not in PROCESSES:
            raise ValueError(
                f"{name}: unknown process {process!r}; choose one of {', '.join(PROCESSES)}"
            )
        resolved["process"] = PROCESSES[process]()
    return resolved


def _fits(value: Any, default: Any) -> bool:
    """Whether an option's value is of its default's type; an integer may stand for a float."""
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
