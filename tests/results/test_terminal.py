import io

import pytest
from rich.console import Console
from synthetic import synthetic_run

from samplerbench.results.table import ResultTable, load
from samplerbench.results.terminal import print_table


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    print_table(table, console)
    return console.file.getvalue().splitlines()


def test_the_best_of_each_budget_has_the_star_and_nothing_is_too_wide(run):
    table = load(run.path)
    lines = printed(table)
    assert max(map(len, lines)) <= 80
    stars = [line.split()[0] for line in lines if "*" in line and "lower is better" not in line]
    winners = set(table.best_per_budget()["curve"])
    assert {name for name in winners if " " not in name} == {name for name in stars if "<" not in name}
    assert sum(line.count("*") for line in lines if "lower is better" not in line) == 12  # 3 models, 4 budgets


def test_rows_without_results_are_named_and_counted(run):
    text = "\n".join(printed(load(run.path)))
    assert "failed" in text
    assert "diverg." in text
    assert set(text.splitlines()[-1].removeprefix("Rows without results: ").split(", ")) == {"1 missing", "1 failed", "1 diverged"}


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_budgets_that_do_not_fit_are_left_out_but_never_the_jump_or_the_last(tmp_path, width):
    budgets = (1, 2, 3, 5, 9, 18, 35, 70, 100)
    run = synthetic_run(tmp_path, models=("m",), orders={"euler": 1}, budgets=budgets, samples=10)
    lines = printed(load(run.path), width)
    assert max(map(len, lines)) <= width
    head = next(line.split() for line in lines if "sampler" in line)[1:]
    assert (head[0], head[-1]) == ("1", "100")
    text = " ".join(" ".join(lines).split())
    assert (f"budgets not shown: {len(budgets) - len(head)}" in text) == (len(head) < len(budgets))


def test_names_are_not_markup():
    rows = [{"model": "[red]m[/red]", "sampler": "[bold]", "budget": 5, "nfe": 5.0, "fid_proxy": 1.0, "status": "ok"}]
    text = "\n".join(printed(ResultTable.of(rows)))
    assert "[red]m[/red]" in text
    assert "[bold]" in text
