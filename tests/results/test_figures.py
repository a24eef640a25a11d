from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samplerbench.results.figures import draw, ranking, save, timing, work_precision, write_figures
from samplerbench.results.figures.axes import floor_of, spread_labels
from samplerbench.results.figures.export import slug_of
from samplerbench.results.figures.series import Point, curves_to_name, point_of, series_of
from samplerbench.results.palette import style
from samplerbench.results.result_table import ResultTable, load


@pytest.fixture
def fashion(run):
    return load(run.path).where(model="fashion")


def texts(figure):
    return [item.get_text() for axes in figure.axes for item in axes.texts]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=8), st.floats(0.01, 0.12))
def test_spread_places_are_apart_in_order_in_range_and_as_near_as_can_be(wanted, gap):
    places = spread_labels(wanted, gap, 0.0, 1.0)
    inorder = [
        place for _, place in sorted(zip(wanted, places, strict=True), key=lambda pair: pair[0])
    ]
    assert all(
        b - a >= gap - 1e-6 for a, b in zip(sorted(places), sorted(places)[1:], strict=False)
    )
    assert inorder == sorted(places) or len(set(wanted)) < len(wanted)
    assert -1e-9 <= min(places) <= max(places) <= 1 + 1e-6
    if all(0 <= a <= 1 for a in wanted) and all(
        b - a >= gap for a, b in zip(sorted(wanted), sorted(wanted)[1:], strict=False)
    ):
        assert places == pytest.approx(wanted, abs=1e-8)


def test_spread_with_no_room_stays_in_order():
    assert spread_labels([0.5] * 4, 0.5, 0.0, 1.0) == [0.0, 0.5, 1.0, 1.5]


def test_a_value_that_is_not_positive_is_drawn_as_the_end_of_its_interval():
    row = {"nfe": 5.0, "fd_conv": -0.1, "fd_conv_se": 0.2}
    assert point_of(row, "fd_conv", "nfe") == Point(
        5.0, pytest.approx(-0.1 + 1.959964 * 0.2), is_limit=True
    )
    assert point_of({**row, "fd_conv_se": 0.01}, "fd_conv", "nfe") is None
    assert point_of({"nfe": 5.0, "rmse": 0.0}, "rmse", "nfe") is None
    assert point_of({"nfe": 0.0, "rmse": 1.0}, "rmse", "nfe") is None


def test_series__a_value_whose_interval_is_below_zero_stays_on_the_plot():
    row = {"status": "ok", "sampler": "euler", "curve": "euler", "fd_conv_se": 0.01}
    rows = [{**row, "nfe": n, "fd_conv": y} for n, y in ((5.0, 0.4), (10.0, 0.2), (20.0, -0.1))]
    (curve,) = series_of(pd.DataFrame(rows), "fd_conv", "nfe")
    assert curve.points[-1] == Point(20.0, 0.2, is_limit=True)


def test_series_have_all_drawable_rows_in_the_order_of_cost(fashion):
    from samplerbench.results.table.curves import comparable_parts

    ((_, rows),) = comparable_parts(fashion.ok.frame)
    series = series_of(rows, "rmse", "nfe")
    assert sum(len(one.points) for one in series) == len(fashion.ok)
    assert all([p.x for p in one.points] == sorted(p.x for p in one.points) for one in series)
    assert next(one for one in series if one.name == "heun").style == style("heun")
    few = curves_to_name(series, 3)
    assert len(few) == 3
    assert series[0] in few  # the best at the end


def test_the_plot_names_its_curves_and_its_floor(fashion):
    figure = work_precision(fashion, "fid_proxy_raw")
    assert {"euler", "heun", "dpmpp_2m", "ddpm", "as many held-out samples"} <= set(texts(figure))
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert any(np.allclose(line.get_ydata(), 0.31) for line in axes.lines)


def test_the_fan_has_the_slopes_of_its_orders(fashion):
    (axes,) = work_precision(fashion, "fd_conv").figure.axes
    fan = [line for line in axes.lines if line.get_zorder() == 0.5]
    slopes = [
        np.diff(np.log(line.get_ydata()))[0] / np.diff(np.log(line.get_xdata()))[0] for line in fan
    ]
    assert slopes == pytest.approx([-2, -4, -6])  # a Fréchet distance is a square


