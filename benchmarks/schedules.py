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


@dataclass(frozen=True)
class Schedule:
    """A schedule with its options: call it with (n, sigma_min, sigma_max, to_zero=…)."""

    name: str
    options: tuple[tuple[str, Any], ...]

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """The grid of ``n`` steps."""
        return SCHEDULES[self.name](n, sigma_min, sigma_max, to_zero=to_zero, **dict(self.options))

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
        if isinstance(known[key], float) != isinstance(value, int | float):
            raise ValueError(f"schedule {name!r}: option {key!r} must be a {type(known[key]).__name__}, got {value!r}")
    schedule = Schedule(name, tuple(sorted((k, v) for k, v in given.items() if v != known[k])))
    schedule(2, 0.01, 1.0)
    return schedule
