"""Whether a table here predicts one there: what is run is what was published, correlations are right,
and a second run measures nothing.
"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from looping import each
from rich.console import Console
from scipy.stats import kendalltau, spearmanr

from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.running.executors.tasks import ShardTask
from samplerbench.results.published.rows import read_published_rows, rows_of_model
from samplerbench.samplers import Grid, make, names
from samplerbench_studies.validity import choosing, sets, study
from samplerbench_studies.validity.correlation import (
    Pair,
    bootstrap_interval,
    kendall,
    mean_over_budgets,
    share_ordered_alike,
    spearman,
)
from samplerbench_studies.validity.measuring import COLUMNS, OWN_ERROR, Depth, measure_model
from samplerbench_studies.validity.methods import (
    DIFF_SAMPLER,
    LEFT_OUT,
    method_of,
    why_not_runnable,
)
from samplerbench_studies.validity.predicting import Predictor, ceiling_pairs, is_stochastic

ALL = sets.budgets_by_method()


# What is run is what was published.


@each("method", ALL, ids=lambda method: method.name)
def test_method__spends_what_its_rows_say(method):
    """Exactly: a budget that a sampler cannot spend to the last evaluation is another method."""
    schedule = "karras" if method.schedule == "gits" else method.schedule
    spends = {}
    for steps in range(1, 51):
        grid = make_schedule(schedule)(steps, 0.002, 80.0, to_zero=method.end == "zero")
        spends[make(method.sampler).nfe(grid)] = steps
    assert ALL[method] <= spends.keys()


@each("method", ALL, ids=lambda method: method.name)
def test_method__its_evaluations_are_counted_alike(method):
    sampler = make(method.sampler)
    grid = Grid((80.0, 10.0, 2.0, 0.5, 0.002, *([0.0] if method.end == "zero" else [])))
    calls = []

    def denoise(x, sigma):
        calls.append(float(sigma))
        return 0.3 * x / (1 + sigma)

    noise = None
    if sampler.stochastic:
        from samplerbench.samplers import SampleNoise

        noise = SampleNoise(0, torch.arange(2), (3,), torch.float64)
    sampler.sample(denoise, torch.randn(2, 3, dtype=torch.float64), grid, noise)
    assert len(calls) == sampler.nfe(grid)


def test_rows_that_are_left_out_have_a_reason():
    for name in sets.SETS:
        for row in rows_of_model(sets.SETS[name]):
            assert method_of(row) is not None or why_not_runnable(row)
    learned = [row for row in read_published_rows() if row.grid in ("learned", "searched")]
    assert learned
    assert all(method_of(row) is None for row in learned)
    solvers = {row.solver for row in read_published_rows()}
    assert {solver for left in LEFT_OUT.values() for solver in left} <= solvers


def test_an_odd_count_of_a_two_stage_method_means_an_analytic_first_step():
    row = next(
        r for r in read_published_rows() if r.solver == "Heun" and r.paper == DIFF_SAMPLER[0]
    )
    assert method_of(replace(row, nfe="8")).sampler == "heun"
    assert method_of(replace(row, nfe="9")).sampler == "authors_heun_afs"


def test_the_authors_samplers_are_in_no_list():
    assert not [name for name in names() if name.startswith("authors_")]


@pytest.mark.parametrize(
    ("ours", "base"), [("authors_heun_afs", "heun"), ("authors_dpm_2_afs", "dpm_2")]
)
def test_an_analytic_first_step_takes_eps_from_the_noise(ours, base):
    """Where the formula is exact, on data of variance 1, nothing changes but the count."""

    def denoise(x, sigma):
        return x * (1 - sigma / math.hypot(1, sigma))  # eps = x / sqrt(1 + sigma²)

    grid, x = Grid((80.0, 5.0, 0.5, 0.002)), torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(
        make(ours).sample(denoise, x, grid), make(base).sample(denoise, x, grid)
    )
    assert make(ours).nfe(grid) == make(base).nfe(grid) - 1


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        ("authors_dpmpp_3m", "dpmpp_3m_published(last=(2, 1))"),
        ("authors_unipc_3", "unipc_3_published"),
    ],
)
def test_thresholding_changes_what_leaves_the_range_only(ours, base):
    grid, x = Grid((80.0, 5.0, 0.5, 0.002)), 80 * torch.randn(4, 3, dtype=torch.float64)
    inside = [
        make(one).sample(lambda y, s: 0.9 * torch.tanh(y / s), x, grid) for one in (ours, base)
    ]
    torch.testing.assert_close(*inside)
    outside = [
        make(one).sample(lambda y, s: 3 * torch.tanh(y / s), x, grid) for one in (ours, base)
    ]
    assert outside[0].abs().max() < 1.1 < outside[1].abs().max()


def test_plainly_bad_is_told_by_cifar10():
    worst = max(sets.points_by_budget("cifar10")[10], key=lambda point: point.fid)
    best = min(sets.points_by_budget("cifar10")[10], key=lambda point: point.fid)
    assert sets.is_plainly_bad("cifar10", worst)
    assert not sets.is_plainly_bad("cifar10", best)
    elsewhere = replace(worst, fid=0.0)  # its own number decides nothing
    assert sets.is_plainly_bad("ffhq64", elsewhere)


# Correlations.


def pairs_of(x, y, budget=5):
    return [Pair(f"m{i}", budget, a, b) for i, (a, b) in enumerate(zip(x, y, strict=True))]


def test_correlations_are_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 20), rng.normal(size=20)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(kendalltau(x, y).statistic)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_budgets_are_never_mixed():
    """Both fall with evaluations: across budgets they agree, within each they do not."""
    y = np.arange(6.0)
    pairs = [*pairs_of(100 - y, 100 + y, 5), *pairs_of(10 - y, 10 + y, 10)]
    assert mean_over_budgets(pairs) == -1
    assert share_ordered_alike(pairs) == 0


def test_a_budget_with_too_few_methods_has_none_in_a_bootstrap_either():
    """Where a method is drawn twice, its budget does not become one with enough."""
    few = pairs_of(range(4), [0, 2, 1, 3], 5)
    assert all(map(math.isnan, bootstrap_interval(few, mean_over_budgets, replicates=50)))
    y = np.arange(8.0)
    assert bootstrap_interval(
        [*few, *pairs_of(y, y, 10)], mean_over_budgets, replicates=50
    ) == pytest.approx((1, 1))


def test_a_budget_counts_by_its_methods_and_too_few_are_none():
    y = np.arange(11.0)
    pairs = [*pairs_of(y, y, 5), *pairs_of(-y[:6], y[:6], 10), *pairs_of(-y[:4], y[:4], 20)]
    assert mean_over_budgets(pairs) == pytest.approx((10 - 5) / 15)


def test_pairs_count_where_they_are_far_enough_apart():
    pairs = pairs_of([1, 2, 0.5, 4, 5], [1.0, 1.05, 1.08, 2.0, 4.0])
    assert share_ordered_alike(pairs, 0.5) == 1
    assert share_ordered_alike(pairs) == pytest.approx(8 / 10)


def test_intervals_cover():
    """Of methods drawn from a law with a known rank correlation, in 95 % of draws or nearly: the
    bootstrap over so few methods is somewhat short.
    """
    rho, n, hits = 0.7, 20, 0
    true = 6 / np.pi * np.arcsin(rho / 2)
    rng = np.random.default_rng(1)
    for k in range(40):
        x = rng.normal(size=n)
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)
        low, high = bootstrap_interval(pairs_of(x, y), mean_over_budgets, replicates=150, seed=k)
        hits += low <= true <= high
    assert hits >= 33


def test_methods_are_drawn_with_all_their_budgets():
    """A method's budgets are no independent evidence: ten copies of one budget say what one says."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 12))
    once = bootstrap_interval(pairs_of(x, y), mean_over_budgets, replicates=300)
    often = [pair for budget in range(5, 15) for pair in pairs_of(x, y, budget)]
    assert bootstrap_interval(often, mean_over_budgets, replicates=300) == pytest.approx(
        once, abs=1e-9
    )


