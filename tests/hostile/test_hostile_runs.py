"""A run directory from somebody who means harm: nothing in it runs, hangs, fills the memory, or leads
a command to files outside it.
"""

import hashlib
import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from arena import digest, sealed, watchdog
from new_runs import new_run

from samplerbench.results.run_directory import files
from samplerbench.results.run_directory.run_dir import RunDir
from samplerbench.results.run_directory.sealed import DamagedError, open_sealed
from samplerbench.results.text import strip_control_characters

CELL = "gmm-2d-euler-5"
PLACES = (
    "run.json",
    "looks.json",
    "report.html",
    f"parts/{CELL}/cell.json",
    f"parts/{CELL}/quality.json",
    f"parts/{CELL}/timing.json",
    f"set-aside/{CELL}.1/why.json",
)
KINDS = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "sparse": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
}
EVIL = "<script>alert(1)</script>\x1b]8;;http://x\x07\u202e=cmd|' /C calc'!A0"


@pytest.fixture
def run(arena, template):
    """The run directory of a fresh working folder."""
    return arena.fresh(template) / "run"


def replaced(run, place, make):
    """Put something else in the place of a file."""
    path = run / place
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_neither_waited_for_nor_read_for_ever(arena, run, place, kind):
    replaced(run, place, KINDS[kind])
    code, out, _ = arena.command("status", "run")
    assert code == 0
    assert "cells" in out


@pytest.mark.parametrize("command", [["report", "run"], ["compare", "run", "--baseline", "euler"]])
def test_reports_of_strange_files_end(arena, run, command):
    for place in (f"samples/{CELL}.npz", f"parts/{CELL}/influence.npz", "looks.json", "table.csv"):
        replaced(run, place, os.mkfifo)
    for number in range(4):  # circles, with 4^40 ways through them
        (run / "parts" / f"way{number}").symlink_to(".")
    arena.command(*command)


def test_a_table_is_no_larger_than_a_table_can_be(arena, run):
    shutil.rmtree(run / "parts")
    replaced(run, "table.csv", KINDS["sparse"])
    code, _, err = arena.command("status", "run")
    assert (code, "too large" in err) == (2, True)


def test_a_parquet_file_of_many_equal_rows_is_refused(arena, run):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    same = pa.nulls(1_000_001, pa.string())
    names = ("model", "sampler", "nfe", "status")
    pq.write_table(pa.table(dict.fromkeys(names, same)), run / "table.parquet")
    code, _, err = arena.command("show", "run/table.parquet")
    assert (code, "1,000,001 rows" in err) == (2, True)


@pytest.mark.parametrize(
    "place", ["parts", "made", "samples", "claims", "set-aside", f"parts/{CELL}", "set-aside/x.1"]
)
def test_no_folder_that_is_a_link_is_written_moved_or_deleted_through(arena, run, place):
    path = run / place
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(arena.outside / "parts")
    with pytest.raises(ValueError, match="is a symbolic link"):
        RunDir.at(run)
    arena.unharmed()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nothing")])
def test_a_strange_lock_is_refused(run, make):
    replaced(run, ".lock", make)
    with watchdog(10), pytest.raises(ValueError, match="is no plain file"):
        new_run(run)
    assert not (run / "nothing").exists()


def test_a_hard_link_is_replaced_and_not_written_into(arena, run):
    part, outside = run / "parts" / CELL / "quality.json", arena.home / "outside.json"
    os.link(part, outside)
    before = outside.read_bytes()
    RunDir.open(run).write(CELL, "quality.json", {"status": "failed"})
    assert outside.read_bytes() == before != part.read_bytes()


