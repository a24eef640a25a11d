import io

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from new_runs import new_run

from samplerbench.results.comparison.best_rows import ranked_curves
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.report.drawing import (
    common_box,
    draw_mosaic,
    draw_points,
    png_bytes,
    side_by_side,
)
from samplerbench.results.report.listing import listing_of
from samplerbench.results.report.model_section import fronts_of, reference_note_sentence
from samplerbench.results.report.pictures import grids_of, sample_rows_of, trajectory_strips_of
from samplerbench.results.report.plots import curve_styles, plot_data_of
from samplerbench.results.report.timing import throughput_of, times_by_batch_size, timing_of
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.sentences import markdown_summary
from samplerbench.results.table.curves import comparable_parts


def row(sampler="euler", **columns):
    return {
        "model": "m",
        "sampler": sampler,
        "steps": 5,
        "budget": 5,
        "nfe": 5.0,
        "status": "ok",
        **columns,
    }


def part(*rows):
    ((_, frame),) = comparable_parts(ResultTable.of(rows).frame)
    return frame


def judged(*rows):
    (found,) = findings_of(ResultTable.of(rows).frame).by_title.values()
    return found


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_png_is_read_back_by_another_library(height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    back = matplotlib.image.imread(io.BytesIO(png_bytes(pixels)))
    # matplotlib widens grey with alpha to RGBA
    expected = pixels[..., [0, 0, 0, 1]] if channels == 2 else pixels
    np.testing.assert_array_equal(
        np.round(255 * back).astype(np.uint8).reshape(expected.shape), expected
    )


def test_mosaic_keeps_every_pixel_in_its_place():
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), dtype=np.uint8)
    side_by_side = draw_mosaic(images, most=6)
    assert side_by_side.shape == (2 * 5 - 1, 3 * 6 - 1, 4)
    np.testing.assert_array_equal(side_by_side[5:9, 6:11, :3], images[4].transpose(1, 2, 0))
    assert (side_by_side[4, :, 3] == 0).all()  # the gap is transparent
    assert draw_mosaic(images[:, :1]).shape[-1] == 2


def test_mosaic__has_no_hole():
    for count in range(1, 10):
        picture = draw_mosaic(np.ones((count, 1, 4, 4), np.uint8))
        lines, across = ((side + 1) // 5 for side in picture.shape[:2])
        assert (picture[..., 1] == 255).sum() == 16 * lines * across
        assert count - 1 <= lines * across <= count
    assert draw_mosaic(np.ones((8, 1, 4, 4), np.uint8)).shape[:2] == (9, 19)


def test_ranked_curves__best_first():
    rows = [
        {"model": "m", "sampler": name, "budget": budget, "nfe": float(budget), "status": "ok",
         "fid_proxy": value}
        for name, values in {"a": (9, 3), "b": (1, 2), "z": (0.5, 1)}.items()
        for budget, value in zip((5, 9), values, strict=True)
    ] + [{"model": "m", "sampler": "broken", "budget": 5, "nfe": 5.0, "status": "failed"}]  # fmt: skip
    ((_, part),) = comparable_parts(ResultTable.of(rows).frame)
    assert ranked_curves(part) == ["z", "b", "a", "broken"]


def test_points_are_drawn_where_they_are():
    picture = draw_points(
        np.array([[0.25, 0.9], [np.nan, 0], [50.0, 0.5]]),
        (np.zeros(2), np.ones(2)),
        size=100,
        radius=2,
    )
    rows, columns = np.nonzero(picture[..., 3])
    assert abs(columns.mean() + 0.5 - 25) < 0.5
    assert abs(rows.mean() + 0.5 - 10) < 0.5  # y points up
    assert np.ptp(rows) <= 5
    # opacity comes in steps of 17
    assert picture[..., 3].max() == pytest.approx(255 * 0.55, abs=8.5)


def test_two_dots_in_one_place_are_darker_than_one():
    box = (np.zeros(2), np.ones(2))
    one, two = (int(draw_points(np.full((n, 2), 0.5), box, size=51)[25, 25, 3]) for n in (1, 2))
    assert two == pytest.approx(255 * (1 - (1 - one / 255) ** 2), abs=17)


def test_the_window_is_not_moved_by_a_cloud_that_exploded():
    clouds = [np.random.default_rng(i).normal(size=(500, 2)) for i in range(4)]
    low, high = common_box([*clouds, np.full((500, 2), 1e9), np.full((5, 2), np.nan)])
    assert -6 < low[0] < -2
    assert 2 < high[0] < 6
    np.testing.assert_allclose(high - low, (high - low)[0])


def test_pictures_lie_side_by_side():
    pictures = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2, 1)
    whole = side_by_side(pictures, 2, gap=1)[..., 0]
    np.testing.assert_array_equal(
        whole, [[0, 1, 0, 4, 5], [2, 3, 0, 6, 7], [0] * 5, [8, 9, 0, 0, 0], [10, 11, 0, 0, 0]]
    )


