"""Reverse diffusion, predictor-corrector and Restart."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from looping import each
from scipy.integrate import quad

from samplerbench.benchmarks.conformance.basic_checks import check_nfe
from samplerbench.benchmarks.conformance.moments import ImpulseNoise, exact_moments
from samplerbench.benchmarks.conformance.problems import (
    AnisotropicGaussian,
    Rational,
    RecordingDenoiser,
    ThreeModes,
)
from samplerbench.samplers import Grid, NoNoise, SampleNoise, karras, make
from samplerbench.samplers.families.exponential import data_weights, decay, noise_std
from samplerbench.samplers.methods.er_sde import LOG_SCALE

GRID = karras(9, 0.02, 40.0)
GAUSSIAN = AnisotropicGaussian()


def run(spec, grid=GRID, ids=None, event=(2,), denoise=None, dtype=torch.float64):
    noise, sampler = (
        SampleNoise(1, torch.arange(6) if ids is None else ids, event, dtype),
        make(spec),
    )
    return sampler.sample(
        denoise or ThreeModes(),
        noise.initial() * grid.sigma[0],
        grid,
        noise if sampler.stochastic else NoNoise(),
    )


def axes(cov):
    """Variances along the principal axes of the Gaussian."""
    return (GAUSSIAN.basis @ cov @ GAUSSIAN.basis).diagonal()


def test_reverse_diffusion_is_euler_maruyama_in_variance():
    torch.testing.assert_close(
        run("reverse_diffusion"),
        run({"name": "euler_maruyama", "clock": "variance"}),
        rtol=0,
        atol=1e-12,
    )


@given(st.floats(0.1, 40.0), st.floats(0.01, 0.99))
def test_a_reverse_diffusion_step_has_these_moments_on_a_gaussian(cur, ratio):
    step, total = cur**2 * (1 - ratio**2), GAUSSIAN.variances + cur**2
    found = axes(exact_moments(make("reverse_diffusion"), GAUSSIAN, Grid((cur, ratio * cur))).cov)
    torch.testing.assert_close(found, (1 - step / total) ** 2 * total + step, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("predictor", "sampler"), [("reverse_diffusion", "reverse_diffusion"), ("ancestral", "ddpm")]
)
def test_without_corrections_it_is_the_predictor(predictor, sampler):
    assert torch.equal(
        run({"name": "predictor_corrector", "predictor": predictor, "corrections": 0}), run(sampler)
    )


def test_a_langevin_correction_follows_the_snr_rule():
    """x <- x + e s + sqrt(2 e) z with e = 2 (snr |z| / |s|)² and the score s = (d - x) /
    sigma², each sample with its own norms.
    """
    grid, snr, sigma = Grid((3.0, 1.2)), 0.2, 1.2
    x = run("reverse_diffusion", grid)
    z = SampleNoise(1, torch.arange(6), (2,), torch.float64).at(0, 3.0, 1.2)(1)
    score = (ThreeModes()(x, sigma) - x) / sigma**2
    e = 2 * (snr * z.norm(dim=1, keepdim=True) / score.norm(dim=1, keepdim=True)) ** 2
    found = run({"name": "predictor_corrector", "snr": snr, "corrector": "langevin"}, grid)
    torch.testing.assert_close(found, x + e * score + (2 * e).sqrt() * z, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("corrector", "pull"),
    [
        ("annealed", lambda snr: 2 * snr**2),
        ("exponential", lambda snr: 1 - math.sqrt(1 - 4 * snr**2)),
    ],
)
def test_many_corrections_reach_the_stationary_variance_of_the_chain(corrector, pull):
    """On an axis of variance v, x - m <- (1 - w b) (x - m) + c z with b = sigma² / (v +
    sigma²): variance c² / (1 - (1 - w b)²).
    """
    sigma, snr = 0.5, 0.3
    keep = 1 - pull(snr) * sigma**2 / (GAUSSIAN.variances + sigma**2)
    sampler = make(
        {"name": "predictor_corrector", "corrector": corrector, "corrections": 200, "snr": snr}
    )
    found = axes(exact_moments(sampler, GAUSSIAN, Grid((1.0, sigma))).cov)
    torch.testing.assert_close(found, (2 * snr * sigma) ** 2 / (1 - keep**2), rtol=1e-6, atol=0)


def test_small_corrections_leave_the_right_distribution():
    sampler = make(
        {"name": "predictor_corrector", "corrector": "annealed", "corrections": 400, "snr": 0.1}
    )
    found = axes(exact_moments(sampler, GAUSSIAN, Grid((1.0, 0.5))).cov)
    torch.testing.assert_close(found, GAUSSIAN.variances + 0.25, rtol=0.02, atol=0)


def test_predictor_corrector__has_the_right_law_in_few_dimensions():
    """With each sample's own norms in the rule, the variance in 2 dimensions was 56."""
    found = exact_moments(make("predictor_corrector"), GAUSSIAN, karras(300, 0.002, 80.0))
    torch.testing.assert_close(axes(found.cov), GAUSSIAN.variances, rtol=0.03, atol=0)


