"""Figures of costs to target, and performance profiles."""

import math

import numpy as np
import pytest

from samplerbench.results.figures import ecdf, profile, write_figures
from samplerbench.results.figures.ecdf import TARGETS, costs_to_targets
from samplerbench.results.figures.series import series_of
from samplerbench.results.report.plots import curve_styles, plot_data_of
from samplerbench.results.result_table import ResultTable
from samplerbench.results.table.curves import add_curves_and_slots


def rows_of(model, sampler, errors, status="ok", **fields):
    """A row for each error at 5, 10, 20, … evaluations."""
    same = {"model": model, "sampler": sampler, "status": status, **fields}
    return [
        same | {"budget": 5 * 2**n, "nfe": 5 * 2**n, "typical_error": error}
        for n, error in enumerate(errors)
    ]


TABLE = ResultTable.of(
    [
        *rows_of("a", "euler", (1.0, 0.1, 0.01)),
        *rows_of("a", "heun", (0.1, 0.01, 0.0001)),
        *rows_of("b", "heun", (0.01, 0.001, 0.0001)),
        *rows_of("a", "ddpm", (None, None, None)),
        *rows_of("b", "lms", (None, None, None), status="failed"),
    ]
)


def drawn(figure, share):
    """Shares of each named curve at the place ``share`` (0: left, 1: right), by its label."""
    (axes,) = figure.axes
    lines = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    names = [words.get_text() for words in axes.texts][::-1]
    return {n: float(line.get_ydata()[-share]) for n, line in zip(names, lines, strict=True)}


def test_costs_to_targets__a_failed_or_missing_row_reaches_nothing():
    costs, _ = costs_to_targets(TABLE, "typical_error", "nfe")
    assert set(costs) == {"euler", "heun", "lms"}  # ddpm finished, and has no such error
    assert all(len(some) == 2 * TARGETS for some in costs.values())
    assert np.isinf(costs["lms"]).all()
    assert np.isinf(costs["euler"][TARGETS:]).all()  # it did not run on b
    # targets from 1 to 1e-4, ten a decade
    assert costs["euler"][:TARGETS].tolist() == [5, *[10] * 10, *[20] * 10, *[math.inf] * 20]


def test_ecdf_and_profile__ends_of_the_lines_are_the_shares():
    assert drawn(ecdf(TABLE), 1) == pytest.approx({"heun": 1, "euler": 21 / 82, "lms": 0})
    ends = [drawn(profile(TABLE), end) for end in (0, 1)]
    assert ends[0] == pytest.approx({"heun": 1, "euler": 1 / 82, "lms": 0})
    assert ends[1] == drawn(ecdf(TABLE), 1)


def test_costs_to_targets__a_floor_is_the_smallest_target():
    rows = rows_of("a", "euler", (1.0, 0.1, 1e-6), rmse_resolution=0.01)
    costs, _ = costs_to_targets(ResultTable.of(rows), "typical_error", "nfe")
    assert [int((costs["euler"] == n).sum()) for n in (5, 10, 20)] == [1, 20, 20]


def test_costs_to_targets__a_diverged_curve_sets_no_easy_targets_for_the_others():
    """From its value of 3e28 down, nine targets in ten are no task."""
    others = ("heun", "ddim")
    rows = [line for name in others for line in rows_of("a", name, (1.0, 0.1, 0.01))]
    rows += rows_of("a", "lms", (3e28, 0.1, 0.0001))
    costs, _ = costs_to_targets(ResultTable.of(rows), "typical_error", "nfe")
    assert {name: np.isfinite(costs[name]).sum() for name in others} == dict.fromkeys(others, 25)
    assert min(costs["lms"]) == 10


def test_costs_to_targets__an_exact_curve_leaves_the_others_their_targets():
    rows = [*rows_of("a", "euler", (1.0, 0.1)), *rows_of("a", "ddim", (1e-4, 1e-4))]
    costs, _ = costs_to_targets(ResultTable.of(rows), "typical_error", "nfe")
    assert np.isfinite(costs["euler"]).sum() == 11
    exact = [*rows_of("a", "euler", (1.0, 0.1)), *rows_of("a", "ddim", (0.0, 0.0))]
    costs, _ = costs_to_targets(ResultTable.of(exact), "typical_error", "nfe")
    assert all(np.isfinite(some).all() for some in costs.values())


def test_write_figures__one_of_each_kind_for_all_models(tmp_path):
    TABLE.to_csv(tmp_path / "table.csv")
    kinds = ["ecdf", "profile"]
    paths = write_figures(tmp_path / "table.csv", tmp_path, kinds=kinds, formats=["svg"])
    assert [path.name for path in paths] == ["ecdf-typical_error.svg", "profile-typical_error.svg"]
    with pytest.raises(ValueError, match="nothing to draw of ecdf"):
        write_figures(tmp_path / "table.csv", tmp_path, kinds=["ecdf"], metrics=["kid"])
    with pytest.raises(ValueError, match="no finished row has kid above 0 and nfe"):
        ecdf(TABLE, "kid")


def test_write_figures__two_samplers_at_different_budgets_have_no_ranking(tmp_path):
    rows = [
        {**row, "fid_proxy": 1.0, "nfe": nfe, "budget": nfe}
        for sampler, nfe in (("euler", 5), ("ddim", 20))
        for row in rows_of("a", sampler, (0.1,))
    ]
    ResultTable.of(rows).to_csv(tmp_path / "table.csv")
    names = [p.name for p in write_figures(tmp_path / "table.csv", tmp_path / "o", formats=["svg"])]
    assert names
    assert not any("ranking" in name for name in names)


def test_names_at_curves__long_ones_that_begin_alike_differ():
    schedules = "uniform_lambda", "uniform_time"
    params = '{"startup": "first", "end": 1}'
    rows = [
        line
        for name in schedules
        for line in rows_of("a", "dpmpp_2m", (1.0, 0.1), schedule=name, params=params)
    ]
    frame = add_curves_and_slots(ResultTable.of(rows).frame)
    assert len({series.name for series in series_of(frame, "typical_error", "nfe")}) == 2
    plot = plot_data_of(frame, curve_styles((curve, "dpmpp_2m") for curve in frame["curve"]))
    assert len({curve["label"] for curve in (plot or {})["curves"]}) == 2
