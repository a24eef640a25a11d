"""The registry of schedules: ends, distinctness, sources, and the search on a model."""

import json
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.cli.listing import list_schedules
from samplerbench.benchmarks.planning.cache import default_cache
from samplerbench.benchmarks.planning.gits import SEARCH_IDS
from samplerbench.benchmarks.planning.schedules import Schedule, make_schedule
from samplerbench.benchmarks.sampling.batch import latents
from samplerbench.benchmarks.sampling.shard import CONVERGED_IDS
from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, make
from samplerbench.samplers.schedules import SCHEDULES
from samplerbench.samplers.types import references

ALONE = {
    name: entry
    for name, entry in SCHEDULES.items()
    if not entry.needs_sampler and name != "native"  # which gmm-2d brings none of
}
CLOSED = [
    name
    for name, entry in SCHEDULES.items()
    if not entry.needs_model and name not in ("dmn", "hso")  # slow; test_dmn.py, test_hso.py
]
TABLES = [
    "discrete_trailing(interpolate=True)",
    "discrete_leading(table='scaled_linear')",
    "beta(process='vp_cosine')",
    "uniform_time(process='flow')",
    "align_your_steps(model='svd')",
    "align_your_steps(model='sdxl_32')",
    "simple(table='flow')",
    "beta57(table='flux')",
    "shifted(base=\"normal(table='flow')\", shift=6.0)",
    "in_flow_time(base='kl_optimal')",
    "optimal_steps(model='wan')",
]
# their last evaluation is above sigma_min, which their sources say
EARLY_END = ("discrete_trailing", "simple", "sgm_uniform", "ddim_uniform", "sd_turbo", "beta_rows")
EARLY_END += ("beta57", "linear_quadratic", "bong_tangent", "optimal_steps", "gits_lists")


@pytest.fixture(scope="module")
def gmm():
    return make_model("gmm-2d")


@pytest.fixture(scope="module")
def alone(gmm):
    return {name: make_schedule(name).for_model(gmm) for name in ALONE}


@pytest.fixture(scope="module")
def searched(alone):
    return alone["gits"]


@pytest.mark.parametrize("spec", [*CLOSED, *TABLES])
@settings(max_examples=40)
@given(
    n=st.integers(1, 40),
    low=st.floats(1e-3, 0.3),
    high=st.floats(2.0, 150.0),
    to_zero=st.booleans(),
)
def test_every_schedule_gives_a_grid_with_the_right_ends(spec, n, low, high, to_zero):
    grid = make_schedule(spec)(n, low, high, to_zero=to_zero)
    assert len(grid) == n
    assert grid.sigma[0] == high
    assert grid.to_zero == to_zero
    if not to_zero:
        assert grid.sigma[-1] == low
    elif n == 1:
        assert grid.sigma == (high, 0.0)
    elif not spec.startswith(EARLY_END):
        assert grid.sigma[-2] == low


def close(one, other):
    return one.sigma == pytest.approx(other.sigma, rel=1e-6)


@pytest.mark.slow
def test_no_two_names_give_the_same_levels_unless_one_says_so(gmm, alone):
    grids = {name: schedule(7, gmm.sigma_min, gmm.sigma_max) for name, schedule in alone.items()}
    said = {name: entry.same_as or name for name, entry in ALONE.items()}
    for one, other in combinations(ALONE, 2):
        assert close(grids[one], grids[other]) == (said[one] == said[other]), (one, other)


@pytest.mark.parametrize("name", [name for name, entry in SCHEDULES.items() if entry.same_as])
def test_the_schedule_that_a_name_points_to_is_the_same(name, gmm):
    for n in (1, 2, 10, 31):
        ends = n, gmm.sigma_min, gmm.sigma_max
        assert close(make_schedule(name)(*ends), make_schedule(SCHEDULES[name].same_as)(*ends))


@pytest.mark.slow
def test_no_two_names_give_the_same_trajectory_on_gmm_2d(gmm, alone):
    ids = torch.arange(4)
    bound, x = gmm.bind(ids, 0), latents(gmm, ids, 0, gmm.dtype)[0]
    ends = {}
    for name, entry in ALONE.items():
        if not entry.same_as:
            grid = alone[name](7, gmm.sigma_min, gmm.sigma_max)
            ends[name] = make("euler").sample(bound, x, grid, NoNoise())
    for one, other in combinations(ends, 2):
        assert (ends[one] - ends[other]).abs().max() > 1e-6, (one, other)


def test_the_listing_has_a_source_for_every_schedule():
    rows = {row["name"]: row for row in list_schedules()}
    assert set(rows) == set(SCHEDULES)
    for row in rows.values():
        key, _, where = row["source"].partition(": ")
        assert key in references()
        assert where
        assert row["url"].startswith("https://")
        assert row["summary"].endswith(".")
    assert rows["karras"]["options"] == {"rho": 7.0}
    assert rows["beta"]["options"] == {"process": "vp_linear", "alpha": 0.6, "beta": 0.6}
    assert rows["edm_ve"]["same_as"] == "uniform_lambda"


def test_for_model_changes_nothing_where_no_model_is_needed(gmm):
    karras = make_schedule("karras")
    assert karras.for_model(gmm) is karras