def test_the_size_of_a_correction_does_not_depend_on_the_batch():
    """On events large enough that a library's reduction would choose its order by the shape."""
    spec = {"name": "predictor_corrector", "corrections": 2, "corrector": "langevin"}
    grid = karras(3, 0.1, 10.0)
    ids, options = (
        torch.tensor([5, 0, 3, 9, 4]),
        {"event": (3, 32, 33), "denoise": Rational(), "dtype": torch.float32},
    )
    together = run(spec, grid, ids, **options)
    assert torch.equal(
        together, torch.cat([run(spec, grid, one, **options) for one in ids.split(1)])
    )


def test_a_sample_without_a_score_is_left_alone():
    class Fixed:
        def __call__(self, x, sigma):
            return x.clone()

        def take(self, rows):
            return self

    grid = Grid((3.0, 1.0))
    assert torch.equal(
        run("predictor_corrector(corrector='langevin')", grid, denoise=Fixed()),
        run("reverse_diffusion", grid, denoise=Fixed()),
    )


@pytest.mark.parametrize("corrections", [0, 1, 3])
def test_evaluations_of_corrections(corrections):
    sampler = make({"name": "predictor_corrector", "corrections": corrections})
    assert sampler.nfe(karras(5, 0.02, 80.0)) == 5 + 4 * corrections
    assert sampler.nfe(karras(5, 0.02, 80.0, to_zero=False)) == 5 + 5 * corrections
    assert all(check.passed for check in check_nfe(sampler))


@pytest.mark.parametrize("intervals", [(), ((3, 0, 0.06, 0.3, 1.0),)], ids=str)
def test_without_restarts_it_is_heun(intervals):
    sampler = make({"name": "restart", "intervals": intervals})
    assert (sampler.order, sampler.stochastic) == (2, False)
    assert torch.equal(run({"name": "restart", "intervals": intervals}), run("heun"))


# fmt: off
PUBLISHED = [  # main steps, intervals and NFE of the paper's ImageNet-64 and CIFAR-10 tables
    (36, ((4, 1, 19.35, 40.79), (4, 1, 1.09, 1.92), (4, 5, 0.59, 1.09), (4, 5, 0.30, 0.59), (6, 6, 0.06, 0.30)), 203),
    (18, ((3, 1, 19.35, 40.79), (4, 1, 1.09, 1.92), (4, 4, 0.59, 1.09), (4, 1, 0.30, 0.59), (4, 4, 0.06, 0.30)), 99),
    (14, ((3, 1, 19.35, 40.79), (3, 1, 1.09, 1.92), (3, 1, 0.06, 0.30)), 39),
    (18, ((3, 2, 0.14, 0.30),), 43),
]
# fmt: on


@pytest.mark.parametrize(
    ("steps", "intervals", "nfe"), PUBLISHED, ids=lambda v: str(v) if isinstance(v, int) else ""
)
def test_evaluations_are_the_papers(steps, intervals, nfe):
    assert make({"name": "restart", "intervals": intervals}).nfe(karras(steps, 0.002, 80.0)) == nfe


INTERVAL = st.tuples(
    st.integers(2, 4), st.integers(0, 3), st.floats(0.01, 50.0), st.floats(1.1, 20.0)
).map(lambda v: (v[0], v[1], v[2], v[2] * v[3]))


