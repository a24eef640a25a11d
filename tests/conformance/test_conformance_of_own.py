"""Samplers as users write them: ``check`` names their faults, and finds none where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from samplerbench.benchmarks.conformance import check_sampler
from samplerbench.benchmarks.conformance.moments import check_moments
from samplerbench.benchmarks.conformance.order import check_order
from samplerbench.samplers import Declared, Grid, Source, make
from samplerbench.samplers.methods.ancestral import DDPM
from samplerbench.samplers.methods.edm import Euler, Heun

SOURCE = Source("", "", "")


@dataclass(frozen=True, kw_only=True)
class DividesByTheDifferenceOfSteps(Euler):
    """NaN wherever a step is as long as the one before; on karras grids it is Euler's method."""

    order = 2

    def plan(self, grid: Grid):
        rows = Euler.plan(self, grid)
        first, second = (math.log(grid.sigma[i] / grid.sigma[i + 1]) for i in (0, 1))
        bad = math.nan if abs(first - second) > 1e-6 else 0.0
        return [row._replace(a=row.a + bad) for row in rows] if len(grid) > 3 else rows


@pytest.mark.slow
def test_check_sampler__a_sampler_that_is_nan_on_some_grids_fails_with_its_name():
    result = check_sampler(DividesByTheDifferenceOfSteps())
    assert "order" in {check.name for check in result.failures}
    assert not any(
        "everywhere" in sentence or "does not fall" in sentence for sentence in result.why
    )


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Loud(DDPM):
    """The noise of each step is 2 % too large, which hides the bias of 128 steps."""

    def plan(self, grid: Grid):
        return [row._replace(c=1.02 * row.c) for row in super().plan(grid)]


@dataclass(frozen=True, kw_only=True)
class Coin(DDPM):
    """Noise of two values, 1.3 times too large: no exact moments show it."""

    def step(self, x, row, past, denoise, noise):
        x = row.a * x + row.b[0] * denoise(x, row.sigma)
        return x + 1.3 * row.c * noise().sign(), None


def test_check_sampler__noise_off_by_two_per_cent_fails_and_right_noise_passes():
    failed = {check.name: check.detail for check in check_sampler(Loud()).failures}
    assert list(failed) == ["weak order"]
    assert "tends to one that is off by 3.6e-02" in failed["weak order"]
    assert check_sampler("ddpm").passed


@dataclass(frozen=True, kw_only=True)
class Slow(DDPM):
    """The variance of the noise is off by 2 N^-1/2, and no order is declared."""

    order = None

    def plan(self, grid: Grid):
        return [row._replace(c=(1 + len(grid) ** -0.5) * row.c) for row in super().plan(grid)]


def test_check_moments__the_limit_without_a_declared_order_is_conditional():
    weak = list(check_moments(Slow()))[1]
    assert "none declared, but unless its order is below 1, with more steps" in weak.detail
    assert list(check_moments(Loud()))[1].detail.count("unless") == 0


def test_check_sampler__moments_of_samples_judge_what_is_not_affine_in_its_noise():
    failed = {check.name: check.detail for check in check_sampler(Coin()).failures}
    assert list(failed) == ["moments", "strong order"]
    assert "16,384 samples" in failed["moments"]
    assert check_sampler("predictor_corrector").passed  # it declares no order
    wrong = check_sampler("predictor_corrector(corrector='langevin')")
    assert [check.name for check in wrong.failures] == ["moments"], (
        "of the wrong law in 3 dimensions"
    )


@dataclass(frozen=True, kw_only=True)
class Single(Declared):
    """Runge-Kutta of order 4 in float32; ``order`` is what it declares."""

    name = "single"
    source = SOURCE
    order = 4

    def nfe(self, grid: Grid) -> int:
        return 4 * len(grid) - 3 * grid.to_zero

    def solve(self, denoise, x, grid, noise):
        y = x.float()
        for cur, nxt in grid.intervals():
            if nxt == 0:
                return denoise(y, cur).to(x.dtype)
            h, mid = math.log(cur / nxt), math.sqrt(cur * nxt)
            one = denoise(y, cur) - y
            two = denoise(y + h / 2 * one, mid) - (y + h / 2 * one)
            three = denoise(y + h / 2 * two, mid) - (y + h / 2 * two)
            four = denoise(y + h * three, nxt) - (y + h * three)
            y = y + h / 6 * (one + 2 * two + 2 * three + four)
        return y.to(x.dtype)


@dataclass(frozen=True, kw_only=True)
class SingleHeun(Heun):
    """Heun's method in float32, declared of order 3."""

    order = 3

    def sample(self, denoise, x, grid, noise=None):
        def single(y, sigma):
            return denoise(y, sigma).float()

        return Heun().sample(single, x.float(), grid, noise).to(x.dtype)


def test_check_sampler__rounding_to_float32_is_no_fault_and_hides_none():
    found = {check.name: check for check in check_sampler(Single()).checks}
    assert all(check.passed for check in found.values())
    assert "no order is measured" in found["order"].detail
    failed = [check.name for check in check_sampler(SingleHeun()).failures]
    assert failed == ["order", "local order"]


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        ({"name": "dpmpp_3m", "last": (2, 1)}, 2),
        ({"name": "dpmpp_2m", "analytic_first": True}, 1),
        ({"name": "warped_ab_3", "analytic_first": True, "deferred": True}, 1),
    ],
)
def test_check_order__options_that_lower_the_order_are_no_fault(spec, least):
    order = next(check_order(make(spec), fast=True))
    assert order.passed
    assert f"at least {least} with these options" in order.detail
