"""The interval of a value in a row."""

import pytest

from samplerbench.results.figures.series import point_of
from samplerbench.results.printed_values import interval_bounds, value_plus_minus, value_with_bounds
from samplerbench.results.report.listing import listing_of
from samplerbench.results.result_table import ResultTable

SYMMETRIC = {"rmse": 2.0, "rmse_se": 0.5}
OWN = {"kid": 2.0, "kid_se": 0.5, "kid_low": 1.5, "kid_high": 4.0, "nfe": 5.0}


def test_ends_come_from_columns_of_their_own_or_from_the_error():
    assert interval_bounds(OWN, "kid") == (1.5, 4.0)
    assert interval_bounds(SYMMETRIC, "rmse") == pytest.approx((1.02, 2.98), abs=1e-3)
    assert interval_bounds(OWN | {"kid_high": None}, "kid") == pytest.approx((1.02, 2.98), abs=1e-3)
    assert interval_bounds({"rmse": 2.0}, "rmse") is None
    assert interval_bounds({"rmse_se": 2.0}, "rmse") is None


def test_interval_bounds__of_few_samples_are_students():
    """PSNR of 8 images had ± 1.96 standard errors, and covered 90 %."""
    few = {"psnr_conv": 30.0, "psnr_conv_se": 1.0, "samples": 8}
    assert interval_bounds(few, "psnr_conv") == pytest.approx((27.635, 32.365), abs=1e-3)
    assert value_plus_minus(few, "psnr_conv") == "30 ± 2.4"


def test_words_have_both_ends():
    assert value_with_bounds(SYMMETRIC, "rmse") == "2 [1.02, 2.98]"
    assert value_with_bounds(OWN, "kid") == "2 [1.5, 4]"
    assert value_with_bounds({"rmse": 2.0}, "rmse") == "2"
    assert value_with_bounds({}, "rmse") == "–"
    assert value_plus_minus(SYMMETRIC, "rmse") == "2 ± 0.98"
    # no error
    assert (
        value_plus_minus(
            {"memorised": 0.02, "memorised_low": 0.01, "memorised_high": 0.05}, "memorised"
        )
        == "0.02 [0.01, 0.05]"
    )
    assert value_plus_minus({"rmse": 2.0}, "rmse") == "2"
    assert value_plus_minus({}, "rmse") == "–"


def test_figures_show_the_interval_that_is_not_symmetric():
    assert value_with_bounds(OWN, "kid") == value_plus_minus(OWN, "kid") == "2 [1.5, 4]"
    point = point_of(OWN, "kid", "nfe")
    assert point is not None
    assert (point.low, point.high) == (1.5, 4.0)


def test_the_table_of_the_report_shows_it_too():
    rows = [
        {"model": "m", "sampler": name, "status": "ok", **OWN, "rmse": 2.0 + i, "rmse_se": 0.5}
        for i, name in enumerate(("a", "b"))
    ]
    found = listing_of(
        ResultTable.of([*rows, {**rows[0], "sampler": "c", "kid": 3.0, "kid_low": 1.0}]).frame
    )
    shown = {
        head.name: [line.cells[i][0] for line in found.lines] for i, head in enumerate(found.heads)
    }
    assert sorted(shown["kid"]) == ["2 [1.5, 4]", "2 [1.5, 4]", "3 [1, 4]"]
    assert "3 ± 0.98" in shown["rmse"]