@given(st.lists(INTERVAL, max_size=3), st.integers(1, 8))
def test_any_intervals_stay_within_any_grid(intervals, steps):
    """The level after the noise begins the backward steps, which end where the main process is."""
    sampler, grid = make({"name": "restart", "intervals": intervals}), karras(steps, 0.02, 10.0)
    for row, nxt in zip(sampler.plan(grid), grid.sigma[1:], strict=True):
        for cycle in row.cycles:
            first, *_, last = [
                *(back.stages[0].sigma for back in cycle.rows),
                cycle.rows[-1].stages[-1].sigma,
            ]
            assert math.hypot(nxt, cycle.noise) == pytest.approx(first, rel=1e-12)
            assert nxt < first <= grid.sigma[0]
            assert last == nxt > 0
    recorder = RecordingDenoiser(Rational())
    x = torch.ones(1, 1, dtype=torch.float64)
    assert sampler.sample(recorder, x, grid, ImpulseNoise(lambda key: x)).isfinite().all()
    assert len(recorder.outputs) == sampler.nfe(grid)


def test_restarts_converge_with_the_steps_of_the_way_back():
    """Noise is exact and Heun of second order, so the covariance is, if the way back is refined
    with the main process.
    """
    errors = []
    for n in (16, 32, 64):
        sampler = make(
            {"name": "restart", "intervals": ((n + 1, 2, 0.4, 1.5), (n + 1, 1, 1.0, 3.0))}
        )
        truth = GAUSSIAN.covariance + 0.3**2 * torch.eye(3, dtype=torch.float64)
        errors.append(
            float(
                (exact_moments(sampler, GAUSSIAN, karras(n, 0.3, 3.0, to_zero=False)).cov - truth)
                .abs()
                .max()
            )
        )
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.8)
    assert errors[1] / errors[2] == pytest.approx(4, abs=0.8)


def test_every_restart_has_its_own_noise():
    asked = ImpulseNoise(lambda key: torch.zeros(1, 3, dtype=torch.float64))
    make({"name": "restart", "intervals": ((2, 3, 0.06, 0.3), (2, 2, 0.06, 0.5))}).sample(
        GAUSSIAN, torch.ones(1, 3).double(), GRID, asked
    )
    assert len(asked.keys) == 5


def test_intervals_from_a_file_are_the_same_value():
    """TOML and JSON have lists; s_noise is 1 unless it is given."""
    a, b = (
        make({"name": "restart", "intervals": v})
        for v in ([[3, 2, 0.06, 0.3]], ((3, 2, 0.06, 0.3, 1.0),))
    )
    assert a == b == make("restart")
    assert hash(a) == hash(b)


