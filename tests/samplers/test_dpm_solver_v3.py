"""DPM-Solver-v3: special statistics, exactness, orders, invariances, and the measurement of its statistics."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.conformance import order as order_checks
from samplerbench.benchmarks.conformance.order import _errors_and_slopes
from samplerbench.benchmarks.conformance.problems import GRIDS, INTERIOR, ThreeModes
from samplerbench.benchmarks.running.executors.tasks import PicklableSampler
from samplerbench.models import make_model
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.samplers import SampleNoise, karras, make
from samplerbench.samplers.auto import statistics
from samplerbench.samplers.auto.statistics import ConstantStatistics, measure_statistics

HIGH, LOW = 14.6, 0.03


def latents(count, event=(2,)):
    return SampleNoise(0, torch.arange(count), event, torch.float64).initial()


@pytest.fixture(scope="module")
def measured():
    """Statistics of the mixture in the plane, measured on levels for orders."""
    return measure_statistics(ThreeModes(), latents(16), *INTERIOR, probes=2)


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize("points", [1, 2, 3])
@pytest.mark.parametrize(
    ("found", "others"),
    [
        (ConstantStatistics(), ("ddim", "xeab_2", "xeab_3")),
        (ConstantStatistics(0.0, -1.0), ("ddim", "zeab_2", "zeab_3")),
    ],
)
def test_constant_statistics_are_the_data_and_the_noise_prediction(found, others, points, to_zero):
    """With l = 1 and s = 0 it is DPM-Solver++ with exact weights, with l = 0 and s = -1 its noise form."""
    grid, x = karras(8, LOW, HIGH, to_zero=to_zero), HIGH * latents(20)
    method = make("dpm_solver_v3", points=points, corrector="").fitted(found)
    other = make(others[points - 1])
    assert (
        method.sample(ThreeModes(), x, grid) - other.sample(ThreeModes(), x, grid)
    ).abs().max() < 1e-12


def test_without_linear_part_and_growth_it_is_adams_bashforth_in_log_sigma():
    """If l = s = 0 the entry is d - x, the velocity in lam; equal steps have classical weights."""
    problem, h, x = ThreeModes(), 0.2, latents(20)
    levels = [float(np.exp(-h * i)) for i in range(4)]
    found = make("dpm_solver_v3", points=2, corrector="").fitted(ConstantStatistics(0.0, 0.0))
    made, v = found.sample(problem, x, levels), []
    for level in levels[:-1]:
        v.append(problem(x, level) - x)
        x = x + h * (v[-1] if len(v) == 1 else 1.5 * v[-1] - 0.5 * v[-2])
    assert (made - x).abs().max() < 1e-12


@pytest.mark.parametrize("corrector", ["", "plain", "pseudo"])
def test_any_step_is_exact_on_a_gaussian_with_independent_dimensions(corrector):
    mean, variances = torch.tensor([3.0, -1.0, 0.0]), torch.tensor([0.04, 1.0, 9.0])
    model = Gaussian("three", mean, torch.eye(3), variances)
    bound = model.bind(torch.arange(8), 0)
    found = measure_statistics(bound, latents(8, (3,)), LOW, HIGH, probes=4)
    x = HIGH * latents(8, (3,))
    for n in (1, 3):
        grid = karras(n, LOW, HIGH, to_zero=False)
        ends = make("dpm_solver_v3", corrector=corrector).fitted(found).sample(bound, x, grid)
        # what is left is the error of the trajectories, which the mean has
        assert (ends - model.flow(x, HIGH, LOW)).abs().max() < 3e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"corrector": ""}, 3),
        ({"corrector": "plain"}, 3),
        ({}, 2),
        ({"points": 2, "corrector": ""}, 2),
        ({"points": 2, "corrector": "plain"}, 2),
        ({"pseudo": True, "corrector": ""}, 2),
        ({"points": 1}, 2),
        ({"points": 1, "pseudo": True}, 2),
        ({"points": 1, "corrector": ""}, 1),
    ],
)
def test_measured_statistics_keep_the_order(measured, options, order, monkeypatch):
    monkeypatch.setattr(order_checks, "STEPS", (384, 768) if order == 3 else (192, 384))
    method = make({"name": "dpm_solver_v3", **options})
    assert method.order == order
    for grid in GRIDS.values():
        before, last = _errors_and_slopes(method.fitted(measured), ThreeModes(), grid)["error"]
        assert before / last > 2 ** (order - 0.25)


def test_a_plain_corrector_makes_up_for_the_pseudo_order_of_the_predictor():
    method = make("dpm_solver_v3", pseudo=True, corrector="plain")
    assert method.order == 3
    for grid in GRIDS.values():
        assert _errors_and_slopes(method, ThreeModes(), grid)["slope"] == pytest.approx(3, abs=0.1)


def test_moved_and_scaled_statistics_move_and_scale_the_samples(measured):
    problem, x, shift, scale = ThreeModes(), 3.0 * latents(20), 5.0, 3.0
    method, grid = make("dpm_solver_v3").fitted(measured), karras(6, *INTERIOR)
    base = method.sample(problem, x, grid)
    first, denoised = measured.first + shift, measured.denoised + shift
    moved = method.fitted(replace(measured, first=first, denoised=denoised))
    ends = moved.sample(lambda x, s: problem(x - shift, s) + shift, x + shift, grid)
    assert (ends - base - shift).abs().max() < 1e-12
    scaled = method.fitted(
        replace(
            measured,
            levels=scale * measured.levels,
            first=scale * measured.first,
            denoised=scale * measured.denoised,
        )
    )
    levels = [scale * level for level in grid.sigma]
    ends = scaled.sample(lambda x, s: scale * problem(x / scale, s / scale), scale * x, levels)
    assert (ends / scale - base).abs().max() < 1e-11


def test_measure_statistics__the_linear_part_is_the_mean_posterior_variance():
    """1 - l = E[Var(x0 | x)] / sigma² for an exact denoiser, and two probes in the plane are all directions."""
    model = make_model("gmm-2d")
    bound = model.bind(torch.arange(32), 0)
    found = measure_statistics(bound, latents(32), 0.05, 40.0, probes=2)
    path = statistics.sample_trajectories(bound, latents(32), 0.05, 40.0)
    for i in (0, 10, 20, len(path.levels) - 1):
        _, covariance = model.posterior(path.x[i], float(path.levels[i]))
        exact = covariance.diagonal(dim1=1, dim2=2).mean(0) / path.levels[i] ** 2
        assert torch.from_numpy(1 - found.linear[i]) == pytest.approx(exact, rel=3e-2)


def test_measure_statistics__the_slope_minimises_the_change_of_the_entry(measured):
    """No other number in place of s makes E|dn/dlam - s n|² smaller."""
    path = statistics.sample_trajectories(ThreeModes(), latents(16), *INTERIOR)
    lam = -np.log(measured.levels)
    y, e = (part.numpy() - part.numpy().mean(1, keepdims=True) for part in (path.x, path.d))
    n = (1 - measured.linear)[:, None] * y - e
    change = np.gradient(n, lam, axis=0)
    best = (n * change).mean(1) / np.square(n).mean(1)
    assert np.abs(best - measured.slope)[2:-2].mean() < 0.1 * np.abs(best).mean()


@pytest.mark.parametrize("dim", [1, 2, 5, 8])
def test_all_probes_together_give_a_diagonal_exactly(dim):
    rng = np.random.default_rng(1)
    signs = statistics._signs(statistics._hadamard_size(dim), dim, rng)
    matrix = rng.standard_normal((dim, dim))
    assert (signs * (signs @ matrix.T)).mean(0) == pytest.approx(np.diag(matrix))


def test_statistics_go_to_workers_and_are_not_an_option(measured):
    fitted = make("dpm_solver_v3", points=2).fitted(replace(measured, evaluations=77))
    sent = PicklableSampler.of(fitted)
    assert sent.spec == {"name": "dpm_solver_v3", "points": 2}
    assert sent.restore_sampler() == fitted
    assert fitted.facts == {"pilot_evaluations": 77}
    assert make("dpm_solver_v3").facts == {}
    with pytest.raises(ValueError, match="no option 'found'"):
        make("dpm_solver_v3", found=measured)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": 4}, "points is 1, 2 or 3"),
        ({"corrector": "x"}, "corrector"),
        ({"last": (0,)}, "last"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make({"name": "dpm_solver_v3", **options})


def test_statistics_for_another_shape_are_refused(measured):
    with pytest.raises(ValueError, match="samples of shape"):
        make("dpm_solver_v3").fitted(measured).sample(ThreeModes(), torch.ones(2, 3), [1.0, 0.5])
