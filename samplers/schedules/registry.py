"""Schedules by name, each with its source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..types import Source

Make = TypeVar("Make", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """Registered schedule.

    Attributes:
        make: function ``make(n, sigma_min, sigma_max, *, to_zero, **options)`` that returns a
            :class:`~samplerbench.samplers.Grid`. With ``needs_model``, ``make(**options)`` returns
            a function that searches for a schedule on a model.
        source: where its formula comes from.
        same_as: spec of the schedule that it equals with default options, or "".
        needs_model: True if its levels depend on the model.
        needs_sampler: True if its levels also depend on the sampler, and exist for some numbers of
            steps only. The schedule found on a model then has a method ``for_sampler(sampler)``. It
            returns an object that makes grids when called, and has a method ``facts(n)``.
        of_library: True for a rule of another program; searches do not start from its levels.
    """

    make: Callable[..., Any]
    source: Source
    same_as: str = ""
    needs_model: bool = False
    needs_sampler: bool = False
    of_library: bool = False

    @property
    def summary(self) -> str:
        """First paragraph of the docstring of ``make``."""
        return " ".join((inspect.getdoc(self.make) or "").partition("\n\n")[0].split())


SCHEDULES: dict[str, Entry] = {}
"""Every schedule by name, in the order in which listings show them."""


def schedule(source: Source, **properties: Any) -> Callable[[Make], Make]:
    """Decorator: register a function as a schedule under the name of the function.

    The keyword-only arguments of the function, except ``to_zero``, are the options. ``properties``
    are further fields of its :class:`Entry`, such as ``same_as``.

    Raises:
        ValueError: another schedule has the name.
    """

    def decorate(make: Make) -> Make:
        name = make.__name__
        if name in SCHEDULES:
            raise ValueError(f"two schedules are called {name!r}; rename one of the functions")
        SCHEDULES[name] = Entry(make, source, **properties)
        return make

    return decorate
