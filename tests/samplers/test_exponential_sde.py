"""Stochastic exponential integrators: what they reduce to, the variance they keep, their
weights, and their weak orders.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from looping import each
from scipy.integrate import quad

from samplerbench.benchmarks.conformance import order
from samplerbench.benchmarks.conformance.moments import ImpulseNoise, check_moments
from samplerbench.benchmarks.conformance.order import check_order
from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import (
    Grid,
    LinearStages,
    Multistep,
    NoNoise,
    SampleNoise,
    Source,
    karras,
    make,
)
from samplerbench.samplers.brownian import BrownianNoise
from samplerbench.samplers.families.exponential import data_moments, data_weights, decay, noise_std
from samplerbench.samplers.families.noisy_stages import with_disjoint_noise
from samplerbench.samplers.methods.dpmpp_sde import DPMppSDE
from samplerbench.samplers.methods.er_sde import LOG_SCALE

GRID = karras(9, 0.02, 40.0)
MULTISTEP = [
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_published",
    "sa_solver",
    "er_sde_1",
    "er_sde_2",
    "er_sde_3",
    "er_sde_3_published",
]
STAGES = ["dpmpp_sde", "seeds_1", "seeds_2", "seeds_3"]
WIDE = {"tau_start": 100.0, "tau_end": 0.0}
levels = st.floats(1e-3, 1e3)
ratios = st.floats(0.05, 0.99)
etas = st.floats(0.0, 2.0)


def run(spec, grid=GRID, noise=None):
    sampler = make(spec) if isinstance(spec, (str, dict)) else spec
    source = SampleNoise(1, torch.arange(6), (2,), torch.float64)
    noise = (noise or source) if sampler.stochastic else NoNoise()
    return sampler.sample(ThreeModes(), source.initial() * grid.sigma[0], grid, noise)


def same(a, b, within=1e-12):
    return float((a - b).abs().max()) < within


@dataclass(frozen=True, kw_only=True)
class TwoS(LinearStages):
    """DPM-Solver++(2S), r = 1/2, for the flow."""

    name = "two_s"
    source = Source("", "", "")

    def update(self, x, denoise, cur, nxt):
        s = math.sqrt(cur * nxt)
        y = s / cur * x + (1 - s / cur) * denoise(x, cur)
        return nxt / cur * x + (1 - nxt / cur) * denoise(y, s)


@each(
    ("one", "other"),
    [
        ({"name": "dpmpp_2m_sde", "eta": 0.0}, "dpmpp_2m"),
        ({"name": "dpmpp_sde", "eta": 0.0}, TwoS()),
        ({"name": "seeds_2", "eta": 0.0}, TwoS()),
        ({"name": "seeds_1", "eta": 0.0}, "euler"),
        ({"name": "er_sde_1", "scale": "ode"}, "euler"),
        ({"name": "er_sde_1", "scale": "sde"}, "ddpm"),
        ({"name": "er_sde_1", "scale": "sde_2"}, {"name": "seeds_1", "eta": 0.5}),
        ({"name": "er_sde_1", "scale": "sde_3"}, {"name": "seeds_1", "eta": 1.5}),
        ({"name": "sa_solver", "predictor": 1, "corrector": 0, **WIDE}, "ddpm"),
        (
            {"name": "sa_solver", "predictor": 2, "corrector": 0, **WIDE},
            {"name": "dpmpp_2m_sde", "solver_type": "heun"},
        ),
        ({"name": "sa_solver", "predictor": 3, "corrector": 0, **WIDE}, "dpmpp_3m_sde"),
        (
            {"name": "sa_solver", "predictor": 3, "corrector": 0, "tau": 0.0},
            {"name": "dpmpp_3m_sde", "eta": 0.0},
        ),
        (
            {"name": "sa_solver", "tau_start": 0.0, "tau_end": 0.0},
            {"name": "sa_solver", "tau": 0.0},
        ),
    ],
    ids=str,
)
def test_exponential_sde__twins(one, other):
    assert same(run(one), run(other))


@pytest.mark.parametrize(
    ("published", "corrected"),
    [("dpmpp_3m_sde_published", "dpmpp_3m_sde"), ("er_sde_3_published", "er_sde_3")],
)
def test_the_published_third_order_differs_from_the_third_step_on(published, corrected):
    assert same(run(published, Grid(GRID.sigma[:3])), run(corrected, Grid(GRID.sigma[:3])))
    assert not same(run(published, Grid(GRID.sigma[:4])), run(corrected, Grid(GRID.sigma[:4])))


def test_on_a_path_in_the_clock_of_seeds_dpmpp_sde_is_seeds_2():
    """What tells the two apart is how their noise is correlated: on 1 / sigma², or on sigma."""

    @dataclass(frozen=True, kw_only=True)
    class OtherClock(DPMppSDE):
        def plan(self, grid):
            return [
                self.on_other_clock(cur, nxt)._replace(spans=row.spans) if nxt > 0 else row
                for row, (cur, nxt) in zip(super().plan(grid), grid.intervals(), strict=True)
            ]

        def on_other_clock(self, cur, nxt):
            row = self.row(cur, nxt)
            return with_disjoint_noise(
                row._replace(spans=tuple((-(a**-2), -(b**-2)) for a, b in row.spans))
            )

    path = BrownianNoise(1, torch.arange(6), (2,), GRID.sigma[0], 0.02, torch.float64)
    for noise in (None, path):
        assert same(run(OtherClock(), noise=noise), run("seeds_2", noise=noise))
        assert not same(run("dpmpp_sde", noise=noise), run("seeds_2", noise=noise), 0.01)


@given(cur=levels, r=st.floats(0.05, 0.95), ratio=ratios)
def test_both_draws_of_a_step_are_increments_of_a_path_in_sigma(cur, r, ratio):
    """(W(a) - W(b)) / sqrt(a - b): correlated by the square root of the share that they have in
    common, and standard normal each.
    """
    nxt, sampler = cur * ratio, DPMppSDE(r=r)
    written, row = sampler.row(cur, nxt), sampler.plan(Grid((cur, nxt)))[0]
    (_, mid), _ = written.spans
    assert row.spans == ((cur, mid), (mid, nxt))
    (stage,), (first, second) = row.stages[1].c, row.end.c
    assert stage == pytest.approx(written.stages[1].c[0], rel=1e-12)
    assert math.hypot(first, second) == pytest.approx(written.end.c[1], rel=1e-12)
    share = (cur - mid) / (cur - nxt)
    assert first / math.hypot(first, second) == pytest.approx(math.sqrt(share), rel=1e-9)


@pytest.mark.parametrize("name", ["seeds_1", "seeds_2", "seeds_3", "dpmpp_2s_ancestral"])
def test_draws_over_disjoint_intervals_stay_as_they_are(name):
    sampler = make(name)
    for row, (cur, nxt) in zip(sampler.plan(GRID), GRID.intervals(), strict=True):
        assert nxt == 0 or row == sampler.row(cur, nxt)


@pytest.mark.parametrize(
    "spec",
    ["seeds_3", {"name": "seeds_3", "eta": 0.0}, "dpmpp_sde", {"name": "dpmpp_sde", "eta": 0.0}],
    ids=str,
)
def test_draws_cover_the_step(spec):
    sampler = make(spec)
    for row, (cur, nxt) in zip(sampler.plan(GRID), GRID.intervals(), strict=True):
        noisy = sampler.stochastic and nxt > 0
        assert (row.spans == ()) == (not noisy)
        if noisy:
            assert row.spans[0][0] == cur
            assert row.spans[-1][1] == nxt


@given(cur=levels, r=ratios, eta=etas)
def test_a_step_keeps_the_marginal_variance(cur, r, eta):
    """With data at one point, x - d has standard deviation cur before and nxt after, at every
    stage and with every weight.
    """
    nxt = cur * r
    assert math.hypot(decay(cur, nxt, eta) * cur, noise_std(cur, nxt, eta)) == pytest.approx(
        nxt, rel=1e-12
    )
    stages: list[Any] = [replace(make(name), eta=min(eta, 1.0)) for name in STAGES]
    for sampler in stages:
        row = sampler.row(cur, nxt)
        for mix in (*row.stages[1:], row.end):
            assert math.hypot(mix.a * cur, *mix.c) == pytest.approx(mix.sigma, rel=1e-12)
            assert mix.a + math.fsum(mix.b) == pytest.approx(1, abs=1e-12)


@each("spec", [*MULTISTEP, *({"name": "er_sde_2", "scale": scale} for scale in LOG_SCALE)], ids=str)
def test_exponential_sde__rows_keep_the_marginal_variance(spec):
    sampler = make(spec)
    assert isinstance(sampler, Multistep)
    for row, (cur, nxt) in zip(sampler.plan(GRID), GRID.intervals(), strict=True):
        assert math.hypot(row.a * cur, row.c) == pytest.approx(nxt, rel=1e-12)


@given(r=ratios, eta=etas, back=st.lists(st.floats(0.1, 1.0), min_size=0, max_size=3))
def test_data_weights_integrate_polynomials_exactly(r, eta, back):
    """Weights times s^j at the nodes is the moment of s^j, by adaptive quadrature."""
    h, k = -math.log(r), 1 + eta
    nodes = [0.0, *(-math.fsum(back[: i + 1]) for i in range(len(back)))]
    weights = data_weights(1.0, r, [math.exp(-s) for s in nodes], eta)
    for j, moment in enumerate(data_moments(1.0, r, len(nodes), eta)):
        exact = quad(
            lambda s, j=j: k * math.exp(-k * (h - s)) * s**j, 0, h, epsabs=0, epsrel=1e-12
        )[0]
        assert moment * math.factorial(j) == pytest.approx(exact, rel=1e-10)
        assert math.fsum(w * s**j for w, s in zip(weights, nodes, strict=True)) == pytest.approx(
            exact, rel=1e-8, abs=1e-10
        )


DETERMINISTIC = [
    *({"name": name, "eta": 0.0} for name in (*MULTISTEP[:3], *STAGES)),
    {"name": "dpmpp_2m_sde", "solver_type": "heun", "eta": 0.0},
    {"name": "seeds_2", "weighting": "phi_2", "eta": 0.0},
    {"name": "dpmpp_sde", "r": 0.7, "eta": 0.0},
    {"name": "sa_solver", "tau": 0.0},
    {"name": "sa_solver", "predictor": 2, "corrector": 3, "tau": 0.0},
    *({"name": name, "scale": "ode"} for name in MULTISTEP[4:]),
]
STOCHASTIC = [
    *({"name": name, "eta": 0.5} for name in (*MULTISTEP[:3], *STAGES)),
    {"name": "dpmpp_2m_sde", "solver_type": "heun"},
    {"name": "seeds_2", "weighting": "phi_2"},
    {"name": "sa_solver", "predictor": 2, "corrector": 2, **WIDE},
    *({"name": "er_sde_2", "scale": scale} for scale in LOG_SCALE if scale != "ode"),
]


@pytest.mark.slow
@each("spec", DETERMINISTIC, ids=str)
def test_exponential_sde__without_noise_the_order_is_the_declared_one(spec, monkeypatch):
    """By the slope over four numbers of steps: the largest, half of the work, is left out."""
    monkeypatch.setattr(order, "STEPS", order.STEPS[:-1])
    failed = [check.detail for check in check_order(make(spec), fast=True) if not check.passed]
    assert not failed


@pytest.mark.slow
@each("spec", STOCHASTIC, ids=str)
def test_exponential_sde__options_reach_their_weak_order(spec):
    failed = [check.detail for check in check_moments(make(spec)) if not check.passed]
    assert not failed


@each("name", [*MULTISTEP, *STAGES])
def test_exponential_sde__one_step(name):
    """To 0: the denoised image from one evaluation.

    Not to 0: a first-order step at the method's own noise.
    """
    sampler = make(name)
    assert sampler.nfe(Grid((3.0, 0.0))) == 1
    x = SampleNoise(1, torch.arange(6), (2,), torch.float64).initial() * 3.0
    assert same(run(name, Grid((3.0, 0.0))), ThreeModes()(x, 3.0))
    probe = ImpulseNoise(lambda _: torch.zeros(6, 2, dtype=torch.float64))
    assert bool(run(name, Grid((3.0, 0.5)), probe).isfinite().all())
    assert probe.keys


@each(
    ("spec", "words"),
    [
        ({"name": "dpmpp_2m_sde", "eta": -0.1}, "eta must be >= 0"),
        ({"name": "dpmpp_2m_sde", "solver_type": "euler"}, "'midpoint' or 'heun'"),
        ({"name": "dpmpp_sde", "eta": 1.5}, r"eta must be in \[0, 1\]"),
        ({"name": "dpmpp_sde", "r": 0.0}, r"r must be in \(0, 1\)"),
        ({"name": "seeds_1", "eta": math.nan}, "eta must be >= 0"),
        ({"name": "seeds_2", "weighting": "phi_3"}, "'phi_1' or 'phi_2'"),
        ({"name": "sa_solver", "predictor": 5}, "predictor must be 1 to 4"),
        ({"name": "sa_solver", "predictor": 1}, r"corrector must be 0 to predictor \+ 1 = 2"),
        ({"name": "sa_solver", "tau": -1.0}, "tau must be >= 0"),
        ({"name": "sa_solver", "tau_start": 0.01}, "tau_end <= tau_start"),
        ({"name": "er_sde_2", "scale": "sde_6"}, "scale must be 'ode' or 'sde' or 'sde_1'"),
    ],
    ids=str,
)
def test_exponential_sde__options_without_sense(spec, words):
    with pytest.raises(ValueError, match=words):
        make(spec)
