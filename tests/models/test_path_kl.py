"""The path divergence of ancestral sampling against closed forms, simulated paths, and the
densities of its steps.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
from gaussian_curves import gaussian_mmse
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.models import make_model
from samplerbench.models.exact.problems import gaussian, gmm_2d
from samplerbench.models.mmse import MMSECurve, exact_mmse, gammas
from samplerbench.samplers import Grid, karras, make
from samplerbench.samplers.methods.ancestral import DDIM
from samplerbench.samplers.schedules import uniform_lambda
from samplerbench_studies.analysis.path_kl import girsanov_kl, path_kl, start_bound, step_kl
from samplerbench_studies.analysis.transition import transition_kl

VARIANCES = np.linalg.eigvalsh(gaussian().moments()[1])
GAMMA = gammas(0.002, 80.0, 257)
GAUSSIAN = MMSECurve(GAMMA, gaussian_mmse(VARIANCES, GAMMA)[None].repeat(2, 0))


@pytest.fixture(scope="module")
def curve():
    return exact_mmse(gmm_2d(), gammas(0.05, 80.0, 97), 2000)


@pytest.mark.parametrize("sampler", [make("ddpm"), DDIM(eta=1.0)], ids=["ddpm", "ddim with eta 1"])
def test_the_process_with_a_frozen_estimate_is_this_sampler(sampler):
    """y = x / sigma²: y_nxt = y + dgamma d + sqrt(dgamma) z."""
    grid = Grid((80.0, 7.0, 0.3, 0.02))
    for row, (cur, nxt) in zip(sampler.plan(grid), grid.intervals(), strict=True):
        more = nxt**-2 - cur**-2
        assert row.sigma == cur
        assert row.a * cur**2 / nxt**2 == pytest.approx(1, rel=1e-12)
        assert row.b[0] / nxt**2 == pytest.approx(more, rel=1e-12)
        assert row.c / nxt**2 == pytest.approx(math.sqrt(more), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_on_a_gaussian_each_step_is_a_divergence_of_two_gaussians(steps):
    """The true step has variances 1 + dgamma p, p the posterior's, where the sampler has 1."""
    levels = karras(steps, 0.02, 80.0, to_zero=False).sigma
    truth = 0.0
    for cur, nxt in pairwise(levels):
        grown = (nxt**-2 - cur**-2) * VARIANCES * cur**2 / (VARIANCES + cur**2)
        truth += 0.5 * float((grown - np.log1p(grown)).sum())
    assert path_kl(GAUSSIAN, levels).value == pytest.approx(truth, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [4, 16])
def test_simulated_paths_give_the_same_number(steps, curve):
    levels = karras(steps, 0.05, 80.0, to_zero=False).sigma
    found, simulated = path_kl(curve, levels), girsanov_kl(gmm_2d(), levels, 2500, 1)
    assert (
        abs(found.value - simulated.value)
        < 4 * math.hypot(found.error, simulated.error) + found.bound
    )
    assert simulated.value == pytest.approx(found.value, rel=0.03)


def test_each_step_is_the_divergence_of_its_exact_transition(curve):
    """By log-densities of states alone: the paths between them add nothing."""
    levels = (80.0, 2.0, 0.7, 0.3, 0.1)
    draws = step_kl(curve, levels)
    for k, (cur, nxt) in enumerate(pairwise(levels)):
        other = transition_kl(gmm_2d(), cur, nxt, 2000, 10 + k).total
        error = 4 * math.hypot(draws[:, k].std() / math.sqrt(len(draws)), other.error)
        assert abs(draws[:, k].mean() - other.value) < error


@given(st.integers(1, 12), st.floats(0.05, 0.95), st.integers(0, 11))
def test_one_level_more_never_costs(steps, where, which):
    levels = list(karras(steps, 0.01, 80.0, to_zero=False).sigma)
    at = which % steps
    between = levels[at] ** (1 - where) * levels[at + 1] ** where
    finer = [*levels[: at + 1], between, *levels[at + 1 :]]
    assert 0 < path_kl(GAUSSIAN, finer).value < path_kl(GAUSSIAN, levels).value


def test_many_steps_cost_as_one_over_their_number(curve):
    at_least = [
        path_kl(curve, uniform_lambda(n, 0.05, 80.0, to_zero=False).sigma).value
        for n in (100, 200, 400)
    ]
    assert at_least[0] / at_least[1] == pytest.approx(2, rel=0.1)
    assert at_least[1] / at_least[2] == pytest.approx(2, rel=0.05)


def test_a_step_to_zero_is_left_out_and_alone_refused():
    grid = karras(5, 0.02, 80.0).sigma
    assert grid[-1] == 0
    assert path_kl(GAUSSIAN, grid) == path_kl(GAUSSIAN, grid[:-1])
    with pytest.raises(ValueError, match="between two positive levels"):
        path_kl(GAUSSIAN, (80.0, 0.0))
    with pytest.raises(ValueError, match="fall strictly"):
        path_kl(GAUSSIAN, (1.0, 2.0))
    with pytest.raises(ValueError, match="spans gamma"):
        path_kl(GAUSSIAN, (80.0, 1e-4))


def test_the_start_costs_at_most_its_bound():
    mean, cov = gaussian().moments()
    for sigma in (3.0, 80.0):
        truth = 0.5 * float(
            mean @ mean / sigma**2 + (VARIANCES / sigma**2 - np.log1p(VARIANCES / sigma**2)).sum()
        )
        assert 0 < truth < start_bound(float(mean @ mean + np.trace(cov)), sigma)


@pytest.mark.slow
def test_simulated_paths_give_the_same_number_on_images():
    """Of the same clean images, whose kinds differ in what they cost; the noise is independent."""
    model = make_model("fashion-mppca")
    curve = exact_mmse(model, gammas(0.05, 80.0, 41), 96)
    levels = karras(4, 0.05, 80.0, to_zero=False).sigma
    found, simulated = path_kl(curve, levels), girsanov_kl(model, levels, 96)
    assert simulated.value == pytest.approx(found.value, rel=0.03), (found, simulated)
