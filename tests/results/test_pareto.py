import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.results.comparison.pareto import Point, _undominated_points
from samplerbench.results.figures.work_precision import front as draw_front
from samplerbench.results.palette import style
from samplerbench.results.result_table import ResultTable


def dominates(a, b):
    """Whether ``a`` is at least as good as ``b`` in both, and better in one."""
    return a.value <= b.value and a.cost <= b.cost and (a.value < b.value or a.cost < b.cost)


def row(sampler, value, nfe, se=0.1, **more):
    fixed = {"model": "m", "schedule": "karras", "status": "ok", "steps": 1, "budget": int(nfe)}
    return {
        **fixed,
        "sampler": sampler,
        "nfe": float(nfe),
        "fid_proxy": value,
        "fid_proxy_se": se,
        **more,
    }


def fronts(*rows, cost="nfe"):
    frame = ResultTable.of(rows).pareto("fid_proxy", cost)
    return {
        text: (bool(on), str(front))
        for text, on, front in zip(frame["sampler"], frame["on_front"], frame["front"], strict=True)
    }


def test_front_by_counted_evaluations():
    found = fronts(row("a", 10.0, 5), row("b", 5.0, 10), row("c", 11.0, 10), row("d", 5.05, 20))
    assert found == {
        "a": (True, "on"),
        "b": (True, "on"),
        "c": (False, "off"),
        "d": (False, "uncertain"),
    }


def test_a_better_value_within_the_noise_is_not_surely_on_the_front():
    assert fronts(row("a", 5.0, 5), row("b", 4.95, 10)) == {
        "a": (True, "on"),
        "b": (True, "uncertain"),
    }


def test_equal_rows_share_the_front():
    assert fronts(row("a", 5.0, 5), row("b", 5.0, 5)) == {"a": (True, "on"), "b": (True, "on")}


def test_of_two_rows_at_one_cost_the_worse_is_off():
    assert fronts(row("a", 5.0, 5), row("b", 9.0, 5)) == {"a": (True, "on"), "b": (False, "off")}


def test_without_errors_nothing_is_sure():
    assert fronts(row("a", 5.0, 5, se=None), row("b", 9.0, 10, se=None)) == {
        "a": (True, "on"),
        "b": (False, "uncertain"),
    }


@pytest.mark.parametrize(("iqr", "front"), [(0.01, "off"), (3.0, "uncertain")])
def test_times_have_errors_too(iqr, front):
    timed = {"ms_iqr": iqr, "timing_rounds": 10}
    rows = (
        row("a", 5.0, 5, ms_per_sample=1.0, **timed),
        row("b", 9.0, 5, ms_per_sample=1.2, **timed),
    )
    assert fronts(*rows, cost="ms_per_sample")["b"] == (False, front)


def test_models_have_fronts_of_their_own_and_unknown_columns_are_named():
    assert fronts(row("a", 5.0, 5), row("b", 9.0, 5, model="other")) == {
        "a": (True, "on"),
        "b": (True, "on"),
    }
    with pytest.raises(ValueError, match="no column 'fid'"):
        ResultTable.of([row("a", 5.0, 5)]).pareto("fid", "nfe")


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=8)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(POINTS)
def test_with_exact_numbers_the_front_is_the_definition(points):
    frame = ResultTable.of(
        [row(f"s{i}", float(v), c, se=0.0, seed=i) for i, (v, c) in enumerate(points)]
    ).pareto("fid_proxy", "nfe")
    there = [
        Point(value, cost, cost, cost)
        for value, cost in zip(frame["fid_proxy"], frame["nfe"], strict=True)
    ]
    for index, (point, on, front) in enumerate(
        zip(there, frame["on_front"], frame["front"], strict=True)
    ):
        beaten = any(dominates(other, point) for other in there[:index] + there[index + 1 :])
        assert on != beaten
        if front != "uncertain":
            assert (front == "off") == beaten
        nearest = min(
            (abs(point.value - other.value) for other in there if other.value != point.value),
            default=1,
        )
        assert (
            front != "uncertain"
            or nearest <= 0.01 * 9
            or point.value in [other.value for other in there if other is not point]
        )
    assert frame["on_front"].any()


def test_where_the_judge_refuses_nothing_is_sure():
    flagged = [row("a", 5.0, 5, fid_flag="few"), row("b", 9.0, 5)]
    assert fronts(*flagged) == {"a": (True, "uncertain"), "b": (False, "uncertain")}
    ruled = [row("a", 5.0, 5, dominated=True), row("b", 9.0, 5)]
    assert fronts(*ruled) == {"a": (True, "uncertain"), "b": (False, "uncertain")}


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("inf")]), st.integers(1, 4)),
        max_size=12,
    )
)
def test_the_undominated_points_are_those_that_no_other_dominates(places):
    points = {n: Point(value, cost, cost, cost) for n, (value, cost) in enumerate(places)}
    assert _undominated_points(points) == [
        n
        for n, point in points.items()
        if not any(dominates(other, point) for other in points.values())
    ]


@pytest.mark.parametrize(("cost", "first"), [("steps", "on"), ("joules_per_sample", "uncertain")])
def test_pareto__times_decide_no_front_by_another_cost(cost, first):
    slow = {"ms_per_sample": 3.0, "ms_low": 2.9, "ms_high": 3.1}
    fast = {name: value - 1 for name, value in slow.items()}
    rows = (row("a", 10.0, 5, **slow, steps=5), row("b", 5.0, 10, **fast, steps=10))
    rows = (
        one | {"joules_per_sample": joules} for one, joules in zip(rows, (1.0, 2.0), strict=True)
    )
    assert fronts(*rows, cost=cost) == {"a": (True, first), "b": (True, "on")}


def test_draw_front__a_value_at_or_below_0_is_a_triangle_on_the_front_to_which_no_step_leads():
    values = {"a": (5, 1.0, 2.0), "b": (10, 0.1, 0.2), "c": (20, -0.1, 0.4), "d": (30, -0.2, 0.0)}
    rows = [
        {"model": "m", "sampler": name, "status": "ok", "budget": nfe, "nfe": nfe}
        | {"fd_conv": value, "fd_conv_low": 0.0, "fd_conv_high": high}
        for name, (nfe, value, high) in values.items()
    ]
    (axes,) = draw_front(ResultTable.of(rows), "fd_conv").axes
    (stairs,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert list(stairs.get_xdata()) == [5, 10]
    leads = [line for line in axes.lines if line.get_markersize() == 7]
    assert [(line.get_marker(), *line.get_ydata()) for line in leads[2:]] == [
        ("v", 0.4),
        ("v", 0.1),
    ]


def test_draw_front__a_marker_is_filled_where_its_row_is_surely_on_the_front():
    open_symbol = "etdrk_thirds_3"
    assert style(open_symbol).symbol.endswith("-open")
    rows = (row(open_symbol, 1.0, 5), row("euler", 9.0, 10))
    assert fronts(*rows)[open_symbol] == (True, "on")
    (axes,) = draw_front(ResultTable.of(rows)).axes
    (lead,) = [line for line in axes.lines if line.get_markersize() == 5]
    assert lead.get_markerfacecolor() == style(open_symbol).colour