def test_trajectories_are_shown_where_most_samplers_have_one_and_fit_the_room(run):
    parts, homes = comparable_parts(load(run.path).frame), {"": run.path}
    found = trajectory_strips_of(parts, homes)
    assert [each.budget for each in found if each] == [10, 10, 10]
    assert [each.are_points for each in found if each] == [False, False, True]
    assert found[1] is not None
    assert found[1].strips[0].levels == (
        "80",
        "22",
        "6.1",
        "1.7",
        "0.47",
        "0.13",
        "0.036",
        "0.01",
        "end",
    )
    room = sum(len(strip.image) for each in found if each for strip in each.strips) // 3
    tight = trajectory_strips_of(parts, homes, room=room)
    assert 0 < sum(len(strip.image) for each in tight if each for strip in each.strips) <= room


def test_fewer_images_are_shown_where_room_is_short(run):
    parts, homes = comparable_parts(load(run.path).frame), {"": run.path}
    wide, tight = grids_of(parts, homes), grids_of(parts, homes, room=100_000)
    assert [grid.shown for grid in wide if grid and not grid.are_points] == [9, 9]
    assert all(grid.shown < 9 for grid in tight if grid and not grid.are_points)
    assert [grid.budgets for grid in wide if grid] == [(1, 5, 10, 40)] * 3


def test_a_value_that_is_not_positive_is_drawn_as_the_end_of_its_interval():
    rows = [
        row(budget=n, nfe=float(n), fid_proxy=value, fid_proxy_se=0.1)
        for n, value in ((1, 2.0), (5, -0.1), (10, -1.0))
    ]
    frame = part(*rows)
    plot = plot_data_of(frame, curve_styles([("euler", "euler")]))
    assert plot is not None
    points = plot["curves"][0]["y"]["fid_proxy"]
    assert points["y"] == [2.0, pytest.approx(-0.1 + 0.196, abs=1e-4), None]
    assert points["low"] == [pytest.approx(2 - 0.196, abs=1e-4), None, None]
    assert points["limit"] == [False, True, False]


def test_a_flag_is_at_the_values_that_it_belongs_to():
    values = {"fid_proxy": 1.0, "fid_proxy_se": 0.1, "fd_conv": 2.0, "fd_conv_se": 0.1}
    values |= {"typical_error": 0.1, "rmse": 0.2}
    apart = part(
        row(**values, fid_flag="", fd_conv_flag="too few"),
        row("heun", **values, fid_flag="few", fd_conv_flag="few; too few"),
    )
    plot = plot_data_of(apart, curve_styles([("euler", "euler"), ("heun", "heun")]))
    assert plot is not None
    found = {
        curve["name"]: {name: points["flagged"] for name, points in curve["y"].items()}
        for curve in plot["curves"]
    }
    assert found["euler"] == {"fid_proxy": [False], "fd_conv": [True], "typical_error": [False]}
    assert found["heun"] == {"fid_proxy": [True], "fd_conv": [True], "typical_error": [False]}
    first, second = sorted(listing_of(apart).lines, key=lambda line: line.row["sampler"])
    assert (first.reason, second.reason) == ("† too few", "† few; too few")
    table = ResultTable.of([row(**values, fid_flag="", fd_conv_flag="few")])
    lines = markdown_summary(table, findings_of(table.frame)).splitlines()
    header, line = (
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if line.startswith(("| sampler ", "| euler "))
    )
    assert [name for name, cell in zip(header, line, strict=True) if "†" in cell] == [
        "FD to converged [95 %]"
    ]


def test_the_floor_belongs_to_the_plug_in_value_alone():
    frame = part(row(fid_proxy=1.0, fid_proxy_se=0.1, fid_proxy_raw=1.5, fid_proxy_floor=0.4))
    plot = plot_data_of(frame, curve_styles([("euler", "euler")]))
    assert plot is not None
    assert {item["name"]: item["floor"] for item in plot["measures"]} == {
        "fid_proxy": None,
        "fid_proxy_raw": 0.4,
    }


