"""Samplers of ComfyUI against its formulas (comfy/k_diffusion/sampling.py), written out anew.

Its x and sigma are ours for EDM-like models. On a flow they are x_t and t of (1 - t) x0 + t z.
"""

import math

import numpy as np
import pytest
import torch
from comfyui_by_levels import (
    gradient_estimation,
    heunpp2,
    ipndm_v,
    res_multistep_ancestral,
)
from comfyui_formulas import Run, ancestral, seeds
from looping import each

from samplerbench.benchmarks.conformance.moments import exact_moments
from samplerbench.benchmarks.conformance.order import rms, slope
from samplerbench.benchmarks.conformance.problems import (
    INTERIOR,
    AnisotropicGaussian,
    ThreeModes,
    uneven_grid,
)
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make

PROBLEM = ThreeModes()
IDS = torch.arange(6)
NOISE = SampleNoise(1, IDS, (2,), torch.float64)
UNEVEN = (80.0, 31.0, 14.0, 9.0, 2.5, 1.4, 0.4, 0.1)
GRIDS = {
    "to zero": Grid((*UNEVEN, 0.0)),
    "to sigma_min": Grid(UNEVEN),
    "karras": karras(8, 0.02, 40.0),
    "short": Grid((5.0, 1.0, 0.0)),
}


def ours(spec, grid, denoise=PROBLEM):
    sampler = make(spec)
    source = NOISE if sampler.stochastic else NoNoise()
    return sampler.sample(denoise, NOISE.initial() * grid.sigma[0], grid, source)


def draw(grid, i):
    return NOISE.at(i, *grid.sigma[i : i + 2])()


def agree(a, b, within=1e-12):
    return float((a - b).abs().max()) <= within * max(1.0, float(b.abs().max()))


# Each function takes a denoiser, the first state, falling levels and a draw, and returns the end.


def adams_weights(nodes, start, end, tau):
    """Integrals of Lagrange polynomials in lam against (1 + tau²) e^{-(1 + tau²)(end - lam)}."""
    k = 1 + tau**2
    points, weights = np.polynomial.legendre.leggauss(40)
    lam = start + (end - start) * (points + 1) / 2
    kernel = weights * (end - start) / 2 * k * np.exp(-k * (end - lam))
    out = []
    for j, node in enumerate(nodes):
        factors = [(lam - m) / (node - m) for i, m in enumerate(nodes) if i != j]
        out.append(float(kernel @ np.prod([np.ones_like(lam), *factors], axis=0)))
    return out


def sa_solver(denoise, x, levels, tau_at, z, pece, predictor=3, corrector=4):
    """ComfyUI's order of things: correct, evaluate again, predict; lower orders before 0."""
    n, lam = len(levels) - 1, [-math.log(s) if s else math.inf for s in levels]
    predicted, images, noise, tau = x, [], 0.0, 0.0
    for i in range(n):
        d = denoise(predicted, levels[i])
        images = [*images, d][-max(predictor, corrector) :]
        p = min(predictor, len(images))
        c = 0 if i == 0 or (levels[i + 1] == 0 and not pece) else min(corrector, len(images))
        if levels[-1] == 0:
            p, c = min(p, n - 1 - i), min(c, n - i)
        if c == 0:
            x = predicted
        else:
            w = adams_weights(lam[i - c + 1 : i + 1], lam[i - 1], lam[i], tau)
            carry = (levels[i] / levels[i - 1]) ** (1 + tau**2)
            x = carry * x + sum(a * b for a, b in zip(w, images[-c:], strict=True)) + noise
            if pece:
                d = images[-1] = denoise(x, levels[i])
        if levels[i + 1] == 0:
            return d
        tau = tau_at(levels[i + 1])
        w = adams_weights(lam[i - p + 1 : i + 1], lam[i], lam[i + 1], tau)
        ratio = levels[i + 1] / levels[i]
        noise = levels[i + 1] * math.sqrt(1 - ratio ** (2 * tau**2)) * z(i)
        predicted = ratio ** (1 + tau**2) * x + noise
        predicted = predicted + sum(a * b for a, b in zip(w, images[-p:], strict=True))
    return predicted


def on_a_flow(formula, grid, *args):
    """The formula's end in our coordinates, from our first state."""
    times = [s / (1 + s) for s in grid.sigma]

    def denoise(y, t):
        return PROBLEM(y / (1 - t), t / (1 - t))

    x = NOISE.initial() * grid.sigma[0]
    return formula(denoise, x * (1 - times[0]), times, *args) / (1 - times[-1])


