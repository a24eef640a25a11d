import math

import numpy as np
import pandas as pd
from looping import each
from runs import add, make_run

from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.headline import COLUMNS, headline_table
from samplerbench.results.report.sentences import lead_sentences
from samplerbench.results.result_table import ResultTable, load

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
            [row("euler", 20.0), row("heun", 10.0)],
            "At 10 evaluations use heun: FID proxy 10 ± 2, 2 times better than Euler.",
        ),
        (
            [row("euler", 13.0), row("heun", 10.0)],
            "At 10 evaluations the choice is open: heun has the lowest value, FID proxy "
            "10 ± 2, not told apart from Euler, "
            "but euler cannot be told apart from it.",
        ),
        (
            [row("euler", 20.0), row("heun", 10.0), row("ddim", 10.1), row("dpm_2", 10.2)],
            "At 10 evaluations the choice is open: heun has the lowest value, FID proxy "
            "10 ± 2, 2 times better than Euler, "
            "but 2 others cannot be told apart from it.",
        ),
        (
            [row("euler", 20.0), row("heun", 0.5)],
            "At 10 evaluations use heun: FID proxy 0.5 ± 2, where Euler has 20.",
        ),
        ([row("euler", 10.0), row("heun", 20.0)], "At 10 evaluations use euler: FID proxy 10 ± 2."),
        (
            [row("euler", 10.0)],
            "At 10 evaluations euler has FID proxy 10 ± 2; no other sampler was run there.",
        ),
        (
            [row("euler", 10.0), row("heun", 20.0, dominated=True)],
            "At 10 evaluations there is no verdict: euler has the lowest value, FID "
            "proxy 10 ± 2; but it is dominated by the model's own "
            "error; see fd_conv.",
        ),
        (
            [row("euler", 10.0), row("heun", 10.0)],
            "At these budgets all methods coincide: there is nothing to choose.",
        ),
    ],
)
def test_lead__the_first_sentence_says_what_to_use_or_that_it_is_open(rows, sentence):
    assert said(*rows)[0] == sentence


def test_a_flagged_value_is_no_recommendation():
    first, *rest = said(row("euler", 20.0), row("heun", 10.0, fid_flag="few"))
    assert first.startswith("At 10 evaluations there is no verdict")
    assert first.endswith("but intervals are flagged as unreliable (†).")
    assert not rest


def test_the_budget_nearest_to_ten_comes_first():
    rows = [
        row(name, value / n, budget=n)
        for n in (2, 8, 40)
        for name, value in (("euler", 900.0), ("heun", 90.0))
    ]
    assert said(*rows)[0].startswith("At 8 evaluations use heun")


def test_more_work_buys_nothing_only_where_that_is_shown():
    values = {5: 50.0, 10: 10.0, 20: 9.0, 40: 9.5}
    rows = [row("euler", value, budget=n) for n, value in values.items()]
    assert (
        "Beyond 10 evaluations nothing is told apart from the lowest there: whether "
        "more work helps is open."
    ) in said(*rows)
    flat = [
        row("euler", value, se=0.001, budget=n)
        for n, value in {5: 50.0, 10: 10.0, 20: 10.01}.items()
    ]
    assert "Beyond 10 evaluations more buys no lower FID proxy." in said(*flat)
    falling = [row("euler", 100.0 / n, se=0.01, budget=n) for n in values]
    assert "The lowest is still falling at 40 evaluations, the most that were tried." in said(
        *falling
    )


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
    assert said.startswith(
        "Fewest evaluations until a sampler's own error is below "
        "0.05, the floor of 10 samples: heun, "
    )
    assert not any(
        "floor" in sentence for sentence in led(table.frame, best.assign(nfe_to_floor=math.inf))
    )
    near = best.assign(verdict=["", "inconclusive"])
    assert led(table.frame, near)[-1].startswith("Evaluations until")
    assert led(table.frame, near)[-1].endswith("; euler cannot be told apart from it.")
