import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.results.files import read_json, write_npz
from samplerbench.results.store import RunDir


def shard(run, cell, start, stop):
    write_npz(run.shard(cell, start, stop), {"x": np.zeros(1)})


def test_creation_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file, not a run directory"):
        RunDir.create(tmp_path / "file")
    with pytest.raises(ValueError, match=r"cannot write to .*file/below"):
        RunDir.create(tmp_path / "file" / "below")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"is not a run directory \(it holds 'cat.jpg'\)"):
        RunDir.create(tmp_path / "photos")
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_creation_takes_new_empty_and_existing_run_directories(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a/b", "empty", "a/b"):
        run = RunDir.create(tmp_path / name)
        run.write_run({"suite": {}})
        (run.path / "notes.txt").write_text("a user's own file, once it is a run directory")
    with pytest.raises(ValueError, match="is not a run directory"):
        RunDir.open(tmp_path / "a")


def test_a_directory_killed_before_run_json_is_still_one(tmp_path):
    RunDir.create(tmp_path)
    assert RunDir.create(tmp_path).run() == {}


def test_only_one_process_holds_the_lock_and_it_clears_half_files(tmp_path):
    run = RunDir.create(tmp_path)
    stray = tmp_path / "parts" / ".x.npz.0123.part"
    stray.write_text("half")
    with run.lock():
        assert not stray.exists()
        with pytest.raises(ValueError, match="another samplerbench process is running"), RunDir.create(tmp_path).lock():
            pass
    with run.lock():
        pass


def test_cells_are_what_was_planned(tmp_path):
    run = RunDir.create(tmp_path)
    run.plan("b", {"sampler": "heun"})
    run.plan("a", {"sampler": "euler"})
    shard(run, "never-planned", 0, 5)
    assert run.cells() == ["a", "b"]
    written = run.part("b", "cell.json").stat().st_mtime_ns
    run.plan("b", {"sampler": "heun"})
    assert run.part("b", "cell.json").stat().st_mtime_ns == written
    run.plan("b", {"sampler": "heun", "samples": 9})
    assert read_json(run.part("b", "cell.json"))["samples"] == 9


def test_a_truncated_shard_is_missing(tmp_path):
    run = RunDir.create(tmp_path)
    shard(run, "c", 0, 10)
    shard(run, "c", 10, 20)
    path = run.shard("c", 10, 20)
    path.write_bytes(path.read_bytes()[:-30])
    assert run.shards("c") == [(0, 10)]
    assert run.missing("c", 20) == [(10, 20)]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb", "-x"])
def test_names_cannot_leave_the_directory(tmp_path, name):
    with pytest.raises(ValueError, match="cannot name a file of a run"):
        RunDir.create(tmp_path).part(name, "cell.json")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    done=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=5),
    samples=st.integers(1, 40),
    cut=st.none() | st.integers(1, 9),
)
def test_missing_ranges_are_the_uncovered_samples(tmp_path_factory, done, samples, cut):
    run = RunDir.create(tmp_path_factory.mktemp("run"))
    for start, length in done:
        shard(run, "c", start, start + length)
    ranges = run.missing("c", samples, shard=cut)
    covered = {i for start, length in done for i in range(start, start + length)}
    assert [i for start, stop in ranges for i in range(start, stop)] == [i for i in range(samples) if i not in covered]
    assert all(start < stop for start, stop in ranges)
    if cut:
        assert all(start // cut == (stop - 1) // cut for start, stop in ranges)
