"""Multistep families: exact where theory says so, equal where two names meet, and honest about
their ends.
"""

import math
from itertools import accumulate, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from looping import each
from scipy.integrate import quad

from samplerbench.benchmarks.conformance.order import rms, slope
from samplerbench.benchmarks.conformance.problems import INTERIOR, ThreeModes, problems
from samplerbench.samplers import Grid, NoNoise, SampleNoise, integrate, karras, make
from samplerbench.samplers.families.multistep import AdamsBashforth
from samplerbench.samplers.methods.stork import gegenbauer_moment
from samplerbench.samplers.numerics import blend, integrate_panels

GRID = karras(9, 0.02, 40.0)
FAMILIES = ["zab", "deis_tab", "vab", "zeab", "xeab", "reab"]


def latents(points=6, sigma=40.0):
    return sigma * SampleNoise(1, torch.arange(points), (2,), torch.float64).initial()


def run(spec, grid=GRID, denoise=None):
    return make(spec).sample(denoise or ThreeModes(), latents(sigma=grid.sigma[0]), grid, NoNoise())


def close(a, b, tol=1e-12):
    return float((a - b).abs().max()) < tol


class Remembers:
    """A denoiser whose entry is a given polynomial in the family's own variable: the method of
    that many points integrates it exactly.
    """

    def __init__(self, sampler: AdamsBashforth, degree: int) -> None:
        self.sampler, self.degree = sampler, degree

    def entry(self, sigma):
        u = self.sampler.variable(sigma)
        return sum((0.3 - 0.1 * k) * u**k for k in range(self.degree + 1))

    def __call__(self, x, sigma):
        kept = self.sampler.entry_coefficients(sigma)
        m = self.entry(sigma)
        return torch.full_like(x, m) if kept is None else (x - m / kept[1]) / kept[0]

    def take(self, rows):
        return self


