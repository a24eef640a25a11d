import math
from dataclasses import replace

import numpy as np
import pandas as pd
from looping import each
from runs import add, make_run

from samplerbench.results.comparison.compare import compare_with
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.headline import COLUMNS, headline_table
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.sentences import lead_sentences, sentence_on_comparison
from samplerbench.results.table.curves import LABELS, add_curves_and_slots

NOBODY = pd.DataFrame(columns=list(COLUMNS)).astype({"nfe_to_floor": float})


def row(sampler, value, se=1.0, budget=10, **more):
    fixed = {
        "model": "m",
        "schedule": "karras",
        "status": "ok",
        "steps": budget,
        "nfe": float(budget),
    }
    return {
        **fixed,
        "sampler": sampler,
        "budget": budget,
        "fid_proxy": value,
        "fid_proxy_se": se,
        **more,
    }


def said(*rows, crossings=NOBODY):
    return led(ResultTable.of(rows).frame, crossings)


def led(frame, crossings):
    found = next(iter(findings_of(frame).by_title.values()))
    assert found is not None
    return lead_sentences(found, crossings)


@each(
    ("rows", "sentence"),
    [
        (
            [row("euler", 20.0), row("heun", 5.0)],
            "At 10 evaluations use Heun; it is at least 2 times closer to the data than Euler, "
            "allowing for the 95 % intervals (5 against 20).",
        ),
        (
            [row("euler", 20.0), row("heun", 10.0)],
            "At 10 evaluations use Heun; it is better than Euler (FID proxy 10 against 20).",
        ),
        (
            [row("euler", 13.0), row("heun", 10.0)],
            "At 10 evaluations Heun and Euler are level; the run shows no significant difference.",
        ),
        (
            [row("euler", 13.0, samples=1200), row("mine", 10.0, samples=1200)],
            "At 10 evaluations mine and Euler are level; 1,200 samples show no significant "
            "difference.",
        ),
        (
            [row("euler", 90.0), row("heun", 10.0), row("dpmpp_2m", 10.5)],
            "At 10 evaluations Heun and DPM-Solver++(2M) are level; both are at least 7 times "
            "closer to the data than Euler, allowing for the 95 % intervals (10 against 90).",
        ),
        (
            [row("euler", 900.0), row("heun", 1.0), row("ddim", 1.1), row("ipndm", 1.2)],
            "At 10 evaluations Heun is level with DDIM and iPNDM; all are at least 280 times "
            "closer to the data than Euler, allowing for the 95 % intervals "
            "(1 to 1.2 against 900).",
        ),
        (
            [row("euler", 20.0), *(row(f"mine_{n}", 10.0 + n / 10) for n in range(5))],
            "At 10 evaluations mine_0 is level with 4 others; all are better than Euler "
            "(FID proxy 10 against 20).",
        ),
        (
            [row("euler", 20.0), row("heun", -0.5)],
            "At 10 evaluations use Heun; it is at least 12 times closer to the data than Euler, "
            "allowing for the 95 % intervals (0 against 20).",
        ),
        (
            [row("euler", 10.0), row("heun", 20.0)],
            "At 10 evaluations use Euler, with FID proxy 10 [8.04, 12].",
        ),
        (
            [row("euler", 10.0)],
            "At 10 evaluations Euler has FID proxy 10 [8.04, 12]; no other sampler has a value there.",
        ),
        (
            [row("dpmpp_2m", 10.0), row("heun", 20.0)],
            "At 10 evaluations use DPM-Solver++(2M); this run has no Euler to compare with.",
        ),
        (
            [row("dpmpp_2m", 10.0), row("heun", 10.1)],
            "At 10 evaluations DPM-Solver++(2M) and Heun are level; this run has no Euler to "
            "compare with.",
        ),
        (
            [row("euler", 10.0), row("heun", 20.0, dominated=True)],
            "At 10 evaluations Euler has the lowest value, FID proxy 10 [8.04, 12], without a verdict "
            "(dominated by the model's own error; see fd_conv).",
        ),
        (
            [row("euler", 10.0), row("heun", 10.0), row("ddpm", 90.0)],
            "At these budgets no sampler is better than Euler, and others are its equal.",
        ),
        (
            [row("euler", 10.0), row("heun", 10.0)],
            "At these budgets all samplers give the same result.",
        ),
    ],
)
def test_lead__the_first_sentence_says_what_to_use_or_what_is_level(rows, sentence):
    assert said(*rows)[0] == sentence


def test_lead__the_lowest_alone_is_compared_where_a_tie_is_not_shown_to_be_better():
    first = said(row("euler", 20.0), row("heun", 10.0), row("ddim", 13.0, se=5.0))[0]
    assert "Heun and DDIM are level; Heun is better than Euler" in first


def test_lead__without_results_there_is_none():
    failed = [row(name, None, status="failed") for name in ("euler", "heun")]
    assert list(findings_of(ResultTable.of(failed).frame).by_title.values()) == [None]