# Runs.


@pytest.fixture(scope="module")
def few():
    """Three methods at two budgets."""
    chosen = [m for m in ALL if {5, 6} <= ALL[m] and m.schedule in ("karras", "uniform_lambda")][:3]
    return {method: {5, 6} for method in chosen}


@pytest.mark.slow
def test_a_run_has_all_columns_and_a_second_one_samples_nothing(few, tmp_path, monkeypatch):
    depth = Depth(samples=16, latents=8)
    first = measure_model("gmm-2d", few, depth, tmp_path, console=Console(quiet=True))
    assert first.keys() == {(method, budget) for method in few for budget in (5, 6)}
    assert all(
        {"rmse", "fd_conv"} <= columns.keys() <= {*COLUMNS, OWN_ERROR} for columns in first.values()
    )
    assert not any(is_stochastic(method) for method in few)
    monkeypatch.setattr(ShardTask, "__call__", lambda *_: pytest.fail("sampled again"))
    again = measure_model("gmm-2d", few, depth, tmp_path, console=Console(quiet=True))
    assert again == first


@pytest.fixture
def oracle():
    """A model whose column is the published number of CIFAR-10, and its own set's elsewhere."""
    known = {}
    for name in reversed(sets.SETS):
        known |= {(p.method, p.budget): {"swd": p.fid} for p in sets.points_of_set(name)}
    return {"gaussian": known}


