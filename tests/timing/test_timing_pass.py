"""The timing pass inside a run: which files it leaves, and what suites may say."""

import csv

import pytest
from quiet_runs import quiet_run

from samplerbench import samplers
from samplerbench.benchmarks.planning import planner
from samplerbench.benchmarks.running import setup, timing_stage
from samplerbench.benchmarks.running.setup import resolve_device
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.result_table import load
from samplerbench.results.run_directory.files import read_json

SUITE = {
    "name": "rig",
    "models": ["gmm-2d"],
    "samplers": ["euler", "heun"],
    "nfe": [3],
    "samples": 8,
    "reference_samples": 2,
    "keep": 0,
    "converged_samples": 8,
    "batch_size": 8,
}


def run(tmp_path, suite=None, **timing):
    suite = check_suite(
        {
            **SUITE,
            **(suite or {}),
            "timing": {"seconds": 0.2, "min_rounds": 6, "max_rounds": 6, **timing},
        },
        "rig",
    )
    quiet_run(suite, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_each_batch_size_is_a_line_and_the_first_is_the_one_of_the_table(tmp_path):
    folder = run(tmp_path, batch_size=[4, 1])
    with open(folder / "timing.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["sampler"], line["timing_batch_size"]) for line in lines] == [
        ("euler", "4"),
        ("euler", "1"),
        ("heun", "4"),
        ("heun", "1"),
    ]
    assert all(
        float(line["ms_low"]) <= float(line["ms_per_sample"]) <= float(line["ms_high"])
        for line in lines
    )
    frame = load(folder).frame
    assert list(frame["ms_per_sample"]) == pytest.approx(
        [float(line["ms_per_sample"]) for line in lines[::2]]
    )
    assert len(frame) == 2


def test_one_batch_size_needs_no_table_of_its_own(tmp_path):
    assert not (run(tmp_path, batch_size=4) / "timing.csv").exists()


@pytest.mark.slow
def test_a_second_run_times_nothing_again_and_another_size_is_timed(tmp_path):
    folder = run(tmp_path, batch_size=[4, 1])
    files = sorted(folder.glob("parts/*/timing*.json"))
    before = {file: read_json(file) for file in files}
    run(tmp_path, batch_size=[4, 1, 2])
    assert {file: read_json(file) for file in files} == before
    assert len(list(folder.glob("parts/*/timing-2.json"))) == 2


def test_time_sampled_cells__batch_sizes_that_have_times_take_no_share_of_the_limit(
    tmp_path, monkeypatch
):
    run(tmp_path, batch_size=[4], minutes=1)
    shares = []
    monkeypatch.setattr(
        timing_stage, "_time_at_size", lambda *args: shares.append((args[2], args[4]))
    )
    run(tmp_path, batch_size=[4, 2, 1], minutes=1)
    assert [size for size, _ in shares] == [2, 1]
    assert 25 < shares[0][1] <= 30 < 50 < shares[1][1] <= 60


def test_times_of_another_batch_size_are_taken_again(tmp_path):
    for size in (4, 2):
        (file, *_) = run(tmp_path, batch_size=size).glob("parts/*/timing.json")
        assert read_json(file)["timing_batch_size"] == size


def test_times_of_a_cell_s_own_batch_size_are_taken_again_at_another(tmp_path):
    for size in (8, 4):
        (file, *_) = run(tmp_path, {"batch_size": size}).glob("parts/*/timing.json")
        assert read_json(file)["timing_batch_size"] == size


@pytest.mark.parametrize(
    "change", [{"seconds": 1.5}, {"energy_seconds": 0.1}, {"half_width": 0.001}, {"max_rounds": 7}]
)
def test_times_with_other_options_are_taken_again(tmp_path, change):
    (file, *_) = run(tmp_path).glob("parts/*/timing.json")
    before = read_json(file)["raw_total_ms"]
    run(tmp_path)
    assert read_json(file)["raw_total_ms"] == before
    run(tmp_path, **change)
    assert read_json(file)["raw_total_ms"] != before


def test_what_could_not_be_timed_is_tried_again_by_another_version_only(tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("no such device")

    with monkeypatch.context() as patch:
        patch.setattr("samplerbench.benchmarks.timing.cells.prepare_timed_work", broken)
        (file, *_) = run(tmp_path).glob("parts/*/timing.json")
    assert read_json(file)["timing_reason"] == "RuntimeError: no such device"
    assert read_json(run(tmp_path) / "parts" / file.parent.name / file.name)["timing_reason"]
    monkeypatch.setattr(timing_stage, "package_version", lambda: "another")
    run(tmp_path)
    assert "timing_reason" not in read_json(file)
    assert read_json(file)["ms_per_sample"] > 0


def test_what_times_depend_on_is_beside_them(tmp_path):
    (file, *_) = run(tmp_path, batch_size=4).glob("parts/*/timing.json")
    record = read_json(file)
    assert record["timing_device_name"]
    assert record["timing_threads"] == 1
    assert record["timing_execution"] == "eager"
    assert record["timing_observed"]["wall"] > 0


# -- suites
# ----------------------------------------------------------------------------------------------------------------------------


def test_fixed_grid_stands_for_every_sampler_that_takes_the_steps_of_a_grid():
    names = planner.expand_fixed_grid_keyword(["fixed-grid", "rk45"])
    assert names[-1] == "rk45"
    assert {"euler", "heun", "dpmpp_2m", "torchdiffeq_rk4"} <= set(names)
    for name in samplers.names():
        cls = samplers.get(name)
        if name in names[:-1]:
            assert not cls.adaptive
        elif not cls.adaptive:
            assert cls.same_as or cls.for_maps or samplers.make(name).nfe(planner._GRID) is None


def test_the_gpu_suite_asks_for_a_gpu_in_one_sentence(monkeypatch):
    monkeypatch.setattr(setup.torch.cuda, "is_available", lambda: False)
    suite = load_suite("gpu")
    with pytest.raises(
        ValueError, match=r"^suite gpu is made for a CUDA GPU, .* --device " r"cpu, such as .*$"
    ):
        resolve_device("auto", suite)
    assert resolve_device("cpu", suite) == "cpu"
    assert resolve_device("auto", load_suite("smoke")) == "cpu"


def test_the_gpu_suite_times_batches_of_1_64_and_512_on_three_networks():
    suite = load_suite("gpu")
    assert set(suite.timing.batch_size) == {1, 64, 512}
    assert [entry.name for entry in suite.models] == ["fashion", "random-unet-32", "random-unet-64"]
    assert suite.samplers == ("fixed-grid",)


def test_a_batch_size_on_the_command_line_replaces_a_list_of_them_and_leaves_a_single_one():
    assert load_suite("gpu").replaced(batch_size=8).timing.batch_size == (0,)
    assert load_suite("smoke").replaced(batch_size=8).timing.batch_size == (32,)