@each("points", [2, 3, 4])
@each("family", FAMILIES)
def test_multistep__a_polynomial_history_is_integrated_exactly(family, points):
    """From exact start values; the truth is the variation-of-constants formula by quadrature."""
    sampler = make(f"{family}_{points}")
    grid = karras(points + 3, 0.5, 3.0, to_zero=False)
    problem = Remembers(sampler, points - 1)
    rows = sampler.plan(grid)
    levels = grid.sigma[points - 1 :: -1]
    cur, nxt = grid.sigma[points - 1 : points + 1]
    row = rows[points - 1]
    scales = [sampler.entry_coefficients(s) for s in levels]
    values = [
        problem.entry(s) / (kept[1] if kept else 1) for s, kept in zip(levels, scales, strict=True)
    ]
    moved = row.a * 1.0 + sum(b * v for b, v in zip(row.b, values, strict=True))

    def slope(lam, x):
        sigma = math.exp(-lam)
        d = problem(torch.tensor(x, dtype=torch.float64), sigma)
        return float(d) - x

    from scipy.integrate import solve_ivp

    truth = solve_ivp(
        lambda t, y: [slope(t, y[0])],
        (-math.log(cur), -math.log(nxt)),
        [1.0],
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    assert moved == pytest.approx(truth.y[0, -1], abs=1e-11)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_rosenbrock_family_is_exact_on_its_gaussian(scale):
    class Gaussian:
        def __call__(self, x, sigma):
            return x * scale**2 / (scale**2 + sigma**2)

        def take(self, rows):
            return self

    grid = karras(4, 0.02, 40.0, to_zero=False)
    for points in (1, 3):
        end = run({"name": f"reab_{points}", "scale": scale}, grid, Gaussian())
        assert close(end, latents() * math.hypot(scale, 0.02) / math.hypot(scale, 40.0))


@each(
    ("one", "other"),
    [
        ({"name": "unipc_1", "corrector": False}, "euler"),
        ({"name": "unipc_2", "corrector": False}, "dpmpp_2m"),
        ({"name": "unipc_2", "corrector": False, "prediction": "noise"}, "dpm_solver_2m"),
        (
            {"name": "unipc_3", "corrector": False, "first": (1, 1, 3)},
            {"name": "dpmpp_3m", "first": (1, 1, 3)},
        ),
        (
            {"name": "unipc_3", "corrector": False, "prediction": "noise", "first": (1, 1)},
            {"name": "zeab_3", "first": (1, 1)},
        ),
        ("lms", "zab_4"),
        ({"name": "ipndm", "first": (1, 1, 1, 1), "last": (1,) * 9}, "euler"),
    ],
    ids=str,
)
def test_multistep__twins(one, other):
    assert close(run(one), run(other))


def test_b_of_h_matters_only_where_a_weight_is_fixed():
    """UniPC-3 solves for all its weights, so that B(h) cancels.

    But on its second step it is UniPC-2.
    """
    assert not close(run("unipc_2"), run({"name": "unipc_2", "variant": "bh1"}), 1e-6)
    assert not close(run("unipc_3"), run({"name": "unipc_3", "variant": "bh1"}), 1e-6)
    ramp = (1, 1, 3)
    short = {"name": "unipc_3", "first": ramp, "corrector": False}
    assert close(run(short), run({**short, "variant": "bh1"}))


@pytest.mark.parametrize("prediction", ["data", "noise"])
@pytest.mark.parametrize("points", [1, 2, 3])
def test_folding_the_corrector_into_the_next_row_is_predicting_then_correcting(points, prediction):
    """Against the two formulas in turn, with weights from an independent interpolation."""
    sampler = make({"name": f"unipc_{points}", "prediction": prediction})
    grid = karras(7, 0.05, 10.0, to_zero=False)
    problem = ThreeModes()
    corrected = predicted = latents(sigma=10.0)
    values, levels, orders = [], [], sampler.profile(grid)
    for i, (cur, nxt) in enumerate(grid.intervals()):
        d = problem(predicted, cur)
        values.insert(0, d if prediction == "data" else (predicted - d) / cur)
        levels.insert(0, cur)
        if i:
            k = orders[i - 1]
            corrected = linear(
                corrected,
                prediction,
                levels[1],
                cur,
                sampler._corrector_weights(levels[1 : k + 1], cur),
                values,
            )
        else:
            corrected = predicted
        k = orders[i]
        predicted = linear(
            corrected, prediction, cur, nxt, sampler._predictor_weights(levels[:k], nxt), values
        )
    assert close(predicted, run({"name": f"unipc_{points}", "prediction": prediction}, grid), 1e-11)


def linear(x, prediction, cur, nxt, weights, values):
    out = x * (nxt / cur if prediction == "data" else 1.0)
    for w, v in zip(weights, values, strict=False):
        out = out + w * v
    return out


@pytest.mark.parametrize(("name", "extra"), [("pndm", 9), ("plms", 1)])
def test_evaluations_of_pseudo_numerical_starts(name, extra):
    assert make(name).nfe(karras(50, 0.002, 80.0)) == 50 + extra
    assert make(name).nfe(karras(1, 0.002, 80.0)) == 1


def test_profiles():
    assert make("xeab_3").profile(GRID) == [1, 2, 3, 3, 3, 3, 3, 3, 1]
    assert make({"name": "xeab_3", "last": (2, 1)}).profile(
        karras(5, 0.02, 40.0, to_zero=False)
    ) == [1, 2, 3, 2, 1]
    assert make({"name": "xeab_3", "first": (1, 1, 2, 2)}).profile(GRID)[:5] == [1, 1, 2, 2, 3]
    assert make({"name": "zab_4", "through_zero": True}).profile(GRID)[-1] == 4
    assert make({"name": "zab_4", "last": (3, 2, 1)}).profile(karras(2, 0.02, 40.0)) == [1, 1]
    assert make("pndm").profile(GRID) == [4, 4, 4, 4, 4, 4, 4, 4, 1]


@pytest.mark.parametrize("ends", [(1.0, 0.002), (80.0, 0.002), (0.5, 0.0)])
@pytest.mark.parametrize("options", [{}, {"beta_d": 0.0}, {"beta_d": 1e-3, "beta_min": 3.0}])
def test_moments__of_deis_are_exact_near_the_branch_point_of_its_time(ends, options):
    sampler = make({"name": "deis_tab_4", **options})
    lags = [lambda s, k=k: (sampler.variable(s) - sampler.variable(ends[0])) ** k for k in range(4)]
    cuts = [x for x in (0.01, 0.1, 1.0, 10.0) if ends[1] < x < ends[0]]
    pieces = [
        [quad(lag, *piece, epsrel=1e-13)[0] for piece in pairwise([ends[0], *cuts[::-1], ends[1]])]
        for lag in lags
    ]
    expected = [sum(parts) / math.factorial(k) for k, parts in enumerate(pieces)]
    assert sampler.moments(*ends, 4) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("name", ["zab_3", "deis_tab_3", "vab_3", "ipndm"])
def test_through_zero_ends_where_a_vanishing_sigma_min_does(name):
    """The formula is continuous in the last level."""
    inner = karras(8, 0.02, 40.0, to_zero=False).sigma
    ends = [run({"name": name, "through_zero": True}, Grid((*inner, last))) for last in (0.0, 1e-9)]
    assert close(*ends, 1e-7)
    assert not close(run(name, Grid((*inner, 0.0))), ends[0], 1e-6)


@pytest.mark.parametrize("name", ["zab_3", "xeab_2", "unipc_3", "ipndm"])
def test_an_analytic_first_step_costs_nothing_and_takes_eps_of_pure_noise(name):
    spec = {"name": name, "analytic_first": True}
    assert make(spec).nfe(GRID) == len(GRID) - 1
    reached = {}
    x, sampler = latents(), make(spec)
    integrate(
        sampler,
        ThreeModes(),
        x,
        GRID,
        NoNoise(),
        on_step=lambda i, _, state: reached.setdefault(i, state),
    )
    assert close(reached[0], x + (GRID.sigma[1] - GRID.sigma[0]) * x / math.hypot(1, GRID.sigma[0]))
    only = Grid((GRID.sigma[0], 0.0))
    assert sampler.nfe(only) == 1
    assert close(run(spec, only), ThreeModes()(x, only.sigma[0]))


def test_sa_solver_pece__an_analytic_first_step_is_not_counted_as_an_evaluation():
    sampler, calls = make("sa_solver_pece(tau=0, analytic_first=True)"), []
    sampler.sample(lambda x, s: [x / (1 + s * s), calls.append(s)][0], latents(), GRID)
    assert sampler.nfe(GRID) == len(calls) == 2 * len(GRID) - 2


@given(
    a=st.floats(0.05, 1.0),
    b=st.lists(st.floats(-1.5, 2.5), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=200)
def test_a_chain_of_interpolations_is_the_weighted_sum(a, b):
    b = [*b, 1 - a - math.fsum(b)]
    g = torch.Generator().manual_seed(0)
    x, *entries = torch.randn(len(b) + 1, 5, generator=g, dtype=torch.float64)
    expected = a * x + sum(w * m for w, m in zip(b, entries, strict=True))
    for out in (None, x):
        assert close(blend(x, a, b, entries, out), expected, 1e-11)


def test_quadrature_to_rounding():
    assert integrate_panels(math.exp, 0.0, 10.0) == pytest.approx(math.expm1(10), rel=1e-14)
    assert integrate_panels(lambda s: 1 / (1 + s * s), -20.0, 20.0) == pytest.approx(
        2 * math.atan(20), rel=1e-11
    )


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"name": "xeab_3", "first": (0,)}, "orders >= 1"),
        ({"name": "unipc_2", "variant": "bh3"}, "bh1"),
        ({"name": "unipc_2", "prediction": "v"}, "prediction"),
        ({"name": "reab_2", "scale": 0.0}, "scale"),
        ({"name": "deis_tab_2", "beta_min": 0.0}, "beta_min"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make(spec)


@pytest.mark.parametrize(("name", "points", "degree"), [("stork_2", 3, 1), ("stork_4", 4, 3)])
@given(steps=st.lists(st.floats(0.2, 1.5), min_size=5, max_size=6))
def test_stork_integrates_polynomials_in_flow_time(name, points, degree, steps):
    """The weights of the velocities give the integral of t^k over the step, t = sigma / (1 +
    sigma), up to the order of the method.
    """
    grid = Grid(tuple(3.0 * math.exp(-lam) for lam in accumulate(steps, initial=0.0)))
    i = len(grid) - 1
    t = [s / (1 + s) for s in grid.sigma]
    row = make(name).plan(grid)[i]  # its entry is sigma v
    weights = [b * grid.sigma[i - j] / (1 + grid.sigma[-1]) for j, b in enumerate(row.b)]
    for k in range(points):
        found = math.fsum(w * t[i - j] ** k for j, w in enumerate(weights))
        exact = (t[i + 1] ** (k + 1) - t[i] ** (k + 1)) / (k + 1)
        assert (abs(found - exact) < 1e-9 * (t[i] - t[i + 1])) == (k <= degree)
    if name == "stork_2":
        second = math.fsum(w * (t[i - j] - t[i]) ** 2 for j, w in enumerate(weights))
        assert second == pytest.approx((t[i + 1] - t[i]) ** 3 * gegenbauer_moment(50), rel=1e-9)


@pytest.mark.parametrize("s", [2, 3, 5, 50])
def test_the_gegenbauer_step_is_of_second_order(s):
    """All of its terms, on y' = t^k: exact for k = 0 and 1, and the moment that STORK-2 uses
    for k = 2.
    """
    b = [
        1,
        1 / 3,
        *(4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, s + 1)),
    ]
    w = 6 / ((s + 4) * (s - 1))
    for k, exact in ((0, 1.0), (1, 0.5), (2, gegenbauer_moment(s))):
        times, y = [0.0, w], [0.0, w * 0.0**k]
        for j in range(2, s + 1):
            mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
            gamma = -mu * w * (1 - j * (j + 1) * b[j - 1] / 2)
            times.append(mu * times[-1] + nu * times[-2] + mu * w + gamma)
            y.append(mu * y[-1] + nu * y[-2] + mu * w * times[j - 1] ** k + gamma * 0.0**k)
        assert y[-1] == pytest.approx(exact, rel=1e-12)


