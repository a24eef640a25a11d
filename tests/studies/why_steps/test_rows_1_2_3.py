"""Rows 1 to 3: what they measure against exact truth, and verdicts that follow the numbers and
the model.
"""

import math

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.metrics import precision_recall
from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d
from samplerbench.models.exact.wavelet import Wavelet
from samplerbench_studies.analysis.path_kl import path_kl
from samplerbench_studies.why_steps.figures.big_steps import staircase
from samplerbench_studies.why_steps.measuring import big_steps, one_jump, shrinking
from samplerbench_studies.why_steps.measuring.big_steps import Losses
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.generating import generate, grid_of
from samplerbench_studies.why_steps.measuring.one_jump import JumpResult
from samplerbench_studies.why_steps.rows import row_01_one_jump, row_02_candidates, row_03_big_steps
from samplerbench_studies.why_steps.statistics import single_steps
from samplerbench_studies.why_steps.statistics.intervals import Interval
from samplerbench_studies.why_steps.statistics.neighbourhoods import Neighbourhoods
from samplerbench_studies.why_steps.statistics.single_steps import Transition


def about(value, half=0.01):
    return Interval(value, value - half, value + half)


# Row 1


def jumped(spread, among, best=0.9, near=0.0):
    none = np.empty(0)
    first = JumpResult(1, about(spread), about(among), near, 0.9, 2.0, None, None, none, none)
    return [first, JumpResult(50, about(1.0), about(best), 2.0, 0.9, 2.0, None, None, none, none)]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"a": jumped(0.01, 0.1), "b": jumped(0.02, 0.0)}, "supports"),
        ({"a": jumped(0.01, 0.1), "b": jumped(0.02, 0.9)}, "refines"),
        ({"a": jumped(0.01, 0.8), "b": jumped(0.02, 0.9)}, "refutes"),
        ({"a": jumped(0.9, 0.1), "b": jumped(0.02, 0.1)}, "refutes"),
        ({"a": jumped(0.01, 0.45)}, "inconclusive"),
    ],
)
def test_row_1_judges_by_the_jump(found, kind):
    verdict = row_01_one_jump.judge(found)
    assert verdict.kind == kind
    assert "%" in verdict.numbers[0]


def test_row_1_says_where_the_average_is_in_the_midst_of_the_data():
    assert row_01_one_jump.judge({"a": jumped(0.01, 0.0)}).surprise == ""
    said = row_01_one_jump.judge(
        {"a": jumped(0.01, 0.0), "b": jumped(0.01, 0.0, near=1950.0)}
    ).surprise
    assert "<code>b</code>" in said
    assert "neighbours of 1,950 real images, and the usual real image of 2" in said


def test_an_average_does_not_pass_for_real_where_it_is_nearest_to_everything():
    """Precision takes it for data: in many dimensions it is closer to every point than the
    points are to each other.
    """
    rng = np.random.default_rng(0)
    real, unseen, others = (rng.standard_normal((400, 200)) for _ in range(3))
    average = np.zeros((1, 200)) + 0.1 * rng.standard_normal((20, 200))
    found = Neighbourhoods(real, unseen)
    assert precision_recall(average, real).precision == 1
    assert found.near(average).min() > 350
    assert not found.passes(found.near(average)).any()
    assert found.passes(found.near(others)).mean() == pytest.approx(found.unseen, abs=0.08)
    far = 10 + rng.standard_normal((20, 200))
    assert not found.passes(found.near(far)).any()
    with pytest.raises(ValueError, match="held-out"):
        Neighbourhoods(real, real[:0])


def test_no_step_of_a_few_is_wasted():
    """Two steps of the schedule as it is go from 80 to 0.002 and to 0: a second step that does
    nothing teaches that two are like one.
    """
    model = gmm_2d()
    assert grid_of(model, 1).sigma == (80.0, 0.0)
    assert grid_of(model, 2).sigma == pytest.approx((80.0, 2.515, 0.0), abs=1e-3)
    for steps in (2, 5, 10):
        grid = grid_of(model, steps)
        assert len(grid) == steps
        assert grid.sigma[-2] > 5 * model.sigma_min
    one, two, many = (generate(model, "euler", steps, 64) for steps in (1, 2, 200))
    assert (two - one).norm() > 0.2 * (many - one).norm()


