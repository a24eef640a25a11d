"""The teacher of a tuning: the endpoints that runs are measured by, as exact as what is tuned
asks for, and counted.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tuners import tuner

from samplerbench.benchmarks.planning.model_loading import NamedModel
from samplerbench.benchmarks.planning.tuned_file import TunedEntry
from samplerbench.benchmarks.sampling.batch import latents
from samplerbench.benchmarks.scoring.converged_endpoints import ODE, solve
from samplerbench.benchmarks.tuning.problem import (
    RESOLVED,
    TRAIN_IDS,
    power_mean,
    tuning_problem,
)
from samplerbench.benchmarks.tuning.tuning import ModelTuning, Target
from samplerbench.models import make_model
from samplerbench.models.cards.network import NetworkDenoiser
from samplerbench.models.exact.cloud import KernelDensity, PointCloud
from samplerbench.samplers import Grid, NoNoise, karras, make

EULER = make("euler")


def test_endpoints_are_those_that_rmse_uses_and_what_they_took_is_counted():
    gmm = make_model("gmm-2d")
    problem = tuning_problem(gmm, 0, 5, 3)
    x, _ = latents(gmm, torch.arange(5), 3, gmm.dtype)
    assert torch.equal(problem.endpoints, gmm.endpoint(x))
    assert problem.teacher.evaluations > 5 * 100
    assert problem.resolution == 0
    counted = problem.meter.rows
    problem.distances(EULER, karras(7, gmm.sigma_min, gmm.sigma_max))
    assert problem.meter.rows - counted == 5 * 7


def test_endpoints_in_closed_form_take_no_evaluation_and_those_of_a_cloud_take_as_many_as_it_makes():
    assert tuning_problem(make_model("gaussian"), 0, 4, 0).teacher.evaluations == 0
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], dtype=torch.float64)
    cloud = PointCloud("few", points)
    for model in (cloud, KernelDensity(cloud, 0.3)):
        assert tuning_problem(model, 0, 4, 0).teacher.evaluations > 4 * 100


def watch(patched):
    """Teachers that begin with 2 and 4 steps, and the steps of all their solutions; searches are
    short, since how far a teacher is refined is not theirs to say.
    """
    solved = []

    def watched(model, ids, seed, dtype, steps, batch):
        solved.append(steps)
        return solve(model, ids, seed, dtype, steps, batch)

    patched.setattr("samplerbench.benchmarks.tuning.search.PATIENCE", 1)
    patched.setattr("samplerbench.benchmarks.tuning.problem.ODE", ODE._replace(first=2))
    patched.setattr("samplerbench.benchmarks.tuning.problem.solve", watched)
    return solved


@pytest.fixture
def coarse(monkeypatch):
    return watch(monkeypatch)


def digits_tuner(file):
    return tuner(
        file, None, subject=NamedModel("digits", make_model("digits")), latents=3, test_latents=2
    )


@dataclass(frozen=True)
class Seen:
    """What was tuned, and what was seen when the first scores were asked for.

    Attributes:
        fine: the entry of dpmpp_2m, the first one.
        coarse: that of Euler in two steps, the second one.
        rows: evaluations until the first scores.
        steps: of the teacher's solutions, until the first scores.
    """

    fine: TunedEntry
    coarse: TunedEntry
    rows: int
    steps: tuple[int, ...]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A fine entry, then a coarse one, counted by a counter of this test's own."""
    rows, until_scores = [0], []
    plain, scores = NetworkDenoiser.denoise, ModelTuning._scores

    def counted(self, x, sigma, labels):
        rows[0] += len(x)
        return plain(self, x, sigma, labels)

    def watched(self, *args):
        until_scores.append((rows[0], tuple(solved)))
        return scores(self, *args)

    with pytest.MonkeyPatch.context() as patched:
        solved = watch(patched)
        patched.setattr(NetworkDenoiser, "denoise", counted)
        patched.setattr(ModelTuning, "_scores", watched)
        tasks = [Target(make("dpmpp_2m"), 7), Target(EULER, 2)]
        fine, coarse = digits_tuner(tmp_path_factory.mktemp("both") / "t.json")(tasks)
    return Seen(fine, coarse, *until_scores[0])