def test_stages_out_of_range_are_refused():
    with pytest.raises(ValueError, match="stages must be a whole number >= 2, got 1"):
        make({"name": "stork_2", "stages": 1})


STEPS = (64, 128, 256, 512)


def random_steps(n, seed):
    """Steps in lam of random lengths, so that neighbours are in ratios between 1/2 and 2."""
    low, high = INTERIOR
    done = np.cumsum(np.random.default_rng(seed).uniform(1, 2, n))
    return Grid((high, *(high * (low / high) ** u for u in done[:-1] / done[-1]), low))


def error(sampler, problem, n):
    """Over eight such grids."""
    ends = [sampler.sample(problem, problem.start, random_steps(n, seed)) for seed in range(8)]
    return math.hypot(*(rms(end, problem.truth(INTERIOR[0])) for end in ends))


@pytest.mark.slow
@each(
    ("name", "order"),
    [("ipndm_2", 1), ("ipndm_3", 1), ("ipndm", 1), ("zab_2", 2), ("dpmpp_2m", 2)],
)
@each("problem", problems(), ids=lambda problem: problem.name)
def test_multistep__weights_of_equal_steps_are_of_first_order_on_random_ones(name, order, problem):
    sampler = make(name)
    assert sampler.order == 2
    assert slope(STEPS, [error(sampler, problem, n) for n in STEPS]) == pytest.approx(
        order, abs=0.25
    )


def test_profile__a_single_step_to_zero_has_order_one():
    sampler = make("zab_3(startup='singlestep',through_zero=True)")
    assert sampler.profile(Grid((10.0, 0.0))) == [1]
    assert sampler.profile(Grid((10.0, 5.0, 2.0, 0.0))) == [3, 3, 3]
