"""Harness of the benchmark: what runs, how it is measured, and the command line.

In a notebook or a script, functions replace the commands:

>>> from samplerbench.benchmarks import check_sampler, load_suite, plan
>>> check_sampler("euler", fast=True).passed
True
>>> suite = load_suite("smoke").replaced(models=["gmm-2d"], samplers=["heun"])
>>> [cell.steps for cell in plan(suite, device="cpu")]  # at budgets of 1, 5 and 9 evaluations
[1, 3, 5]

``run(suite, "folder")`` returns a :class:`samplerbench.results.ResultTable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .api import advise, export, plan, run, tune
    from .checking import check, check_model
    from .conformance import Check, Conformance, check_sampler
    from .frozen.boards import board
    from .frozen.submitting import submit
    from .metrics.fid import frechet_distance
    from .planning.authors import authors_schedules_of
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
    "authors_schedules_of",
    "board",
    "check",
    "check_model",
    "check_sampler",
    "export",
    "frechet_distance",
    "load_suite",
    "make_schedule",
    "plan",
    "run",
    "submit",
    "tune",
    "unseeded_draws",
]

_HOMES = {
    "api": "advise export plan run tune",
    "checking": "check check_model",
    "conformance": "Check Conformance check_sampler",
    "frozen.boards": "board",
    "frozen.submitting": "submit",
    "metrics.fid": "frechet_distance",
    "planning.authors": "authors_schedules_of",
    "planning.schedules": "make_schedule",
    "sampling.shard": "unseeded_draws",
    "suites.cell": "Cell",
    "suites.files": "load_suite",
    "suites.suite": "Suite",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
