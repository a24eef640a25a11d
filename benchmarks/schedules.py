"""Schedules by name: how N, sigma_min and sigma_max become a grid."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..models.process import Cosine, VPLinear
from ..samplers import Grid, karras, uniform_lambda, uniform_time
from .spec import format_spec, parse_spec

PROCESSES = {"vp_linear": VPLinear, "vp_cosine": Cosine}


def uniform_in_time(n: int, lo: float, hi: float, *, process: str = "vp_linear", power: float = 1.0, to_zero: bool = True) -> Grid:
    """Levels uniform in t^(1/power) of a VP process, "vp_linear" or "vp_cosine"; power 2 is DDIM's quadratic schedule."""
    if process not in PROCESSES:
        raise ValueError(f"uniform_time: unknown process {process!r}; choose one of {', '.join(PROCESSES)}")
    return uniform_time(n, lo, hi, process=PROCESSES[process](), power=power, to_zero=to_zero)


SCHEDULES: dict[str, Callable[..., Grid]] = {"karras": karras, "uniform_lambda": uniform_lambda, "uniform_time": uniform_in_time}
# Ranges on which a schedule is tried when it is made, with enough steps for levels between the ends.
_TRIALS = ((0.01, 1.0), (0.002, 80.0))
_TRIAL_STEPS = 8


@dataclass(frozen=True)
class Schedule:
    """A schedule with its options: call it with (n, sigma_min, sigma_max, to_zero=…)."""

    name: str
    options: tuple[tuple[str, Any], ...]

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """The grid of ``n`` steps.

        Raises:
            ValueError: the levels do not make a grid, or the options take them out of the range of floats.
        """
        try:
            return SCHEDULES[self.name](n, sigma_min, sigma_max, to_zero=to_zero, **dict(self.options))
        except ArithmeticError as error:
            ends = f"between sigma = {sigma_min:g} and {sigma_max:g}"
            raise ValueError(f"schedule {self.label!r} has no levels {ends} ({type(error).__name__}); choose milder options") from error

    @property
    def label(self) -> str:
        """As the command line writes it."""
        return format_spec({"name": self.name, **dict(self.options)})


def options_of(name: str) -> dict[str, Any]:
    """Options of a schedule and their defaults."""
    parameters = inspect.signature(SCHEDULES[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "to_zero"}


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
            raise ValueError(f"schedule {name!r} has no option {key!r}; its options: {', '.join(known) or 'none'}")
        if not _fits(value, known[key]):
            raise ValueError(f"schedule {name!r}: option {key!r} must be a {type(known[key]).__name__}, got {value!r}")
    schedule = Schedule(name, tuple(sorted((k, v) for k, v in given.items() if v != known[k])))
    for lo, hi in _TRIALS:
        schedule(_TRIAL_STEPS, lo, hi)
    return schedule


def _fits(value: Any, default: Any) -> bool:
    """Whether an option's value is of its default's type; an integer may stand for a float."""
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
