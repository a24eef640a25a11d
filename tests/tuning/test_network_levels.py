"""Levels that the network is given apart from the grid's, and sums of coefficients that are free."""

import json
import pickle

import numpy as np
import pytest
import torch
from tuners import fitted, tuner

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned_file import read_tuned
from samplerbench.benchmarks.running.executors.tasks import PicklableSampler
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters, project_grid
from samplerbench.benchmarks.tuning.problem import TEST_IDS, TRAIN_IDS, power_mean, tuning_problem
from samplerbench.benchmarks.tuning.tuning import Target, move_coefficients
from samplerbench.models import from_function
from samplerbench.samplers import Grid, karras, make
from samplerbench.samplers.families.tabulated import Tabulated, tabulate

STEPS = 5


@pytest.fixture(scope="module")
def train(gmm):
    return tuning_problem(gmm, TRAIN_IDS, 96, 0)


@pytest.fixture(scope="module")
def test(gmm):
    return tuning_problem(gmm, TEST_IDS, 128, 0)


def with_levels(name, grid, shares):
    rows = zip(tabulate(make(name), grid), shares, grid.sigma, strict=False)
    table = tuple(row._replace(level=share * sigma) for row, share, sigma in rows)
    return Tabulated(stands_for=make(name), table=table)


@pytest.fixture(scope="module")
def grid(gmm):
    return project_grid(karras(STEPS, gmm.sigma_min, gmm.sigma_max), gmm.sigma_min, gmm.sigma_max)


def test_tabulated__the_network_is_given_the_levels_of_the_table_and_the_states_do_not_change(gmm):
    grid, given = karras(4, gmm.sigma_min, gmm.sigma_max), []
    x = gmm.sigma_max * torch.randn(3, 2, dtype=gmm.dtype)

    def denoise(state, sigma):
        given.append(float(sigma))
        return 0.5 * state

    own = make("dpmpp_2m").sample(denoise, x, grid)
    shares = (0.9, 1.1, 1.2, 0.8)
    moved = with_levels("dpmpp_2m", grid, shares).sample(denoise, x, grid)
    assert given[:4] == pytest.approx(grid.sigma[:4])
    assert given[4:] == pytest.approx([a * b for a, b in zip(shares, grid.sigma, strict=False)])
    torch.testing.assert_close(own, moved)  # this denoiser does not see the level


def test_tabulated__translates_only_if_the_sums_of_rows_are_1():
    table = tabulate(make("dpmpp_2m"), karras(3, 0.1, 10.0))
    assert Tabulated(stands_for=make("dpmpp_2m"), table=table).translates
    longer = (*table[:2], table[2]._replace(b=(1.5, *table[2].b[1:])))
    assert not Tabulated(stands_for=make("dpmpp_2m"), table=longer).translates


def test_tabulated__levels_undo_a_network_that_reads_them_too_high(gmm):

    def denoise(x, sigma):
        return gmm.bind(torch.zeros(len(x), dtype=torch.long), 0)(x, 1.2 * sigma)

    wrong = from_function(
        denoise, event=gmm.event, sigma_min=gmm.sigma_min, sigma_max=gmm.sigma_max, dtype=gmm.dtype
    )
    grid = karras(STEPS, gmm.sigma_min, 60.0)
    sampler = with_levels("dpmpp_2m", grid, [1 / 1.2] * STEPS)
    x = 60.0 * torch.randn(8, 2, dtype=gmm.dtype)
    ids = torch.arange(8)
    right = make("dpmpp_2m").sample(gmm.bind(ids, 0), x, grid)
    torch.testing.assert_close(sampler.sample(wrong.bind(ids, 0), x, grid), right)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["levels", "both"])
def test_fit__free_network_levels_and_sums_come_nearer_on_other_latents(what, train, test, grid):
    def error(found):
        return power_mean(test.distances(found.sampler, found.grid), 0)

    sums = what == "both"
    plain = fitted(train, make("zab_3"), grid, 64, what=what)
    also = {"network_levels": True, "free_sums": sums}
    more = fitted(train, plain.sampler, plain.grid, 64, what=what, **also)
    assert more.after <= plain.after < 0.5 * plain.before
    assert error(more) < 1.05 * error(plain)


