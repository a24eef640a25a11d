"""The schedule of the smallest path divergence: against brute force, other schedules, and its
promises on cache and options.
"""

from itertools import combinations, pairwise

import numpy as np
import pytest
from gaussian_curves import gaussian_mmse
from looping import each

from samplerbench.benchmarks.planning.cache import cached_result
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models import make_model
from samplerbench.models.mmse import MMSECurve, exact_mmse, gammas
from samplerbench.samplers.schedules.optimised import cheapest_path, staircase_costs
from samplerbench_studies.analysis.path_kl import path_kl


@pytest.fixture(scope="module")
def gmm():
    return make_model("gmm-2d")


@pytest.fixture(scope="module")
def curve(gmm):
    """Of other samples than those of the search."""
    return exact_mmse(gmm, gammas(gmm.sigma_min, gmm.sigma_max, 129), 500, seed=7)


@pytest.fixture(scope="module")
def optimal(gmm):
    return make_schedule("optimal_kl").for_model(gmm)


def table(size):
    gamma = np.geomspace(0.01, 100.0, size)
    variances = np.array([0.3, 1.0, 4.0])
    curve = MMSECurve(gamma, gaussian_mmse(variances, gamma)[None])
    integral = np.log1p(np.outer(gamma, variances)).sum(1) - np.log1p(gamma[0] * variances).sum()
    return gamma**-0.5, curve, staircase_costs(gamma**-0.5, curve.draws[0], integral)


def test_costs_are_path_divergences():
    levels, curve, cost = table(161)
    for path in ([0, 160], [0, 40, 90, 160], list(range(0, 161, 10))):
        assert sum(cost[a, b] for a, b in pairwise(path)) == pytest.approx(
            path_kl(curve, levels[path]).value, rel=1e-4
        )
    assert (np.tril(cost) == 0).all()
    assert (cost >= 0).all()
    with pytest.raises(ValueError, match="one mmse and one integral a level"):
        staircase_costs(levels, curve.draws[0][1:], levels)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_dynamic_programming_finds_what_brute_force_finds(steps):
    _, _, cost = table(11)
    paths = [(0, *inner, 10) for inner in combinations(range(1, 10), steps - 1)]
    best = min(paths, key=lambda path: sum(cost[a, b] for a, b in pairwise(path)))
    assert tuple(cheapest_path(cost, steps)) == best


@pytest.mark.parametrize("steps", [2, 5, 10, 40])
def test_it_beats_every_other_schedule_in_path_divergence(steps, gmm, optimal, curve):
    def cost(schedule):
        return path_kl(
            curve, schedule(steps, gmm.sigma_min, gmm.sigma_max, to_zero=False).sigma
        ).value

    for other in ("karras", "uniform_lambda", "polyexponential(rho=1.5)", "gits"):
        assert cost(optimal) < cost(make_schedule(other).for_model(gmm)), other


@pytest.mark.slow
@each("steps", [1, 2, 3, 17, 257])
@each("end", ["", "(end=0.05)"])
def test_optimal_kl__its_grids_have_the_right_ends(steps, end, gmm):
    schedule = make_schedule(f"optimal_kl{end}").for_model(gmm)
    grid = schedule(steps, gmm.sigma_min, gmm.sigma_max)
    assert len(grid) == steps
    assert (grid.sigma[0], grid.sigma[-1]) == (gmm.sigma_max, 0.0)
    if steps > 1:
        assert grid.sigma[-2] == gmm.sigma_min
        assert (
            schedule(steps - 1, gmm.sigma_min, gmm.sigma_max, to_zero=False).sigma
            == grid.sigma[:-1]
        )


def test_below_its_end_there_is_one_step(gmm, curve):
    grid = make_schedule("optimal_kl(end=0.05)").for_model(gmm)(12, gmm.sigma_min, gmm.sigma_max)
    assert grid.sigma[-3:] == (0.05, gmm.sigma_min, 0.0)
    rival = make_schedule("uniform_lambda")(10, 0.05, gmm.sigma_max, to_zero=False)
    assert path_kl(curve, grid.sigma[:-2]).value < path_kl(curve, rival.sigma).value


def test_the_curve_is_kept_and_counted(tmp_path, gmm, monkeypatch):
    first = make_schedule("optimal_kl(samples=4)").for_model(gmm, tmp_path)
    assert first.searched.evaluations == 4 * 65
    monkeypatch.setattr(
        "samplerbench.models.mmse.exact_mmse",
        lambda *_: pytest.fail("evaluated again"),
    )
    again = make_schedule("optimal_kl(samples=4)").for_model(gmm, tmp_path)
    assert (again.searched.cost == first.searched.cost).all()
    # from the same curve
    make_schedule("optimal_kl(samples=4, fine_steps=20, end=0.1)").for_model(gmm, tmp_path)
    assert len(list(tmp_path.glob("mmse-*"))) == 1


def test_what_is_remembered_is_measured_once_per_key_and_again_when_damaged(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"number": len(calls)}

    assert [
        cached_result(tmp_path, "thing", {"a": a}, measure)["number"] for a in (1, 1, 2, 1)
    ] == [
        1,
        1,
        2,
        1,
    ]
    for content in ("{", '{"key": {"a": 3}, "number": 9}'):
        for path in tmp_path.iterdir():
            path.write_text(content)
        assert cached_result(tmp_path, "thing", {"a": 1}, measure)["number"] == len(calls) < 9
    assert [cached_result(None, "thing", {"a": 1}, measure)["number"] for _ in range(2)] == [5, 6]


def test_on_a_network_the_curve_is_its_loss_on_its_own_samples():
    model = make_model("digits")
    schedule = make_schedule("optimal_kl(samples=8)").for_model(model)
    assert schedule.searched.evaluations == 8 * (32 + 65)
    grid = schedule(10, model.sigma_min, model.sigma_max)
    assert grid.sigma[0] == model.sigma_max
    # the data have a standard deviation of about 0.8: above, there is little to know
    assert 0.2 < grid.sigma[1] < 5


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("optimal_kl(fine_steps=1)", "fine_steps >= 2"),
        ("optimal_kl(samples=1)", "samples >= 2"),
        ("optimal_kl(end=-1.0)", "end >= 0"),
        ("optimal_kl(nodes=3)", "has no option 'nodes'"),
    ],
)
def test_wrong_options_are_refused_before_a_model_is_there(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


def test_too_many_steps_another_range_or_a_high_end_is_a_sentence(gmm):
    schedule = make_schedule("optimal_kl(fine_steps=8, samples=2)").for_model(gmm)
    with pytest.raises(
        ValueError,
        match="optimal_kl searched 8 steps, too few for 20; give it fine_steps=19 or more",
    ):
        schedule(20, gmm.sigma_min, gmm.sigma_max)
    with pytest.raises(ValueError, match="optimal_kl was searched from 80"):
        schedule(5, 0.01, 40.0)
    with pytest.raises(ValueError, match="must lie below sigma_max"):
        make_schedule("optimal_kl(end=90.0)").for_model(gmm)
