"""The schedule ``equal_error``: the path is the best of all, and its steps err alike."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from looping import each

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models import make_model
from samplerbench.samplers import karras
from samplerbench.samplers.schedules.optimised import minimax_path


@each("steps", [1, 2, 3, 6])
@each("seed", range(8))
def test_equal_error__the_path_is_the_best_of_all(seed, steps):
    cost = np.triu(np.random.default_rng(seed).integers(1, 9, (7, 7)).astype(float), 1)
    every = [(0, *inner, 6) for inner in combinations(range(1, 6), steps - 1)]
    worth = {
        path: (max(parts), sum(part**2 for part in parts))
        for path in every
        if (parts := [cost[i, j] for i, j in pairwise(path)])
    }
    assert worth[tuple(minimax_path(cost, steps))] == min(worth.values())


def test_the_same_costs_serve_gits(tmp_path):
    model = make_model("gmm-2d")
    first = make_schedule("equal_error(latents=4)").for_model(model, tmp_path).searched
    (kept,) = tmp_path.glob("gits-*")
    before = kept.stat().st_mtime_ns
    again = make_schedule("gits(latents=4)").for_model(model, tmp_path).searched
    assert [*tmp_path.glob("gits-*")] == [kept]
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(first.cost, again.cost)


def test_steps_err_alike():
    model = make_model("gmm-2d")
    found = make_schedule("equal_error(teacher_steps=128, latents=32)").for_model(model).searched
    place = {level: k for k, level in enumerate(found.levels)}
    even, usual = (
        [found.cost[place[a], place[b]] for a, b in pairwise(levels)]
        for levels in (
            found(12, model.sigma_min, model.sigma_max).sigma[:-1],
            [min(found.levels, key=lambda one: abs(one - s)) for s in karras(12, 0.002, 80).sigma],
        )
    )
    assert max(even) < 1.5 * np.median(even)
    assert max(even) < 0.5 * max(usual)


def test_what_is_wrong_is_said_by_its_name():
    with pytest.raises(ValueError, match="equal_error needs teacher_steps >= 2"):
        make_schedule("equal_error(latents=0)")
    with pytest.raises(ValueError, match="equal_error: teacher 'ddpm' must be"):
        make_schedule("equal_error(teacher='ddpm')")
