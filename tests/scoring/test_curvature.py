"""Curvature of paths: straight ones, closed forms, invariances, bounds, and what a run
directory keeps of it.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from new_runs import new_run
from quiet_runs import quiet_run

from samplerbench.benchmarks.scoring.path_curvature import (
    FollowedPaths,
    arc_length,
    converged_curvature,
    curvature_arrays,
    curvature_summary,
    data_spread,
    follow_paths,
    largest_deviation,
    one_step_error,
    store_curvature,
    straightness,
)
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.results.report.build import write_report
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.terminal.path_curvature import curvature_lines, first_curvature_lines
from samplerbench.samplers import karras
from samplerbench.samplers.noise import SampleNoise

MEASURES = (
    lambda path, unit: arc_length(path, unit)[-1],
    one_step_error,
    largest_deviation,
    straightness,
)


def latents(n, dim, top):
    return top * SampleNoise(0, torch.arange(n), (dim,), torch.float64).initial()


def isotropic(dim, variance):
    return Gaussian(
        "g",
        torch.zeros(dim).double(),
        torch.eye(dim).double(),
        torch.full((dim,), variance).double(),
    )


def of_model(model, x, steps=64, scale=1.0):
    grid = karras(steps, 0.002 * scale, 80.0 * scale)
    return follow_paths(lambda x, sigma: model.denoise(x, sigma, None), x, grid)


def test_paths_to_a_point_are_straight():
    point = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    path = follow_paths(
        lambda x, _sigma: point.expand_as(x).clone(), latents(4, 3, 80.0), karras(16, 0.002, 80.0)
    )
    for measure in MEASURES:
        assert np.abs(measure(path, 1.0)).max() < 1e-12


def test_paths_of_an_isotropic_gaussian_have_a_closed_form():
    """x = u sqrt(c + sigma²), so that d goes straight from near 0 to x(0), and x stays on a
    line through 0, at a speed that changes.
    """
    c, top = 0.25, 80.0
    s, start = math.sqrt(c), latents(5, 3, top)
    path = of_model(isotropic(3, c), start, steps=256)
    end = (start * s / math.sqrt(c + top**2)).numpy()
    size = np.linalg.norm(end, axis=1) / (s * math.sqrt(3))
    gone = size * (1 - s / math.sqrt(c + top**2))
    assert path.end == pytest.approx(end, rel=1e-4)
    assert arc_length(path, s)[-1] == pytest.approx(gone, rel=1e-4)
    assert one_step_error(path, s) == pytest.approx(gone, rel=1e-4)
    assert np.abs(largest_deviation(path, s)).max() < 1e-9
    last = top / (s + top)
    w, chord = 2 * last - 1, (math.sqrt(last**2 + (1 - last) ** 2) - 1) / last
    squares = (w - math.atan(w) + 1 - math.pi / 4) / last - chord**2
    assert straightness(path, s) == pytest.approx(squares * size**2, rel=3e-3)


def test_the_curvature_is_at_least_the_error_of_a_jump_and_its_profile_adds_up():
    model = make_model("gmm-64d")
    found = curvature_arrays(model, torch.arange(8), 0, torch.float64, 8, 0.5, 64)
    assert (found["way"][:, -1] >= found["jump"]).all()
    record = curvature_summary(found)
    widths = np.diff(-np.log(record["edges"]))
    assert np.dot(record["profile"], widths) == pytest.approx(record["curvature"])
    assert record["edges"][0] > record["half"][0] > record["half"][1] > record["edges"][-1]


def test_they_turn_and_grow_with_the_data():
    rng, model, x = np.random.default_rng(0), make_model("gmm-2d"), latents(6, 2, 80.0)
    turn, size = torch.from_numpy(np.linalg.qr(rng.normal(size=(2, 2)))[0]), 3.0
    path = of_model(model, x)
    grid = karras(64, 0.002 * size, 80.0 * size)
    other = follow_paths(
        lambda x, sigma: size * model.denoise(x @ turn.T / size, sigma / size, None) @ turn,
        size * x @ turn,
        grid,
    )
    for measure in MEASURES:
        assert measure(other, 0.7 * size) == pytest.approx(measure(path, 0.7), rel=1e-6)


def test_what_is_straight_in_sigma_is_straight_in_the_time_of_a_rectified_flow():
    sigma = np.array([10.0, 3.0, 1.0, 0.1])
    end, slope = np.ones((2, 3)), np.arange(6.0).reshape(2, 3)
    x = end + sigma[:, None, None] * slope
    path = FollowedPaths(sigma, x, np.broadcast_to(end, x.shape), end)
    assert np.abs(straightness(path, 0.5)).max() < 1e-20


def test_more_steps_change_it_as_little_as_it_says():
    model, ids = make_model("gmm-2d"), torch.arange(8)
    coarse, fine = (
        curvature_summary(curvature_arrays(model, ids, 0, torch.float64, 8, 1.0, steps))
        for steps in (64, 512)
    )
    assert 0 < fine["curvature"] - coarse["curvature"] < 2 * coarse["resolution"]
    found = converged_curvature(model, ids, 0, torch.float64, 3, 1.0)
    assert curvature_summary(found)["resolution"] <= 0.005 * curvature_summary(found)["curvature"]
    assert found["jump"] == pytest.approx(
        curvature_arrays(model, ids, 0, torch.float64, 8, 1.0, int(found["steps"]))["jump"]
    )


def test_the_unit_is_the_spread_of_the_data():
    mean, cov = make_model("gmm-64d").moments()
    assert data_spread(make_model("gmm-64d"), np.zeros((2, 64))) == pytest.approx(
        np.sqrt(np.trace(cov) / len(mean))
    )
    model = make_model("random-unet-32")
    ends = np.random.default_rng(0).normal(size=(4, *model.event))
    assert data_spread(model, ends) == pytest.approx(np.sqrt(ends.reshape(4, -1).var(0).mean()))
    assert data_spread(model, np.zeros((4, *model.event))) == 1.0


def test_data_spread__weighs_classes_as_the_data_do():
    """Classes one to nine were taken as equally frequent."""
    model = SimpleNamespace(
        event=(1,), class_weights=(1, 9), moments=lambda: ([[0.0], [2.0]], [[0.01]])
    )
    assert data_spread(model, np.zeros((2, 1))) == pytest.approx(np.sqrt(0.01 + 4 * 0.09))


def run(out, **changes):
    suite = {
        "name": "t",
        "models": ["gmm-2d"],
        "samplers": ["euler"],
        "nfe": [5],
        "samples": 8,
        "reference_samples": 8,
        "converged_samples": 16,
        "path_curvature": True,
    }
    quiet_run(check_suite({**suite, "timing": {"enabled": False}, **changes}, "test"), out)


def test_a_run_keeps_it_and_an_older_directory_gains_it(tmp_path):
    run(tmp_path / "r")
    directory = RunDir.open(tmp_path / "r")
    first = directory.read_run()["path_curvature"]
    assert first["gmm-2d"]["samples"] == 8
    run(tmp_path / "r", models=["gaussian"])
    both = directory.read_run()["path_curvature"]
    assert both["gmm-2d"] == first["gmm-2d"]
    assert set(both) == {"gmm-2d", "gaussian"}
    old = directory.read_run()
    del old["path_curvature"]
    directory.write_run(old)
    for path in (tmp_path / "r" / "reference").glob("*-curvature-*"):
        path.unlink()
    run(tmp_path / "r")
    assert directory.read_run()["path_curvature"] == first


def test_it_is_measured_only_where_it_is_asked_for_and_kept_where_it_was(tmp_path):
    run(tmp_path / "r", path_curvature=False)
    assert RunDir.open(tmp_path / "r").read_run()["path_curvature"] == {}
    assert not list((tmp_path / "r" / "reference").glob("*-curvature-*"))
    run(tmp_path / "r")
    asked = RunDir.open(tmp_path / "r").read_run()["path_curvature"]
    run(tmp_path / "r", path_curvature=False)
    assert RunDir.open(tmp_path / "r").read_run()["path_curvature"] == asked != {}


def test_a_report_reads_it_from_the_first_run_that_knows_the_model(tmp_path):
    run(tmp_path / "r")
    (tmp_path / "old").mkdir()
    homes = [tmp_path / "old", tmp_path / "r" / "table.csv"]
    assert first_curvature_lines(homes, "gmm-2d") == curvature_lines(
        RunDir.open(tmp_path / "r").read_run()["path_curvature"]["gmm-2d"]
    )
    assert first_curvature_lines(homes, "gaussian") == ()
    page = write_report(tmp_path / "r", tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"On the {first_curvature_lines(homes, 'gmm-2d')[0]}" in page


def test_stochastic_samplers_alone_ask_for_none(tmp_path):
    run(tmp_path / "r", samplers=["ddpm"])
    assert RunDir.open(tmp_path / "r").read_run()["path_curvature"] == {}


def test_paths_that_are_not_finite_have_no_summary(tmp_path):
    model = make_model("gmm-2d")
    model.denoise = lambda x, _sigma, _labels: x * math.nan
    cell = SimpleNamespace(seed=0, dtype="float64", device="cpu", batch_size=4, model="m")
    store_curvature(new_run(tmp_path / "r"), model, cell, np.zeros((4, 2)))  # pyright: ignore[reportArgumentType]
    assert RunDir.open(tmp_path / "r").read_run() == {}


def test_store_curvature__paths_of_a_cell_in_16_bits_are_followed_in_the_model_s_precision(
    tmp_path,
):
    model, found = make_model("gmm-2d"), []
    for dtype in ("float64", "bfloat16"):
        cell = SimpleNamespace(seed=0, dtype=dtype, device="cpu", batch_size=4, model="m")
        store_curvature(new_run(tmp_path / dtype), model, cell, np.zeros((4, 2)))  # pyright: ignore[reportArgumentType]
        found.append(RunDir.open(tmp_path / dtype).read_run()["path_curvature"])
    assert found[0] == found[1]


def test_what_is_said_of_it():
    model = make_model("gmm-2d")
    lines = curvature_lines(
        curvature_summary(curvature_arrays(model, torch.arange(4), 0, torch.float64, 4, 1.0, 64))
    )
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
    assert curvature_lines(None) == ()
    alone = curvature_summary(
        curvature_arrays(model, torch.arange(1), 0, torch.float64, 4, 1.0, 64)
    )
    assert alone["curvature_se"] is None
    assert "±" not in curvature_lines(alone)[0]
    assert curvature_lines({**alone, "profile": [0.0] * 16}) == ("paths: straight",)