def as_there(formula, grid, *args):
    return formula(PROBLEM, NOISE.initial() * grid.sigma[0], list(grid.sigma), *args)


DETERMINISTIC = {
    "gradient_estimation": (gradient_estimation, 2.0),
    "gradient_estimation(gamma=1.2)": (gradient_estimation, 1.2),
    "heunpp2": (heunpp2,),
    "ipndm_v_published": (ipndm_v,),
    "res_multistep_ancestral(eta=0.0)": (res_multistep_ancestral, 0.0, lambda _: 0.0),
}


@each("grid", list(GRIDS))
@each("spec", list(DETERMINISTIC))
def test_sampler__takes_comfyuis_steps(spec, grid):
    formula, *args = DETERMINISTIC[spec]
    assert agree(ours(spec, GRIDS[grid]), as_there(formula, GRIDS[grid], *args))


@each("grid", list(GRIDS))
@each("spec", ["gradient_estimation", "heunpp2", "ipndm_v_published", "res_2m"])
def test_flow_time__is_comfyuis_sampler_on_a_flow(spec, grid):
    formula, *args = {**DETERMINISTIC, "res_2m": (res_multistep_ancestral, 0.0, lambda _: 0.0)}[
        spec
    ]
    there = on_a_flow(formula, GRIDS[grid], *args)
    assert agree(ours(f"flow_time(method='{spec}')", GRIDS[grid]), there, 1e-11)


@each("grid", list(GRIDS))
def test_res_multistep_ancestral__takes_comfyuis_steps(grid):
    grid = GRIDS[grid]
    there = as_there(res_multistep_ancestral, grid, 1.0, lambda i: draw(grid, i))
    assert agree(ours("res_multistep_ancestral", grid), there)


@each("grid", list(GRIDS))
@each(
    "spec",
    [
        "exp_heun_2_x0_sde",
        "exp_heun_2_x0_sde(eta=0.4)",
        "seeds_2",
        "seeds_2(eta=0.0, c2=0.3)",
        "seeds_2(c2=0.7, weighting='phi_2')",
    ],
)
def test_seeds_2__takes_comfyuis_steps(spec, grid):
    grid, sampler = GRIDS[grid], make(spec)
    run = Run(PROBLEM, grid, NOISE, flow=False)
    kind = getattr(sampler, "weighting", "phi_2")
    there = seeds(run, nodes=sampler.nodes, solver_type=kind, eta=sampler.eta)
    assert agree(ours(spec, grid), there)


@each("grid", list(GRIDS))
@each("name", ["sa_solver", "sa_solver_pece"])
@each("tau", [0.0, 1.0])
def test_sa_solver__takes_comfyuis_steps(name, tau, grid):
    grid = GRIDS[grid]
    ends = {"last": (2, 1, 1), "last_corrector": (3, 2, 1, 1)} if grid.to_zero else {}
    there = as_there(
        sa_solver,
        grid,
        lambda s: tau if 0.3 <= s <= 20.0 else 0.0,
        lambda i: draw(grid, i),
        name == "sa_solver_pece",
    )
    spec = {"name": name, "tau": tau, "tau_start": 20.0, "tau_end": 0.3, **ends}
    assert agree(ours(spec, grid), there, 1e-11)


@each("grid", list(GRIDS))
@each("eta", [0.0, 0.5, 1.0])
@each("kind", ["euler", "dpm_2", "dpmpp_2s"])
def test_ancestral_flow__takes_comfyuis_rf_steps(kind, eta, grid):
    grid = GRIDS[grid]
    there = ancestral(Run(PROBLEM, grid, NOISE, flow=True), kind, eta)
    assert agree(ours(f"{kind}_ancestral(eta={eta}, flow=True)", grid), there, 1e-11)


@each(
    ("one", "other"),
    [
        ("gradient_estimation(gamma=1.0)", "euler"),
        ("gradient_estimation(gamma=1.5)", "ipndm_2"),
        ("exp_heun_2_x0_sde(eta=0.0)", "exp_heun_2_x0"),
        ("res_multistep_ancestral(eta=0.0)", "res_2m"),
        ("sa_solver_pece(predictor=2, corrector=0)", "sa_solver(predictor=2, corrector=0)"),
        ("euler_ancestral(eta=0.0, flow=True)", "euler"),
        ("dpmpp_2s_ancestral(eta=0.0, flow=True)", "dpmpp_2s"),
        ("dpm_2_ancestral(eta=0.0, flow=True)", "flow_time(method='dpm_2')"),
        ("flow_time(method='euler')", "euler"),
        ("flow_time(method='lms')", "vab_4"),
    ],
)
def test_sampler__identities(one, other):
    for grid in GRIDS.values():
        assert agree(ours(one, grid), ours(other, grid), 1e-11)


