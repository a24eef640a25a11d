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
    """A registered schedule.

    Attributes:
        make: called as ``make(n, sigma_min, sigma_max, *, to_zero, **options)``, it gives a
            :class:`~samplerbench.samplers.Grid`. One that needs a model is called as
            ``make(**options)`` and gives what searches a grid on a model.
        source: where its formula comes from.
        same_as: spec of the schedule that it equals with default options, or "".
        needs_model: whether its levels depend on the model.
        needs_sampler: whether they depend on the sampler too, and are there for some numbers of
            steps only. What is found on a model has then a method ``for_sampler(sampler)``, whose result has
            a method ``facts(n)`` and is called for grids.
    """

    make: Callable[..., Any]
    source: Source
    same_as: str = ""
    needs_model: bool = False
    needs_sampler: bool = False

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return " ".join((inspect.getdoc(self.make) or "").partition("\n\n")[0].split())


SCHEDULES: dict[str, Entry] = {}
"""Every schedule by name, in the order in which listings show them."""


def schedule(
    source: Source, *, same_as: str = "", needs_model: bool = False, needs_sampler: bool = False
) -> Callable[[Make], Make]:
    """Decorator: make a function known as a schedule under its own name.

    Its keyword-only arguments but ``to_zero`` are the options.

    Raises:
        ValueError: the name is taken.
    """

    def decorate(make: Make) -> Make:
        name = make.__name__
        if name in SCHEDULES:
            raise ValueError(f"two schedules are called {name!r}; rename one of the functions")
        SCHEDULES[name] = Entry(make, source, same_as, needs_model, needs_sampler)
        return make

    return decorate