@each(
    ("spec", "reason"),
    [
        (
            {"name": "predictor_corrector", "predictor": "euler"},
            "predictor must be 'reverse_diffusion' or 'ancestral'",
        ),
        (
            {"name": "predictor_corrector", "corrector": "none"},
            "corrector must be 'langevin' or 'annealed' or 'exponential'",
        ),
        ({"name": "predictor_corrector", "corrections": -1}, "corrections must be >= 0"),
        ({"name": "predictor_corrector", "snr": 0.0}, "snr must be > 0"),
        ({"name": "predictor_corrector", "corrector": "exponential", "snr": 0.6}, "at most 1/2"),
        (
            {"name": "restart", "intervals": ((1, 2, 0.06, 0.3),)},
            r"an interval is \(n, K, t_min, t_max, " r"s_noise\).*got \(1, 2",
        ),
        ({"name": "restart", "intervals": ((3, 2, 0.3, 0.06),)}, "t_min < t_max"),
        ({"name": "restart", "intervals": ((3, 2, 0.06, 0.3, 0.0),)}, "s_noise > 0"),
        ({"name": "restart", "intervals": (3, 2, 0.06, 0.3)}, "got 3"),
        ({"name": "restart", "intervals": (("3", 2, 0.06, 0.3),)}, "an interval is"),
        ({"name": "restart", "intervals": ((math.nan, 2, 0.06, 0.3),)}, "an interval is"),
    ],
    ids=str,
)
def test_sde_methods__values_out_of_range_are_refused(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make(spec)


PHI = {
    "ode": lambda x: x,
    "sde": lambda x: x**2,
    "sde_1": lambda x: x * (np.exp(-1 / x) + 10),
    "sde_2": lambda x: x**1.5,
    "sde_3": lambda x: x**2.5,
    "sde_4": lambda x: x**0.9 * np.log(1 + 100 * x**1.5) / np.log(10),
    "sde_5": lambda x: x * (np.exp(x**0.3) + 10),
}


@each("scale", LOG_SCALE)
@each(("cur", "nxt"), [(60.0, 20.0), (1.0, 0.7), (0.05, 0.002)])
def test_er_sde__integrates_against_phi(scale, cur, nxt):
    """The row's weights give each power of s - cur its integral against phi(nxt) phi'(s) /
    phi(s)², with phi' by a complex step.
    """
    phi, nodes = PHI[scale], [cur, 1.5 * cur, 2.5 * cur]
    row = make({"name": "er_sde_3", "scale": scale}).row(nodes, nxt)
    assert row.a == pytest.approx(phi(nxt) / phi(cur), rel=1e-12)

    def kernel(v):
        s = math.exp(v)
        return phi(nxt) * phi(s + 1e-30j).imag / 1e-30 / phi(s) ** 2 * s

    for j in range(3):
        exact = quad(
            lambda v, j=j: kernel(v) * (math.exp(v) / cur - 1) ** j,
            math.log(nxt),
            math.log(cur),
            epsabs=0,
            epsrel=1e-11,
        )[0]
        assert math.fsum(
            w * (s / cur - 1) ** j for w, s in zip(row.b, nodes, strict=True)
        ) == pytest.approx(exact, rel=1e-9)


def test_a_scale_is_refused_where_it_has_no_noise():
    sampler = make({"name": "er_sde_2", "scale": "sde_4"})
    sampler.plan(karras(5, 0.02, 80.0))
    with pytest.raises(ValueError, match="'sde_4' is not valid at sigma = 10000"):
        sampler.plan(karras(5, 0.02, 1e4))


def predict_evaluate_correct(sampler, grid, noise):
    """SA-Solver as its paper has it: the state is the corrected one, and each step's noise
    serves twice.
    """

    def half(x, cur, nxt, seen, z):
        kappa = sampler.tau**2 if sampler.tau_end <= nxt <= sampler.tau_start else 0.0
        weights = data_weights(cur, nxt, [s for s, _ in seen], kappa)
        return (
            decay(cur, nxt, kappa) * x
            + sum(w * d for w, (_, d) in zip(weights, seen, strict=True))
            + noise_std(cur, nxt, kappa) * z
        )

    denoise, x = ThreeModes(), noise.initial() * grid.sigma[0]
    seen = [(grid.sigma[0], denoise(x, grid.sigma[0]))]
    for i, (cur, nxt) in enumerate(grid.intervals()):
        if nxt == 0:
            return seen[0][1]
        z, used = noise.at(i, cur, nxt)(), min(sampler.predictor, len(seen))
        predicted = half(x, cur, nxt, seen[:used], z)
        if i == len(grid) - 1:
            return predicted
        seen.insert(0, (nxt, denoise(predicted, nxt)))
        x = (
            half(x, cur, nxt, seen[: min(sampler.corrector, used + 1)], z)
            if sampler.corrector
            else predicted
        )
    raise AssertionError


@each("tau", [0.0, 0.6, 1.0])
@each(("predictor", "corrector"), [(3, 4), (2, 2), (1, 2), (3, 2), (4, 5), (3, 0)])
@each("to_zero", [True, False])
def test_sa_solver__folded_corrections_are_predict_evaluate_correct(
    predictor, corrector, tau, to_zero
):
    sampler = make(
        {
            "name": "sa_solver",
            "predictor": predictor,
            "corrector": corrector,
            "tau": tau,
            "tau_start": 20.0,
        }
    )
    grid = karras(9, 0.02, 40.0, to_zero=to_zero)
    noise = SampleNoise(1, torch.arange(6), (2,), torch.float64)
    found = sampler.sample(ThreeModes(), noise.initial() * grid.sigma[0], grid, noise)
    torch.testing.assert_close(
        found, predict_evaluate_correct(sampler, grid, noise), rtol=0, atol=1e-12
    )
