"""Coefficients that are tuned: the table is the sampler, and what is found is used by a run and by nothing else."""

import pickle

import numpy as np
import pytest
import torch
from tuners import refusal, tuner

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned_file import TunedEntry, read_tuned
from samplerbench.benchmarks.running.executors.tasks import PicklableSampler
from samplerbench.benchmarks.tuning.least_squares import Fit
from samplerbench.benchmarks.tuning.problem import TRAIN_IDS, tuning_problem
from samplerbench.benchmarks.tuning.search import fit_coefficients
from samplerbench.benchmarks.tuning.tuning import move_coefficients, targets_of
from samplerbench.samplers import Grid, karras, make
from samplerbench.samplers.families.tabulated import Tabulated, tabulate
from samplerbench.samplers.spec import label_of

LINEAR = (
    "euler",
    "dpmpp_2m",
    "ipndm",
    "dpm_solver_3m",
    "reab_3",
    "ipndm(through_zero=True)",
    "warped_ab_3(corrector=True)",
    "dpmpp_2m(analytic_first=True)",
    "warped_ab_3(corrector=True, analytic_first=True, deferred=True)",
    "warped_ab_2(analytic_first=True, deferred=True)",
)


@pytest.fixture(scope="module")
def train(gmm):
    return tuning_problem(gmm, TRAIN_IDS, 24, 0)


def replaced(name, grid):
    return Tabulated(stands_for=make(name), table=tabulate(make(name), grid))


# -- tables


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("steps", [2, 7])
def test_a_table_makes_the_steps_of_its_sampler(name, steps, train, gmm):
    grid = karras(steps, gmm.sigma_min, gmm.sigma_max)
    own, table = (train.sample(sampler, grid) for sampler in (make(name), replaced(name, grid)))
    torch.testing.assert_close(own, table, rtol=0, atol=1e-11)
    assert replaced(name, grid).nfe(grid) == train.nfe(make(name), grid)


def test_a_table_makes_the_steps_of_auto(train, gmm):
    grid = karras(6, gmm.sigma_min, gmm.sigma_max)
    auto = make("auto")
    levels = auto.levels(grid)
    table = Tabulated(stands_for=auto, table=tabulate(auto.method(grid), levels))
    torch.testing.assert_close(
        train.sample(auto, grid), train.sample(table, levels), rtol=0, atol=1e-11
    )
    assert table.nfe(levels) == 6


def test_it_goes_by_the_name_of_its_sampler_with_options_and_is_sent_whole(gmm):
    made = make("ipndm(through_zero=True)")
    found = replaced("ipndm(through_zero=True)", karras(4, gmm.sigma_min, gmm.sigma_max))
    assert label_of(found) == label_of(made)
    assert pickle.loads(pickle.dumps(PicklableSampler.of(found))).restore_sampler() == found != made
    with pytest.raises(ValueError, match="are for 4 steps, not for 3"):
        found.plan(karras(3, gmm.sigma_min, gmm.sigma_max))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("heun", "several evaluations"),
        ("ddpm", "draws noise"),
        ("scipy_rk45", "step along a grid"),
    ],
)
def test_what_is_no_table_is_refused(name, reason):
    with pytest.raises(ValueError, match=reason):
        tabulate(make(name), Grid((80.0, 1.0, 0.1, 0.0)))


def test_coefficients_follow_levels_and_the_sum_of_their_weights_stays():
    here, there = Grid((80.0, 2.0, 0.5, 0.0)), Grid((100.0, 1.0, 0.2, 0.0))
    table = tabulate(make("euler"), here)
    assert move_coefficients(table, here, here) == table
    carried, own = move_coefficients(table, here, there), tabulate(make("euler"), there)
    assert carried is not None
    for row, other in zip(carried, own, strict=True):
        assert [row.a, *row.b] == pytest.approx([other.a, *other.b])


# -- what is found


@pytest.fixture(scope="module")
def entries(gmm, tmp_path_factory):
    """Entries of two samplers with coefficients, tuned on 12 latents; and their file."""
    file = tmp_path_factory.mktemp("both") / "t.json"
    targets = targets_of([make("euler"), make("dpmpp_2m")], gmm, [3], None, "both")
    return tuner(file, gmm, what="both")(targets), file


@pytest.mark.slow
def test_what_is_found_is_far_nearer_and_keeps_the_sum_of_the_weights(entries):
    for entry in entries[0]:
        assert entry.train.tuned.error < 0.6 * entry.train.untuned.error
        assert entry.nfe == 3
        for a, *b in entry.coefficients or ():
            assert a + sum(b) == pytest.approx(1)


@pytest.mark.parametrize("what", ["coefficients", "both"])
def test_a_fit_that_gains_nothing_keeps_the_best_schedule(what, train, monkeypatch):
    def worse(free, *_):
        z = np.full(free.size, 3.0)
        return Fit(free.sampler_at(z), free.grid(z), 1.0, 0.5, True)

    monkeypatch.setattr("samplerbench.benchmarks.tuning.search.fit", worse)
    found = fit_coefficients(train, make("euler"), 3, "mean", what)
    assert found.table == tabulate(make("euler"), found.grid)
    kept = found.grid, found.apply_coefficients(make("euler"))
    assert train.distances(kept[1], kept[0]).mean() <= (
        train.distances(make("euler"), found.untuned).mean() + 1e-12
    )


@pytest.mark.slow
def test_a_run_takes_the_coefficients_and_another_table_is_another_cell(entries, gmm, train):
    (_, entry), file = entries
    schedule = make_schedule(f"tuned(file='{file}')").for_model(gmm).for_sampler(make("dpmpp_2m"))
    used, grid = schedule.sampler_at(make("dpmpp_2m"), 3), schedule(3, gmm.sigma_min, gmm.sigma_max)
    assert isinstance(used, Tabulated)
    assert used.table == entry.table
    assert train.distances(used, grid).mean() < train.distances(make("dpmpp_2m"), grid).mean()
    other = entry.model_dump() | {"coefficients": [[0.5, 0.5], [1, 0, 0], [0, 1, 0, 0]]}
    assert TunedEntry.model_validate(other).digest != entry.digest
    assert schedule.facts(3)["tuning_what"] == "both"
    assert read_tuned(file) == tuple(entries[0])


def test_coefficients_of_another_number_of_steps_are_refused(entries):
    wrong = entries[0][0].model_dump() | {"coefficients": [[0.5, 0.5]]}
    with pytest.raises(ValueError, match="a row for each of 3 steps"):
        TunedEntry.model_validate(wrong)
    with pytest.raises(ValueError, match="must have coefficients, since both was tuned"):
        TunedEntry.model_validate(wrong | {"coefficients": None})


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("--sampler heun --steps 3 --what both", "has no coefficients to tune: it makes steps"),
        ("--sampler euler --steps 31 --what coefficients", "give at most 30 steps"),
        ("--sampler euler --steps 3 --also sums", "give --what coefficients or both"),
        ("--sampler euler --steps 3 --also weights", "choose one of network-levels, sums"),
        ("--sampler heun --steps 3 --also network-levels", "or --what grid without --also"),
        ("--sampler euler --steps 3 --what all", "choose one of grid, coefficients, both"),
    ],
)
def test_mistakes_are_one_sentence(args, sentence, monkeypatch, capsys):
    assert sentence in refusal(["--model", "gmm-2d", *args.split()], monkeypatch, capsys)
