"""The harness: what runs, how it is measured, and the command line.

In a notebook or a script, three functions do what the commands ``plan``, ``run`` and ``check`` do:

>>> from samplerbench.benchmarks import check_sampler, load_suite, plan
>>> check_sampler("euler", fast=True).passed
True
>>> suite = load_suite("smoke").replaced(models=["gmm-2d"], samplers=["heun"])
>>> [cell.steps for cell in plan(suite, device="cpu")]  # of the budgets 1, 5 and 9
[1, 3, 5]

``run(suite, "folder")`` gives a :class:`samplerbench.results.ResultTable`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .advice.advising import advise
    from .api import plan, run
    from .conformance import Check, Conformance, check_sampler
    from .planning.schedules import make_schedule
    from .sampling.shard import unseeded_draws
    from .suites.cell import Cell
    from .suites.files import load_suite
    from .suites.suite import Suite

    __version__: str

__all__ = [
    "Cell",
    "Check",
    "Conformance",
    "Suite",
    "advise",
    "check_sampler",
    "load_suite",
    "make_schedule",
    "plan",
    "run",
    "unseeded_draws",
]

_HOMES = {
    "Cell": "suites.cell",
    "Check": "conformance",
    "Conformance": "conformance",
    "Suite": "suites.suite",
    "advise": "advice.advising",
    "check_sampler": "conformance",
    "load_suite": "suites.files",
    "make_schedule": "planning.schedules",
    "plan": "api",
    "run": "api",
    "unseeded_draws": "sampling.shard",
}


def __getattr__(name: str) -> Any:
    """What the package offers, imported when it is asked for: torch and pydantic are slow."""
    if name == "__version__":
        from importlib.metadata import version

        return version("samplerbench")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names for completion and ``help``, imported or not."""
    return sorted([*__all__, "__version__"])
