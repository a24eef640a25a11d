from looping import each

from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.result_table import ResultTable
from samplerbench.results.sentences import answer_in_words
from samplerbench.results.table.curves import comparable_parts


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


def findings(*rows):
    (found,) = findings_of(ResultTable.of(rows).frame).by_title.values()
    assert found is not None
    return found


@each(
    ("rows", "verdict", "rivals"),
    [
        ([row("euler", 20.0), row("heun", 10.0)], "better than Euler", ()),
        ([row("euler", 13.0), row("heun", 10.0)], "inconclusive", ("euler",)),
        ([row("euler", 20.0), row("heun", 10.0, se=None)], "no verdict", ("euler",)),
        ([row("euler", 10.0), row("heun", 20.0)], "Euler itself", ()),
        ([row("euler", 10.0), row("heun", 10.0)], "same as Euler", ("heun",)),
        ([row("dpmpp_2m", 9.0), row("heun", 10.0)], "no Euler to compare with", ("heun",)),
        ([row("euler", 20.0), row("heun", 1.0, status="failed")], "Euler itself", ()),
    ],
)
def test_verdict__follows_from_the_intervals(rows, verdict, rivals):
    (best,) = findings(*rows).best
    assert (best.verdict, best.rivals) == (verdict, rivals)


def test_intervals_are_95_percent_and_touch_exactly_where_they_should():
    for gap, verdict in ((2 * 1.96 - 0.01, "inconclusive"), (2 * 1.96 + 0.01, "better than Euler")):
        assert findings(row("euler", 10 + gap), row("heun", 10.0)).best[0].verdict == verdict


def test_sentences_name_the_winners_and_the_doubts():
    rows = [
        *(row(name, 200.0, budget=1) for name in ("euler", "heun")),
        *(row("euler", 20.0), row("heun", 10.0)),
        *(row("euler", 9.0, budget=20), row("heun", 1.0, budget=20)),
        *(row("euler", 5.0, budget=40), row("heun", 4.9, budget=40, fid_flag="too few")),
    ]
    assert answer_in_words(findings(*rows)) == (
        "Lowest FID proxy: heun at 10 and 20 NFE (better than Euler); heun at 40 NFE (no verdict).",
    )


def test_without_a_fid_the_next_measure_answers_and_without_any_none():
    rows = [row("euler", None, rmse=0.5), row("heun", None, rmse=0.1, rmse_se=0.01)]
    assert findings(*rows).quantity.name == "rmse"
    assert list(findings_of(ResultTable.of([row("euler", None)]).frame).by_title.values()) == [None]


def test_different_estimators_are_never_ranked_together():
    rows = [
        row("euler", 20.0, estimator="a"),
        row("heun", 1.0, estimator="b"),
        row("ddim", None, status="failed"),
    ]
    parts = dict(comparable_parts(ResultTable.of(rows).frame))
    assert {title: sorted(part["sampler"]) for title, part in parts.items()} == {
        "m · a": ["ddim", "euler"],
        "m · b": ["heun"],
    }