def test_a_curve_looks_the_same_everywhere_and_unlike_the_others():
    names = [
        "euler",
        "euler_maruyama",
        "ddim",
        "dpm_solver_2",
        "dpm_solver_2m",
        "dpmpp_2m",
        "dpmpp_3m",
        "my_solver",
        "heun",
    ]
    curves = [
        *((name, name) for name in names),
        ("euler · karras", "euler"),
        ("euler · edm", "euler"),
    ]
    found = curve_styles(curves)
    assert found == curve_styles(reversed(curves))
    assert len(set(found.values())) == len(curves)
    assert (
        found["euler"].family
        == found["euler · karras"].family
        == found["ddim"].family
        != found["euler_maruyama"].family
    )


def test_curves_of_one_colour_have_different_lines():
    names = ("ddpm", "edm_stochastic", "euler_maruyama", "dpmpp_2m", "dpmpp_3m", "dpmpp_2s")
    found = curve_styles((name, name) for name in names)
    lines = [(look.family, look.dash) for look in found.values()]
    assert len(set(lines)) == len(lines)
    assert (found["ddpm"].dash, found["dpmpp_3m"].dash) == ("solid", "dash"), "the usual ones"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"euler": 90.0, "heun": 9.0, "ddim": 9.1}, ["Euler", "Heun", "DDIM", "converged"]),
        ({"euler": 90.0, "heun": 9.0, "ddim": 50.0}, ["Euler", "Heun", "converged"]),
        ({"euler": 9.1, "heun": 9.0, "ddim": 50.0}, ["Euler", "Heun", "converged"]),
        ({"euler": 90.0} | {f"mine_{n}": 9.0 + n / 10 for n in range(5)}, ["Euler", "mine_0", "converged"]),
    ],
)  # fmt: skip
def test_pictures_are_of_the_baseline_and_up_to_two_leaders(tmp_path, values, labels):
    rows = [
        row(name, fid_proxy=value, fid_proxy_se=1.0, seed=0, cell="c")
        for name, value in values.items()
    ]
    frame, best = part(*rows), judged(*rows).best[0]
    pixels = np.zeros((8, 1, 4, 4), np.uint8)
    run = new_run(tmp_path)
    run.write_pictures("c", {"images": pixels, "converged": pixels})
    found = sample_rows_of("m", frame, {"": run.path}, best)
    assert found is not None
    assert [label for label, _, _ in found.rows] == labels


def test_the_front_is_a_recommendation_for_each_budget():
    values = {
        ("euler", 5): 20.0,
        ("heun", 5): 10.0,
        ("euler", 10): 9.0,
        ("heun", 10): 12.0,
        ("heun", 20): 5.0,
        ("euler", 20): 5.4,
    }
    rows = [
        row(
            name,
            budget=n,
            steps=n,
            nfe=float(n),
            fid_proxy=value,
            fid_proxy_se=0.1,
            ms_per_sample=n * 1.0,
        )
        for (name, n), value in values.items()
    ]
    nfe, time = fronts_of(judged(*rows))
    assert [(choice.budget, choice.curve, choice.verdict) for choice in nfe.choices] == [
        ("5 to 10", "heun", "use it"),
        ("10 to 20", "euler", "use it"),
        ("20 or more", "heun", "open"),
    ]
    assert nfe.rest == 1  # Euler at 20
    assert [(choice.budget, choice.curve, choice.verdict) for choice in time.choices] == [
        ("20 or more", "heun", "open")
    ]
    assert time.merged == 2  # nothing is known of the scatter of the times


@pytest.mark.parametrize(
    ("scatter", "ranges"),
    [
        (0.01, ["1 to 1.1", "1.1 to 2", "2 or more"]),
        (0.2, ["1.1 to 2", "2 or more"]),
        (2.0, ["2 or more"]),
    ],
)
def test_ranges_of_times_are_wider_than_their_scatter(scatter, ranges):
    """Of rows whose times are not told apart, the lowest stays: 1 and 1.1 ms are one time if
    the scatter is 0.2 ms.
    """
    rows = [
        row(
            name,
            fid_proxy=value,
            fid_proxy_se=0.01,
            ms_per_sample=ms,
            ms_low=ms - scatter,
            ms_high=ms + scatter,
        )
        for name, ms, value in (("euler", 1.0, 9.0), ("heun", 1.1, 5.0), ("ipndm", 2.0, 1.0))
    ]
    _, time = fronts_of(judged(*rows))
    assert [choice.budget for choice in time.choices] == ranges
    assert time.merged == 3 - len(ranges)