def test_one_jump_is_the_mean_and_data_have_the_spread_of_data():
    model = Wavelet(1, 8)
    data = one_jump.ComparisonData(model, 200)
    assert data.spread(model.sample(2000, 1)).low < 1 < data.spread(model.sample(2000, 1)).high
    found = data.measure(1, 100)
    variances = np.linalg.eigvalsh(model.moments()[1])
    # At sigma_max every posterior is nearly that of the Gaussian of the same moments: d = mean + C
    # / (C + sigma²) (x - mean).
    truth = float((variances**2 / (variances + 80**2)).sum() / variances.sum())
    assert found.spread.value == pytest.approx(truth, rel=0.25)


def test_the_spectrum_of_moments_is_that_of_samples():
    model = Wavelet(1, 16)
    mean, cov = model.moments()
    exact = one_jump.spectrum_of_moments(mean, cov, model.event)
    assert one_jump.ring_power(model.sample(4000, 0)) == pytest.approx(exact, rel=0.1)
    assert one_jump.spectrum_of_moments(np.zeros(64), np.eye(64), (1, 8, 8)) == pytest.approx(
        np.ones(4)
    )
    assert len(one_jump.ring_power(np.zeros((3, 5)))) == 0


def test_row_1_on_a_gaussian_of_few_dimensions_is_refuted():
    """Its mean is its likeliest sample."""
    d = 2
    flat = Gaussian(
        "flat",
        torch.zeros(d, dtype=torch.float64),
        torch.eye(d, dtype=torch.float64),
        torch.ones(d, dtype=torch.float64),
    )
    flat.event = (d,)
    answer = row_01_one_jump.ROW(Effort("fast", None, dict.fromkeys(one_jump.MODELS, flat)))
    assert answer.verdict.kind == "refutes"
    assert "the average passes for real" in answer.verdict.sentence
    assert answer.opening is None
    assert len(answer.table) == 3 * len(one_jump.FAST_STEPS)


# Row 2


@pytest.mark.parametrize(
    ("first", "last", "rising", "kind"),
    [
        (100, 1.0, 0.01, "supports"),
        (100, 1.0, 0.3, "refines"),
        (100, 2.0, 0.3, "refutes"),
        (1.0, 1.0, 0.0, "inconclusive"),
        (9, 1.5, 0.0, "inconclusive"),
    ],
)
def test_row_2_judges_by_what_is_left(first, last, rising, kind):
    assert row_02_candidates.judge(about(first), about(last), about(rising)).kind == kind


def test_true_paths_are_one_brownian_motion():
    """y = x / sigma² has independent increments (gamma' - gamma) x0 + N(0, gamma' - gamma)."""
    x0 = torch.full((20000, 1), 0.7, dtype=torch.float64)
    levels = (3.0, 1.0, 0.4)
    y = torch.cat(
        [x / level**2 for x, level in zip(shrinking.true_path(x0, levels), levels, strict=True)], 1
    )
    gamma = np.array([level**-2.0 for level in levels])
    steps = np.diff(y.numpy(), axis=1, prepend=0) - 0.7 * np.diff(gamma, prepend=0)
    assert np.cov((steps / np.sqrt(np.diff(gamma, prepend=0))).T) == pytest.approx(
        np.eye(3), abs=0.04
    )


def test_entropy_and_the_mmse_curve_count_the_same_information():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.3], [-0.4, 2.0], [2.5, 1.0]], dtype=torch.float64)
    cloud, level = PointCloud("four", points), 0.7
    paths = shrinking.entropies_along_paths(cloud, (5.0, level), 4000)
    (curve,) = shrinking.known(cloud, shrinking.curve_of(cloud, level, 4000, 65), [level])
    assert paths.most == pytest.approx(math.log(4))
    direct = paths.known(1)
    assert (
        abs(direct.value - curve.value)
        < (direct.high - direct.value) + 2 * curve.error + curve.bound
    )


def test_rising_paths_are_counted_from_their_lowest():
    entropy = np.array([[3, 2, 1, 0], [3, 1, 1.2, 0], [3, 1, 1.04, 1.08], [0, 0, 0, 0.04]])
    assert shrinking.PathEntropies(np.arange(4), entropy, 3.0).rising() == 2


