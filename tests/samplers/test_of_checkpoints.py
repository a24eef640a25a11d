"""Samplers that stand for schedulers of checkpoints, and are in no list."""

from __future__ import annotations

import math

import pytest
import torch
from looping import each

from samplerbench.benchmarks.conformance.basic_checks import check_translation
from samplerbench.benchmarks.sampling.execution import why_not_executable
from samplerbench.models import make_model
from samplerbench.samplers import Grid, make, names
from samplerbench.samplers.methods.pipeline import Preset
from samplerbench.samplers.types import FunctionDenoiser, TimedLevel

GRID = Grid((8.0, 3.0, 1.0, 0.2, 0.0))


def on_two_points(sampler, levels):
    """Data at 1 and -1, of which E[x0 | x] is a hyperbolic tangent."""
    x = levels[0] * torch.linspace(-1.5, 1.2, 7, dtype=torch.float64)[:, None]
    return sampler.sample(FunctionDenoiser(lambda x, sigma: torch.tanh(x / sigma**2)), x, levels)


def test_they_are_in_no_list():
    assert not {"ddpm_large", "singlestep_on_grid"} & set(names())


def test_the_larger_variance_is_that_of_unit_gaussian_data():
    """Of which the variance after every step is exact: d = x / (1 + sigma²)."""
    rows = make("ddpm_large").plan(GRID)
    for row, (cur, nxt) in zip(rows[:-1], GRID.intervals()[:-1], strict=True):
        slope = row.a + row.b[0] / (1 + cur**2)
        assert slope**2 * (1 + cur**2) + row.c**2 == pytest.approx(1 + nxt**2, rel=1e-14)
        smaller = make("ddpm").plan(Grid((cur, nxt)))[0]
        assert (row.a, *row.b) == pytest.approx((smaller.a, *smaller.b))
        assert row.c > smaller.c
    assert (rows[-1].a, rows[-1].b, rows[-1].c) == (0.0, (1.0,), 0.0)


def test_ddpm_large__moved_data_move_the_samples():
    (check,) = check_translation(make("ddpm_large"))
    assert check.passed


@pytest.mark.parametrize(("prediction", "known"), [("data", "dpmpp_2s"), ("noise", "dpm_solver_2")])
def test_stages_in_the_middle_of_log_sigma_make_the_papers_steps(prediction, known):
    ends = (8.0, 2.0, 0.3)
    grid = (8.0, 4.0, 2.0, math.sqrt(0.6), 0.3)
    sampler = make("singlestep_on_grid", orders=(1, 2, 1, 2), prediction=prediction)
    torch.testing.assert_close(on_two_points(sampler, grid), on_two_points(make(known), ends))


@each("prediction", ["data", "noise"])
@each("solver_type", ["midpoint", "heun"])
@each("order", [2, 3])
def test_multistep__a_whole_group_is_of_its_order(order, solver_type, prediction):
    """Halving the groups divides the error by 2^order, within what small steps allow."""
    exact = on_two_points(make("dpmpp_3s"), tuple(2.0 * 0.5 ** (i / 256) for i in range(513)))
    errors = []
    for groups in (8, 16, 32):
        n = groups * order
        levels = tuple(2.0 * 0.25 ** (i / n) for i in range(n + 1))
        orders = tuple(range(1, order + 1)) * groups
        sampler = make(
            "singlestep_on_grid", orders=orders, prediction=prediction, solver_type=solver_type
        )
        errors.append((on_two_points(sampler, levels) - exact).abs().max().item())
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("orders", [(2,), (1, 3), (1, 2, 3, 4)])
def test_orders_that_are_no_groups_are_refused(orders):
    with pytest.raises(ValueError, match="orders must rise from 1 by one, up to 3"):
        make("singlestep_on_grid", orders=orders)


def test_singlestep_on_grid__a_step_to_zero_of_higher_order_is_refused():
    with pytest.raises(ValueError, match="give orders that end before step 2"):
        make("singlestep_on_grid", orders=(1, 2)).plan(Grid((2.0, 1.0, 0.0)))


def test_a_level_with_a_time_is_the_level():
    level = TimedLevel(2.5, 17.0)
    assert (level, level * 2, level.time) == (2.5, 5.0, 17.0)


def test_why_not_executable__a_scheduler_with_times_of_its_own_runs_eagerly():
    model = make_model("gmm-2d")
    for times, reason in (((), ""), (((8.0, 0.5),), "lose the times at which pipeline calls")):
        sampler = make("pipeline").fitted(Preset("euler", GRID.sigma, 8.0, times=times))
        assert why_not_executable("eager", sampler, model, GRID) == ""
        why = why_not_executable("compile", sampler, model, GRID)
        assert reason in why
        assert bool(reason) == bool(why)
