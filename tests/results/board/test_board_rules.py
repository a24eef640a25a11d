"""Rules that a board's files and scores keep."""

import math

import numpy as np
import pytest
from synthetic_board import NETWORKS, PROBLEMS, submission_of

from samplerbench.results.board.scoring import Score, ranks, score, score_submission


def test_submission__variants_of_a_problem_have_the_same_budgets():
    first, *others = submission_of().curves
    short = first.model_copy(update={"nfe": first.nfe[1:], "error": first.error[1:]})
    with pytest.raises(ValueError, match="as drawn and moved differs in the number of budgets"):
        submission_of(curves=(short, *others))


def test_score_submission__a_problem_without_its_moved_variant_is_not_reached():
    whole = submission_of()
    kept = tuple(curve for curve in whole.curves if not curve.moved)
    assert np.isfinite(score_submission(whole, PROBLEMS, "error").evaluations).any()
    found = score_submission(whole.model_copy(update={"curves": kept}), PROBLEMS, "error")
    assert found.area == 0
    assert score_submission(submission_of(), NETWORKS, "distance").area > 0


def test_score__without_a_degree_of_freedom_there_is_no_interval_and_no_decision():
    first, second = (score(np.full((2, 3), n), NETWORKS) for n in (5.0, 50.0))
    assert all(map(math.isnan, (*first.interval[1:], *first.relative_to(second)[1:])))
    assert second.chance_behind(first) == 0.5


def test_ranks__equal_solvers_get_different_ranks_in_at_most_5_of_100_boards():
    """With a level for each of n - 1 solvers, not for each pair, it was 26 % at 40 solvers."""
    rng, wrong = np.random.default_rng(0), 0
    flips = np.random.default_rng(2026).integers(2, size=(2000, 7))
    for _ in range(60):
        areas = rng.normal(0.5, 0.05, size=(40, 7, 2))
        drawn = np.take_along_axis(areas[:, None], flips[None, :, :, None], axis=-1)
        found = ranks(
            {
                str(n): Score(np.ones((14, 1)), own.mean(), some[..., 0].mean(-1), 7)
                for n, (own, some) in enumerate(zip(areas, drawn, strict=True))
            }
        )
        wrong += max(found.values()) > 1
    assert wrong <= 3
