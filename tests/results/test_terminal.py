import io
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from runs import add, make_run
from synthetic import synthetic_run
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.results.printed_values import shown_number
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.terminal.path_curvature import positive_range, sparkline
from samplerbench.results.terminal.ranking import print_table, verdicts_of


def printed(table, width=80, **options):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    print_table(table, console, **options)
    return console.file.getvalue().splitlines()


def written(table, environment, encoding="utf-8", **options):
    """What a terminal of 80 columns with this environment gets."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_table(
        table, Console(file=file, width=80, force_terminal=True, _environ=environment), **options
    )
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_shown_number__only_distances_below_zero_are_shown_as_zero():
    assert shown_number("fid_proxy", -0.25) == "0⁻"
    assert shown_number("psnr_conv", -3.5) == "-3.5"


def test_the_best_of_each_budget_has_the_star_and_nothing_is_too_wide(run):
    table = load(run.path)
    lines = printed(table)
    assert max(map(len, lines)) <= 80
    stars = [line.split()[0] for line in lines if "*" in line and "lower is better" not in line]
    winners = set(table.best_per_budget()["curve"])
    assert {name for name in winners if " " not in name} == {
        name for name in stars if "<" not in name
    }
    # 3 models, 4 budgets
    assert sum(line.count("*") for line in lines if "lower is better" not in line) == 12


def test_rows_without_results_are_named_and_counted(run):
    text = "\n".join(printed(load(run.path)))
    assert "failed" in text
    assert "diverg." in text
    assert set(text.splitlines()[-1].removeprefix("Rows without results: ").split(", ")) == {
        "1 missing",
        "1 failed",
        "1 diverged",
    }


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_budgets_that_do_not_fit_are_left_out_but_never_the_jump_or_the_last(tmp_path, width):
    budgets = (1, 2, 3, 5, 9, 18, 35, 70, 100)
    run = synthetic_run(tmp_path, models=("m",), orders={"euler": 1}, budgets=budgets, samples=10)
    lines = printed(load(run.path), width)
    assert max(map(len, lines)) <= width
    head = next(line.split() for line in lines if line.split()[:1] == ["sampler"])[1:]
    assert (head[0], head[-1]) == ("1", "100")
    text = " ".join(" ".join(lines).split())
    assert (f"budgets not shown: {len(budgets) - len(head)}" in text) == (len(head) < len(budgets))


def test_names_are_not_markup():
    rows = [
        {
            "model": "[red]m[/red]",
            "sampler": "[bold]",
            "budget": 5,
            "nfe": 5.0,
            "fid_proxy": 1.0,
            "status": "ok",
        }
    ]
    text = "\n".join(printed(ResultTable.of(rows)))
    assert "[red]m[/red]" in text
    assert "[bold]" in text


def test_the_legend_is_printed_once_for_models_with_one_legend(run):
    whole = "\n".join(printed(load(run.path), metric="rmse"))
    assert len(load(run.path).frame["model"].unique()) > 1
    assert whole.count("rmse by NFE budget") == 1
    assert "\n\n\n" not in whole


def test_spark_lines_are_on_the_logarithmic_scale_of_their_model(run):
    values = [10.0**-n for n in range(8)]
    assert sparkline(values, positive_range(values)) == "█▇▆▅▄▃▂▁"
    assert sparkline([None, -1.0, 0.0, 1e9, float("inf")], (1.0, 10.0)) == " ▁▁██"
    assert sparkline([3.0, 3.0], positive_range([3.0, 3.0])) == "▁▁"
    assert positive_range([None, -1.0]) == (1.0, 1.0)
    line = next(line for line in printed(load(run.path)) if line.strip().startswith("heun"))
    assert line.split()[1] == "█▆▄▁"


def test_verdicts_are_marks_beside_the_values(tmp_path):
    run = make_run(tmp_path / "run")
    noise = np.random.default_rng(0).normal(size=400)
    for sampler, level in (("euler", 2.0), ("heun", 1.0), ("ddpm", 3.0), ("ddim", 2.0)):
        add(
            run,
            sampler,
            influence=level
            + noise
            + (0 if sampler == "ddim" else 1e-3) * np.random.default_rng(1).normal(size=400),
        )
    baseline, marks = verdicts_of(run.path, "fid_proxy")
    assert baseline == "euler"
    lines = printed(load(run.path), baseline=baseline, marks=marks)
    said = {
        line.split()[0]: line.split()[-1]
        for line in lines
        if line.split() and line.split()[0] in ("heun", "euler", "ddpm", "ddim")
    }
    assert {name: word[-1] if word[-1] in "▲▼≈?" else "" for name, word in said.items()} == {
        "heun": "▲",
        "ddpm": "▼",
        "ddim": "≈",
        "euler": "",
    }
    assert (
        "against euler: ▲ better, ▼ worse, ≈ equivalent, ? inconclusive, – no verdict"
        in " ".join(" ".join(lines).split())
    )
    assert max(map(len, lines)) <= 80


def test_where_there_is_nothing_to_judge_there_are_no_marks_unless_they_were_asked_for(tmp_path):
    table = load(make_run(tmp_path / "run").path)
    table.to_csv(tmp_path / "table.csv")
    assert verdicts_of(tmp_path / "table.csv", "fid_proxy") == ("", {})
    assert verdicts_of(tmp_path / "run", "fid_proxy") == ("", {})
    assert verdicts_of(tmp_path / "run", "clamped") == ("", {})
    with pytest.raises(
        ValueError, match="clamped has no verdicts against heun; choose --metric from fid_proxy"
    ):
        verdicts_of(tmp_path / "run", "clamped", "heun")
    with pytest.raises(ValueError, match="nonsense"):
        verdicts_of(tmp_path / "run", "fid_proxy", "nonsense")


@pytest.mark.parametrize(
    ("environment", "encoding", "plain", "coloured"),
    [
        ({"TERM": "xterm-256color"}, "utf-8", False, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "utf-8", False, False),
        ({"TERM": "dumb"}, "utf-8", True, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "ascii", True, False),
    ],
)
def test_colour_and_letters_are_those_that_the_terminal_has(
    run, environment, encoding, plain, coloured
):
    text = written(
        load(run.path),
        environment,
        encoding,
        baseline="euler",
        marks={("fashion", "frechet-1 fashion-cnn 4f1c", "heun", 40): "better"},
    )
    assert ("32m" in text) == coloured  # what is shown to be better in green
    # the lowest is no better for that
    assert "32m" not in written(load(run.path), environment, encoding)
    assert text.isascii() == plain
    assert ("█▆▄▁" in text) != plain
    assert ("@*=_" in text) == plain
    if "\x1b" not in text:
        assert max(map(len, text.splitlines())) <= 80


def test_a_name_that_ascii_has_no_letters_for_is_escaped():
    rows = [
        {"model": "模型", "sampler": "é", "budget": 5, "nfe": 5.0, "fid_proxy": 1.0, "status": "ok"}
    ]
    text = written(ResultTable.of(rows), {}, "ascii")
    assert "\\u6a21\\u578b" in text
    assert "\\xe9" in text


def test_show_takes_a_metric_and_says_which_there_are(run):
    assert (
        "rmse by NFE budget"
        in CliRunner().invoke(app, ["show", str(run.path), "--metric", "rmse"]).output
    )
    mistake = CliRunner().invoke(app, ["show", str(run.path), "--metric", "nonsense"]).exception
    assert isinstance(mistake, ValueError)
    assert str(mistake).startswith("there is nothing to rank by 'nonsense' in ")
    assert "rmse" in str(mistake)


LONG = "a_sampler_with_a_very_long_name · eta=0.123456789 · karras(rho=5.123456)"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_numbers_and_marks_are_never_cut_and_long_names_fold(width):
    values = {1: 2.22, 5: -0.000935, 9: 0.000604, 17: -0.000113, 35: -0.00115, 70: 1.234e-7}
    rows = [
        {
            "model": "m",
            "sampler": name,
            "budget": budget,
            "nfe": float(budget),
            "status": "ok",
            "fid_proxy": value,
            "fid_flag": True,
        }
        for name in ("euler", LONG)
        for budget, value in values.items()
    ]
    marks = {("m", "", LONG, budget): "better" for budget in values}
    lines = printed(ResultTable.of(rows), width, marks=marks, baseline="euler")
    assert max(map(len, lines)) <= width
    body = " ".join(lines)
    assert "…" not in body
    assert all(word[:7] in body for word in LONG.split() if word != "·")
    head = next(line.split() for line in lines if line.split()[:1] == ["sampler"])[1:]
    assert len(head) >= 2
    for budget in map(int, head):
        assert f"{shown_number('fid_proxy', values[budget])}†*" in body
        assert f"{shown_number('fid_proxy', values[budget])}†*▲" in body


def test_in_a_pipe_everything_is_on_its_line(tmp_path):
    run = synthetic_run(
        tmp_path, models=("m",), orders={LONG: 1}, budgets=tuple(range(1, 40)), samples=10
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "samplerbench.benchmarks",
            "show",
            str(run.path),
            "--metric",
            "fid_proxy",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if k != "COLUMNS"},
    )
    head = next(line for line in ran.stdout.splitlines() if line.split()[:1] == ["sampler"])
    assert head.split()[1:] == [str(n) for n in range(1, 40)]
    assert any(line.strip().startswith(LONG) for line in ran.stdout.splitlines())
    assert "…" not in ran.stdout
