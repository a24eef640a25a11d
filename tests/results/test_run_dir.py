import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from new_runs import new_run

from samplerbench.results.run_directory.files import read_json
from samplerbench.results.run_directory.layout import CELL, MADE, QUALITY
from samplerbench.results.run_directory.run_dir import RunDir


def shard(run, cell, start, stop):
    run.write_shard(cell, start, stop, {"x": np.arange(start, stop)})


def planned(path, cell="c", *, made_by="s-m-x", size=10):
    run = new_run(path)
    run.write_run({"suite": {}})
    run.plan(cell, {"sampler": "heun", "made_by": made_by})
    run.write(cell, MADE, {"shard": size})
    return run


def test_creation_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file, not a run directory"):
        new_run(tmp_path / "file")
    with pytest.raises(ValueError, match=r"cannot write to .*file/below"):
        new_run(tmp_path / "file" / "below")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"is not a run directory \(it holds 'cat.jpg'\)"):
        new_run(tmp_path / "photos")
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_creation_takes_new_empty_and_existing_run_directories(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a/b", "empty", "a/b"):
        run = new_run(tmp_path / name)
        run.write_run({"suite": {}})
        (run.path / "notes.txt").write_text("a user's own file, once it is a run directory")
    with pytest.raises(ValueError, match="is not a run directory"):
        RunDir.open(tmp_path / "a")


def test_a_directory_killed_before_run_json_is_still_one(tmp_path):
    new_run(tmp_path)
    assert new_run(tmp_path).read_run() == {}


def test_only_one_process_holds_the_lock_and_it_clears_half_files(tmp_path):
    run = new_run(tmp_path)
    stray = tmp_path / "parts" / "c" / ".x.npz.0123456789ab.part"
    stray.parent.mkdir()
    stray.write_text("half")
    with run.lock():
        assert not stray.exists()
        with (
            pytest.raises(ValueError, match="another samplerbench process is running"),
            RunDir.at(tmp_path).lock(),
        ):
            pass
    with run.lock():
        pass


def test_cells_are_what_was_planned(tmp_path):
    run = new_run(tmp_path)
    run.write_run({"suite": {}})
    run.plan("b", {"sampler": "heun"})
    run.plan("a", {"sampler": "euler"})
    shard(run, "never-planned", 0, 5)
    assert run.cells() == ["a", "b"]
    written = run.part_path("b", CELL).stat().st_mtime_ns
    run.plan("b", {"sampler": "heun"})
    assert run.part_path("b", CELL).stat().st_mtime_ns == written
    run.plan("b", {"sampler": "heun", "samples": 9})
    assert read_json(run.part_path("b", CELL))["samples"] == 9


def test_a_folder_of_another_program_is_left_alone(tmp_path):
    """Its run.json, its report.html and its half-written files were overwritten and deleted."""
    for name, content in (
        ("run.json", '{"epochs": 3}'),
        ("report.html", "theirs"),
        ("table.csv", "a,b"),
        (".log.part", "half"),
    ):
        (tmp_path / "x").mkdir(exist_ok=True)
        (tmp_path / "x" / name).write_text(content)
    with pytest.raises(
        ValueError, match=r"is not a run directory \(its run.json is " r"another program's\)"
    ):
        new_run(tmp_path / "x")
    (tmp_path / "x" / "run.json").unlink()
    with pytest.raises(ValueError, match="is not a run directory"):
        new_run(tmp_path / "x")
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        ".log.part",
        "report.html",
        "table.csv",
    ]


def test_half_files_of_others_are_left_alone(tmp_path):
    run = new_run(tmp_path)
    (tmp_path / "notes").mkdir()
    for place in ("notes/.thesis.tex.part", "notes/.a.npz.0123456789ab.part", "parts/.mine.part"):
        (tmp_path / place).write_text("theirs")
    with run.lock():
        assert (tmp_path / "notes/.thesis.tex.part").exists()
        assert (tmp_path / "notes/.a.npz.0123456789ab.part").exists()
        assert (tmp_path / "parts/.mine.part").exists()


def test_nothing_is_written_through_a_symbolic_link(tmp_path):
    run = planned(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (run.path / "parts" / "d").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="is a symbolic link"):
        run.write("d", QUALITY, {"a": 1})
    (run.path / "reference").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="is a symbolic link"):
        new_run(run.path)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_shards_are_cut_at_the_same_places_however_a_cell_grew(tmp_path):
    run = planned(tmp_path, size=10)
    assert run.missing_shards("c", 25) == [(0, 10), (10, 20), (20, 25)]
    for span in run.missing_shards("c", 25):
        shard(run, "c", *span)
    assert run.missing_shards("c", 25) == []
    assert run.missing_shards("c", 40) == [
        (20, 30),
        (30, 40),
    ]  # the one that was cut short is made whole
    for span in run.missing_shards("c", 40):
        shard(run, "c", *span)
    assert run.missing_shards("c", 25) == []
    assert run.missing_shards("c", 12) == [(10, 12)]
    read = [run.read_shard("c", *span)["x"] for span in run.shard_ranges("c", 40)]
    assert np.array_equal(np.concatenate(read), np.arange(40))


