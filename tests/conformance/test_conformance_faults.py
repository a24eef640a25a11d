"""Each check of the conformance suite catches the fault that it is there for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.benchmarks.conformance.basic_checks import (
    check_algebra,
    check_to_zero,
    check_translation,
)
from samplerbench.benchmarks.conformance.moments import check_moments, check_noise
from samplerbench.benchmarks.conformance.order import check_order
from samplerbench.benchmarks.conformance.problems import GRIDS
from samplerbench.benchmarks.conformance.purity import check_purity
from samplerbench.samplers import Grid, LinearMultistep, LinearRow, Source, StartRow, make
from samplerbench.samplers.base import Declared
from samplerbench.samplers.families.noisy_stages import NoisyRow
from samplerbench.samplers.methods.ancestral import DDPM
from samplerbench.samplers.methods.dpm_solver_multistep import DPMpp2M
from samplerbench.samplers.methods.dpmpp_sde import DPMppSDE
from samplerbench.samplers.methods.edm import Euler, Heun
from samplerbench.samplers.methods.ode_libraries import ScipyODE
from samplerbench.samplers.methods.score_sde import EulerMaruyama

pytestmark = pytest.mark.usefixtures("few_steps")
HISTORY: list[torch.Tensor] = []


def faulty(base: type) -> Any:
    """A frozen dataclass from a class body."""

    def decorate(cls: type) -> type:
        body = {
            key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")
        }
        made = dataclass(frozen=True, kw_only=True)(
            type(cls.__name__, (base,), body | {"__module__": __name__})
        )
        globals()[cls.__name__] = made
        return made

    return decorate


@faulty(DPMpp2M)
class WrongWeight:
    """The extrapolation at twice its length."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows, h_prev = [], math.inf
        for cur, nxt in grid.intervals():
            r, h = nxt / cur, math.log(cur / nxt) if nxt > 0 else 0.0
            w = h / h_prev
            rows.append(LinearRow(cur, a=r, b=((1 - r) * (1 + w), -(1 - r) * w) if w else (1 - r,)))
            h_prev = h
        return rows


@faulty(Euler)
class Boastful:
    """Declares an order that it does not have."""

    order = 2


@faulty(Heun)
class Modest:
    """Declares less than it has: the bound is two-sided."""

    order = 1


@faulty(Heun)
class Miscounts:
    """Forgets that the last step is cheaper."""

    def nfe(self, grid: Grid) -> int:
        return 2 * len(grid)


@faulty(Euler)
class Remembers:
    """Keeps the first denoised image it ever saw."""

    def step(self, x, row, past, denoise, noise):
        x, entry = Euler.step(self, x, row, past, denoise, noise)
        HISTORY.append(x[0, 0].clone())
        return x.add_(HISTORY[-2] * 1e-3 if len(HISTORY) > 1 else 0), entry


@faulty(Euler)
class DrawsElsewhere:
    """Takes its noise from the global generator, and hides it."""

    def step(self, x, row, past, denoise, noise):
        torch.randn(1)
        return Euler.step(self, x, row, past, denoise, noise)


@faulty(Euler)
class OverwritesDenoised:
    def step(self, x, row, past, denoise, noise):
        d = denoise(x, row.sigma)
        return d.mul_(row.b[0]).add_(x, alpha=row.a), None


@faulty(DPMpp2M)
class OverwritesEntry:
    def step(self, x, row, past, denoise, noise):
        x, entry = DPMpp2M.step(self, x, row, past, denoise, noise)
        if past:
            past[0].mul_(1.5)
        return x, entry


@faulty(Euler)
class OverwritesLatents:
    def sample(self, denoise, x, grid, noise):
        x.mul_(1.0 + 1e-9)
        return Euler.sample(self, denoise, x, grid, noise)


@faulty(Euler)
class TensorRows:
    """Coefficients as numpy scalars."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [
            LinearRow(np.float64(cur), a=np.float64(nxt / cur), b=(np.float64(1 - nxt / cur),))
            for cur, nxt in grid.intervals()
        ]


@faulty(Euler)
class Drifts:
    """Weights that do not sum to 1."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [
            LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur + 1e-9,)) for cur, nxt in grid.intervals()
        ]


