import re

import pytest
from synthetic import HOSTILE_MODEL

from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.table.latex import escape_latex, latex_tables, rounded_to_error


def rows(**values):
    return [
        {"model": "m", "sampler": name, "budget": 5, "nfe": 5.0, "status": "ok", **row}
        for name, row in values.items()
    ]


def test_no_name_is_a_command():
    hostile = r"\input{x} & $a^2_b$ % ~ # <b> | {"
    words = escape_latex(hostile)
    for letter in r"&%$#_{}~^<>|":
        assert letter not in re.sub(
            r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}|\\[&%$#_{}]",
            "",
            words,
        )
    assert "\n" not in escape_latex("two\nlines")


def test_the_best_is_bold_the_flagged_marked_and_the_missing_a_dash(run):
    few = rows(
        euler={"fid_proxy": 2.0, "fid_proxy_se": 0.1},
        heun={"fid_proxy": 1.0, "fid_proxy_se": 0.01, "fid_flag": "few"},
    )
    alone = {
        "model": "m",
        "sampler": "euler",
        "budget": 10,
        "nfe": 10.0,
        "status": "ok",
        "fid_proxy": 0.5,
    }
    table = ResultTable.of([*few, alone])
    text = table.to_latex()
    assert r"euler & $2.00 \pm 0.10$ & $0.5$ \\" in text
    assert r"heun & $\mathbf{1.000}^{\dagger} \pm 0.010$ & -- \\" in text
    assert r"\dagger" not in table.to_latex("rmse")
    apart = rows(
        euler={"fid_proxy": 2.0, "fd_conv": 1.0, "fd_conv_flag": "few"},
        heun={"fid_proxy": 1.0, "fd_conv": 2.0},
    )
    assert r"\dagger" not in ResultTable.of(apart).to_latex()
    assert r"euler & $\mathbf{1}^{\dagger}$" in ResultTable.of(apart).to_latex("fd_conv")


def test_all_models_balance(run):
    text = latex_tables(load(run.path).frame)
    assert (
        text.count(r"\begin{tabular}")
        == text.count(r"\end{tabular}")
        == text.count(r"\toprule")
        == 3
    )
    assert escape_latex(HOSTILE_MODEL) in text
    widths = {
        line.count("&") - line.count(r"\&")
        for line in text.splitlines()
        if line.endswith(r"\\") and "multicolumn" not in line
    }
    assert widths == {4}  # a name and four budgets


def test_an_unknown_metric_is_one_sentence(run):
    with pytest.raises(ValueError, match="no column 'nonsense'; choose from"):
        load(run.path).to_latex("nonsense")


@pytest.mark.parametrize(
    ("value", "se", "said"),
    [
        (0.1979, 0.0998, ("0.198", "0.100")),
        (145820.0, 1690.0, ("145820", "1690")),
        (-0.004, 0.03, ("-0.004", "0.030")),
        (2.0, 0.0, ("2", "")),
    ],
)
def test_values_have_the_digits_that_their_errors_leave_them(value, se, said):
    assert rounded_to_error(value, se) == said


def test_latex_tables__a_flagged_power_has_one_superscript():
    row = {"model": "m", "sampler": "euler", "budget": 5, "nfe": 5, "status": "ok"}
    table = ResultTable.of([row | {"ms_per_sample": 2e-5, "timing_flag": "load"}])
    assert r"${2 \times 10^{-5}}^{\dagger}$" in table.to_latex("ms_per_sample")
