import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.results.pareto import Point, dominates, front_of
from samplerbench.results.table import ResultTable


def row(sampler, value, nfe, se=0.1, **more):
    fixed = {"model": "m", "schedule": "karras", "status": "ok", "steps": 1, "budget": int(nfe)}
    return {**fixed, "sampler": sampler, "nfe": float(nfe), "fid_proxy": value, "fid_proxy_se": se, **more}


def fronts(*rows, cost="nfe"):
    frame = ResultTable.of(rows).pareto("fid_proxy", cost)
    return {text: (bool(on), str(front)) for text, on, front in zip(frame["sampler"], frame["on_front"], frame["front"], strict=True)}


def test_front_by_counted_evaluations():
    found = fronts(row("a", 10.0, 5), row("b", 5.0, 10), row("c", 11.0, 10), row("d", 5.05, 20))
    assert found == {"a": (True, "on"), "b": (True, "on"), "c": (False, "off"), "d": (False, "uncertain")}


def test_a_better_value_within_the_noise_is_not_surely_on_the_front():
    assert fronts(row("a", 5.0, 5), row("b", 4.95, 10)) == {"a": (True, "on"), "b": (True, "uncertain")}


def test_equal_rows_share_the_front():
    assert fronts(row("a", 5.0, 5), row("b", 5.0, 5)) == {"a": (True, "on"), "b": (True, "on")}


def test_of_two_rows_at_one_cost_the_worse_is_off():
    assert fronts(row("a", 5.0, 5), row("b", 9.0, 5)) == {"a": (True, "on"), "b": (False, "off")}


def test_without_errors_nothing_is_sure():
    assert fronts(row("a", 5.0, 5, se=None), row("b", 9.0, 10, se=None)) == {"a": (True, "on"), "b": (False, "uncertain")}


@pytest.mark.parametrize(("iqr", "front"), [(0.01, "off"), (3.0, "uncertain")])
def test_times_have_errors_too(iqr, front):
    timed = {"ms_iqr": iqr, "timing_rounds": 10}
    rows = (row("a", 5.0, 5, ms_per_sample=1.0, **timed), row("b", 9.0, 5, ms_per_sample=1.2, **timed))
    assert fronts(*rows, cost="ms_per_sample")["b"] == (False, front)


def test_models_have_fronts_of_their_own_and_unknown_columns_are_named():
    assert fronts(row("a", 5.0, 5), row("b", 9.0, 5, model="other")) == {"a": (True, "on"), "b": (True, "on")}
    with pytest.raises(ValueError, match="no column 'fid'"):
        ResultTable.of([row("a", 5.0, 5)]).pareto("fid", "nfe")


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda p: Point(p[0], 0.0, p[1], 0.0)), min_size=1, max_size=8)


@given(POINTS)
def test_with_exact_numbers_the_front_is_the_definition(points):
    for index, point in enumerate(points):
        others = points[:index] + points[index + 1 :]
        beaten = any(dominates(other, point) for other in others)
        if front_of(point, others) == "on":
            assert not beaten
        if front_of(point, others) == "off":
            assert beaten
    assert any(not any(dominates(other, point) for other in points) for point in points)
