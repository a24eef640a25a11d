"""Rows of one run that differ in a setting: none hides another, and none is compared with it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from new_runs import new_run
from rich.console import Console

from samplerbench.results.comparison.compare import compare, compare_with
from samplerbench.results.comparison.findings import findings_of
from samplerbench.results.figures import samples, write_figures
from samplerbench.results.report.build import write_report
from samplerbench.results.report.pictures import (
    KeptSamples,
    _read_trajectories,
    grids_of,
    sample_rows_of,
)
from samplerbench.results.report.timing import throughput_of, times_by_batch_size
from samplerbench.results.result_table import ResultTable, load
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.sentences import sentence_on_comparison
from samplerbench.results.table.curves import comparable_parts, rows_by_curve_budget
from samplerbench.results.terminal.comparison import print_comparison
from samplerbench.results.terminal.ranking import verdicts_of

ROW = {
    "model": "m",
    "sampler": "euler",
    "schedule": "karras",
    "start": "noise",
    "sigma_start": 80.0,
    "budget": 5,
    "steps": 5,
    "nfe": 5.0,
    "seed": 0,
    "status": "ok",
}


def table_of(*rows):
    return ResultTable.of([ROW | row for row in rows])


def test_with_curves__levels_of_start_gaussian_make_curves():
    low, high = ({"start": "gaussian", "sigma_start": level} for level in (3.0, 10.0))
    table = table_of(low | {"rmse": 1.0}, high | {"rmse": 2.0})
    found = table.wide("rmse").loc["m"][5].to_dict()
    assert found == {"euler · sigma_start 3": 1.0, "euler · sigma_start 10": 2.0}
    both = table_of(low | {"rmse": 1.0}, {"rmse": 2.0}).wide("rmse").loc["m"]
    assert sorted(both.index) == ["euler · gaussian", "euler · noise"]


def test_compare_with__the_baseline_starts_at_the_same_level():
    rows = [
        {"start": "gaussian", "sigma_start": level, "sampler": sampler, "fid_proxy": value}
        | {"estimator": "e", "fid_proxy_se": 0.1}
        for level, sampler, value in (
            *((3.0, "euler", 1.0), (10.0, "euler", 2.0)),
            *((3.0, "heun", 3.0), (10.0, "heun", 4.0)),
        )
    ]
    lines = compare_with(table_of(*rows), "euler").lines
    assert sorted((line.value, line.baseline_value) for line in lines) == [(3.0, 1.0), (4.0, 2.0)]


def test_result_table__estimators_are_kept_apart():
    rows = [
        {"estimator": estimator, "sampler": sampler, "budget": n, "nfe": nfe, "fid_proxy": value}
        for n, nfe in ((5, 5.0), (10, 10.0))
        for estimator, sampler, value in (
            *(("large", "euler", 40.0), ("large", "heun", 30.0)),
            *(("small", "euler", 0.3), ("small", "heun", 0.4)),
        )
    ]
    table = table_of(*rows)
    wide = table.wide("fid_proxy")
    assert wide.loc["m · large"].loc["euler"].tolist() == [40.0, 40.0]
    assert wide.loc["m · small"].loc["heun"].tolist() == [0.4, 0.4]
    best = table.best_per_budget()[["estimator", "sampler"]].to_numpy().tolist()
    assert best == [["large", "heun"]] * 2 + [["small", "euler"]] * 2
    assert table._repr_html_().count("by evaluations") == 2


def test_print_comparison__a_table_for_each_estimator(tmp_path):
    rows = [
        {"estimator": estimator, "sampler": sampler, "fid_proxy": value, "fid_proxy_se": 0.1}
        for estimator, sampler, value in (
            *(("large", "euler", 40.0), ("large", "heun", 30.0)),
            *(("small", "euler", 4.0), ("small", "heun", 5.0)),
        )
    ]
    table_of(*rows).to_csv(tmp_path / "table.csv")
    console = Console(file=io.StringIO(), width=120)
    print_comparison(compare_with(tmp_path, "euler"), console)
    words = console.file.getvalue()
    assert (
        words.count("Heun is worse than Euler.") == words.count("Heun is better than Euler.") == 1
    )
    assert "against euler · small" in words
    assert verdicts_of(tmp_path)[1] == {
        ("m", "large", "heun", 5): "better",
        ("m", "small", "heun", 5): "worse",
    }


def test_rows_by_place__a_missing_row_hides_no_finished_one():
    done = [{"budget": n, "nfe": float(n), "rmse": n, "estimator": "e"} for n in (5, 10)]
    begun = [row | {"nfe": None, "rmse": None, "estimator": None} for row in done]
    table = table_of(*done, *(row | {"status": "missing"} for row in begun))
    ((_, rows),) = comparable_parts(table.frame)
    assert [row["rmse"] for row in rows_by_curve_budget(rows).values()] == [5, 10]


def test_compare__rows_of_one_estimator_are_matched(tmp_path):
    def write(name, *estimators):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"estimator": e, "fid_proxy": 1.0, "fid_proxy_se": 0.1} for e in estimators]
        table_of(*rows).to_csv(folder / "table.csv")
        return folder

    both, second = write("both", "e1", "e2"), write("second", "e2")
    for sides in ((both, second), (second, both)):
        found = compare(*sides)
        assert [line.estimator for line in found.lines] == ["e2"]
        assert len(found.unmatched) == 1
    with pytest.raises(ValueError, match="cannot be compared: its estimator has 'e1'"):
        compare(write("first", "e1"), second)


def test_write_figures__two_models_with_like_names_have_files_of_their_own(tmp_path):
    folder = "/data/" + "long/" * 12
    rows = [{"model": f"{folder}{name}.pkl", "rmse": 1.0} for name in "ab"]
    table_of(*rows).to_csv(tmp_path / "table.csv")
    paths = write_figures(
        tmp_path, tmp_path / "out", formats=["svg"], kinds=["work-precision"], metrics=["rmse"]
    )
    assert len(paths) == len(set(paths)) == 2
    assert all(path.is_file() for path in paths)


def test_sentence_on_comparison__each_row_is_better_than_its_own_baseline():
    rows = [
        {"sampler": sampler, "schedule": schedule, "fid_proxy": value}
        | {"estimator": "e", "fid_proxy_se": 0.01}
        for schedule, sampler, value in (
            *(("karras", "euler", 2.0), ("karras", "heun", 1.0)),
            *(("linear", "euler", 5.0), ("linear", "heun", 3.0)),
        )
    ]
    words = sentence_on_comparison(compare_with(table_of(*rows), "euler").lines)
    # heun · linear is worse than euler · karras
    assert words.endswith("Heun · karras and Heun · linear are better than their baselines.")


def test_throughput_of__two_runs_make_two_sweeps(tmp_path):
    head = "model,sampler,nfe,timing_device_name,batch,ms,samples_per_second,knee,ended"
    homes = [tmp_path / name for name in ("a", "b")]
    for home, pace in zip(homes, (10, 1000), strict=True):
        home.mkdir()
        (home / "throughput.csv").write_text(f"{head}\nm,euler,5,card,1,1,{pace},True,enough\n")
        (home / "timing.csv").write_text("model,sampler,ms_per_sample\nm,euler,2.5\n")
    found = {sweep.title: sweep.points for sweep in throughput_of(homes)}
    assert found == {
        "a: m, euler at 5 NFE, card": (("1", 10.0, 100.0, True),),
        "b: m, euler at 5 NFE, card": (("1", 1000.0, 100.0, True),),
    }
    heads, lines = times_by_batch_size(homes)
    assert [dict(zip(heads, line, strict=True))["run"] for line in lines] == ["a", "b"]
    assert "run" not in times_by_batch_size(homes[:1])[0]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_samples__each_seed_has_its_own_noise_and_limit(tmp_path, seeds):
    run = new_run(tmp_path)
    for seed in seeds:
        cell, points = f"c{seed}", np.full((8, 2), seed, np.float32)
        run.plan(cell, {**ROW, "seed": seed})
        run.write(cell, "quality.json", {"status": "ok", "nfe": 5.0})
        run.write_pictures(cell, {"points": points, "converged": points})
    ((_, figure),) = samples(tmp_path)
    assert ("same latents" in figure.get_suptitle()) == (len(seeds) == 1)
    last = [axes.lines[0].get_xdata()[0] for axes in figure.axes[1::2]]
    assert last == list(seeds)
    (grid,) = grids_of(comparable_parts(load(tmp_path).frame), {"": tmp_path})
    assert grid is not None
    assert grid.seeds == len(seeds)


def test_pictures__are_of_the_rows_that_rankings_take(tmp_path):
    run = RunDir.at(tmp_path)
    cells = {
        "a": {"sampler": "rk45", "params": '{"rtol": 0.001}', "nfe": 35.0},
        "b": {"sampler": "rk45", "params": '{"rtol": 0.01}', "nfe": 22.0},
        "c": {"budget": 40, "steps": 40, "nfe": 40.0},
    }
    with run.lock():
        for number, (cell, row) in enumerate(cells.items()):
            adaptive = {"budget": None, "steps": None}
            run.plan(cell, {**ROW, **adaptive, **row})
            run.write(cell, "quality.json", {"status": "ok", "fid_proxy": 1.0, "nfe": row["nfe"]})
            run.write_pictures(cell, {"points": np.full((8, 2), number, np.float32)})
            end = np.full((8, 2), number, np.float32)
            path = {"sigma": np.ones(1), "x": end[None], "d": end[None], "end": end}
            run.write_trajectories(cell, path)
    frame, homes = load(tmp_path).frame, {"": tmp_path}
    ((title, rows),) = comparable_parts(frame)
    ranked = rows_by_curve_budget(rows)["rk45", 40]
    assert (ranked["cell"], rows["cell"].tolist()[-1]) == ("a", "b")
    ((_, figure),) = samples(tmp_path)
    assert sorted(axes.lines[0].get_xdata()[0] for axes in figure.axes) == [0, 2]
    kept = KeptSamples.read(title, rows, homes)
    draw = kept.drawing_function(9, 144)
    by_cell = {entry.record["cell"]: kept.stacks[i] for i, entry in kept.entries.items()}
    (grid,) = grids_of([(title, rows)], homes)
    assert grid is not None
    tiles = {curve: tile.image for curve, (tile,) in grid.rows}
    assert tiles == {"rk45": draw(by_cell["a"]), "euler": draw(by_cell["c"])}
    _, paths = _read_trajectories(rows, homes)
    assert paths["rk45"]["end"][0, 0] == 0
    (found,) = findings_of(frame).by_title.values()
    assert found is not None
    best = replace(found.best[0], row=ranked, ties=())
    shown = sample_rows_of(title, rows, homes, best)
    alone = sample_rows_of(title, rows.loc[rows["cell"] != "b"], homes, best)
    assert shown == alone


def test_load__runs_keep_their_names_in_files_and_beside_other_runs(tmp_path):
    names = ("001", "01", "2024_01")
    for value, name in enumerate(names):
        (tmp_path / name).mkdir()
        table_of({"rmse": float(value)}).to_csv(tmp_path / name / "table.csv")
    load([tmp_path / name for name in names[:2]]).to_csv(tmp_path / "both.csv")
    both = ResultTable.from_csv(tmp_path / "both.csv")
    assert both.frame["run"].tolist() == ["001", "01"]
    wide = load([tmp_path / "both.csv", tmp_path / names[2]]).wide("rmse")[5]
    assert wide.loc["m"].to_dict() == {
        "euler · both.csv/001": 0.0,
        "euler · both.csv/01": 1.0,
        "euler · 2024_01": 2.0,
    }
    (tmp_path / "extra.csv").write_text("model,sampler,nfe,status,note\nm,euler,5,ok,1_000\n")
    assert load(tmp_path / "extra.csv").frame["note"].tolist() == ["1_000"]


def test_write_figures__a_sampler_of_another_model_is_not_of_the_chosen_one(tmp_path):
    table_of({"rmse": 1.0}, {"model": "n", "sampler": "heun"}).to_csv(tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"no row has sampler = 'heun'.*euler"):
        write_figures(tmp_path, tmp_path / "out", models=["m"], samplers=["heun"])


def test_model_section__a_model_named_with_its_run_has_that_run_s_facts(tmp_path):
    for note in "ab":
        run = new_run(tmp_path / note)
        references = {"m": {"identity": "x", "note": f"few in {note}"}}
        run.write_run({"models": {"m": note}, "references": references})
        table_of({"rmse": 1.0, "estimator": "reference x"}).to_csv(tmp_path / note / "table.csv")
    sources = [tmp_path / "a" / "table.csv", tmp_path / "b" / "table.csv"]
    page = write_report(sources, tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f"Note on the reference statistics: few in {note}." in page for note in "ab")
