"""Soft teacher: the best moves in a ball on Gaussians, where they are known; falling errors; wrong inputs."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from samplerbench.benchmarks.tuning import TRAIN_IDS, Runs, fit, tuning_problem
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters, project_grid
from samplerbench.models import make_model
from samplerbench.models.denoiser import Wrapper
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.samplers import NoNoise, karras, make
from samplerbench.samplers.families.tabulated import Tabulated, tabulate
from samplerbench_studies.fitted import relaxed
from samplerbench_studies.fitted.relaxed import RECIPES, SoftTeacher, Stage, fit_relaxed
from samplerbench_studies.gradient import slopes_by_noise

STEPS, COUNT = 4, 12
EULER = make("euler")


class Forward(Wrapper):
    """A model without a backward pass."""

    def denoise(self, x, sigma, labels):
        return self.inner.denoise(x, sigma, labels).detach()


def problem_of(model, count=COUNT):
    return tuning_problem(model, TRAIN_IDS, count, 0)


def grid_of(model, steps=STEPS):
    grid = karras(steps, model.sigma_min, model.sigma_max)
    return project_grid(grid, model.sigma_min, model.sigma_max)


def matrix_of(model, sampler, grid):
    """The samples' derivative by the noise, ``(d, d)``, of an affine run."""
    units = torch.cat([torch.zeros(1, model.event[0]), torch.eye(model.event[0])]).double()
    ends = sampler.sample(model.bind(torch.zeros(len(units)).long(), 0), units, grid, NoNoise())
    return (ends[1:] - ends[0]).T.numpy()


def best_in_ball(matrix, apart, reach):
    """The least |apart + matrix delta| over |delta| <= reach, by the secular equation."""
    u, s, _ = np.linalg.svd(matrix)
    c = u.T @ apart

    def length(mu):
        return np.linalg.norm(s * c / (s**2 + mu)) - reach

    mu = brentq(length, 0, 1e6, xtol=1e-16, rtol=1e-14) if length(0.0) > 0 else 0.0
    return np.linalg.norm(c - s**2 * c / (s**2 + mu))


@pytest.fixture(scope="module")
def gaussian():
    return make_model("gaussian")


@pytest.fixture(scope="module")
def gmm():
    return make_model("gmm-2d")


@pytest.mark.parametrize("name", ["dpmpp_2m", "warped_ab_2(analytic_first=True, deferred=True)"])
def test_slopes_by_noise__are_those_of_the_squared_distances(gmm, name):
    problem, grid = problem_of(gmm), grid_of(gmm)
    table = tabulate(make(name), grid)
    moved = (*table[:-1], table[-1]._replace(level=1.3 * grid.sigma[-2]))
    sampler = Tabulated(stands_for=make(name), table=moved)
    squares, slopes = slopes_by_noise(problem, sampler, grid)
    np.testing.assert_allclose(squares.sqrt(), problem.distances(sampler, grid), rtol=1e-9)
    for k in range(2):
        ends = []
        for sign in (1, -1):
            near = problem_of(gmm)
            near.batches = [(ids, x + sign * 1e-4 * torch.eye(2)[k]) for ids, x in near.batches]
            ends.append(np.square(near.distances(sampler, grid)))
        np.testing.assert_allclose(slopes[:, k], (ends[0] - ends[1]) / 2e-4, rtol=1e-4, atol=1e-9)


def test_slopes_by_noise__are_counted_as_the_forward_pass_and_two_more(gmm):
    problem, grid = problem_of(gmm), grid_of(gmm)
    slopes_by_noise(problem, EULER, grid)
    assert problem.meter.rows == 3 * STEPS * COUNT


