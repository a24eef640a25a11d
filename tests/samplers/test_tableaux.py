"""Methods of the file of tableaux, and exponential predictor-correctors, against their papers."""

import math

import pytest
from exact_steps import apart, grid_of, latents
from looping import each

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import Grid, NoNoise, make
from samplerbench.samplers.numerics import phi

STEPS = (0.05, 0.4, 1.7, 4.0)


def run(name, cur, nxt, denoise):
    return make(name).sample(denoise, latents(cur), Grid((cur, nxt)), NoNoise())


@each("h", STEPS)
def test_etdrk__are_the_formulas_of_cox_and_matthews(h):
    """Their (23) to (29), with c = -1 and F = d."""
    cur, d, x = 3.0, ThreeModes(), latents(3.0)
    mid, nxt, half, whole = (
        cur * math.exp(-h / 2),
        cur * math.exp(-h),
        math.exp(-h / 2),
        math.exp(-h),
    )
    first = d(x, cur)
    weights = (
        -4 + h + whole * (4 + 3 * h + h**2),
        2 * (2 - h + whole * (-2 - h)),
        -4 + 3 * h - h**2 + whole * (4 + h),
    )

    def end(middle, last):
        terms = (first, middle, last)
        return whole * x - sum(w * term for w, term in zip(weights, terms, strict=True)) / h**2

    a = half * x + (1 - half) * first
    d_a = d(a, mid)
    d_b = d(half * x + (1 - half) * d_a, mid)
    d_c = d(half * a + (1 - half) * (2 * d_b - first), nxt)
    rounding = 1e-14 / h**2
    assert apart(run("etdrk_4", cur, nxt, d), end(d_a + d_b, d_c)) < rounding
    d_b = d(whole * x + (1 - whole) * (2 * d_a - first), nxt)
    assert apart(run("etdrk_3", cur, nxt, d), end(2 * d_a, d_b)) < rounding


# degree of the polynomials d(lam) that the weights b integrate exactly
DEGREES = {
    "etdrk_3": 2,
    "etdrk_thirds_3": 2,
    "etdrk_4": 2,
    "etdrk_krogstad_4": 2,
    "etdrk_strehmel_weiner_4": 2,
    "etdrk_friedli_4": 2,
    "etdrk_minchev_4": 1,
    "etdrk_lawson_4": 0,
    "etdrk_hochbruck_ostermann_4": 2,
    "etdrk_luan_5": 3,
}
# the stages, from the third on, that integrate lines d(lam) exactly
STAGES = {
    "etdrk_3": 0,
    "etdrk_thirds_3": 1,
    "etdrk_4": 0,
    "etdrk_krogstad_4": 1,
    "etdrk_strehmel_weiner_4": 2,
    "etdrk_friedli_4": 2,
    "etdrk_minchev_4": 0,
    "etdrk_lawson_4": 0,
    "etdrk_hochbruck_ostermann_4": 2,
    "etdrk_luan_5": 6,
}


@each("name", DEGREES)
def test_etdrk__meets_the_stiff_conditions_of_its_paper(name):
    """sum_j b_j c_j^k = k! phi_{k+1} for b, and sum_j a_ij c_j = c_i² phi_2(-c_i h) for a stage."""
    for h in STEPS:
        c, a, b = make(name).tableau(h)
        met = [
            k
            for k in range(1, 5)
            if abs(
                sum(w * node**k for w, node in zip(b, c, strict=True))
                - math.factorial(k) * phi(k + 1, -h)
            )
            < 1e-12
        ]
        assert met == list(range(1, DEGREES[name] + 1)), (name, h, met)
        exact = [
            abs(sum(w * node for w, node in zip(row, c, strict=False)) - c_i**2 * phi(2, -c_i * h))
            < 1e-12
            for c_i, row in zip(c[1:], a[1:], strict=True)
        ]
        assert sum(exact) == STAGES[name], (name, h, exact)


@pytest.mark.parametrize("h", [0.2, 1.3])
def test_pec__has_the_weights_of_montanelli_and_bootland_on_equal_steps(h):
    p1, p2, p3, p4 = (phi(k, -h) for k in (1, 2, 3, 4))
    u = [-2 * p2 - 2 * p3, p2 / 2 + p3]
    v, newest = [-p2 + p3 + 3 * p4, p2 / 6 - p4], p2 / 3 + p3 + p4
    grid = grid_of([h] * 4)
    once, twice = (make(name).plan(grid)[3] for name in ("pec_4", "pecec_4"))
    predictor = [h * w for w in (*u, p1 - sum(u))]
    corrector = [h * w for w in (*v, p1 - sum(v) - newest, newest)]
    for row in (once, twice):
        assert row.stages[1].b == pytest.approx(predictor)
    assert once.b == twice.stages[2].b == pytest.approx(corrector)
    assert twice.b == pytest.approx([*corrector[:3], 0.0, newest * h])
    assert make("pec_4").nfe(grid) == 8
