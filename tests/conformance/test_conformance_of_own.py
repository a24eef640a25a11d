"""Samplers as users write them: ``check`` names their faults, and finds none where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.samplers import Declared, Grid, Source
from samplerbench.samplers.methods.edm import Euler

SOURCE = Source("", "", "")
frozen = dataclass(frozen=True, kw_only=True)


@frozen
class DividesByTheDifferenceOfSteps(Euler):
    """NaN wherever a step is as long as the one before; on karras grids it is Euler's method."""

    order = 2

    def plan(self, grid: Grid):
        rows = Euler.plan(self, grid)
        first, second = (math.log(grid.sigma[i] / grid.sigma[i + 1]) for i in (0, 1))
        bad = math.nan if abs(first - second) > 1e-6 else 0.0
        return [row._replace(a=row.a + bad) for row in rows] if len(grid) > 3 else rows


def test_check_sampler__a_sampler_that_is_nan_on_some_grids_fails_with_its_name():
    result = check_sampler(DividesByTheDifferenceOfSteps())
    assert "order" in {check.name for check in result.failures}
    assert not any(
        "everywhere" in sentence or "does not fall" in sentence for sentence in result.why
    )


@frozen
class AllInOneCall(Declared):
    """Euler's method in a function of its own, declared of order 2."""

    name = "all_in_one_call"
    order = 2
    source = SOURCE

    def nfe(self, grid: Grid) -> int:
        return len(grid)

    def solve(self, denoise, x, grid, noise):
        return Euler().sample(denoise, x, grid, noise)


def test_diagnose__equal_orders_on_even_and_uneven_steps_blame_no_ratio_of_steps():
    why = check_sampler(AllInOneCall()).why
    assert any(sentence.startswith("of order 1 everywhere") for sentence in why)
    assert not any("ratio of neighbouring steps" in sentence for sentence in why)