def test_fit__far_from_the_best_numbers_short_steps_gain(train, grid):
    found = fitted(train, make("dpmpp_2m"), grid, 64, what="both", network_levels=True)
    assert found.after < 0.3 * found.before


def test_free_parameters__start_at_the_sampler_and_count_all_numbers():
    grid = project_grid(karras(4, 0.1, 10.0), 0.1, 10.0)
    free = FreeParameters(
        with_levels("dpmpp_2m", grid, (1.0, 0.9, 1.1, 1.2)),
        grid,
        0.1,
        10.0,
        "both",
        free_sums=True,
        network_levels=True,
    )
    assert free.size == 4 + 6 + 4 + 4 + 4
    table = free.table(np.zeros(free.size))
    assert [row.level for row in table] == pytest.approx(
        [share * sigma for share, sigma in zip((1.0, 0.9, 1.1, 1.2), grid.sigma, strict=False)]
    )
    moved = free.table(np.full(free.size, 1e-3))
    assert all(abs(row.a + sum(row.b) - 1) > 1e-4 for row in moved)


def test_free_parameters__coefficients_that_are_not_free_follow_the_grid():
    """Also from a table, as a search starts that goes on beside finer endpoints."""
    grid = project_grid(karras(4, 0.1, 10.0), 0.1, 10.0)
    start = with_levels("dpmpp_2m", grid, (1.0, 0.9, 1.1, 1.2))
    free = FreeParameters(start, grid, 0.1, 10.0, "levels", network_levels=True)
    z = np.linspace(-0.3, 0.4, free.size)
    for row, own in zip(free.table(z), tabulate(make("dpmpp_2m"), free.grid(z)), strict=True):
        assert [row.a, *row.b] == pytest.approx([own.a, *own.b])


def test_tune__what_is_found_is_written_read_and_run(tmp_path, gmm):
    file = tmp_path / "tuned.json"
    target = Target(make("dpmpp_2m"), 3)
    tune = tuner(file, gmm, what="both", also=("network-levels", "sums"))
    (entry,) = tune([target])
    assert len(entry.network_levels) == 3
    assert entry.facts["tuning_what"] == "both+network-levels+sums"
    assert read_tuned(file) == (entry,)
    schedule = make_schedule(f"tuned(file='{file}')").for_model(gmm).for_sampler(make("dpmpp_2m"))
    sampler = schedule.sampler_at(make("dpmpp_2m"), 3)
    assert tuple(row.level for row in sampler.table) == entry.network_levels
    assert pickle.loads(pickle.dumps(PicklableSampler.of(sampler))).restore_sampler() == sampler
    changed = entry.model_copy(update={"network_levels": (1.0, 0.5, 0.1)})
    assert changed.digest != entry.digest


def test_tune__levels_of_grid_and_network_without_coefficients_keep_those_of_the_sampler(
    tmp_path, gmm
):
    tune = tuner(tmp_path / "tuned.json", gmm, also=("network-levels",))
    (entry,) = tune([Target(make("dpmpp_2m"), 3)])
    own = tabulate(make("dpmpp_2m"), Grid(entry.levels))
    for row, found in zip(own, entry.table, strict=True):
        assert [found.a, *found.b] == pytest.approx([row.a, *row.b])


def test_move_coefficients__levels_keep_their_ratio_up_to_the_highest():
    old, new = karras(3, 0.1, 10.0), karras(3, 0.2, 40.0)
    moved = move_coefficients(with_levels("dpmpp_2m", old, (1.5, 0.5, 2.0)).table, old, new)
    assert [row.level for row in moved] == pytest.approx([40.0, 0.5 * new.sigma[1], 2 * 0.2])


def test_tune__a_file_with_levels_that_no_network_takes_is_refused(tmp_path, gmm):
    file = tmp_path / "tuned.json"
    tune = tuner(file, gmm, what="both", also=("network-levels",))
    tune([Target(make("dpmpp_2m"), 3)])
    content = json.loads(file.read_text())
    content["tuned"][0]["network_levels"][1] = -1.0
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is no file of tuned schedules"):
        read_tuned(file)