def test_a_flagged_value_is_no_recommendation():
    first, *rest = said(row("euler", 20.0), row("heun", 10.0, fid_flag="few"))
    assert first.endswith("without a verdict (flagged: few).")
    assert "use" not in first
    assert not rest


def test_the_budget_nearest_to_ten_comes_first():
    rows = [
        row(name, value / n, budget=n)
        for n in (2, 8, 40)
        for name, value in (("euler", 900.0), ("heun", 90.0))
    ]
    assert said(*rows)[0].startswith("At 8 evaluations use Heun")


def test_more_work_buys_nothing_only_where_that_is_shown():
    values = {5: 50.0, 10: 10.0, 20: 9.0, 40: 9.5}
    rows = [row("euler", value, budget=n, samples=480) for n, value in values.items()]
    assert "We could not show that more than 10 evaluations help (480 samples)." in said(*rows)
    flat = [
        row("euler", value, se=0.001, budget=n)
        for n, value in {5: 50.0, 10: 10.0, 20: 10.01}.items()
    ]
    assert "More than 10 evaluations bring no lower FID proxy." in said(*flat)
    falling = [row("euler", 100.0 / n, se=0.01, budget=n) for n in values]
    assert any("still falls at 40 evaluations" in sentence for sentence in said(*falling))


def test_comparison__the_sentence_groups_samplers_by_verdict(tmp_path):
    run = make_run(tmp_path)
    noise = np.random.default_rng(0).normal(size=400)
    for sampler, level in (("euler", 9.0), ("heun", 1.0), ("ddpm", 30.0), ("dpmpp_2m", 1.0)):
        add(run, sampler, influence=level + noise)
    lines = compare_with(run.path, "euler").lines
    assert sentence_on_comparison(lines) == (
        "At 10 evaluations DPM-Solver++(2M) and Heun are better than Euler; DDPM is worse than it."
    )
    assert sentence_on_comparison([replace(line, budget=None) for line in lines]) == ""


@each(
    ("schedules", "curves"),
    [
        ({"euler": ["karras"], "heun": ["karras"], "auto": ["own"]}, {"euler", "heun", "auto"}),
        (
            {"euler": ["karras"], "heun": ["karras"], "ddim": ["edm"]},
            {"euler", "heun", "ddim · edm"},
        ),
        (
            {"euler": ["karras", "edm"], "heun": ["karras"]},
            {"euler · karras", "euler · edm", "heun"},
        ),
        ({"euler": ["karras"], "heun": ["edm"]}, {"euler · karras", "heun · edm"}),
    ],
)
def test_curves__a_schedule_is_named_only_where_it_is_needed(schedules, curves):
    rows = [row(name, 1.0, schedule=some) for name, all_ in schedules.items() for some in all_]
    assert set(add_curves_and_slots(ResultTable.of(rows).frame)["curve"]) == curves


def test_labels__no_two_samplers_share_one():
    assert len(set(LABELS.values())) == len(LABELS)
    assert not set(LABELS.values()) & set(LABELS)


def test_lead_sentences__the_schedule_of_the_baseline_is_named_among_several():
    """Euler on another schedule may be nearer than the one that the best row is compared with."""
    own, other = {"schedule": "karras"}, {"schedule": "uniform_lambda"}
    rows = [row("euler", 90.0, **own), row("euler", 60.0, **other)]
    (first,) = said(*rows, row("heun", 10.0, **own), row("heun", 30.0, **other))
    assert "closer to the data than Euler · karras, " in first
    (first,) = said(*rows, row("heun", 10.0, **own), row("heun", 10.1, **other))
    assert "are level; Heun · karras is at least" in first, "each has another baseline"


def test_the_way_to_the_floor_is_that_of_the_headline(tmp_path):
    run = make_run(tmp_path)
    for sampler, scale in (("euler", 1.0), ("heun", 0.1)):
        for n in (5, 10, 20):
            quality = {
                "nfe": float(n),
                "fd_conv": scale / n,
                "fd_conv_se": 1e-4,
                "fid_proxy_floor": 0.05,
            }
            add(run, sampler, influence=np.full(10, scale / n), quality=quality, budget=n, steps=n)
    table = load(run.path)
    best = headline_table(table)
    assert best.iloc[0]["curve"] == "heun"
    said = led(table.frame, best)[-1]
    assert said.startswith("With ≤ 5 evaluations ")
    assert "the error of Heun is no larger than the sampling noise of 10 samples (0.05)" in said
    assert said.endswith("; every other sampler needs more.")
    assert not any(
        "noise" in sentence for sentence in led(table.frame, best.assign(nfe_to_floor=math.inf))
    )
    near = best.assign(verdict=["", "inconclusive"])
    assert led(table.frame, near)[-1].endswith("; Euler may need as few.")
