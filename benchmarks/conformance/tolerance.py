"""Adaptive samplers: what a tolerance is worth."""

from __future__ import annotations

from dataclasses import fields, replace

from ...samplers import Grid, NoNoise, Sampler
from .check import Check
from .order import rms
from .problems import INTERIOR, problems

TOLERANCES = (1e-1, 1e-3, 1e-5)
WORTH = 100
"""A tolerance bounds an estimate of the error of a step, not the error at the end; within this factor it still says something."""
ROWS = slice(0, 4)


def check_tolerance(sampler: Sampler) -> list[Check]:
    """The smallest tolerance gives the smallest error on both problems, below 100 times the tolerance.

    (Between loose tolerances the error need not fall: the first step can be all there is.)
    """
    names = [f.name for f in fields(sampler) if f.name in ("rtol", "atol", "tol")]
    if not names:
        return [Check("tolerance", False, "an adaptive sampler needs a field rtol, atol or tol")]
    grid = Grid(INTERIOR[::-1])
    errors: dict[str, list[float]] = {}
    for problem in problems():
        truth = problem.truth(grid.sigma[-1])[ROWS]
        stricter = [replace(sampler, **dict.fromkeys(names, tolerance)) for tolerance in TOLERANCES]
        errors[problem.name] = [rms(one.sample(problem, problem.start[ROWS].clone(), grid, NoNoise()), truth) for one in stricter]
    falls = all(found[-1] < min(found[:-1]) for found in errors.values())
    worth = all(found[-1] < WORTH * TOLERANCES[-1] for found in errors.values())
    detail = "; ".join(f"{name} {', '.join(f'{e:.0e}' for e in found)}" for name, found in errors.items())
    asked = ", ".join(f"{tolerance:.0e}" for tolerance in TOLERANCES)
    return [Check("tolerance", falls and worth, f"errors at {asked}: {detail}", {"tolerance": TOLERANCES, **errors})]
