"""Ties are bold together, and no distance is printed below 0 or outside its interval."""

import io
import re

import pytest
from rich.console import Console

from samplerbench.results.comparison.best_rows import best_curve_budgets
from samplerbench.results.comparison.compare import compare_with
from samplerbench.results.printed_values import value_plus_minus, value_with_bounds
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.curves import comparable_parts
from samplerbench.results.terminal.ranking import print_table


def row(name, value, se=None, budget=5, **others):
    error = {} if se is None else {"fid_proxy_se": se}
    return {
        "model": "m", "sampler": name, "budget": budget, "nfe": float(budget), "status": "ok",
        "fid_proxy": value, **error, **others,
    }  # fmt: skip


def bold_of(*rows):
    return {name for name, _ in best_curve_budgets(ResultTable.of(rows).frame, "fid_proxy")["m"]}


def test_best_places__what_no_verdict_tells_apart_is_tied():
    assert bold_of(row("a", 1.0, 0.1), row("b", 1.1, 0.1), row("c", 9.0, 0.1)) == {"a", "b"}


def test_best_places__without_verdicts_intervals_decide():
    flagged = {"fid_flag": "few samples"}
    rows = row("a", 1.0, 0.1, **flagged), row("b", 1.1, 0.1), row("c", 9.0, 0.1)
    assert bold_of(*rows) == {"a", "b"}


def test_best_places__without_errors_equal_values_are_tied():
    assert bold_of(row("a", 1.0), row("b", 1.0 + 1e-9), row("c", 1.01)) == {"a", "b"}


def test_best_places__agrees_with_compare_against_the_lowest(run):
    """Whatever ``compare`` does not call worse than the lowest row is tied with it."""
    frame = load(run.path).frame
    tied, seen = best_curve_budgets(frame, "rmse", {"": run.path}), 0
    for title, rows in comparable_parts(frame):
        there = rows.loc[rows["status"] == "ok"].dropna(subset=["rmse", "slot"])
        for slot, at in there.groupby("slot"):
            first = str(at.sort_values("rmse")["curve"].iloc[0])
            for line in compare_with(run.path, first, metrics=("rmse",)).lines:
                if (line.model, line.budget) != (at["model"].iloc[0], slot):
                    continue
                if line.verdict in ("inconclusive", "equivalent"):
                    seen += 1
                    assert (line.sampler, slot) in tied[title]
    assert seen


def test_latex__ties_are_bold_and_an_estimate_below_0_is_0():
    rows = row("a", -0.004, 0.03), row("b", 0.01, 0.03), row("c", 2.0, 0.03)
    text = ResultTable.of(rows).to_latex()
    assert r"a & $\mathbf{0.000} \pm 0.030$" in text
    assert r"b & $\mathbf{0.010} \pm 0.030$" in text
    assert r"c & $2.000 \pm 0.030$" in text


def test_print_table__ties_are_bold_and_an_estimate_below_0_is_0():
    rows = row("a", -0.004, 0.03), row("b", 0.01, 0.03), row("c", 2.0, 0.03)
    out = io.StringIO()
    print_table(
        ResultTable.of(rows), Console(file=out, width=100, force_terminal=True), metric="fid_proxy"
    )
    bold = re.findall(r"\x1b\[1m *([\d.⁻]+)\*?\x1b", out.getvalue())
    assert bold == ["5", "0⁻", "0.01"]  # the heading, and two of three


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"fid_proxy": -0.00271, "fid_proxy_low": 0.0, "fid_proxy_high": 0.0}, "0⁻ [0, 0]"),
        ({"fid_proxy": -0.002, "fid_proxy_low": 0.0, "fid_proxy_high": 0.3}, "0⁻ [0, 0.3]"),
        ({"swd": -0.5, "swd_se": 1.0}, "0⁻ [0, 1.46]"),
        ({"fid_proxy": -1.0, "fid_proxy_se": 0.1}, "0⁻ [0, 0]"),
    ],
)
def test_intervals__contain_what_is_printed(record, said):
    (name, *_) = record
    assert value_with_bounds(record, name) == said
    assert value_plus_minus({f"{name}_se": 0.1, **record}, name) == said
    assert value_with_bounds({name: record[name]}, name) == "0⁻"


def test_intervals__a_signed_column_keeps_its_sign():
    assert value_with_bounds({"overhead": -0.1}, "overhead") == "-0.1"