@each(("eta", "kappa"), [(0.5, 0.5), (1.0, 1.0)])
def test_ancestral_flow__small_steps_have_the_noise_of_kappa_eta(eta, kappa):
    """The variance of a step's noise over 2 kappa nxt² h, with h the step in lam; and without flow eta²."""
    cur, h = 0.7, 1e-5
    grid = Grid((cur, cur * math.exp(-h)))
    for flow, amount in ((True, kappa), (False, kappa**2)):
        (row,) = make(f"euler_ancestral(eta={eta}, flow={flow})").plan(grid)
        assert row.end.c[0] ** 2 / (2 * h * grid.sigma[1] ** 2) == pytest.approx(amount, rel=1e-4)


@each("flow", [False, True])
@each("kind", ["euler", "dpm_2", "dpmpp_2s"])
def test_ancestral__marginals_of_a_gaussian_converge_for_any_eta(kind, flow):
    """To the exact covariance, at the order of the method without noise, from a flow's first level on."""
    gaussian, order = AnisotropicGaussian(), make(f"{kind}_ancestral").order
    grids = [karras(n, *INTERIOR, to_zero=False) for n in (32, 64)]
    for eta in (0.5, 1.0):
        sampler = make(f"{kind}_ancestral(eta={eta}, flow={flow})")
        errors = []
        for grid in grids:
            moments = exact_moments(sampler, gaussian, grid)
            exact = gaussian.covariance + grid.sigma[-1] ** 2 * torch.eye(3, dtype=torch.float64)
            errors.append(float((moments.cov - exact).abs().max()))
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2), (eta, errors)


def test_ancestral_flow__adds_less_noise_than_ddpms_posterior():
    rows = {
        flow: make(f"euler_ancestral(flow={flow})").plan(GRIDS["to sigma_min"])
        for flow in (False, True)
    }
    for usual, on_flow in zip(rows[False], rows[True], strict=True):
        assert on_flow.end.c[0] < usual.end.c[0]


def test_ipndm_v_published__weights_sum_to_1_on_geometric_steps_only():
    """The right ones are Adams-Bashforth's, of which the first two steps have all."""
    sampler, right = make("ipndm_v_published"), make("zab_4")
    equal, doubling, uneven = (
        (8.0, 7.0, 6.0, 5.0, 4.0),
        (16.0, 8.0, 4.0, 2.0, 1.0),
        (9.0, 6, 5, 3, 2),
    )
    sums = []
    for levels in (equal, doubling, uneven):
        grid = Grid(levels)
        row, of = sampler.plan(grid)[3], levels[3::-1]
        sums.append(sum(b * s for b, s in zip(row.b, of, strict=True)) / (levels[4] - levels[3]))
        for i in range(2):
            assert sampler.plan(grid)[i].b == pytest.approx(right.plan(grid)[i].b, rel=1e-12)
    assert sums[:2] == pytest.approx([1, 1])
    assert abs(sums[2] - 1) > 0.05


def test_ipndm_v_published__does_not_converge_where_steps_alternate():
    errors = [
        rms(
            make("ipndm_v_published").sample(PROBLEM, PROBLEM.start, uneven_grid(n)),
            PROBLEM.truth(INTERIOR[0]),
        )
        for n in (96, 192, 384)
    ]
    assert abs(slope((96, 192, 384), errors)) < 0.1


@each(
    "spec",
    [
        "gradient_estimation(gamma=inf)",
        "seeds_2(c2=0.0)",
        "sa_solver_pece(last_corrector=(0,))",
        "flow_time(method='ddpm')",
        "flow_time(method='auto')",
        "flow_time(method='dpmpp_2m(analytic_first=True)')",
    ],
)
def test_sampler__values_out_of_range_are_refused(spec):
    name, _, rest = spec.partition("(")
    options = eval(f"dict({rest}", {"inf": math.inf})
    with pytest.raises(ValueError, match=name):
        make(name, **options)