LADDERS = {
    "nothing in the corner": {"euler": (1.0, 0.3, 0.1, 0.03)},
    "a curve through the lower left": {
        "euler": (1.0, 0.3, 0.1, 0.03),
        "auto": (0.04, 0.035, 0.032, 0.03),
    },
    "curves everywhere": {
        f"plugin_{n}": tuple(1.6**-n * f for f in (1.0, 0.9, 0.8, 0.75)) for n in range(12)
    },
    "steep ones": {"heun": (50.0, 1.0, 0.02, 0.001), "euler": (0.002, 0.0019, 0.0015, 0.001)},
}


@pytest.mark.parametrize("name", LADDERS)
@pytest.mark.parametrize("metric", ["rmse", "fd_conv"])
def test_order_guides_lie_over_no_curve(name, metric):
    budgets = (1, 5, 10, 40)
    rows = [
        {"model": "m", "sampler": sampler, "budget": n, "nfe": n, metric: value, "status": "ok"}
        for sampler, values in LADDERS[name].items()
        for n, value in zip(budgets, values, strict=True)
    ]
    figure = work_precision(ResultTable.of(rows), metric)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    fan = [
        line.get_transform().transform(line.get_xydata())
        for line in axes.lines
        if line.get_zorder() == 0.5
    ]
    words = [
        item.get_window_extent()
        for item in axes.texts
        if item.get_text() in ("order", "1", "2", "3")
    ]
    low, high = (np.min if end == 0 else np.max for end in (0, 1))
    corners = np.concatenate(fan)
    left, bottom = (
        min(low(corners[:, 0]), *(box.x0 for box in words)),
        min(low(corners[:, 1]), *(box.y0 for box in words)),
    )
    right, top = (
        max(high(corners[:, 0]), *(box.x1 for box in words)),
        max(high(corners[:, 1]), *(box.y1 for box in words)),
    )
    assert axes.bbox.x0 <= left
    assert right <= axes.bbox.x1 + 1
    assert axes.bbox.y0 <= bottom
    assert top <= axes.bbox.y1 + 1
    curves = [
        line
        for line in axes.lines
        if line.get_zorder() in (1.5, 2, 3.5) and len(line.get_xdata()) == len(budgets)
    ]
    assert len(curves) >= len(LADDERS[name])
    for line in curves:
        x, y = line.get_transform().transform(line.get_xydata()).T
        places = np.linspace(x[0], x[-1], 400)
        heights = np.interp(places, x, y)
        inside = (left < places) & (places < right) & (bottom < heights) & (heights < top)
        assert not inside.any(), line.get_color()


def test_curves_have_their_colours_and_measured_points(fashion):
    (axes,) = work_precision(fashion, "rmse").axes
    heun = [
        line
        for line in axes.lines
        if line.get_color() == style("heun").colour
        and line.get_linestyle() == "-"
        and len(line.get_xdata()) > 2
    ]
    frame = fashion.where(sampler="heun").ok.frame.sort_values("nfe")
    assert any(
        np.allclose(line.get_xdata(), frame["nfe"]) and np.allclose(line.get_ydata(), frame["rmse"])
        for line in heun
    )