def archive(members, compression=zipfile.ZIP_STORED):
    """An ``.npz`` file with any members, sealed as ``x``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    comment = (
        b"samplerbench seal " + json.dumps({"of": "x", "made_by": "", "sha256": "0" * 64}).encode()
    )
    data = buffer.getvalue()[:-2] + len(comment).to_bytes(2, "little") + comment
    return data.replace(b"0" * 64, hashlib.sha256(data).hexdigest().encode())


def array(shape, descr="<f8", content=b"\0" * 64):
    """An array whose header says anything."""
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    "data",
    [
        archive({"x.npy": array((1 << 20,), content=bytes(8 << 20))}, zipfile.ZIP_DEFLATED),
        archive({"x.npy": array((1 << 62,))}),
        archive({"x.npy": array((1 << 40,), "<U0")}),
        archive({"x.npy": array((10**30,))}),
        archive({"x.npy": array((8,), "|O")}),
        archive({"x.npy": b"no array"}),
    ],
    ids=["bomb", "overflow", "long", "of nothing", "pickle", "no array"],
)
def test_archives_of_arrays_are_no_larger_than_they_are(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DamagedError):
        open_sealed(tmp_path / "a.npz", "x").check()
    assert files.read_npz(tmp_path / "a.npz") is None


def test_members_of_an_archive_are_not_unpacked_to_where_they_say(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.npz").write_bytes(archive({"../up.npy": array((8,))}))
    open_sealed(tmp_path / "in" / "a.npz", "x").check()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def spoil(run, place, change):
    """Change what a sealed file says, under a seal that holds."""
    value = json.loads((run / place).read_text())
    seal = value.pop("seal")
    sealed(run / place, change(value), place, seal["made_by"])


def evil(value):
    """A JSON value with all texts made evil."""
    if isinstance(value, dict):
        return {key: evil(item) for key, item in value.items()}
    return [*map(evil, value)] if isinstance(value, list) else f"{value}{EVIL}"


def test_a_report_of_evil_texts_has_none_of_their_marks(arena, run):
    spoil(run, f"parts/{CELL}/cell.json", lambda v: v | {"sampler": EVIL, "schedule": EVIL})
    spoil(run, "run.json", evil)
    code, out, err = arena.command("report", "run")
    assert code == 0, err
    page = (run / "report.html").read_text()
    assert "<script>alert" not in page
    assert 'href="javascript' not in page.lower()
    assert "\x1b" not in out + err
    table = (run / "table.csv").read_text()
    assert not [field for field in table.split(",") if field.startswith(("=", '"='))]


KINDS_OF_JSON = {
    "a list": [1],
    "a text": "x",
    "a number": 7,
    "a table of lists": {"gmm-2d": [None]},
}


@pytest.mark.parametrize("kind", KINDS_OF_JSON)
def test_items_of_another_kind_in_run_json_are_left_out(arena, run, kind):
    keys = ("suite", "provenance", "models", "earlier", "citations", "start_errors")
    keys += ("path_curvature", "references", "fingerprints")
    spoil(run, "run.json", lambda v: v | dict.fromkeys(keys, KINDS_OF_JSON[kind]))
    for command in (["report", "run"], ["show", "run", "--errors"]):
        code, _, err = arena.command(*command)
        assert code == 0, err


def test_a_curvature_of_other_kinds_is_none(arena, run):
    spoil(run, "run.json", lambda v: v | {"path_curvature": {"gmm-2d": {"profile": ["x"]}}})
    assert arena.command("report", "run")[0] == 0


def test_parameters_of_thousands_of_levels_are_text(arena, run):
    deep = '{"a":' * 20_000
    spoil(run, f"parts/{CELL}/cell.json", lambda v: v | {"params": deep})
    for command in (["show", "run"], ["report", "run"], ["compare", "run", "--baseline", "euler"]):
        code, _, err = arena.command(*command)
        assert code == 0, err


def test_control_characters_are_taken_out_in_linear_time():
    with watchdog(5):  # it took minutes
        assert strip_control_characters("\x90" * 200_000 + "x") == "x"


@pytest.mark.parametrize("name", ["a\nb", "x\u202ey", "*", "-rf", "a\x1b[31m"])
def test_a_cell_of_a_strange_name_is_one_sentence(arena, run, name):
    shutil.copytree(run / "parts" / CELL, run / "parts" / name)
    code, out, err = arena.command("status", "run")
    assert code == 2
    assert "cannot name a file of a run" in err
    assert "\x1b" not in out + err


def test_what_was_there_outside_is_there_still(arena):
    assert digest(arena.outside) == arena.before
