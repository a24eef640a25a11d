"""Of a large table a page has a part, and says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import add, make_run

from samplerbench.results.comparison import best_rows as module
from samplerbench.results.comparison.best_rows import select_visible_rows
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.comparison.significance import Evidence, judge_table
from samplerbench.results.report import build
from samplerbench.results.report.build import write_report
from samplerbench.results.result_table import ResultTable, load

CURVES, BUDGETS = 12, (5, 10)


@pytest.fixture
def path(tmp_path):
    """Twelve curves at two budgets, each worse than the one before, but for the last, which is the
    best at 10; the baseline is the worst of all.
    """
    run, rng = make_run(tmp_path / "run"), np.random.default_rng(0)
    for place in range(CURVES):
        for budget in BUDGETS:
            value = 1.0 + place / 10 if (place, budget) != (CURVES - 2, 10) else 0.5
            name = "euler" if place == CURVES - 1 else f"s{place:02d}"
            add(run, name, influence=value + rng.normal(size=100) / 10, budget=budget)
    return run.path


def curves(frame):
    return list(dict.fromkeys(frame["sampler"]))


def test_a_small_table_is_shown_whole(path):
    frame = load(path).frame
    assert select_visible_rows(frame, "euler", most=len(frame)) is frame


def test_of_a_large_one_are_shown_whole_curves_the_lowest_of_each_budget_and_the_baseline(path):
    frame = load(path).frame
    part = select_visible_rows(frame, "euler", most=8)
    assert sorted(curves(part)) == ["euler", "s00", "s01", "s10"]
    assert len(part) == 4 * len(BUDGETS)
    assert list(part.index) == list(range(len(part)))
    for budget in BUDGETS:
        lowest = frame.loc[frame["budget"] == budget].sort_values("fid_proxy").iloc[0]
        assert lowest["cell"] in set(part["cell"])


def test_rows_without_results_are_shown(path):
    frame = load(path).frame.copy()
    frame.loc[frame["sampler"] == "s05", "status"] = "failed"
    assert "s05" in curves(select_visible_rows(frame, "euler", most=8))


def test_the_page_says_so_and_the_files_beside_it_have_all(path, monkeypatch, tmp_path):
    monkeypatch.setattr(
        build,
        "select_visible_rows",
        lambda frame, baseline: select_visible_rows(frame, baseline, 8),
    )
    page = write_report(path, path).read_text()
    assert "Shown are 8 of 24 rows" in page
    assert page.count('data-row="') == 8
    assert ">s05<" not in page
    assert len(ResultTable.from_csv(path / "table.csv")) == 24
    monkeypatch.undo()
    assert module.MOST >= 24
    whole = write_report(path, tmp_path / "whole").read_text()
    assert "Shown are" not in whole
    assert whole.count('data-row="') == 24


P = st.lists(st.floats(-6, 6), min_size=1, max_size=12)


@given(P, st.integers(1, 12))
def test_lines_that_are_not_seen_never_leave_more_verdicts_than_if_they_were(differences, seen):
    lines = [Evidence(difference, 1, 0.1) for difference in differences]
    some = judge_table(lines[:seen], unseen=len(lines[seen:]))
    for part, whole in zip(some, judge_table(lines), strict=False):
        assert part in (whole, "inconclusive")


def test_claims_about_a_part_are_corrected_for_the_whole(path):
    frame = load(path).frame
    part = select_visible_rows(frame, "euler", most=8)
    panels = [
        next(iter(findings_of(part, {"": path}, unseen=unseen).by_title.values())).group
        for unseen in (0, len(frame) - len(part))
    ]
    assert panels[0].within_budget == 2 * 6  # four rows at each of two budgets
    assert panels[1].within_budget == panels[1].across_budgets == 24 * 23 // 2
