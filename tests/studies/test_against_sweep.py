"""Recommendations beside a sweep."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.advice.answer import Advice, Budget, Choice, Recommendation
from samplerbench.benchmarks.advice.exports import Export
from samplerbench.benchmarks.advice.request import OWN_FIELDS
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.sampling.batch import latents
from samplerbench.models import make_model
from samplerbench.samplers import NoNoise, make
from samplerbench_studies.advising.__main__ import best_by_library
from samplerbench_studies.advising.against import (
    read_rows,
    rows_of,
    run_advise,
    share_of_worst,
    write_rows,
)
from samplerbench_studies.advising.choosing import shares_of_good_choices
from samplerbench_studies.advising.sweep import FRESH, Configuration, Stage, Sweep
from samplerbench_studies.advising.table import best_constant_choice, ratio_table

MODEL, BUDGET = "gmm-2d", 6
SOME = [
    Configuration(sampler, schedule)
    for sampler in ("euler", "heun", "dpmpp_2m", "reab_2", "zab_3")
    for schedule in ("karras", "uniform_time")
]
STAGES = (Stage(4, math.inf, 99), Stage(12, 5.0, 6), Stage(24, 2.0, 4))


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path, MODEL, stages=STAGES, progress=lambda _: None)


def by_hand(one):
    """The error of a configuration, without the machinery of runs."""
    model = make_model(MODEL)
    ids = torch.arange(FRESH, FRESH + 24)
    x = latents(model, ids, 0, model.dtype)[0]
    bound, sampler = model.bind(ids, 0), make(one.sampler)
    steps = max(
        n
        for n in range(1, BUDGET + 1)
        if sampler.nfe(make_schedule(one.schedule)(n, model.sigma_min, model.sigma_max)) <= BUDGET
    )
    grid = make_schedule(one.schedule)(steps, model.sigma_min, model.sigma_max)
    off = sampler.sample(bound, x, grid, NoNoise()) - model.endpoint(x, bound.labels)
    return float(off.square().mean().sqrt())


def test_the_sweep_finds_the_best_of_all(sweep):
    errors = {one: by_hand(one) for one in SOME}
    sweep(SOME, BUDGET)
    best = sweep.best(SOME, BUDGET)["rmse"]
    assert best == min(errors, key=errors.__getitem__)
    assert sweep.error(best, BUDGET, "rmse") == pytest.approx(errors[best], rel=1e-5)


def test_there_are_two_criteria(sweep, monkeypatch):
    """One latent in 24 ends elsewhere with the one sampler, and nearly nowhere with the other."""
    typical, safe, bad = (Configuration(name, "karras") for name in ("a", "b", "c"))
    found = {typical: np.full(24, 1.0), safe: np.full(24, 2.0), bad: np.full(24, 30.0)}
    found[typical][20] = 50.0
    monkeypatch.setattr(sweep, "_known", {(one, BUDGET): x for one, x in found.items()})
    assert sweep.best(list(found), BUDGET) == {"rmse": safe, "geometric mean": typical}
    assert share_of_worst(found[typical]) == pytest.approx(2500 / 2523)
    assert share_of_worst(found[safe]) == pytest.approx(1 / 24)


def test_what_is_far_behind_is_seen_on_few_latents_only(sweep):
    sweep(SOME, BUDGET)
    lines = [json.loads(line) for line in (sweep.out / "distances.jsonl").read_text().splitlines()]
    measured = {one: sum(len(x) for *of, _, x in lines if tuple(of) == one) for one in SOME}
    assert set(measured.values()) == {4, 12, 24}
    worst = max(SOME, key=by_hand)
    assert measured[worst] == 4
    assert sweep.error(worst, BUDGET, "rmse") == pytest.approx(by_hand(worst), rel=1e-5)


def test_what_was_hopeless_at_both_budgets_before_is_left_out(sweep, monkeypatch):
    good, slow, broken = (Configuration(name, "karras") for name in ("a", "b", "c"))
    errors = {
        (good, 4): 1,
        (slow, 4): 9,
        (broken, 4): 9,
        (good, 6): 1,
        (slow, 6): 7,
        (broken, 6): 9,
    }
    monkeypatch.setattr(sweep, "_known", {key: np.full(4, x) for key, x in errors.items()})
    every = [good, slow, broken]
    assert sweep.hopeful(every, [4, 6]) == [good, slow]
    assert sweep.hopeful([slow, broken], [4, 6]) == [slow, broken]
    assert sweep.hopeful(every, [4]) == every


def test_what_was_measured_is_not_measured_again(sweep, monkeypatch):
    sweep(SOME, BUDGET)
    first = sweep.best(SOME, BUDGET)
    with (sweep.out / "distances.jsonl").open("a") as log:
        log.write('["euler", "karras", 6, [0.1, ')  # killed here
    monkeypatch.setattr(Sweep, "_samples", None)
    again = Sweep(sweep.out, MODEL, stages=STAGES, progress=lambda _: None)
    again(SOME, BUDGET)
    assert again.best(SOME, BUDGET) == first


def test_what_cannot_run_is_never_the_best_and_is_told(sweep):
    told = []
    sweep.progress = told.append
    broken = Configuration("azula:NoSuchSampler", "karras")
    sweep([broken, SOME[0]], BUDGET)
    assert sweep.best([broken, SOME[0]], BUDGET) == dict.fromkeys(
        ("geometric mean", "rmse"), SOME[0]
    )
    assert sweep.error(broken, BUDGET, "rmse") == math.inf
    assert any(text.startswith(f"{broken.label} at {BUDGET} evaluations") for text in told)


def test_a_folder_is_of_one_model(sweep):
    with pytest.raises(ValueError, match="give another folder"):
        Sweep(sweep.out, "gaussian")


def advice(*recommended):
    """An answer with these recommendations at the budget, by library."""
    best = {
        library: Recommendation(
            library, Choice(s, s, c, 6, 6), None, None, (), Export(library, "", "")
        )
        for library, s, c in recommended
    }
    default = Choice("heun on karras", "heun", "karras", 5, 3)
    budget = Budget(BUDGET, default, best, None, 10, 0, 64, "")
    return Advice(
        MODEL, {}, "heun", "python", (budget,), (), (), 64, 0.0, (2.5, 10.0), "cpu", 0, "advise"
    )


def test_a_ratio_is_to_the_best_that_the_library_has(sweep, tmp_path):
    a, b, c = SOME[0], SOME[4], SOME[6]
    best = {("python", BUDGET): {"rmse": b}, ("comfyui", BUDGET): {"rmse": c}}
    answer = advice(("python", a.sampler, a.schedule), ("none", b.sampler, b.schedule))
    row, unanswered = rows = rows_of(answer, MODEL, 3, sweep, best)
    assert (row.seed, row.budget, row.library, row.minutes) == (3, BUDGET, "python", 2.5)
    assert (row.recommended, row.best) == (a.label, b.label)
    assert row.ratio == pytest.approx(by_hand(a) / by_hand(b), rel=1e-5)
    assert (unanswered.library, unanswered.recommended, unanswered.ratio) == (
        "comfyui",
        "",
        math.inf,
    )
    write_rows(rows, tmp_path / "table.csv")
    stored, _ = read_rows(tmp_path / "table.csv")
    assert stored.ratio == pytest.approx(row.ratio, rel=1e-5)
    assert f"| `{MODEL}` | {row.ratio:.2f} |" in ratio_table([stored], "rmse")


def test_a_library_s_own_solver_is_compared_with_its_own(sweep):
    """It is named where the recommendation is none; where it is one, it is the recommendation."""
    theirs, ours = Configuration("dpmpp_2m", "karras"), Configuration("reab_2", "karras")
    own, of = OWN_FIELDS["k-diffusion"], {(OWN_FIELDS["k-diffusion"], BUDGET): {"rmse": theirs}}

    def rows(choice, **more):
        (whole,) = advice(("k-diffusion", *choice)).budgets
        best = {"k-diffusion": replace(whole.best["k-diffusion"], **more)}
        return rows_of(replace(advice(), budgets=(replace(whole, best=best),)), MODEL, 0, sweep, of)

    (named,) = rows(ours, own=Choice("", *theirs, 6, 6))
    (same,) = rows(theirs)
    assert (named.library, named.recommended, named.ratio) == (own, theirs.label, 1.0)
    assert same == named
    (missing,) = rows(ours)
    assert (missing.recommended, missing.ratio) == ("", math.inf)


def test_a_table_says_how_often(sweep):
    best = {("python", BUDGET): {"rmse": SOME[0]}}
    answer = advice(("python", *SOME[0]))
    rows = [r for seed in range(3) for r in rows_of(answer, MODEL, seed, sweep, best)]
    worse = [type(r)(**{**vars(r), "ratio": x}) for r, x in zip(rows, (1.0, 1.1, 1.3), strict=True)]
    assert "| 1.00 1.10 1.30 | 2 of 3 | 1.30 | 2.5 |" in ratio_table(worse, "rmse")


def test_constant__counts_the_rows_in_which_its_error_is_known(sweep):
    best = {("python", BUDGET): {"rmse": SOME[0]}}
    row = rows_of(advice(("python", *SOME[0])), MODEL, 1, sweep, best)[0]
    cases = (("auto on a", 1.0, "b", 1.0), ("auto on c", 2.0, "d", 1.0), ("b", 1.2, "d", 1.0))
    names = ("recommended", "error", "best", "smallest")
    rows = [
        type(row)(**{**vars(row), "budget": n, **dict(zip(names, values, strict=True))})
        for n, values in enumerate(cases)
    ]
    assert best_constant_choice(rows) == ("d", 2, 2)
    assert best_constant_choice(rows[:2]) == ("auto", 1, 2)


def test_the_candidates_are_those_of_the_race(sweep):
    best = best_by_library(sweep, [2, BUDGET], ["euler", "dpmpp_2m", "vab_3"])
    assert {"python", "k-diffusion", "comfyui"} < {library for library, _ in best}
    tried = {one for one, _ in sweep.planned}
    assert {one.sampler for one in tried} == {"euler", "dpmpp_2m", "vab_3"}
    assert Configuration("vab_3", "karras(rho=15.0)") in tried
    errors = {one: by_hand(one) for one in tried}
    assert best["python", BUDGET]["rmse"] == min(errors, key=errors.__getitem__)
    assert best["comfyui", BUDGET]["rmse"].sampler in ("euler", "dpmpp_2m")


def test_an_answer_that_is_there_is_not_asked_for_again(tmp_path):
    there = advice(("python", *SOME[0]))
    (tmp_path / "advice.json").write_text(json.dumps(there.to_json()))
    assert run_advise("no-such-model", 0, [BUDGET], 1.0, tmp_path) == there
    assert np.isfinite(there.minutes).all()


def test_few_latents_choose_well_by_the_geometric_mean_where_one_decides_the_other():
    rng = np.random.default_rng(0)
    noise = np.exp(0.3 * rng.normal(size=(2, 256)))
    distances = np.array([[0.1], [0.2]]) * noise
    distances[0, 0] = 30.0  # ends elsewhere with the better one
    distances[1, 1] = 20.0
    found = {(name, n): by for name, n, by in shares_of_good_choices(distances)}
    assert found["geometric mean", 16]["geometric mean"] > 0.95
    assert found["rmse", 128]["geometric mean"] < 0.9
