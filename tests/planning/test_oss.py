"""Schedule ``oss``: its search against brute force, real runs of solvers, counts, cache, refusals."""

from itertools import combinations

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.planning.oss import best_paths, coefficients_by_step, median_path
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.models import make_model
from samplerbench.samplers import Grid, NoNoise, SampleNoise, integrate, karras, make

FINE = 9
SOLVERS = ["euler", "dpmpp_2m", "dpmpp_3m", "ipndm", "vab_2", "lms"]


@pytest.fixture(scope="module")
def gmm():
    return make_model("gmm-2d")


def problem(model, fine, row=0):
    """Levels, states of a teacher, and the denoiser of one latent."""
    levels = karras(fine, model.sigma_min, model.sigma_max, to_zero=False).sigma
    ids = torch.full((fine,), row)
    bound, noise = model.bind(ids, 0), SampleNoise(0, ids, model.event, model.dtype)
    states = [model.sigma_max * noise.initial()]
    integrate(
        make("heun"), bound, states[0], Grid(levels), NoNoise(),
        on_step=lambda _i, _s, x: states.append(x),
    )  # fmt: skip
    return levels, torch.stack([x[0] for x in states]), bound


def error_of(solver, levels, targets, bound, path):
    """Mean square distance to the last target of the solver's run down to 0, before its last step."""
    states = [targets[:1]]
    integrate(
        solver, bound.take(torch.arange(1)), targets[:1], Grid((*(levels[i] for i in path), 0.0)),
        NoNoise(), on_step=lambda _i, _s, x: states.append(x),
    )  # fmt: skip
    return float((states[-2] - targets[-1]).square().mean())


@each("spec", SOLVERS)
def test_best_paths__have_the_errors_of_real_runs(spec, gmm):
    levels, targets, bound = problem(gmm, FINE)
    solver = make(spec)
    found = best_paths(
        bound, targets, levels, solver, coefficients_by_step(solver, levels[-1]), FINE
    )
    for steps, student in enumerate(found, 1):
        assert len(student.path) == steps + 1
        real = error_of(solver, levels, targets, bound, student.path)
        assert student.error == pytest.approx(real, rel=1e-9), (spec, steps)


@each("row", range(3))
def test_best_paths__one_and_two_steps_are_the_best_of_all(row, gmm):
    """From three steps on, a level keeps one state only, and the search is no longer exhaustive."""
    levels, targets, bound = problem(gmm, FINE, row)
    solver = make("euler")
    found = best_paths(bound, targets, levels, solver, coefficients_by_step(solver, levels[-1]), 3)
    for steps, student in enumerate(found, 1):
        errors = {
            (0, *inner, FINE): error_of(solver, levels, targets, bound, (0, *inner, FINE))
            for inner in combinations(range(1, FINE), steps - 1)
        }
        best = min(errors, key=lambda path: errors[path])
        assert student.path == best if steps < 3 else student.error < 4 * errors[best]


def test_median_path__rises_strictly():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 8):
        paths = [
            (0, *sorted(rng.choice(np.arange(1, 20), 6, replace=False)), 20) for _ in range(count)
        ]
        assert (np.diff(median_path(paths)) > 0).all()
    assert median_path([(0, 3, 9), (0, 6, 9)]) == [0, 4, 9]


@pytest.mark.slow
@each("solver", ["euler", "dpmpp_2m"])
def test_oss__lowers_its_own_error(solver, gmm):
    schedule = make_schedule(f"oss(solver='{solver}', steps=8, teacher_steps=32, latents=8)")
    found = schedule.for_model(gmm)
    ids = torch.arange(64)
    bound = gmm.bind(ids, 0)
    x = gmm.sigma_max * SampleNoise(0, ids, gmm.event, gmm.dtype).initial()
    ends = gmm.endpoint(x)
    errors = {
        name: (make(solver).sample(bound, x, one(6, gmm.sigma_min, gmm.sigma_max)) - ends)
        .norm(dim=1)
        .median()
        for name, one in {"oss": found, "karras": make_schedule("karras")}.items()
    }
    assert errors["oss"] < 0.9 * errors["karras"]


def test_oss__evaluations_are_counted_and_results_kept(tmp_path, gmm, monkeypatch):
    spec = "oss(steps=4, teacher_steps=8, latents=3)"
    first = make_schedule(spec).for_model(gmm, tmp_path).searched
    # the teacher; one state; then all but the last level, the first k of which k steps cannot reach
    assert first.evaluations == 3 * (8 + 1 + 7 + 6 + 5)
    monkeypatch.setattr(
        "samplerbench.benchmarks.planning.oss.best_paths", lambda *_: pytest.fail("again")
    )
    again = make_schedule(spec).for_model(gmm, tmp_path).searched
    assert (again.paths, again.levels) == (first.paths, first.levels)


def test_oss__fewer_steps_are_the_same_search(gmm):
    long, short = (
        make_schedule(f"oss(steps={steps}, teacher_steps=12, latents=2)").for_model(gmm).searched
        for steps in (6, 3)
    )
    assert long.paths[:3] == short.paths


@each("n", [1, 2, 3, 5])
def test_oss__its_grids_have_the_right_ends(n, gmm):
    found = make_schedule("oss(steps=5, teacher_steps=12, latents=2)").for_model(gmm)
    grid = found(n, gmm.sigma_min, gmm.sigma_max)
    assert (len(grid), grid.sigma[0], grid.sigma[-1]) == (n, gmm.sigma_max, 0.0)
    if n > 1:
        assert found(n - 1, gmm.sigma_min, gmm.sigma_max, to_zero=False).sigma == grid.sigma[:-1]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("oss(steps=65)", "steps from 1 to teacher_steps"),
        ("oss(latents=0)", "latents >= 1"),
        ("oss(teacher='ddpm')", "teacher 'ddpm' must be a deterministic"),
        ("oss(solver='heun')", "makes steps of several evaluations"),
        ("oss(solver='ddpm')", "draws noise"),
        ("oss(solver='dpm_solver_fast')", "depend on the number of the step"),
    ],
)
def test_oss__wrong_options_are_refused_before_a_model_is_there(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


def test_oss__more_steps_than_searched_are_refused(gmm):
    found = make_schedule("oss(steps=3, teacher_steps=8, latents=1)").for_model(gmm)
    with pytest.raises(
        ValueError, match="oss searched 3 steps, too few for 6; give it steps=5 or more"
    ):
        found(6, gmm.sigma_min, gmm.sigma_max)