def test_a_plugin_is_thick_on_top_and_named_among_many(fashion):
    """Also where its name is like a built-in one's: the table says where it comes from."""
    first = fashion.where(sampler="ddpm", status="ok").frame.astype(object).to_dict("records")
    names = [
        "euler",
        "ddim",
        "heun",
        "unipc_2",
        "ipndm",
        "lms",
        "auto",
        "dpmpp_2m",
        "dpmpp_3m",
        "dpm_solver_2",
        "deis_tab3",
        "er_sde_1",
    ]
    others = [
        {**row, "sampler": name, "rmse": row["rmse"] * (1 + n / 9)}
        for n, name in enumerate(names)
        for row in first
    ]
    own = [
        {
            **row,
            "sampler": "euler_of_mine",
            "origin": "mine.py sha256:01",
            "rmse": row["rmse"] * 1.5,
        }
        for row in first
    ]
    table = ResultTable.of([*others, *own])
    assert not table.frame["origin"].isna().all()
    look = style("euler_of_mine", "mine.py sha256:01")
    for kind in ("work-precision", "pareto"):
        figure = draw(table, "rmse", "nfe", kind=kind)
        assert "euler_of_mine" in texts(figure)
        (axes,) = figure.axes
        drawn = [
            line
            for line in axes.lines
            if len(line.get_xdata()) > 0 and line.get_transform() != axes.transAxes
        ]
        mine = [
            line
            for line in drawn
            if look.colour
            in (line.get_color(), line.get_markeredgecolor(), line.get_markerfacecolor())
        ]
        rest = [line for line in drawn if line not in mine]
        assert max(line.get_zorder() for line in mine) > max(line.get_zorder() for line in rest)
        if kind == "work-precision":
            assert max(line.get_linewidth() for line in mine) > 1.5 * max(
                line.get_linewidth() for line in rest
            )


