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

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .advice.advising import advise
    from .api import plan, run
    from .conformance import Check, Conformance, check_sampler
    from .planning.schedules import make_schedule
    from .sampling.chance import unseeded_draws
    from .suites.cell import Cell
    from .suites.suite import Suite, load_suite

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
    "load_suite": "suites.suite",
    "make_schedule": "planning.schedules",
    "plan": "api",
    "run": "api",
    "unseeded_draws": "sampling.chance",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