@faulty(Euler)
class DividesByZero:
    """Fails on the step to 0."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [
            LinearRow(cur, a=math.exp(math.log(nxt / cur)), b=(1 - nxt / cur,))
            for cur, nxt in grid.intervals()
        ]


@faulty(Euler)
class NotFinite:
    """NaN on the step to 0."""

    def step(self, x, row, past, denoise, noise):
        x, entry = Euler.step(self, x, row, past, denoise, noise)
        return (x * math.nan if row.a == 0 else x), entry


@faulty(Euler)
class Promotes:
    """A float32 state becomes float64."""

    def sample(self, denoise, x, grid, noise):
        return Euler.sample(self, denoise, x, grid, noise).double()


@faulty(Euler)
class Couples:
    """Uses the mean over the batch."""

    def step(self, x, row, past, denoise, noise):
        x, entry = Euler.step(self, x, row, past, denoise, noise)
        return x.add_(1e-6 * x.mean()), entry


@faulty(DDPM)
class TooQuiet:
    """Half of the noise."""

    def plan(self, grid: Grid) -> list[LinearRow]:
        return [row._replace(c=row.c / 2) for row in DDPM.plan(self, grid)]


@faulty(DPMppSDE)
class DrawsTwice:
    """One independent draw for the stage and one for the step, over intervals that overlap."""

    order = 1

    def plan(self, grid: Grid) -> list[NoisyRow]:
        return [
            row if nxt == 0 else self.row(cur, nxt)
            for row, (cur, nxt) in zip(DPMppSDE.plan(self, grid), grid.intervals(), strict=True)
        ]


@faulty(Euler)
class NeverDraws:
    """Declares noise and asks for none."""

    stochastic = True


@faulty(DDPM)
class SecretNoise:
    """Draws although it declares that it does not."""

    stochastic = False


@faulty(Euler)
class OutOfRange:
    """Evaluates below the last level of the grid."""

    def step(self, x, row, past, denoise, noise):
        denoise(x, 0.5 * row.sigma)
        return Euler.step(self, x, row, past, denoise, noise)

    def nfe(self, grid: Grid) -> int:
        return 2 * len(grid)


@faulty(Euler)
class NotTheSame:
    same_as = "heun"


@faulty(ScipyODE)
class Deaf:
    """Ignores its tolerance."""

    name = "deaf"
    method = "RK45"
    batch_coupled = True

    def sample(self, denoise, x, grid, noise):
        return make({"name": "scipy_rk45", "rtol": 1e-2, "atol": 1e-2}).sample(
            denoise, x, grid, noise
        )


@dataclass
class Mutable(Declared):
    name = "mutable"
    source = Source("", "", "")
    order = 1
    kept: list[int] = field(default_factory=list)

    def nfe(self, grid: Grid) -> int:
        return len(grid)

    def sample(self, denoise, x, grid, noise):
        return Euler().sample(denoise, x, grid, noise)


@pytest.mark.slow
@each(
    ("cls", "failing"),
    [
        (WrongWeight, "order"),
        (Boastful, "order"),
        (Modest, "order"),
        (Miscounts, "nfe"),
        (Remembers, "repeatable"),
        (DrawsElsewhere, "repeatable"),
        (OverwritesDenoised, "arguments untouched"),
        (OverwritesEntry, "arguments untouched"),
        (OverwritesLatents, "arguments untouched"),
        (TensorRows, "plan"),
        (Drifts, "algebra"),
        (Drifts, "translation"),
        (DividesByZero, "finite"),
        (NotFinite, "finite"),
        (Promotes, "finite"),
        (Couples, "batch independence"),
        (TooQuiet, "moments"),
        (TooQuiet, "weak order"),
        (DrawsTwice, "noise"),
        (NeverDraws, "noise"),
        (SecretNoise, "runs"),
        (OutOfRange, "levels"),
        (NotTheSame, "same as"),
        (Deaf, "tolerance"),
        (Mutable, "value object"),
    ],
)
def test_check_sampler__a_fault_is_found(cls: type, failing: str) -> None:
    HISTORY.clear()
    result = check_sampler(cls(), fast=True)
    assert not result.passed
    assert failing in {check.name for check in result.failures}


def test_independent_draws_over_one_interval_fail_nothing_but_the_check_of_noise() -> None:
    """Its moments converge, and its order is the one that it declares: only the law that a path
    would give shows that its noise is another.
    """
    (failure,) = check_sampler(DrawsTwice(), fast=True).failures
    assert failure.name == "noise"
    assert failure.detail.endswith("combine (NoisyStages does)")


def test_check_purity__a_plan_with_an_array_is_refused_by_its_type() -> None:
    @faulty(Euler)
    class ArrayRows:
        def plan(self, grid: Grid) -> list[Any]:
            return [torch.tensor(grid.sigma)]

    details = {check.name: check.detail for check in check_purity(ArrayRows())}
    assert details["plan"] == "rows hold Tensor; only Python scalars belong there"
    plan = next(check for check in check_purity(Euler()) if check.name == "plan")
    assert (plan.passed, plan.detail) == (True, "pure; Python scalars only")


def test_check_sampler__details_of_failures_do_not_read_as_success() -> None:
    for sampler in (Euler(), Drifts()):
        (shifted,) = check_translation(sampler)
        assert shifted.detail.startswith("samples of moved data are off by ")
        (ended,) = check_to_zero(sampler)
        assert ended.detail.startswith("one datum: the end at sigma = 0 is off by ")


def test_a_sampler_that_raises_has_failed_with_the_reason() -> None:
    detail = {
        check.name: check.detail for check in check_sampler(DividesByZero(), fast=True).failures
    }["finite"]
    assert detail.startswith(
        "1 steps to 0 in float32: raised ValueError: math domain error (test_conformance_faults.py:"
    )


def test_fewer_entries_are_available_at_the_start() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Greedy(LinearMultistep):
        name = "greedy"
        source = Source("", "", "")

        def plan(self, grid: Grid) -> list[LinearRow]:
            return [
                LinearRow(cur, a=nxt / cur, b=(1 - nxt / cur - 0.1, 0.1))
                for cur, nxt in grid.intervals()
            ]

    failures = {check.name: check.detail for check in check_sampler(Greedy(), fast=True).failures}
    assert "has 2 weights b, but 0 earlier entries are kept" in failures["runs"]


def test_check_algebra__a_weight_of_a_first_step_that_is_no_number_is_found() -> None:
    sampler = make("vab_4", startup="singlestep")

    @faulty(type(sampler))
    class NotANumber:
        def plan(self, grid: Grid) -> list[Any]:
            first, *rest = sampler.plan(grid)
            if isinstance(first, StartRow):
                first = first._replace(stages=first.stages._replace(a=math.nan))
            return [first, *rest]

    assert [check.passed for check in check_algebra(sampler)] == [True]
    assert [check.passed for check in check_algebra(NotANumber())] == [False]


@each(
    ("base", "steps", "check", "name"),
    [
        (EulerMaruyama, 128, check_moments, "moments"),
        (EulerMaruyama, 8, check_noise, "noise"),
        (Euler, 384, partial(check_order, fast=True), "order"),
    ],
)
def test_checks__samples_that_are_not_numbers_on_one_grid_fail(
    base: Any, steps: int, check: Any, name: str
) -> None:
    @faulty(base)
    class NotANumberOnKarras:
        def plan(self, grid: Grid) -> list[LinearRow]:
            *rows, last = base().plan(grid)
            broken = last._replace(a=math.nan) if grid == GRIDS["karras"](steps) else last
            return [*rows, broken]

    for sampler, passes in ((base(), True), (NotANumberOnKarras(), False)):
        assert {item.name: item.passed for item in check(sampler)}[name] is passes
