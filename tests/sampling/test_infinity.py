"""Runs that begin where nothing is left of the data: the first step, its count, and how far a finite
level is from it.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from samplerbench import samplers
from samplerbench.benchmarks.planning.planner import plan
from samplerbench.benchmarks.sampling.batch import (
    evaluations_per_sample,
    first_states_and_noise,
    sample_batch,
    solve_cell,
)
from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models.adapters import NativeDenoiser, NetworkTime
from samplerbench.models.process import EDM, Discrete, RectifiedFlow, Trigonometric, VPLinear

MEAN, WIDTH = 0.7, 0.3
"""Of the Gaussian that is the data."""
EVENT = (5,)


def denoised(x_t, alpha, sigma):
    """E[x0 | x_t] of the Gaussian."""
    return MEAN + WIDTH**2 * alpha / (alpha**2 * WIDTH**2 + sigma**2) * (x_t - alpha * MEAN)


def velocity(x_t, t, nu=1.0):
    """E[nu z - x0 | x_t] on the straight path."""
    d = denoised(x_t, 1 - t, nu * t)
    return (x_t - (1 - t) * d) / t - d


def flow(*, infinite=True, nu=1.0, cap=1e4):
    def network(x_t, t, labels):
        return velocity(x_t, t[:, None], nu)

    return NativeDenoiser(
        network,
        RectifiedFlow(noise_scale=nu),
        "flow",
        name="flow",
        event=EVENT,
        identity="flow",
        network_dtype=torch.float64,
        sigma_min=1e-3,
        sigma_max=cap,
        infinite=infinite,
    )


def cells(model, **asked):
    suite = check_suite({"name": "t", "models": ["gmm-2d"], "samples": 8, **asked}, "t")
    return plan(suite, {"gmm-2d": model}, {"gmm-2d": None}, "cpu")


def sampled(model, cell, ids=None):
    ids = torch.arange(8) if ids is None else ids
    meter = Meter()
    metered = meter.attach(model)
    return sample_batch(metered, meter, metered.bind(ids, cell.seed), cell, ids)


NATIVE = "uniform_time(process='flow')"


@pytest.mark.parametrize("nu", [1.0, 2.0])
@pytest.mark.parametrize("steps", [2, 10, 50])
def test_euler_from_t_1_is_that_of_the_flow_itself(steps, nu):
    """Euler's steps are the same in the flow's own coordinates and in ours."""
    model = flow(nu=nu)
    (cell,) = cells(model, samplers=["euler"], steps=[steps], schedules=[NATIVE], end=["sigma_min"])
    z, _ = first_states_and_noise(model, cell, torch.arange(8))
    assert 0.5 < float(z.std()) < 2
    last = 1e-3 / (1 + 1e-3)
    times = 1 + np.arange(steps + 1) / steps * (last - 1)
    if nu != 1:  # the schedule's process has noise of standard deviation 1
        levels = [math.inf, *cell.grid.sigma]
        times = [1.0, *(s / (nu + s) for s in levels[1:])]
    x_t = nu * z
    for cur, nxt in pairwise(times):
        x_t = x_t + (nxt - cur) * velocity(x_t, cur, nu)
    batch = sampled(model, cell)
    torch.testing.assert_close(batch.x, x_t / (1 - times[-1]), rtol=1e-12, atol=1e-12)
    assert batch.nfe == steps == evaluations_per_sample(cell)


def test_how_far_the_finite_level_is():
    """Exactly: with the cap, x = 1e4 z lacks the mean of the data, and the first step its width. What that
    is worth falls with the cap, as 1 over it.
    """
    (exact,) = cells(flow(), samplers=["euler"], steps=[10], schedules=[NATIVE])
    right = sampled(flow(), exact).x
    off = {}
    for cap in (1e2, 1e3, 1e4):
        model = flow(infinite=False, cap=cap)
        (cell,) = cells(model, samplers=["euler"], steps=[10], schedules=[NATIVE])
        off[cap] = float((sampled(model, cell).x - right).abs().max())
    assert off[1e4] < 1e-4
    assert off[1e2] / off[1e3] == pytest.approx(10, rel=0.2)
    assert off[1e3] / off[1e4] == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize(
    ("process", "prediction"),
    [
        (Trigonometric(), "v"),
        (Discrete(levels=(0.01, 1.0, 5.0, math.inf)), "v"),
        (RectifiedFlow(), "flow"),
        (RectifiedFlow(noise_scale=2.0), "flow"),
        (RectifiedFlow(noise_scale=2.0), "x0"),
    ],
)
def test_the_limit_is_that_of_ever_larger_levels(process, prediction):
    """A network that predicts from the pair itself: what d becomes as the level grows."""
    z, x0 = torch.randn(2, 4, 5, dtype=torch.float64)
    seen = []

    def network(x_t, t, labels):
        time = t.numpy()[:, None]
        alpha, sigma = (torch.from_numpy(f(time)) for f in (process.alpha, process.sigma))
        nu = getattr(process, "noise_scale", 1.0)
        seen.append((x_t, t))
        pairs = {"v": alpha * z - sigma * x0, "flow": nu * z - x0, "x0": x0}
        return pairs[prediction]

    model = NativeDenoiser(
        network,
        process,
        prediction,
        name="pair",
        event=(5,),
        identity="pair",
        network_dtype=torch.float64,
        sigma_max=100.0,
        infinite=True,
    )
    d = model.denoise(z, math.inf, None)
    torch.testing.assert_close(d, x0, rtol=0, atol=1e-12)
    x_t, t = seen[0]
    torch.testing.assert_close(x_t, getattr(process, "noise_scale", 1.0) * z)
    assert t.tolist() == [process.t_of(math.inf)] * 4
    if not isinstance(process, Discrete):
        d = model.denoise(x0 + 1e9 * z, 1e9, None)
        torch.testing.assert_close(d, x0, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("process", "prediction", "of"),
    [
        (RectifiedFlow(), "eps", "t"),
        (RectifiedFlow(), "score", "t"),
        (VPLinear(), "v", "t"),
        (EDM(), "edm", "log_level"),
        (Trigonometric(), "v", "level"),
    ],
)
def test_what_has_no_limit_is_refused(process, prediction, of):
    with pytest.raises(ValueError, match=r"^model none: .*infinite level"):
        NativeDenoiser(
            lambda x, t, labels: x,
            process,
            prediction,
            name="none",
            event=(1,),
            identity="none",
            time=NetworkTime(of=of),
            infinite=True,
        )


def test_without_it_an_infinite_level_is_refused():
    with pytest.raises(ValueError, match="has no infinite level"):
        flow(infinite=False).denoise(torch.zeros(1, 5), math.inf, None)


STEPPERS = [
    name
    for name in samplers.names()
    if not (samplers.make(name).adaptive or samplers.make(name).own_grid)
    and samplers.make(name).nfe(samplers.karras(3, 0.1, 1.0)) is not None
]


def test_every_sampler_begins_so_and_its_evaluations_are_counted():
    """Three steps, of which the first is the same for all: the state at the second level."""
    model = flow()
    found = cells(
        model, samplers=STEPPERS, steps=[3], schedules=["karras"], noise="white", dtype="float64"
    )
    ids = torch.arange(4)
    seen = []
    for cell in found:
        if getattr(cell.sampler, "needs_look", False):
            assert not cell.infinite
            continue
        assert cell.infinite
        assert len(cell.grid) == 2
        first = []
        bound = model.bind(ids, cell.seed)

        def looking_on(x, sigma, first=first, bound=bound):
            d = bound(x, sigma)
            first.append((sigma, x, d))
            return d

        z, noise = first_states_and_noise(model, cell, ids)
        out = solve_cell(cell, looking_on, z, noise)
        assert torch.isfinite(out).all(), cell.label
        sigma, x, d = first[0]
        assert math.isinf(sigma)
        assert torch.equal(x, z)
        seen.append(d + cell.grid.sigma[0] * z)
        assert sampled(model, cell, ids).nfe == evaluations_per_sample(cell)
    assert len(seen) > 50
    assert all(torch.equal(state, seen[0]) for state in seen)


def test_schedules_of_other_times_come_down_from_the_highest_finite_level():
    model = flow()
    (cell,) = cells(model, samplers=["euler"], steps=[5], schedules=["karras"])
    assert cell.grid.sigma == samplers.karras(5, 1e-3, 1e4).sigma[1:]
    (cell,) = cells(model, samplers=["euler"], steps=[5], schedules=[NATIVE], end=["sigma_min"])
    last = 1e-3 / (1 + 1e-3)
    assert cell.grid.sigma[0] == pytest.approx((1 + 0.2 * (last - 1)) / (0.2 * (1 - last)))


def test_a_budget_pays_for_the_first_step():
    found = cells(flow(), samplers=["euler", "heun"], nfe=[1, 5, 6], end=["sigma_min"])
    told = {
        (c.label, c.budget): (c.steps, c.grid and evaluations_per_sample(c), c.skip) for c in found
    }
    assert told["euler", 5] == (5, 5, "")
    assert told["heun", 5] == (3, 5, "")
    assert told["heun", 6] == (3, 5, "")
    assert "needs two steps or more" in told["heun", 1][2]


def test_plan__a_budget_below_one_evaluation_from_an_infinite_level_is_named():
    model = flow()
    model.passes = 2  # as under guidance
    (cell,) = cells(model, samplers=["euler"], nfe=[1])
    assert cell.skip == "one step of euler costs more than the budget of 1"


@pytest.mark.parametrize("sampler", ["rk45", "auto"])
def test_samplers_with_levels_of_their_own_begin_at_the_highest_finite_one(sampler, monkeypatch):
    monkeypatch.setattr("samplerbench.samplers.auto.search.GENERATIONS", 1)
    cell, *_ = cells(flow(), samplers=[sampler], steps=[4])
    assert not cell.infinite
    assert cell.grid.sigma[0] == 1e4


def test_wrapped_models_begin_so_too():
    model = Meter().attach(flow())
    assert model.infinite
    (cell,) = cells(model, samplers=["euler"], steps=[3])
    assert cell.infinite