def test_slopes_by_noise__a_sample_that_is_not_finite_has_none(gmm):
    class Broken(Wrapper):
        def denoise(self, x, sigma, labels):
            image = self.inner.denoise(x, sigma, labels)
            return torch.where(x[:, :1] > 0, image, image / 0)

    squares, slopes = slopes_by_noise(problem_of(Broken(gmm)), EULER, grid_of(gmm))
    assert 0 < int(squares.isinf().sum()) < COUNT
    assert slopes.isfinite().all()
    assert not slopes[squares.isinf()].any()


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0.001, 0.1, 1.0])
def test_move__finds_the_best_move_on_a_gaussian(gaussian, radius):
    problem, grid = problem_of(gaussian), grid_of(gaussian)
    matrix = matrix_of(gaussian, EULER, grid)
    apart = (problem.sample(EULER, grid) - problem.endpoints).numpy()
    expected = [best_in_ball(matrix, row, radius * gaussian.sigma_max) / 4 for row in apart]
    hard = problem.distances(EULER, grid)
    found = SoftTeacher(problem, radius).move(EULER, grid, 600)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)
    lipschitz = np.linalg.norm(matrix, 2)
    assert (found <= hard).all()
    assert (hard <= found + lipschitz * radius * gaussian.sigma_max / 4 + 1e-12).all()


@pytest.mark.parametrize(("excess", "radius"), [(0.01, 0.2), (0.03, 0.05), (-0.02, 0.01)])
def test_move__on_round_data_a_wrong_scale_within_the_radius_costs_nothing(excess, radius):
    d, std = 9, 0.5
    mean, basis = torch.zeros(d).double(), torch.eye(d).double()
    model = Gaussian("round", mean, basis, torch.full((d,), std**2).double())
    problem, grid = problem_of(model), grid_of(model)
    exact = std / np.hypot(std, model.sigma_max)
    own = matrix_of(model, EULER, grid)[0, 0]
    # the last row of Euler to 0 is the denoised image alone, so its weight scales the sample
    table = tabulate(EULER, grid)
    scaled = table[-1]._replace(b=((1 + excess) * exact / own * table[-1].b[0], *table[-1].b[1:]))
    sampler = Tabulated(stands_for=EULER, table=(*table[:-1], scaled))
    a = matrix_of(model, sampler, grid)[0, 0]
    assert a == pytest.approx((1 + excess) * exact)
    lengths = torch.cat([x for _, x in problem.batches]).norm(dim=1).numpy()
    reach = radius * model.sigma_max
    expected = np.maximum(0, abs(a - exact) * lengths - a * reach) / np.sqrt(d)
    found = SoftTeacher(problem, radius).move(sampler, grid, 80)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    # the divergence of the laws, in closed form: what the radius leaves open
    share = exact / a
    divergence = d * (share**2 - 1) / 2 - d * np.log(share)
    r = abs(share - 1) * np.sqrt(d)  # the root mean square of the moves that make the laws equal
    assert divergence <= r * np.sqrt(d) + r**2 / 2 + abs(d * np.log(share))


def test_move__without_a_radius_the_distances_are_hard_and_no_backward_pass_is_needed(gmm):
    problem, grid = problem_of(Forward(gmm)), grid_of(gmm)
    teacher = SoftTeacher(problem, 0.0)
    np.testing.assert_array_equal(teacher.move(EULER, grid), problem.distances(EULER, grid))
    torch.testing.assert_close(teacher.noise, problem.batches[0][1], rtol=0, atol=0)


