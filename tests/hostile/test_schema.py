"""Run directories of other versions: older ones open, newer ones are refused and left as they are."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from arena import digest
from new_runs import new_run
from sealed_archives import write_npz

from samplerbench.results.result_table import load
from samplerbench.results.run_directory import sealed
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.run_directory.sealed import DamagedError, NewerError

OLD = Path(__file__).parent / "run_of_0_1_0"
"""A run of release 0.1.0, whose seals do not say the number of their form."""


def test_a_run_of_the_first_release_opens(caplog):
    run, table = RunDir.open(OLD), load(OLD).frame
    known = load(OLD / "table.csv").frame
    assert "schema" not in json.loads((OLD / "run.json").read_text())["seal"]
    for column in ("model", "sampler", "status", "nfe", "fid_proxy", "rmse"):
        assert table[column].tolist() == known[column].tolist()
    for cell in run.cells():
        assert run.missing_shards(cell, 16) == []
        assert run.read_shard(cell, 0, 16)["endpoint"].shape == (4, 2)
        assert run.read_influence(cell)
    assert not run.predates_checksums
    assert not caplog.text


def test_a_run_of_the_first_release_is_gone_on_with_and_no_file_of_it_is_made_anew(tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    run, before = new_run(tmp_path / "run"), digest(OLD / "parts")
    with run.lock():
        for cell in run.cells():
            run.set_aside_damaged_parts(cell)
            run.set_aside_damaged_shards(cell)
            run.plan(cell, run.read(cell, "cell.json"))
    assert digest(tmp_path / "run" / "parts") == before
    assert not run.cells_set_aside()


def test_every_file_says_the_number_of_its_form(tmp_path):
    sealed.write_json(tmp_path / "a.json", {}, "a")
    assert json.loads((tmp_path / "a.json").read_text())["seal"]["schema"] == sealed.SCHEMA
    write_npz(tmp_path / "a.npz", {}, "a")
    assert f'"schema": {sealed.SCHEMA}'.encode() in (tmp_path / "a.npz").read_bytes()


def newer(path, schema, **more):
    """Make a sealed file one of another form."""
    value = json.loads(path.read_text())
    value["seal"] |= {"schema": schema, "sha256": "0" * 64, **more}
    data = json.dumps(value).encode()
    path.write_bytes(data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode(), 1))


@pytest.mark.parametrize("place", ["run.json", "parts/gmm-2d-euler-5/quality.json"])
def test_a_newer_file_is_refused_in_one_sentence_and_nothing_is_touched(arena, template, place):
    run = arena.fresh(template) / "run"
    newer(run / place, 3, made_how="in a way to come")
    before = digest(run)
    for command in ("status", "show", "report"):
        code, _, err = arena.command(command, "run")
        assert code == 2
        assert f"{place} was made by a newer samplerbench (schema 3; this one reads up to 2)" in err
        assert "upgrade samplerbench" in err
    writing = new_run(run)
    refused = writing.write_or_defer_run if place == "run.json" else writing.set_aside_damaged_parts
    with writing.lock(), pytest.raises(NewerError):
        refused({} if place == "run.json" else "gmm-2d-euler-5")
    assert digest(run) == before


@pytest.mark.parametrize("schema", [1, 0, -1, "3", None, [3]])
def test_a_number_that_no_version_wrote_is_damage(tmp_path, schema):
    path = tmp_path / "a.json"
    sealed.write_json(path, {"a": 1}, "a")
    newer(path, schema)
    with pytest.raises(DamagedError, match="its seal is damaged"):
        sealed.read_json(path, "a")