def test_what_is_damaged_is_named_taken_for_missing_and_set_aside(tmp_path, caplog):
    run = planned(tmp_path)
    run.write_score("c", {"status": "ok"}, {"influence": np.ones(3)})
    shard(run, "c", 0, 10)
    run.write_pictures("c", {"points": np.ones((2, 2), np.float32)})
    for path in (run.shard_path("c", 0, 10), run.pictures_path("c"), run.part_path("c", QUALITY)):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    assert run.read("c", QUALITY) is None
    assert run.read_shard("c", 0, 10) is None
    assert run.read_pictures("c") is None
    assert all(
        name in caplog.text
        for name in (
            "quality.json is damaged",
            "00000000-00000010.npz is damaged",
            "samples/c.npz is damaged",
        )
    )
    run.set_aside_damaged_parts("c")
    run.set_aside_damaged_shards("c")
    assert run.missing_shards("c", 10) == [(0, 10)]
    assert not run.pictures_path("c").exists()
    aside = sorted(path.name for path in (tmp_path / "set-aside" / "damaged").iterdir())
    assert aside == ["parts.c.00000000-00000010.npz.1", "parts.c.quality.json.1", "samples.c.npz.1"]


def test_influence_values_belong_to_their_quality_columns(tmp_path, caplog):
    run = planned(tmp_path)
    run.write_score("c", {"status": "ok"}, {"influence": np.ones(3)})
    old = run.part_path("c", "influence.npz").read_bytes()
    run.write_score("c", {"status": "ok"}, {"influence": np.zeros(3)})
    assert np.array_equal(run.read_influence("c")["influence"], np.zeros(3))
    run.part_path("c", "influence.npz").write_bytes(old)
    assert run.read_influence("c") is None
    assert "influence.npz is damaged" in caplog.text


def test_a_copied_cell_is_none(tmp_path, caplog):
    import shutil

    run = planned(tmp_path)
    run.write("c", QUALITY, {"status": "ok"})
    shutil.copytree(tmp_path / "parts" / "c", tmp_path / "parts" / "d")
    assert run.read("d", CELL) is None
    assert run.read("d", QUALITY) is None
    assert "it belongs to parts/c/cell.json" in caplog.text


def test_parts_of_other_code_are_none(tmp_path):
    run = planned(tmp_path, made_by="old-m-x")
    run.write("c", QUALITY, {"status": "ok"})
    kept = run.part_path("c", QUALITY).read_bytes()
    run.plan("c", {"sampler": "heun", "made_by": "new-m-x"})
    run.part_path("c", QUALITY).write_bytes(kept)
    assert run.read("c", QUALITY) is None


def test_a_cell_that_was_set_aside_is_kept_with_its_reason_and_can_come_back(tmp_path):
    run = planned(tmp_path)
    run.write("c", QUALITY, {"status": "ok"})
    run.write_pictures("c", {"points": np.ones((2, 2), np.float32)})
    run.set_aside("c", "the sampler is another one")
    assert not run.cells()
    assert not run.pictures_path("c").exists()
    (aside,) = run.cells_set_aside()
    assert (aside.cell, aside.record["sampler"], aside.why) == (
        "c",
        "heun",
        "the sampler is another one",
    )
    ((folder, made),) = run.folders_set_aside("c")
    assert made == {"shard": 10}
    run.restore("c", folder)
    assert run.read("c", QUALITY) == {"status": "ok"}
    assert run.read_pictures("c") is not None
    assert not run.cells_set_aside()


def test_a_run_from_before_there_were_seals_is_read_and_said_to_be_one(tmp_path, caplog):
    import json

    from samplerbench.results.result_table import load

    run = new_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"suite": {"name": "quick"}, "provenance": {}}))
    (tmp_path / "parts" / "c").mkdir()
    run.part_path("c", CELL).write_text(json.dumps({"model": "gmm-2d", "sampler": "heun"}))
    run.part_path("c", QUALITY).write_text(json.dumps({"status": "ok", "fid_proxy": 0.5}))
    assert load(tmp_path).frame["fid_proxy"].tolist() == [0.5]
    assert "nothing proves what made its rows" in caplog.text


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\nb", "-x"])
def test_names_cannot_leave_the_directory(tmp_path, name):
    with pytest.raises(ValueError, match="cannot name a file of a run"):
        new_run(tmp_path).part_path(name, "cell.json")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(grown=st.lists(st.integers(1, 60), min_size=1, max_size=4), size=st.integers(1, 15))
def test_ranges_cover_the_samples_once_and_do_not_depend_on_history(tmp_path_factory, grown, size):
    run = planned(tmp_path_factory.mktemp("run"), size=size)
    for samples in grown:
        for span in run.missing_shards("c", samples):
            shard(run, "c", *span)
        ranges = run.shard_ranges("c", samples)
        assert [i for start, stop in ranges for i in range(start, stop)] == list(range(samples))
        assert all(
            start % size == 0 and stop - start == min(size, samples - start)
            for start, stop in ranges
        )
        assert run.missing_shards("c", samples) == []
        assert run.stored_shards("c") >= set(ranges)


def test_run_reader_reads_what_another_object_wrote(tmp_path):
    writer, reader = new_run(tmp_path), RunDir.open(tmp_path)
    writer.plan("c", {"model": "m"})
    assert reader.read("c", QUALITY) is None
    writer.write("c", QUALITY, {"status": "ok"})
    assert reader.read("c", QUALITY) == {"status": "ok"}
    with writer.lock():
        writer.write("c", QUALITY, {"status": "failed"})
    assert reader.read("c", QUALITY) == {"status": "failed"}
    writer.set_aside("c", "it is another")
    assert reader.cells() == []
    assert reader.read("c", QUALITY) is None