def test_move__latents_stay_in_the_ball_and_no_distance_rises(gmm):
    problem, grid, radius = problem_of(gmm, 100), grid_of(gmm), 0.05
    before = torch.cat([x for _, x in problem.batches])
    teacher = SoftTeacher(problem, radius)
    distances = problem.distances(EULER, grid)
    for moves in (1, 2, 5):
        found = teacher.move(EULER, grid, moves)
        assert (found <= distances).all()
        np.testing.assert_allclose(found, teacher.moved.distances(EULER, grid), rtol=1e-9)
        lengths = (teacher.noise - before).norm(dim=1)
        assert float(lengths.max()) <= radius * gmm.sigma_max * (1 + 1e-12)
        distances = found
    assert float(lengths.max()) > 0.9 * radius * gmm.sigma_max
    torch.testing.assert_close(torch.cat([x for _, x in problem.batches]), before, rtol=0, atol=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_fit_relaxed__the_error_of_the_latents_that_choose_never_rises(gmm, recipe):
    problem, grid = problem_of(gmm, 40), grid_of(gmm)
    found = fit_relaxed(problem, make("dpmpp_2m"), grid, RECIPES[recipe], 0.02, 24)
    assert (np.diff(found.losses) <= 1e-12).all()
    assert found.losses[-1] < 0.8 * found.losses[0]
    chosen = found.teacher.moved.distances(found.sampler, found.grid)[24:]
    assert chosen.mean() == pytest.approx(found.losses[-1])
    if recipe == "ld3":
        assert any(row.level is not None for row in found.sampler.table)
        own = tabulate(make("dpmpp_2m"), found.grid)  # levels alone: the coefficients follow
        assert [row.a for row in found.sampler.table] == pytest.approx([row.a for row in own])
    if recipe == "s4s":
        assert found.grid == grid


def test_fit_relaxed__without_a_radius_a_round_is_the_hard_fit(gmm, monkeypatch):
    monkeypatch.setattr(relaxed, "ROUNDS", 1)
    problem, grid = problem_of(gmm, 40), grid_of(gmm)
    found = fit_relaxed(problem, EULER, grid, [Stage("coefficients")], 0.0, 24)
    x = torch.cat([x for _, x in problem.batches])
    runs = Runs(gmm, problem.ids, problem.seed, x, problem.endpoints, len(x))
    free = FreeParameters(EULER, grid, gmm.sigma_min, gmm.sigma_max, "coefficients")
    hard = fit(free, runs.differences_from_ends, 24, 1)
    assert found.sampler == hard.sampler
    assert found.losses == pytest.approx((hard.before, hard.before, hard.after))


@pytest.mark.parametrize("radius", [-0.1, np.inf, np.nan])
def test_a_radius_that_is_no_length_is_refused(gmm, radius):
    with pytest.raises(ValueError, match=f"radius {radius:g}"):
        SoftTeacher(problem_of(gmm), radius)


@pytest.mark.parametrize("equations", [0, COUNT])
def test_fit_relaxed__latents_to_fit_to_and_to_choose_by_are_needed(gmm, equations):
    with pytest.raises(ValueError, match=f"{equations} of {COUNT} latents"):
        fit_relaxed(problem_of(gmm), EULER, grid_of(gmm), RECIPES["s4s"], 0.1, equations)


def test_a_model_without_a_backward_pass_and_a_sampler_without_a_table_are_refused(gmm):
    with pytest.raises(ValueError, match="gmm-2d has no backward pass"):
        SoftTeacher(problem_of(Forward(gmm)), 0.1).move(EULER, grid_of(gmm))
    with pytest.raises(ValueError, match="heun has no table"):
        SoftTeacher(problem_of(gmm), 0.1).move(make("heun"), grid_of(gmm))


def test_main__prints_a_row_for_each_radius(capsys, monkeypatch):
    monkeypatch.setattr(relaxed, "TESTED", 8)
    monkeypatch.setattr(relaxed, "DRAWN", 40)
    monkeypatch.setattr(relaxed, "ROUNDS", 1)
    radii = ["--radius", "0,authors", "--latents", "6,4"]
    relaxed.main(["--model", "gmm-2d", "--nfe", "4", "--seeds", "0", *radii])
    head, _, hard, soft = capsys.readouterr().out.splitlines()
    assert head.count("|") == hard.count("|") == soft.count("|")
    assert hard.startswith("| 0 | 4 | 0 |")
    assert hard.endswith("| +0 ± 0 |")
    assert soft.startswith("| 0 | 4 | 0.000125 |")


@pytest.mark.parametrize("radius", ["-1", "large"])
def test_main__a_radius_that_is_no_length_ends_with_code_2(capsys, radius):
    with pytest.raises(SystemExit) as ended:
        relaxed.main(["--model", "gmm-2d", "--nfe", "4", f"--radius={radius}"])
    assert ended.value.code == 2
    assert radius in capsys.readouterr().err