def test_methods_that_coincide_are_no_choice():
    rows = [
        row(name, budget=1, steps=1, nfe=1.0, fid_proxy=20.0 + i * 1e-6, fid_proxy_se=0.3)
        for i, name in enumerate(("euler", "heun"))
    ]
    (front,) = fronts_of(judged(*rows))
    assert [(choice.curve, choice.verdict) for choice in front.choices] == [
        ("any of 2 that coincide", "any of them")
    ]


def test_timing_is_shown_at_the_largest_budget_that_most_curves_have():
    rows = [
        row(name, budget=b, nfe=float(b), ms_per_sample=b * 1.1, model_ms_per_sample=b * 1.0)
        for name in ("a", "b")
        for b in (5, 10)
    ]
    timing = timing_of(part(*rows, row("a", budget=40, nfe=40.0, ms_per_sample=99.0)))
    assert timing is not None
    assert (timing.budget, len(timing.rows)) == (10, 2)
    assert timing.rows[0].model_share + timing.rows[0].own_share == pytest.approx(100)
    assert timing.rows[0].own_share == pytest.approx(100 / 11)
    assert timing_of(part(row())) is None


def test_raw_times_are_places_around_their_median(tmp_path):
    run = new_run(tmp_path)
    run.write("c", "timing.json", {"raw_total_ms": [90.0, 100.0, 100.0, 110.0, 500.0]})
    timing = timing_of(
        part(row(ms_per_sample=1.0, cell="c", timing_flag="busy")), {"": tmp_path / "absent"}
    )
    assert timing is not None
    assert timing.rows[0].spread == ()
    timing = timing_of(part(row(ms_per_sample=1.0, cell="c", timing_flag="busy")), {"": tmp_path})
    assert timing is not None
    assert timing.rows[0].spread == pytest.approx((0.3, 0.5, 0.5, 0.7, 1.0))
    assert timing.columns >= {"ms_per_sample", "timing_flag"}
    assert not timing.columns & {"peak_memory_mb", "joules_per_sample"}


def test_times_at_several_batch_sizes_are_read(tmp_path):
    (tmp_path / "timing.csv").write_text(
        "model,sampler,timing_batch_size,ms_per_sample\nm,euler,1,2.5\nm,euler,8,1.5\n"
    )
    heads, lines = times_by_batch_size([tmp_path, tmp_path / "other"])
    assert [dict(zip(heads, line, strict=True))["ms_per_sample"] for line in lines] == [
        "2.5",
        "1.5",
    ]
    for damage in (b"\xe9", b"e" * 200_000):  # another encoding, and a field beyond csv's limit
        (tmp_path / "timing.csv").write_bytes(b"model,sampler\nm,euler\nn," + damage)
        _, (first, *_) = times_by_batch_size([tmp_path])
        assert first[:2] == ("m", "euler")


def test_a_sweep_is_shown_with_its_knee_and_a_broken_one_is_not(tmp_path):
    heads = "model,sampler,nfe,timing_device_name,batch,ms,samples_per_second,knee,ended"
    lines = [
        f"m,euler,5.0,card,{b},1.0,{s},{b == 4},enough" for b, s in ((1, 10), (2, 20), (4, 40))
    ]
    (tmp_path / "throughput.csv").write_text("\n".join([heads, *lines]))
    (found,) = throughput_of([tmp_path])
    assert (found.title, found.ended) == ("m, euler at 5 NFE, card", "enough")
    assert [point[2:] for point in found.points] == [(25.0, False), (50.0, False), (100.0, True)]
    for pace in ("fast", "0"):
        line = f"m,euler,5.0,card,1,1.0,{pace},True,enough"
        (tmp_path / "throughput.csv").write_text(f"{heads}\n{line}")
        assert throughput_of([tmp_path]) == []


def test_reference_note_sentence__is_there_if_the_first_row_failed(tmp_path):
    new_run(tmp_path).write_run({"references": {"m": {"identity": "r", "note": "few"}}})
    rows = part(row("auto", status="failed", nfe=None), row(estimator="frechet; reference r; x"))
    assert reference_note_sentence(rows, [tmp_path]).endswith(": few.")
