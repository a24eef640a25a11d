"""Files that wait to be flushed together, and archives of arrays."""

from __future__ import annotations

import errno
import io
import os
import threading

import numpy as np
import pytest

from samplerbench.results.run_directory.disk import write_behind
from samplerbench.results.run_directory.disk.archives import arrays_in, write_arrays
from samplerbench.results.run_directory.disk.write_behind import WriteBehind

ARRAYS = {
    "float16": np.arange(6, dtype=np.float16).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12.0).reshape(3, 4)[:, ::2],
    "scalar": np.array(3),
    "empty": np.empty((0, 2), np.float32),
    "text": np.array(["a", "é"]),
    "flags": np.array([True, False]),
    "swapped": np.arange(3, dtype=">i4"),
    "fields": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "moment": np.array(["2020-01-01"], dtype="datetime64[D]"),
}


def archive(arrays):
    file = io.BytesIO()
    write_arrays(file, arrays)
    return file.getvalue()


def test_an_archive_is_byte_for_byte_what_numpy_writes_and_is_read_as_numpy_reads_it():
    file = io.BytesIO()
    np.savez(file, **ARRAYS)
    assert archive(ARRAYS) == file.getvalue()
    found = arrays_in(io.BytesIO(file.getvalue()))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert np.array_equal(found[name], array), name
        assert found[name].flags.writeable, name


def test_objects_are_refused_both_ways():
    with pytest.raises(TypeError, match="'bad' holds Python objects"):
        archive({"bad": np.array([{}, None])})
    file = io.BytesIO()
    np.savez(file, bad=np.array([{}, None]))
    with pytest.raises(ValueError, match="allow_pickle"):
        arrays_in(file)


def test_an_archive_that_would_be_larger_than_it_is_is_refused():
    file = io.BytesIO()
    np.savez_compressed(file, x=np.zeros(100_000))
    with pytest.raises(ValueError, match="larger than it is"):
        arrays_in(file)


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes as long as it is told: ``flushed`` counts, ``free`` lets it go on."""

    class Disk:
        def __init__(self):
            self.free, self.begun, self.flushed = threading.Event(), threading.Event(), 0

        def sync(self, _number):
            self.begun.set()
            assert self.free.wait(10)
            self.flushed += 1
            return 0

    found = Disk()
    monkeypatch.setattr(write_behind, "syncfs", found.sync)
    monkeypatch.setattr(os, "fsync", found.sync)
    yield found
    found.free.set()


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_files_are_seen_once_they_are_flushed_and_those_that_wait_are_flushed_at_once(
    tmp_path, disk
):
    told, files = [], WriteBehind()
    files.write(tmp_path / "0", b"first", lambda: told.append(0))
    assert disk.begun.wait(10)
    for number in range(1, 100):
        files.write(tmp_path / f"{number}", b"more", lambda number=number: told.append(number))
    assert visible(tmp_path) == told == []
    disk.free.set()
    files.close()
    assert visible(tmp_path) == sorted(map(str, range(100)))
    assert told == list(range(100))
    assert disk.flushed == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_later_content_wins(tmp_path):
    files = WriteBehind()
    for number in range(50):
        files.write(tmp_path / "a", f"{number}".encode())
    files.settle()
    assert (tmp_path / "a").read_text() == "49"
    files.close()


def test_where_the_disk_is_full_the_writer_is_told_with_the_file_and_nothing_is_left(
    tmp_path, monkeypatch
):
    def full(_number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    files = WriteBehind()
    with pytest.raises(OSError, match="No space") as caught:  # noqa: PT012 - either may be told
        files.write(tmp_path / "a", b"x")
        files.settle()
    assert caught.value.filename == str(tmp_path / "a")
    with pytest.raises(OSError, match="No space"):
        files.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_taken_for_a_killed_ones_is_written_again(tmp_path, disk):
    files = WriteBehind()
    files.write(tmp_path / "a", b"x")
    assert disk.begun.wait(10)
    next(tmp_path.glob(".a.*")).unlink()
    disk.free.set()
    files.close()
    assert (tmp_path / "a").read_bytes() == b"x"


def test_without_a_flush_of_the_file_system_each_file_is_flushed(tmp_path, monkeypatch):
    count = []
    monkeypatch.setattr(write_behind, "syncfs", None)
    monkeypatch.setattr(os, "fsync", count.append)
    files = WriteBehind()
    for number in range(10):
        files.write(tmp_path / "new" / f"{number}", b"x")
    files.close()
    assert len(count) == 10