@pytest.mark.slow
def test_the_teacher_is_refined_until_it_is_exact_beside_what_was_tuned(both):
    """The tuned error is half of that on the schedule that runs are solved for.

    And it is the error to the true endpoints.
    """
    model, sampler, entry = make_model("digits"), make("dpmpp_2m"), both.fine
    for scores in (entry.train, entry.test):
        assert 0 < scores.resolution <= RESOLVED * scores.tuned.rms
    ids = torch.arange(TRAIN_IDS, TRAIN_IDS + 3)
    x = sampler.sample(
        model.bind(ids, 0), latents(model, ids, 0, model.dtype)[0], Grid(entry.levels), NoNoise()
    )
    fine = solve(model, ids, 0, model.dtype, 512, 3)
    assert float((x - fine).double().square().mean().sqrt()) == pytest.approx(
        entry.train.tuned.rms, rel=2 * RESOLVED
    )
    assert max(both.steps) > 4


@pytest.mark.slow
def test_the_teacher_and_the_search_are_all_that_is_evaluated_on_the_training_latents(both):
    """Counted by another counter until the first scores.

    Of the teacher, every coarser solution counts.
    """
    entry = both.fine
    assert entry.teacher.evaluations + entry.search.evaluations == both.rows
    assert entry.teacher.evaluations // 3 == sum(both.steps)


def test_an_entry_does_not_depend_on_those_before_it(both, coarse, tmp_path):
    (alone,) = digits_tuner(tmp_path / "one.json")([Target(EULER, 2)])
    assert both.fine.train.resolution < alone.train.resolution
    assert (both.coarse.levels, both.coarse.train, both.coarse.test) == (
        alone.levels,
        alone.train,
        alone.test,
    )
    assert (
        both.coarse.teacher.evaluations == both.fine.teacher.evaluations > alone.teacher.evaluations
    )


@pytest.mark.slow
def test_a_teacher_is_refined_as_far_as_rounding_and_its_most_steps_go(coarse, monkeypatch):
    model = make_model("digits")
    problem, grid = tuning_problem(model, 0, 2, 0), karras(4, model.sigma_min, model.sigma_max)
    assert not problem.converge_endpoints(
        (EULER, grid)
    ) or problem.resolution <= RESOLVED * np.sqrt(np.mean(problem.distances(EULER, grid) ** 2))
    # as near as can be
    monkeypatch.setattr(problem, "sample", lambda sampler, grid: problem.endpoints)
    assert problem.converge_endpoints((EULER, grid))
    assert problem.resolution <= problem.teacher.rounding or problem.steps == ODE.last
    assert not problem.converge_endpoints((EULER, grid))


def test_endpoints_that_are_not_finite_are_one_sentence(monkeypatch):
    monkeypatch.setattr(
        "samplerbench.benchmarks.tuning.problem.solve",
        lambda model, ids, *rest: torch.full((len(ids), 2), np.nan),
    )
    model = make_model("digits")
    with pytest.raises(ValueError, match="model digits has no finite endpoints to tune for"):
        tuning_problem(model, 0, 2, 0).distances(EULER, karras(4, model.sigma_min, model.sigma_max))


def test_the_teacher_of_a_network_solves_the_same_latents(monkeypatch):
    seen = set()

    def watched(model, ids, seed, dtype):
        seen.update(ids.tolist())
        return latents(model, ids, seed, dtype)

    monkeypatch.setattr("samplerbench.benchmarks.scoring.converged_endpoints.latents", watched)
    model = make_model("digits")
    tuning_problem(model, TRAIN_IDS, 2, 0).distances(
        EULER, karras(2, model.sigma_min, model.sigma_max)
    )
    assert seen == {TRAIN_IDS, TRAIN_IDS + 1}


@pytest.mark.parametrize("power", [0, 1, 2])
def test_power_mean__knows_no_units(power):
    distances = np.array([0.0, 0.1, 0.3])
    means = [power_mean(unit * distances, power) / unit for unit in (1.0, 1e-9)]
    assert means[1] == pytest.approx(means[0])
    assert 0 < power_mean(np.zeros(3), power) < 1e-300  # its logarithm is taken


def test_power_mean__sees_small_distances_beside_that_of_a_lost_sample():
    found = power_mean(np.array([1e-8, 1e-8, 1e-8, 1e6]), 0)
    assert found == pytest.approx(10 ** (-18 / 4))


def test_distances__of_large_data_are_not_cut_off(gmm):
    own = gmm.endpoint(latents(gmm, torch.arange(TRAIN_IDS, TRAIN_IDS + 4), 0, gmm.dtype)[0])
    problem = tuning_problem(gmm, TRAIN_IDS, 4, 0)
    problem.teacher.exact = 1e9 * own
    assert problem.distances_of(1.5e9 * own) == pytest.approx(
        0.5e9 * own.square().mean(1).sqrt().numpy()
    )