def test_a_search_without_a_model_is_a_sentence():
    schedule = make_schedule("gits(latents=4)")
    assert schedule.needs_model
    with pytest.raises(
        ValueError,
        match=r"schedule 'gits\(latents=4\)' depends on the " r"model; call its for_model",
    ):
        schedule(5, 0.002, 80.0)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("gits(latents=0)", "latents >= 1"),
        ("gits(weight=0.0)", "weight > 0"),
        ("gits(teacher='ddpm')", "must be a deterministic sampler on a fixed grid"),
        ("gits(teacher='scipy_rk45')", "must be a deterministic sampler on a fixed grid"),
        ("gits(teacher='nobody')", "unknown sampler 'nobody'"),
    ],
)
def test_wrong_searches_are_refused_before_a_model_is_there(spec, reason):
    with pytest.raises(ValueError, match=reason):
        make_schedule(spec)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40, 65])
def test_a_searched_grid_has_the_right_ends(n, searched, gmm):
    grid = searched(n, gmm.sigma_min, gmm.sigma_max)
    assert len(grid) == n
    assert (grid.sigma[0], grid.sigma[-1]) == (gmm.sigma_max, 0.0)
    if n > 1:
        assert grid.sigma[-2] == gmm.sigma_min
        assert searched(n - 1, gmm.sigma_min, gmm.sigma_max, to_zero=False).sigma == grid.sigma[:-1]


def test_more_steps_than_were_searched_or_another_range_is_a_sentence(searched, gmm):
    with pytest.raises(
        ValueError,
        match="gits searched 64 steps, too few for 70; give it teacher_steps=69 or more",
    ):
        searched(70, gmm.sigma_min, gmm.sigma_max)
    with pytest.raises(
        ValueError, match=r"gits was searched from 80 to 0\.002, not from " r"40 to 0\.002"
    ):
        searched(7, 0.002, 40.0)


@pytest.fixture(scope="module")
def squared_error(gmm):
    """Of Euler's steps on the latents of the search."""
    ids = torch.arange(SEARCH_IDS, SEARCH_IDS + 64)
    x, bound = latents(gmm, ids, 0, gmm.dtype)[0], gmm.bind(ids, 0)
    truth = make("dpm_solver_3m").sample(
        bound, x, make_schedule("karras")(256, gmm.sigma_min, gmm.sigma_max), NoNoise()
    )

    def measure(grid):
        return float((make("euler").sample(bound, x, grid, NoNoise()) - truth).square().mean())

    return measure


@pytest.mark.parametrize("n", [5, 9, 17])
def test_a_search_is_cheaper_and_better_than_karras_on_its_own_latents(
    n, searched, gmm, squared_error
):
    """A karras grid of a divisor of the fine steps is a path on the fine grid, so the search
    cannot cost more than it.
    """
    found, karras = (
        make_schedule("gits(weight=1.0)").for_model(gmm).searched,
        make_schedule("karras"),
    )

    def total(grid):
        nodes = [min(range(65), key=lambda i: abs(found.levels[i] - s)) for s in grid.sigma[:-1]]
        return sum(found.cost[i, j] for i, j in pairwise(nodes))

    ends = n, gmm.sigma_min, gmm.sigma_max
    assert total(found(*ends)) < total(karras(*ends))
    assert squared_error(searched(*ends)) < squared_error(karras(*ends))


def test_a_search_is_kept_and_counted(tmp_path, gmm, monkeypatch):
    schedule = make_schedule("gits(teacher_steps=6, latents=3)")
    first = schedule.for_model(gmm, tmp_path)
    (path,) = tmp_path.glob("gits-*")
    stored = json.loads(path.read_text())
    assert stored["evaluations"] == first.searched.evaluations == 3 * (6 + 6)
    assert stored["key"]["identity"] == gmm.identity

    monkeypatch.setattr(type(gmm), "denoise", lambda *_: pytest.fail("evaluated again"))
    again = schedule.for_model(gmm, tmp_path)
    assert (again.searched.cost == first.searched.cost).all()
    # the same costs
    heavier = make_schedule("gits(teacher_steps=6, latents=3, weight=2.0)").for_model(gmm, tmp_path)
    assert heavier.searched.weight == 2.0


def test_a_damaged_or_foreign_cache_file_is_replaced(tmp_path, gmm):
    schedule = make_schedule("gits(teacher_steps=4, latents=2)")
    whole = schedule.for_model(gmm, tmp_path).searched.cost
    (path,) = tmp_path.glob("gits-*")
    changed = path.read_text().replace('"evaluations": ', '"evaluations": 1')
    for content in ("{", '{"key": 1}', "[]", changed):
        path.write_text(content)
        assert (schedule.for_model(gmm, tmp_path).searched.cost == whole).all()
        assert json.loads(path.read_text())["key"]["teacher_steps"] == 4


def test_latents_of_a_search_belong_to_no_run():
    assert SEARCH_IDS + 10**6 < CONVERGED_IDS


def test_a_search_is_no_part_of_a_schedules_identity(searched):
    assert searched == make_schedule("gits") == Schedule("gits", ())
    assert searched.label == "gits"


def test_the_cache_follows_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path))
    assert default_cache() == tmp_path


def test_plan__writes_into_the_cache_only_as_its_help_says(samplerbench, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path / "cache"))
    asked = ["--model", "gmm-2d", "--sampler", "euler", "--schedule", "gits", "--steps", "3"]
    assert samplerbench("plan", "smoke", *asked, "--json")[0] == 0
    files = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"cache"}
    assert "Only the cache is written." in samplerbench("plan", "--help")[1]
