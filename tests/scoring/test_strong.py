"""Pathwise truth: the limit against an independent one, the check of strong orders, and the
columns of a run.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run

from samplerbench.benchmarks.conformance import order
from samplerbench.benchmarks.conformance.order import check_strong
from samplerbench.benchmarks.scoring.converged_endpoints import path_limit
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.samplers import make
from samplerbench.samplers.brownian import DEPTH, BrownianNoise, BrownianTree
from samplerbench.samplers.methods.ancestral import DDPM

TOP, FLOOR = 3.0, 0.15


def tree(count=40):
    return BrownianTree(3, torch.arange(count), (1,), TOP, FLOOR)


def test_the_limit_on_a_gaussian_is_a_wiener_integral():
    """With d = v x / (v + sigma^2), y(tau) / (1 + v tau) grows by dW / (1 + v tau): integrated
    by parts over the whole tree.
    """
    v, paths = 0.8, tree()
    tau = torch.tensor(paths.levels(0, 0, DEPTH), dtype=torch.float64)[:, None, None] ** -2
    w = paths.block(0, 0, DEPTH)
    growth = 1 + v * tau
    integral = (
        w[-1] / growth[-1] - w[0] / growth[0] + torch.trapezoid(v * w / growth.square(), tau, dim=0)
    )
    x = TOP**2 * paths.value(TOP)
    exact = FLOOR**2 * growth[-1] * (w[0] / growth[0] + integral)
    errors = [
        float((path_limit(_shrink(v), paths, x, k) - exact).square().mean().sqrt())
        for k in (3, 5, 7)
    ]
    assert errors[2] < 1e-3
    assert all(math.log2(a / b) / 2 > 1.2 for a, b in pairwise(errors)), errors


def _shrink(v):
    return lambda x, sigma: v * x / (v + sigma**2)


def test_blocks_do_not_change_the_limit(monkeypatch):
    paths = tree(5)
    x = TOP**2 * paths.value(TOP)
    whole = path_limit(_shrink(0.5), paths, x, 3)
    monkeypatch.setattr("samplerbench.benchmarks.scoring.converged_endpoints.BLOCK", 1)
    assert float((path_limit(_shrink(0.5), paths, x, 3) - whole).abs().max()) < 1e-14


@pytest.mark.parametrize("sampler", ["ddpm", "euler_maruyama", {"name": "ddim", "eta": 1.0}])
def test_the_built_in_samplers_have_the_order_that_they_declare(sampler):
    (check,) = check_strong(make(sampler))
    assert check.passed, check.detail
    assert make(sampler).strong_order == 1.0


def test_less_noise_is_another_sde_with_an_order_of_its_own():
    half = make({"name": "ddim", "eta": 0.5})
    (check,) = check_strong(half)
    assert half.strong_order is None
    assert check.passed
    assert check.data["strong_order"] == pytest.approx(1.0, abs=0.25)
    assert check.data["to_reverse_sde"] < 0.25, "it does not converge to the reverse SDE"


def test_paths_that_are_remembered_are_the_paths_also_after_a_step_wrote_over_its_noise():
    paths, shared = order._shared_paths()
    plain = BrownianNoise(paths.seed, paths.ids, (2,), TOP, FLOOR, torch.float64)
    for _ in range(2):
        found = shared.at(0, 2.0, 1.0)()
        assert torch.equal(found, plain.increment(2.0, 1.0))
        found.zero_()
    some = torch.tensor([3, 1])
    assert torch.equal(shared.take(some).increment(2.0, 1.0), plain.increment(2.0, 1.0)[some])


@dataclass(frozen=True, kw_only=True)
class Louder(DDPM):
    """Adds a tenth too much noise."""

    def plan(self, grid):
        return [row._replace(c=1.1 * row.c) for row in super().plan(grid)]


@dataclass(frozen=True, kw_only=True)
class OffThePath(DDPM):
    """Takes noise that the path knows nothing of."""

    def step(self, x, row, past, denoise, noise):
        return super().step(x, row, past, denoise, lambda: noise(1))


@dataclass(frozen=True, kw_only=True)
class TooModest(DDPM):
    """Declares half of its order."""

    strong_order = 0.5


@pytest.mark.parametrize("faulty", [Louder, OffThePath, TooModest])
def test_what_the_check_rejects(faulty):
    (check,) = check_strong(faulty())
    assert not check.passed, check.detail


SUITE = {
    "name": "t",
    "models": ["gaussian"],
    "samplers": ["ddpm", "heun", "ddim(eta=0.5)"],
    "steps": [8, 16],
    "samples": 24,
    "batch_size": 24,
    "reference_samples": 24,
    "converged_samples": 24,
    "start": ["noise", "gaussian"],
    "timing": {"enabled": False},
}


def table(tmp_path, **change):
    return quiet_run(check_suite({**SUITE, **change}, "t"), tmp_path).frame


@pytest.mark.slow
def test_the_columns_of_a_run(tmp_path):
    brownian = table(tmp_path / "brownian", noise="brownian")
    assert (brownian["status"] == "ok").all()
    found = brownian.query("sampler == 'ddpm' and start == 'noise'").sort_values("steps")
    ratio = np.divide(*found["strong_error"])
    assert 1.5 < ratio < 3
    assert (found["strong_resolution"] < 0.06 * found["strong_error"]).all()
    assert (found["strong_error_se"] < 0.5 * found["strong_error"]).all()
    others = brownian.drop(found.index)
    assert others["strong_error"].isna().all(), (
        "no pathwise limit: the ODE, less noise, a start that follows the ODE"
    )
    euler = brownian.query("sampler == 'heun' and steps == 8").set_index("start")["rmse"]
    assert euler["gaussian"] < euler["noise"]

    white = table(tmp_path / "white", start=["noise"])
    assert white["strong_error"].isna().all()
    both = [f.query("sampler == 'heun' and start == 'noise'") for f in (white, brownian)]
    assert list(both[0]["rmse"]) == list(both[1]["rmse"])
