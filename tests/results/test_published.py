"""A run beside published numbers: which rows meet, what differs, and what is said of it."""

import numpy as np
import pytest
from rich.console import Console
from runs import add, make_run

from samplerbench import samplers
from samplerbench.results.published.reproduction import reproductions
from samplerbench.results.published.rows import (
    GRIDS,
    SOLVERS,
    model_names,
    published_model_of,
    read_published_rows,
    rows_of_model,
    solvers_of,
)
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.terminal.comparison import print_reproductions
from samplerbench.samplers.schedules import SCHEDULES

MODEL = "edm-cifar10-32x32-uncond-vp"
ESTIMATOR = (
    "frechet/1; inception-v3-compat-2048-0123456789abcdef-uint8-rounded-range[-1,1]; reference x"
)


def run_with(path, fid, *, se=0.02, samples=50_000, **row):
    """A run with one row of this plug-in FID, whose bias is 1 at 1,000 samples."""
    run = make_run(path)
    bias = 1000 / samples
    quality = {
        "nfe": 10.0,
        "depth": 10,
        "samples": samples,
        "fid_proxy": fid - bias,
        "fid_proxy_se": se,
        "fid_proxy_raw": fid,
        "estimator": ESTIMATOR,
    }
    told = ("fid_flag", "estimator", "nfe", "depth")
    measured = {name: row.pop(name) for name in told if name in row}
    add(run, quality={**quality, **measured}, **{"sampler": "ipndm", "model": MODEL, **row})
    return run.path


def first(path, **options):
    """The line with the least differences."""
    return reproductions(path, **options)[0]


def what(line):
    return {item.what for item in line.differences if item.both_are_stated}


def test_a_copied_row_is_reproduced(tmp_path):
    line = first(run_with(tmp_path / "r", 2.77, end="sigma_min"))
    assert line.paper.fid == "2.77"
    assert line.paper.solver == "iPNDM-4"
    assert line.outcome == "reproduced"
    # 1.96 times the errors of both draws, and half a unit of the last digit
    assert line.largest_difference == pytest.approx(1.96 * 0.02 * 2**0.5 + 0.005, rel=1e-3)
    assert line.verdict == "reproduced within 0.0604 (2.2 %)"
    assert what(line) == {"seeds", "extractor"}


def test_a_shifted_row_is_not_and_by_how_much_is_said(tmp_path):
    line = first(run_with(tmp_path / "r", 3.77))
    assert line.outcome == "not reproduced"
    assert line.difference == pytest.approx(1.0)
    assert line.difference_low == pytest.approx(1 - line.largest_difference + 1, rel=1e-6)
    assert line.verdict == "not reproduced: +1 [+0.94, +1.06] (+36 %)"
    lower = first(run_with(tmp_path / "s", 1.77))
    assert lower.verdict == "not reproduced: -1 [-1.06, -0.94] (-36 %)"


def test_bias_is_that_of_the_papers_number_of_samples(tmp_path):
    # without bias 2.75 both times, which is 2.77 at 50,000 samples
    line = first(run_with(tmp_path / "r", 2.75 + 1000 / 40_000, samples=40_000))
    assert line.fid == pytest.approx(2.77)
    assert line.outcome == "reproduced"
    assert "samples" in what(line)


def test_a_wide_interval_is_undecided(tmp_path):
    assert first(run_with(tmp_path / "r", 2.9, se=0.3)).outcome == "undecided"


def test_a_margin_makes_small_differences_nothing(tmp_path):
    path = run_with(tmp_path / "r", 2.80, se=0.002)
    assert first(path).outcome == "not reproduced"
    assert first(path, margin=0.02).outcome == "reproduced"


def test_without_inception_both_are_shown_and_not_compared(tmp_path):
    line = first(run_with(tmp_path / "r", 2.77, estimator="frechet/1; card-cnn; reference x"))
    assert line.outcome == "not comparable"
    assert line.difference is None
    assert (line.fid, line.paper.value) == (2.77, 2.77)
    assert "no FID" in line.verdict


def test_a_flagged_interval_gets_no_verdict(tmp_path):
    line = first(run_with(tmp_path / "r", 2.77, fid_flag="fewer than 15 samples a feature"))
    assert line.outcome == "no verdict"
    assert line.verdict.endswith("; fewer than 15 samples a feature")


def test_every_difference_of_the_protocol_is_listed(tmp_path):
    path = run_with(
        tmp_path / "r",
        3.0,
        sampler="dpmpp_3m",
        samples=10_000,
        params='{"analytic_first": true}',
        estimator=ESTIMATOR.replace("rounded", "truncated"),
    )
    line = first(path)
    assert line.paper.solver == "DPM-Solver++(3M)"
    assert what(line) == {
        *("method", "options", "samples", "seeds", "grid", "end", "quantisation", "extractor"),
        *("thresholding", "analytic first step"),
    }


def test_what_is_done_to_samples_first_is_the_quantisation(tmp_path):
    """An extractor that rounds finds samples already cut off."""
    cut = ESTIMATOR.replace("1,1];", "1,1]-after-uint8-truncated;", 1)
    line = first(run_with(tmp_path / "r", 2.77, end="sigma_min", estimator=cut))
    (found,) = (item for item in line.differences if item.what == "quantisation")
    assert (found.run, found.published) == ("truncate", "round")


