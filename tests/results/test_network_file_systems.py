"""What a network file system does that a local disk does not: handles that are stale, and names that
are remembered not to be there.
"""

import errno
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from new_runs import new_run
from sealed_archives import write_npz

from samplerbench.results.run_directory import files, sealed
from samplerbench.results.run_directory.files import read_json, write_atomic, write_json


@pytest.fixture
def stale(monkeypatch):
    """The next reads of a file say that it was replaced meanwhile, as many as are asked for."""
    left, read = [0], files._read_regular_once

    def sometimes(path, most):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(path, most)

    monkeypatch.setattr(files, "_read_regular_once", sometimes)
    monkeypatch.setattr(files, "PAUSE", 0.0)
    return left


def test_a_file_that_is_being_replaced_is_read_again(tmp_path, stale):
    write_json(tmp_path / "a.json", {"a": 1})
    write_npz(tmp_path / "a.npz", {"x": np.ones(3)}, "a.npz")
    stale[0] = 3
    assert read_json(tmp_path / "a.json") == {"a": 1}
    stale[0] = 3
    assert sealed.open_sealed(tmp_path / "a.npz", "a.npz").fault is None
    stale[0] = 4
    with pytest.raises(OSError, match=r"[Ss]tale"):
        read_json(tmp_path / "a.json")


def test_a_write_starts_again_where_another_process_cleared_it_away(tmp_path):
    """As a leader does with what it takes for a dead process's."""
    begun = []

    def fill(file):
        file.write(b"whole")
        if not begun:
            begun.append(file.name)
            Path(file.name).unlink()

    write_atomic(tmp_path / "a", fill)
    assert begun
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a"]


def test_a_write_into_a_folder_that_was_taken_away_is_an_error(tmp_path):
    def fill(file):
        Path(file.name).unlink()
        (tmp_path / "folder").rmdir()

    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "folder" / "a", fill)


def test_a_shard_is_looked_for_anew_before_it_is_drawn(tmp_path, monkeypatch):
    """The client remembers that it was not there until this machine changes its folder."""
    run = new_run(tmp_path / "run")
    shard = run.shard_path("cell", 0, 5)
    shard.parent.mkdir()
    assert not run.has_shard_now("cell", 0, 5)
    absent, touch, is_file = {shard}, Path.touch, Path.is_file

    def touched(self, *how, **options):
        absent.difference_update({one for one in absent if one.parent == self.parent})
        touch(self, *how, **options)

    monkeypatch.setattr(Path, "touch", touched)
    monkeypatch.setattr(Path, "is_file", lambda self: self not in absent and is_file(self))
    shard.write_bytes(b"another machine's")
    assert not shard.is_file()
    assert run.has_shard_now("cell", 0, 5)
    assert os.listdir(shard.parent) == [shard.name]


def test_one_that_joins_waits_until_it_sees_what_was_planned(tmp_path, monkeypatch):
    """Else it would find that nothing is lacking, and go."""
    from samplerbench.benchmarks.running import shards

    class Cell:
        key = "cell"

    class Leader:
        is_leader_gone = False

    monkeypatch.setattr(shards, "PAUSE", 0.01)
    run = new_run(tmp_path / "run")
    waiting = threading.Thread(target=shards._await_made_files, args=(run, Leader, [Cell]))
    waiting.start()
    time.sleep(0.1)
    assert waiting.is_alive()
    write_json(run.part_path("cell", "made.json"), {})
    waiting.join(20)
    assert not waiting.is_alive()
    Leader.is_leader_gone = True
    Cell.key = "another"
    shards._await_made_files(run, Leader, [Cell])
