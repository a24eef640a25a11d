"""What ``check`` says of samplers that are broken on purpose: where they are wrong, and why."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
import torch
from looping import each
from rich.console import Console

from samplerbench.benchmarks.conformance import (
    Check,
    Conformance,
    check_sampler,
    print_conformance,
)
from samplerbench.benchmarks.conformance.diagnosis import diagnose
from samplerbench.samplers import Grid, GridSampler, LinearRow, LinearStages, Source, get
from samplerbench.samplers.methods.ancestral import DDPM
from samplerbench.samplers.methods.dpm_solver_multistep import DPMpp2M
from samplerbench.samplers.methods.edm import Euler, Heun

EAB3: Any = get("dpmpp_3m")
SOURCE = Source("", "", "")
frozen = dataclass(frozen=True, kw_only=True)


@frozen
class IgnoresTheRatio(EAB3):
    """Third-order weights as if all steps were as long as this one."""

    def row(self, levels, nxt):
        ratio = levels[0] / nxt
        return EAB3.row(self, [levels[0] * ratio**j for j in range(len(levels))], nxt)


@frozen
class OnlyForLinear(LinearStages):
    """The midpoint rule in sigma, third order on every Gaussian and second on anything else."""

    name = "only_for_linear"
    order = 3
    source = SOURCE

    def update(self, x, denoise, cur, nxt):
        mid = (cur + nxt) / 2
        x_mid = x + (mid - cur) * (x - denoise(x, cur)) / cur
        return x + (nxt - cur) * (x_mid - denoise(x_mid, mid)) / mid


@frozen
class HalfOfTheExtrapolation(DPMpp2M):
    """w is half of what it should be: first order."""

    def plan(self, grid: Grid):
        rows = DPMpp2M.plan(self, grid)
        return [
            row._replace(b=(row.b[0] + row.b[1] / 2, row.b[1] / 2)) if len(row.b) > 1 else row
            for row in rows
        ]


@frozen
class Modest(Heun):
    order = 1


@frozen
class Inconsistent(Euler):
    """Half of the step."""

    def plan(self, grid: Grid):
        return [
            row._replace(a=(1 + row.a) / 2, b=(row.b[0] / 2,)) if row.a else row
            for row in Euler.plan(self, grid)
        ]


@frozen
class BadStart(DPMpp2M):
    """The first step goes half of the way."""

    def plan(self, grid: Grid):
        first, *rows = DPMpp2M.plan(self, grid)
        return [first._replace(a=(1 + first.a) / 2, b=(first.b[0] / 2,)) if rows else first, *rows]


@frozen
class StaysAtTheLast(Euler):
    """The step to 0 keeps a tenth of the state."""

    def plan(self, grid: Grid):
        return [row if row.a else row._replace(a=0.1, b=(0.9,)) for row in Euler.plan(self, grid)]


@frozen
class LogOfZero(Euler):
    def plan(self, grid: Grid):
        return [
            LinearRow(cur, a=math.exp(math.log(nxt / cur)), b=(1 - nxt / cur,))
            for cur, nxt in grid.intervals()
        ]


@frozen
class Overflows(Euler):
    """A factor that float32 does not hold."""

    def step(self, x, row, past, denoise, noise):
        x, entry = Euler.step(self, x, row, past, denoise, noise)
        return x.mul_(1e38).mul_(10.0).div_(10.0).div_(1e38), entry


@frozen
class EntriesDoNotCancel(DPMpp2M):
    def plan(self, grid: Grid):
        return [
            row._replace(b=(row.b[0], row.b[1] * 1.001)) if len(row.b) > 1 else row
            for row in DPMpp2M.plan(self, grid)
        ]


@frozen
class CorrectsLater(GridSampler):
    """A PEC method: the evaluation at the end of a step corrects it, and predicts the next."""

    name = "corrects_later"
    order = 2
    history = 1
    source = SOURCE
    share: float = 0.5

    def plan(self, grid: Grid):
        before = (None, *grid.sigma)
        return [(*ends, prev) for ends, prev in zip(grid.intervals(), before, strict=False)]

    def step(self, x, row, past, denoise, noise):
        cur, nxt, prev = row
        d = denoise(x, cur)
        if past:
            x_prev, d_prev = past[0]
            mean = self.share * d + (1 - self.share) * d_prev
            x = cur / prev * x_prev + (1 - cur / prev) * mean
        return nxt / cur * x + (1 - nxt / cur) * d, (x, d)

    def nfe(self, grid: Grid):
        return len(grid)


@frozen
class TooQuiet(DDPM):
    def plan(self, grid: Grid):
        return [row._replace(c=row.c / 2) for row in DDPM.plan(self, grid)]


@frozen
class SecretNoise(DDPM):
    stochastic = False


@pytest.mark.slow
@each(
    ("cls", "sentence"),
    [
        (
            IgnoresTheRatio,
            "right on uniform_lambda (order 3.0), wrong on karras (1.9): "
            "the weights ignore the ratio of neighbouring steps",
        ),
        (
            OnlyForLinear,
            "right where the denoiser is linear in x (order 3.0), wrong where it is not (2.0)",
        ),
        (
            HalfOfTheExtrapolation,
            "of order 1 everywhere: a weight is wrong in the terms "
            "of order 2, or order = 1 is the truth",
        ),
        (Modest, "of order 2 everywhere: declare order = 2"),
        (Inconsistent, "the error does not fall with the number of steps"),
        (BadStart, "right from exact start values, wrong after its own start"),
        (StaysAtTheLast, "right to sigma_min, wrong to 0"),
        (
            LogOfZero,
            "right to sigma_min, wrong to 0: log(cur / nxt) is infinite in the "
            "last step, which is one evaluation, x <- d",
        ),
        (Overflows, "right in float64, wrong in float32"),
        (
            EntriesDoNotCancel,
            "rows without entries of earlier steps sum to 1 and those with them do not",
        ),
        (TooQuiet, "the mean is right and the samples have 0."),
        (SecretNoise, "it draws noise: declare stochastic = True"),
    ],
)
def test_check_sampler__the_pattern_of_the_failures_says_why(cls, sentence):
    result = check_sampler(cls())
    assert not result.passed
    assert [why for why in result.why if why.startswith(sentence)], (result.why, result.failures)


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_3m", "ddpm", "auto"])
def test_nothing_is_said_of_what_is_right(name):
    assert check_sampler(name).why == []


def test_weights_that_smooth_schedules_forgive_are_a_note():
    result = check_sampler("ipndm_2", fast=True)
    assert result.passed
    assert (
        "and of order 1.01 where steps alternate in length: the weights ignore the "
        "ratio of neighbouring steps"
    ) in result.why[0]
    assert "note: of order 2.0 on smooth schedules" in printed(result)


def order_check(**slopes: float) -> Check:
    """Return a check of the order with measured slopes; keys are problem_grid."""
    places = {name.replace("_", "/", 1): slope for name, slope in slopes.items()}
    return Check("order", False, data={pair: {"slope": slope} for pair, slope in places.items()})


def test_diagnose__a_slope_that_is_no_number_is_shown_as_one_for_any_order_of_the_pairs():
    measured = {"gaussian_uniform_lambda": 3.0, "mixture_uniform_lambda": 3.0}
    for first, second in ((math.nan, 1.0), (1.0, math.nan)):
        check = order_check(**measured, gaussian_karras=first, mixture_karras=second)
        (sentence,) = diagnose(EAB3(), [check])
        assert "(order 3.0), wrong on karras (nan)" in sentence


def test_diagnose__an_option_that_lowers_the_order_is_no_fault():
    places = {"gaussian_uniform_lambda": 3.0, "gaussian_karras": 3.0}
    places |= {"mixture_uniform_lambda": 2.0, "mixture_karras": 2.0}
    check = order_check(**places)
    assert diagnose(EAB3(last=(1,)), [check]) == []
    (sentence,) = diagnose(EAB3(), [check])
    assert sentence.startswith("right where the denoiser is linear in x")


def printed(result: Conformance) -> str:
    out = StringIO()
    print_conformance(result, Console(file=out, width=400))
    return out.getvalue()


def marks(result: Conformance) -> dict[str, str]:
    return {check.name: check.mark for check in result.checks}


def test_what_is_only_measured_has_not_passed():
    @frozen
    class Undeclared(Inconsistent):
        order = None

    found = check_sampler(Undeclared(), fast=True)
    assert {
        marks(found)[name]
        for name in ("order", "local order", "order as shipped", "order, uneven steps")
    } == {"measured"}
    assert re.search(r"^order +measured", printed(found), re.MULTILINE)
    assert marks(check_sampler("heun", fast=True))["order as shipped"] == "pass"
    assert marks(check_sampler("scipy_rk45"))["batch independence"] == "measured"


def test_check_order__a_memory_longer_than_any_run_needs_no_order():
    @frozen
    class Remembering(get("euler")):
        name, order, history = "remembering", None, 1000

    found = marks(check_sampler(Remembering(), fast=True))
    assert (found["order"], found["local order"]) == ("measured", "measured")


def test_a_start_that_ruins_the_order_fails():
    assert marks(check_sampler(BadStart(), fast=True))["order as shipped"] == "FAIL"


def test_check_order__global_order_decides_where_a_single_step_is_of_a_lower_one():
    result = check_sampler(CorrectsLater())
    found = {check.name: check for check in result.checks}
    assert result.passed, result.failures
    assert marks(result)["order"] == "pass"
    assert marks(result)["local order"] == "measured"
    assert max(found["local order"].data.values()) < 2.25
    assert "PEC" in found["local order"].detail


def test_check_order__a_corrector_that_loses_the_order_fails():
    failed = {check.name for check in check_sampler(CorrectsLater(share=0.25)).failures}
    assert failed == {"order", "local order", "order as shipped"}


def test_a_step_that_returns_the_state_alone_is_one_sentence_with_its_line():
    @frozen
    class Alone(Euler):
        def step(self, x, row, past, denoise, noise):
            return Euler.step(self, x, row, past, denoise, noise)[0]

    (check,) = check_sampler(Alone()).checks
    line = Alone.step.__code__.co_firstlineno
    assert check.name == "runs"
    assert check.detail == (
        f"raised TypeError: euler: step() (test_conformance_why.py:{line}) returned a Tensor; "
        "it must return the next state and a history entry: return x, None"
    )
    # two rows would unpack without a word
    with pytest.raises(TypeError, match="it must return the next state and a history entry"):
        Alone().sample(lambda x, sigma: x, torch.ones(2, 3), [1.0, 0.0])


def test_an_exception_names_the_line():
    @frozen
    class Raises(Euler):
        def step(self, x, row, past, denoise, noise):
            return x / torch.ones(7), None

    (check,) = check_sampler(Raises()).checks
    assert check.detail.startswith("raised RuntimeError: The size of tensor a (3) must match")
    assert check.detail.endswith(
        f"(test_conformance_why.py:{Raises.step.__code__.co_firstlineno + 1})"
    )


def test_nan_is_not_taken_for_a_modified_entry():
    @frozen
    class NaN(DPMpp2M):
        def step(self, x, row, past, denoise, noise):
            x, entry = DPMpp2M.step(self, x, row, past, denoise, noise)
            return x * math.nan, entry * math.nan

    found = marks(check_sampler(NaN(), fast=True))
    assert found["finite"] == "FAIL"
    assert (found["arguments untouched"], found["repeatable"], found["batch independence"]) == (
        "pass",
        "pass",
        "pass",
    )


class Undecorated(Euler):
    """Inherits the flag of a frozen dataclass, and may write to self."""

    name = "undecorated"

    def step(self, x, row, past, denoise, noise):
        self.calls = getattr(self, "calls", 0) + 1
        return Euler.step(self, x, row, past, denoise, noise)


@frozen
class BehindTheBack(Euler):
    """Writes to self all the same."""

    def step(self, x, row, past, denoise, noise):
        object.__setattr__(self, "last", float(x.sum()))
        return Euler.step(self, x, row, past, denoise, noise)


def test_state_in_self_is_found():
    detail = {
        check.name: check.detail for check in check_sampler(Undecorated(), fast=True).failures
    }
    assert detail["value object"].startswith(
        "class Undecorated inherits from a frozen dataclass and is none itself"
    )
    assert detail["repeatable"].startswith("a run changes self.calls; ")
    detail = {
        check.name: check.detail for check in check_sampler(BehindTheBack(), fast=True).failures
    }
    assert detail["repeatable"].startswith("a run changes self.last; ")


def test_a_draw_from_a_global_generator_is_named():
    @frozen
    class Draws(DDPM):
        def step(self, x, row, past, denoise, noise):
            d = denoise(x, row.sigma)
            return row.a * x + row.b[0] * d + row.c * torch.randn_like(x), None

    detail = {check.name: check.detail for check in check_sampler(Draws(), fast=True).failures}
    assert detail["repeatable"] == (
        "draws from torch's global generator; use the noise that it is handed, noise()"
    )


def test_results_say_what_was_asserted_and_why():
    data = check_sampler(Modest(), fast=True).as_dict()
    assert data["why"] == ["of order 2 everywhere: declare order = 2"]
    assert {check["name"]: check["asserted"] for check in data["checks"]}[
        "order, uneven steps"
    ] is False