def test_what_a_source_does_not_say_is_listed_as_such(tmp_path):
    lines = reproductions(run_with(tmp_path / "r", 2.49))
    (gits,) = (line for line in lines if line.paper.paper == "arXiv:2405.11326")
    assert gits.paper.grid == "GITS"
    assert {i.what for i in gits.differences if not i.published} >= {"samples", "seeds", "end"}
    assert gits.verdict.endswith(", by another grid")
    assert gits.fid == 2.49  # the plug-in value of the run itself
    assert gits.flat["published"]["samples"] is None


def test_a_source_that_says_less_of_the_model_is_beside_it_too(tmp_path):
    lines = reproductions(run_with(tmp_path / "r", 2.0, sampler="dpmpp_2m"))
    assert {line.paper.model for line in lines} == {
        "edm-cifar10-32x32",
        "edm-cifar10-32x32-uncond",
    }
    assert all("model" in what(line) for line in lines)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"sampler": "stork_2"}, "have no stork_2"),
        ({"sampler": "heun", "model": "edm_bedroom256_ema"}, "published at 3, 5, 7, 9 evaluations"),
    ],
)
def test_rows_without_a_number_say_why(tmp_path, row, reason):
    (line,) = reproductions(run_with(tmp_path / "r", 2.77, **row))
    assert line.outcome == "nothing published"
    assert reason in line.reason
    assert line.flat["published"] is None


def test_parallel_evaluations_are_matched_by_depth(tmp_path):
    (line,) = reproductions(run_with(tmp_path / "r", 6.19, sampler="paradigms", nfe=90.0, depth=9))
    assert line.paper.fid == "6.19"
    assert line.paper.remark == "parallel evaluations are counted once"
    assert "NFE" not in what(line)
    rows = [row for row in rows_of_model(MODEL) if row.solver == "ParaDiGMS"]
    assert {row.depth for row in rows} == {"3", "5", "7", "9"}
    assert not any(row.nfe for row in rows)


def test_an_unknown_model_lists_the_names(tmp_path):
    path = run_with(tmp_path / "r", 2.77, model="gmm-2d")
    with pytest.raises(ValueError, match="edm-imagenet-64x64-cond-adm"):
        reproductions(path)
    with pytest.raises(ValueError, match=f"'edm-cifar'.*did you mean.*{MODEL}"):
        reproductions(path, model="edm-cifar")
    assert first(path, model=MODEL.upper()).outcome == "reproduced"


def test_the_suites_name_and_that_of_the_file_count(tmp_path):
    path = run_with(tmp_path / "r", 2.77, model="net.py:make")
    suite = {"name": "mine", "models": [{"name": "net.py:make", "published": MODEL}]}
    RunDir.open(path).write_run({"suite": suite})
    assert first(path).model == MODEL
    assert published_model_of(f"edm:/data/{MODEL}.pkl?x=1") == MODEL
    assert published_model_of("gmm-2d") is None
    # folders may have the names of other models
    for folder in ("edm-cifar10-32x32", "edm-cifar10-32x32-cond-vp"):
        assert published_model_of(f"edm:/data/{folder}/{MODEL}.pkl") == MODEL


def test_one_name_is_not_given_to_two_models(tmp_path):
    path = run_with(tmp_path / "r", 2.77)
    run = make_run(tmp_path / "s")
    for model in ("a", "b"):
        add(run, "ipndm", model=model, influence=np.arange(9.0), quality={"fid_proxy_raw": 1.0})
    with pytest.raises(ValueError, match="names one model"):
        reproductions(run.path, model=MODEL)
    assert first(path, model=MODEL).model == MODEL


def test_text_fits_80_columns(tmp_path):
    path = run_with(tmp_path / "r", 2.77)
    console = Console(width=80, record=True, highlight=False)
    print_reproductions(reproductions(path), console)
    said = console.export_text()
    assert all(len(line) <= 80 for line in said.splitlines())
    assert "reproduced within 0.0604 (2.2 %)" in said
    assert "10% (or --margin, if larger)" in " ".join(said.split())
    assert "differs    end: zero, published sigma_min" in said
    assert "Reproduced within X" in " ".join(said.split())


def test_samplers_and_schedules_of_the_map_exist():
    assert {solver.sampler for solver in SOLVERS} <= set(samplers.names())
    assert set(GRIDS.values()) - {"dmn", "gits"} <= set(SCHEDULES)  # which the planner registers
    assert {solver.name for solver in SOLVERS} <= {row.solver for row in read_published_rows()}
    assert set(GRIDS) <= {row.grid for row in read_published_rows()}
    for solver in SOLVERS:
        samplers.make(solver.sampler, **solver.options)


def test_ddim_with_noise_is_another_method():
    names = {
        params: [s.name for s in solvers_of({"sampler": "ddim", "params": params})]
        for params in ("{}", '{"eta": 1.0}', '{"eta": 0.5}')
    }
    assert list(names.values()) == [["Euler", "DDIM"], ["Stochastic DDIM"], []]


def test_the_table_is_clean():
    rows = read_published_rows()
    assert len(rows) == 1027
    assert len(model_names()) == 46
    keys = [(r.model, r.solver, r.grid, r.nfe, r.depth, r.paper, r.where) for r in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert row.value > 0
        assert row.model
        assert row.dataset
        assert row.solver
        assert row.paper
        assert row.url.startswith("https://")
        assert not (row.nfe and row.depth)
        assert (row.nfe or row.depth or "1").isdecimal()
        assert (row.samples or "1").isdecimal()
        assert row.end in ("", "zero", "sigma_min")
        assert row.quantisation in ("", "round", "truncate")
        assert row.labels in ("", "none", "random")
        assert row.thresholding in ("", "none", "dynamic")
        assert row.afs in ("", "yes", "no")
