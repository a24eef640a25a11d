"""Archives of arrays."""

from __future__ import annotations

import io

import numpy as np
import pytest

from samplerbench.results.run_directory.files import read_archive, write_arrays

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
    found = read_archive(io.BytesIO(file.getvalue()))
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
        read_archive(file)


def test_an_archive_that_would_be_larger_than_it_is_is_refused():
    file = io.BytesIO()
    np.savez_compressed(file, x=np.zeros(100_000))
    with pytest.raises(ValueError, match="larger than it is"):
        read_archive(file)