def test_a_perfect_column_orders_its_own_set_and_does_as_the_ceiling_elsewhere(oracle):
    one = Predictor(("gaussian",), "swd")
    own = one.pairs(oracle, "cifar10", "all")
    assert mean_over_budgets(own) == 1
    assert share_ordered_alike(own, 0.1) == 1
    few = one.pairs(oracle, "cifar10", "all", bad=False)
    assert len(few) < len(own)
    assert len(one.pairs(oracle, "cifar10", "deterministic")) < len(own)
    there = one.pairs(oracle, "imagenet64", "all")
    assert mean_over_budgets(there) == mean_over_budgets(ceiling_pairs("imagenet64", "all")) < 1


def test_mean_ranks_of_models_need_no_common_scale(oracle):
    twice = {
        "a": oracle["gaussian"],
        "b": {k: {"swd": 1e6 * v["swd"] ** 3} for k, v in oracle["gaussian"].items()},
    }
    assert mean_over_budgets(Predictor(("a", "b"), "swd").pairs(twice, "cifar10", "all")) == 1


def test_the_first_on_cifar10_covers_most_points(oracle):
    some = dict(list(oracle["gaussian"].items())[:20])
    found = choosing.tried_predictors({"gaussian": oracle["gaussian"], "digits": some}, "all")
    assert [one.predictor.models for one in found] == [("gaussian",)]
    assert found[0].score == 1


def test_the_tables_are_written_with_what_is_left_out(oracle, tmp_path, monkeypatch):
    choice = choosing.Choice(Predictor(("gaussian",), "swd"), Depth())
    monkeypatch.setattr(study, "CHOICES", {"all": choice})
    monkeypatch.setattr(study, "REPLICATES", 5)
    rows = study.Validity(tmp_path).tables(oracle)
    assert {row["set"] for row in rows} == {*sets.SETS, "all but CIFAR-10"}
    names = ("validity.csv", "tried.csv", "measured.csv", "properties.csv", "by-budget.csv")
    assert all((tmp_path / name).read_text().count("\n") > 1 for name in names)
    assert re.search(r"learned.*AdaSDE", (tmp_path / "validity.md").read_text())