def test_the_front_is_what_the_table_says(fashion):
    (axes,) = draw(fashion, "fd_conv", "nfe", kind="pareto").axes
    (stairs,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    front = fashion.pareto("fd_conv").query("on_front").drop_duplicates("fd_conv")
    shown = front.loc[front["fd_conv"] > 0]
    assert set(np.round(stairs.get_xdata(), 6)) <= set(np.round(front["nfe"], 6))
    assert stairs.get_ydata()[0] == shown["fd_conv"].max()
    assert list(stairs.get_ydata()) == sorted(stairs.get_ydata(), reverse=True)


def test_rows_that_are_equal_to_rounding_are_one_point_of_the_front():
    rows = [
        {"model": "m", "sampler": name, "budget": 1, "nfe": 1, "rmse": 1 + n * 1e-9, "status": "ok"}
        for n, name in enumerate("abc")
    ]
    rows.append({**rows[0], "sampler": "b", "budget": 2, "nfe": 2, "rmse": 0.5})
    (axes,) = draw(
        ResultTable.of([*rows, {**rows[0], "sampler": "d"}]), "rmse", "nfe", kind="pareto"
    ).axes
    (stairs,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert list(stairs.get_xdata()) == [1, 2]


def test_ranking_and_timing_say_the_numbers(fashion):
    words = texts(ranking(fashion, budget=10, width="double"))
    best = fashion.best_per_budget().query("slot == 10")["sampler"].item()
    assert any(word.startswith(f"{best}  ") for word in words)
    assert any(word.startswith("ρ = ") for word in words)
    (axes,) = timing(fashion, budget=10).axes
    row = fashion.where(sampler="euler", budget=10).frame.iloc[0]
    place = [tick.get_text() for tick in axes.get_yticklabels()].index("euler")
    assert axes.containers[1].patches[place].get_x() == pytest.approx(
        row["model_ms_per_sample"]
    )  # the overhead begins where the network ends
    network, own = (bars.patches[place].get_width() for bars in axes.containers)
    assert network == pytest.approx(row["model_ms_per_sample"])
    assert network + own == pytest.approx(row["ms_per_sample"])


@pytest.mark.slow
def test_all_figures_of_a_hostile_run(run, tmp_path):
    before = dict(matplotlib.rcParams)
    names = {
        "work-precision": ["rmse"],
        "pareto": ["fd_conv"],
        "ranking": [],
        "timing": [],
        "samples": [],
    }
    paths = [
        p
        for k, m in names.items()
        for p in write_figures(
            run.path, tmp_path, kinds=[k], metrics=m, models=["gmm-2d"], formats=["svg"]
        )
    ]
    assert dict(matplotlib.rcParams) == before
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert len(paths) == 2 + 2 + 1 + 1 + 1
    assert b"<script" not in b"".join(path.read_bytes() for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_equal_tables_give_equal_bytes(fashion, tmp_path, form):
    one, two = (
        save(draw(fashion, "rmse", "nfe"), tmp_path / f"{n}.{form}").read_bytes() for n in "ab"
    )
    assert one == two
    assert form.encode() in one[:200].lower()


def test_sizes_are_those_of_a_page(fashion, tmp_path):
    for width, inches in (("single", 3.35), ("double", 6.9)):
        with Image.open(
            save(draw(fashion, "rmse", "nfe", width=width), tmp_path / "a.png")
        ) as image:
            assert image.width == round(200 * inches)


def test_mathematics_in_a_name_is_text(tmp_path):
    rows = [
        {
            "model": "$\\frac{$",
            "sampler": "$x^",
            "budget": n,
            "nfe": n,
            "rmse": 1 / n,
            "status": "ok",
        }
        for n in (1, 2)
    ]
    save(ResultTable.of(rows).plot("rmse"), tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda t, p: t.plot("kid"), "no finished row has kid and nfe"),
        (lambda t, p: t.plot("rmse", kind="pie"), "no figure 'pie'; choose from work-precision"),
        (lambda t, p: ranking(t, right="kid"), "no model has two samplers with fid_proxy and kid"),
        (lambda t, p: timing(ResultTable(t.frame.iloc[:0])), "run the suite with --timing"),
        (lambda t, p: save(t.plot("rmse"), Path("a.gif")), "a.gif: figures are written as svg"),
        (lambda t, p: write_figures(p, "x", formats=["gif"]), "no format 'gif'"),
        (
            lambda t, p: write_figures(p, "x", metrics=["nonsense"]),
            "no metric 'nonsense': it is no column of the table; choose from fid_proxy, "
            "fid_proxy_raw, fd_conv, typical_error, flip_fraction, rmse, rmse_median$",
        ),
        (lambda t, p: write_figures(p, "x", metrics=["fd_con"]), "did you mean fd_conv"),
        (
            lambda t, p: write_figures(p, "x", metrics=["sampler"]),
            "no metric 'sampler': it is no column of numbers",
        ),
        (lambda t, p: write_figures(p, "x", samplers=["eular"]), "no row has sampler = 'eular'"),
        (
            lambda t, p: write_figures(p, "x", metrics=["kid"], kinds=["pareto"]),
            "nothing to draw of pareto",
        ),
    ],
)
def test_a_mistake_is_one_sentence(run, fashion, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(fashion, run.path)


def test_floors_are_medians_of_what_the_rows_say():
    rows = [{"fid_proxy_floor_se": se} for se in (0.1, 0.2, 0.6)]
    assert floor_of("fd_conv", rows) == (pytest.approx(0.392), "not significant below")
    assert floor_of("kid", rows) is None
    assert floor_of("rmse", [{"rmse_resolution": 0.0}]) is None
    assert slug_of("evil|<b>model</b>/..") == "evil-b-model-b"


@pytest.mark.slow
def test_a_folder_of_figures_that_is_a_link_out_of_the_run_is_refused(tmp_path):
    rows = [
        {"model": "m", "sampler": "euler", "budget": n, "nfe": n, "rmse": 1 / n, "status": "ok"}
        for n in (1, 2)
    ]
    home, elsewhere, within = (tmp_path / name for name in ("run", "elsewhere", "run/within"))
    for folder in (home, elsewhere, within):
        folder.mkdir()
    ResultTable.of(rows).to_csv(home / "table.csv")
    for place in (home / "figures", home / "figures" / "deeper"):
        (home / "figures").unlink(missing_ok=True)
        (home / "figures").symlink_to(elsewhere, target_is_directory=True)
        with pytest.raises(
            ValueError, match=r"figures.* is a link that leads out of the run " r"directory"
        ):
            write_figures(home, place, formats=["svg"])
        assert list(elsewhere.iterdir()) == []
    (home / "figures").unlink()
    (home / "figures").symlink_to(within, target_is_directory=True)
    assert write_figures(home, home / "figures", formats=["svg"])
    linked = tmp_path / "linked"
    linked.symlink_to(home, target_is_directory=True)  # the run itself may be reached by a link
    assert write_figures(linked, linked / "figures", formats=["svg"])