@pytest.mark.slow
def test_row_2_on_twins_is_refuted():
    """Pairs of points closer than the lowest noise level are never told apart."""
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.standard_normal((20, 4)))
    twins = PointCloud("twins", torch.cat([points, points + 1e-4]))
    mixture = GaussianMixture(
        "pair",
        (2,),
        torch.ones(2),
        torch.tensor([[2.0, 0.0], [-2.0, 0.0]]),
        torch.zeros(2, 2, 1),
        torch.ones(2),
        torch.tensor([0, 1]),
    )
    effort = Effort(
        "fast", None, {"digits-cloud": twins, "fashion-mppca": mixture, "fashion": gaussian()}
    )
    answer = row_02_candidates.ROW(effort)
    assert answer.verdict.kind == "refutes"
    assert "More than one" in answer.verdict.sentence


# Row 3


def step(ratio, total, shape):
    return Transition(ratio, about(total, 0.02 * total), about(shape, 0.02 * total))


GRIDS = {
    name: [Losses(n, about(100 / n), about(9 / n)) for n in (1, 4, 16)]
    for name in ("karras", big_steps.OPTIMAL)
}


@pytest.mark.parametrize(
    ("small", "big", "kind"),
    [
        (step(1.1, 0.1, 0.0), step(5, 50, 40), "supports"),
        (step(1.1, 0.1, 0.0), step(5, 50, 5), "refines"),
        (step(1.1, 0.1, 0.0), Transition(5, about(50), about(0.0)), "refutes"),
        (step(1.1, 0.1, 0.0), step(5, 0.2, 0.1), "refutes"),
        (step(1.1, 40, 30), step(5, 50, 40), "inconclusive"),
        (step(1.1, 0.1, 0.0), step(5, 50, 25), "inconclusive"),
    ],
)
def test_row_3_judges_by_what_is_lost_and_why(small, big, kind):
    assert row_03_big_steps.judge({"a": [small, big]}, GRIDS).kind == kind


def test_the_comparison_of_grids_follows_the_numbers():
    worse = {
        "karras": GRIDS["karras"],
        big_steps.OPTIMAL: [Losses(n, about(50 / n), about(99 / n)) for n in (1, 4, 16)],
    }
    steps = {"a": [step(1.1, 0.1, 0.0), step(5, 50, 5)]}
    verdict = row_03_big_steps.judge(steps, worse)
    assert "makes the <em>worse</em> images" in verdict.surprise
    assert "its FID proxy is 24.8 against 2.2" in verdict.surprise
    assert "in 4 steps it loses 2 times fewer" in verdict.surprise
    assert any("FID proxy in 4 steps" in line for line in verdict.numbers)
    assert row_03_big_steps.judge(steps, GRIDS).surprise == ""


@pytest.fixture(scope="module")
def curve():
    return big_steps.tabulated(gmm_2d(), 500, 97)


def test_the_area_of_the_drawing_is_the_divergence(curve):
    levels = big_steps.levels("karras", 8)
    sigma, low, stair = staircase(curve, levels, 40001)
    # the spline between the curve's nodes is not monotone to the last digit
    assert (stair - low).min() > -1e-4
    area = 0.5 * np.trapezoid(stair - low, sigma**-2)
    assert area == pytest.approx(path_kl(curve, levels).value, rel=2e-3)


def test_no_grid_loses_less_than_the_best(curve):
    best = big_steps.Best(curve)
    for steps in (2, 5, 20):
        least = path_kl(curve, best(steps)).value
        assert all(
            least < path_kl(curve, big_steps.levels(grid, steps)).value for grid in big_steps.GRIDS
        )
        levels = best(steps)
        assert (levels[0], levels[-1], len(levels)) == (big_steps.HIGH, big_steps.LOW, steps + 1)


@pytest.mark.slow
def test_row_3_on_a_gaussian_is_refuted():
    """Its reverse steps are Gaussian whatever their size."""
    answer = row_03_big_steps.ROW(
        Effort("fast", None, dict.fromkeys(single_steps.DRAWS, gaussian()))
    )
    assert answer.verdict.kind == "refutes"
    assert "Gaussian step at every size" in answer.verdict.sentence
    assert all(name.endswith("†") for name in answer.table if "FID proxy" in name)
    assert "192 is below 15 d" in answer.details
