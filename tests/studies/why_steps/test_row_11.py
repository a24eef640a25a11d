"""Row 11: what each method finds on a problem that can be told in advance, and where there is nothing to
learn.
"""

import numpy as np
import pytest
import torch
from invented import INVENTED

from samplerbench.benchmarks.tuning.problem import TRAIN_IDS, tuning_problem
from samplerbench.models import make_model
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.samplers import Grid, make
from samplerbench_studies.gradient import Unrolled
from samplerbench_studies.why_steps.measuring import grid_searches, learning
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.grid_searches import (
    DESCENTS,
    SEARCHES,
    Trial,
    available,
    searched,
)
from samplerbench_studies.why_steps.measuring.one_step import StraightEuler
from samplerbench_studies.why_steps.rows import row_11_learning
from samplerbench_studies.why_steps.statistics.intervals import Interval

THERE = available()


def about(value, half):
    return Interval(value, value - half, value + half)


@pytest.fixture(scope="module")
def problem():
    return tuning_problem(make_model("gmm-2d"), TRAIN_IDS, 32, 0)


@pytest.fixture(scope="module")
def scanned(problem):
    """Euler in two steps from 80: the logarithm of its error at the best of 300 levels between."""
    levels = np.geomspace(70, 0.003, 300)
    sampler = make("euler")
    return np.log(
        min(problem.distances(sampler, Grid((80.0, level, 0.0))).mean() for level in levels)
    )


@pytest.mark.parametrize("name", [*SEARCHES, *DESCENTS])
def test_every_method_finds_the_one_level_that_a_scan_finds(name, problem, scanned):
    """And stops when its evaluations are spent."""
    if name not in THERE:
        pytest.skip("optuna is not installed")
    trial = Trial(Unrolled(problem, make("euler"), Grid((80.0, 2.0, 0.0)), 1, "levels"), 240)
    searched(THERE[name], trial, 0)
    assert trial.history[0][1] > scanned + 0.01
    assert trial.history[-1][1] == pytest.approx(scanned, abs=0.01)
    assert trial.spent <= 240 + 3 * 2
    assert [one[1] for one in trial.history] == sorted(
        (one[1] for one in trial.history), reverse=True
    )


def test_without_optuna_its_searches_are_left_out_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr(grid_searches, "find_spec", lambda _: None)
    assert set(available()) == {*SEARCHES, *DESCENTS} - {"TPE", "CMA-ES"}


def test_a_ratio_of_equal_distances_is_one_and_of_halves_a_half():
    rng = np.random.default_rng(0)
    cases = [rng.uniform(1, 2, 40), rng.uniform(1, 2, 20)]
    assert learning.ratio(cases, cases) == (1, 1, 1)
    assert learning.ratio([one / 2 for one in cases], cases) == pytest.approx((0.5, 0.5, 0.5))


# -- verdicts
# ----------------------------------------------------------------------------------------------------------------------


def sphere(name):
    one = torch.ones(2, dtype=torch.float64)
    return Gaussian(name, 0 * one, torch.eye(2, dtype=torch.float64), one / 4)


def small(monkeypatch, runs):
    few = {"FAST_RUNS": runs, "STEPS": 3, "SAMPLERS": ("dpmpp_2m",), "FAST_MODELS": ("gmm-64d",)}
    for name, value in few.items():
        monkeypatch.setattr(learning, name, value)


def test_on_straight_paths_there_is_nothing_to_learn(monkeypatch):
    """Of a Gaussian, Euler's method in its own clock is exact on every grid."""
    small(monkeypatch, 8)
    monkeypatch.setattr(learning, "make", lambda _: StraightEuler(variance=0.25))
    models = {name: sphere(name) for name in learning.FAST_MODELS}
    found = row_11_learning.measure(Effort("fast", models=models))
    verdict = row_11_learning.judge(found)
    assert verdict.kind == "supports"
    assert "nothing to learn" in verdict.sentence
    assert not verdict.surprise


@pytest.mark.slow
def test_a_measurement_of_curved_paths_has_something_to_learn(monkeypatch):
    small(monkeypatch, 36)
    found = row_11_learning.measure(Effort("fast"))
    assert found.gained.value < 0.98
    assert "nothing to learn" not in row_11_learning.judge(found).sentence
    for case in found.cases:
        for course in (*case.grids, *case.coefficients):
            assert course.levels[0] == 80
            assert course.levels[-1] == 0
            assert len(course.levels) == learning.STEPS + 1
            assert course.spent[-1] == learning.STEPS * 36


@pytest.mark.parametrize(
    ("closest", "kind"),
    [
        (about(0.8, 0.05), "refutes"),
        (about(1.2, 0.05), "supports"),
        (about(1.0, 0.03), "refines"),
        (about(0.97, 0.2), "inconclusive"),
    ],
)
def test_row_11__judges_by_the_best_of_the_searches(closest, kind):
    assert judged(differences=closest).kind == kind


def test_row_11__names_the_searches_that_the_gradient_beats():
    verdict = judged(TPE=about(0.91, 0.02), differences=about(0.98, 0.02))
    assert verdict.kind == "refines"
    assert (
        "9 % less error than TPE, but not surely 5 % less than finite differences"
        in verdict.sentence
    )
    assert "practice was not measured" in verdict.sentence


def judged(**searches):
    return row_11_learning.judge(INVENTED[11]()._replace(searches=searches))
