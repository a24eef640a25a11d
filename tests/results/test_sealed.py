import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_archives import read_npz, write_npz

from samplerbench.results.run_directory import sealed
from samplerbench.results.run_directory.sealed import DamagedError, UnsealedError

PLACE = "parts/heun-1/quality.json"


def flips(data):
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)


def put(path, data):
    """Write a file anew: to empty one that exists waits for the disk."""
    path.unlink()
    path.write_bytes(data)


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "q.json"
    sealed.write_json(
        path, {"fid": 0.1 + 0.2, "text": "é", "list": np.arange(2), "nan": np.nan}, PLACE, "a-b-c"
    )
    assert sealed.read_json(path, PLACE, "a-b-c") == {
        "fid": 0.1 + 0.2,
        "text": "é",
        "list": [0, 1],
        "nan": None,
    }
    assert json.loads(path.read_text())[sealed.KEY]["of"] == PLACE
    arrays = {
        "x": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16),
        "names": np.array(["a", "é"]),
    }
    digest = write_npz(tmp_path / "a.npz", arrays, "x", "m")
    back = read_npz(tmp_path / "a.npz", "x", "m", digest)
    assert all(
        np.array_equal(back[name], array) and back[name].dtype == array.dtype
        for name, array in arrays.items()
    )
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], arrays["x"])  # numpy alone reads it


def test_no_single_bit_flip_of_a_json_file_is_used(tmp_path):
    path = tmp_path / "q.json"
    sealed.write_json(
        path, {"samples": 512, "status": "ok", "fid_proxy": 0.445, "nfe": 9.0}, PLACE, "a-b-c"
    )
    for bit, data in flips(path.read_bytes()):
        put(path, data)
        with pytest.raises(DamagedError):
            pytest.fail(f"bit {bit}: {sealed.read_json(path, PLACE, 'a-b-c')}")


def test_no_single_bit_flip_of_an_archive_is_used(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(4.0)}, "x", "m")
    for bit, data in flips(path.read_bytes()):
        put(path, data)
        with pytest.raises(DamagedError):
            pytest.fail(f"bit {bit}: {read_npz(path, 'x', 'm')}")


def test_every_truncation_is_damaged(tmp_path):
    json_file, npz_file = tmp_path / "q.json", tmp_path / "a.npz"
    sealed.write_json(json_file, {"a": 1}, "a")
    write_npz(npz_file, {"x": np.arange(4.0)}, "a")
    for path, read in ((json_file, sealed.read_json), (npz_file, read_npz)):
        whole = path.read_bytes()
        for length in range(len(whole)):
            put(path, whole[:length])
            with pytest.raises(DamagedError):
                read(path, "a")


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (("parts/euler-2/quality.json", "m"), "it belongs to parts/heun-1"),
        ((PLACE, "other"), "other code made it"),
    ],
)
def test_a_file_of_another_place_or_maker_is_refused(tmp_path, expected, words):
    path = tmp_path / "q.json"
    sealed.write_json(path, {"a": 1}, PLACE, "m")
    with pytest.raises(DamagedError, match=words):
        sealed.read_json(path, *expected)
    write_npz(tmp_path / "q.npz", {"a": np.ones(1)}, PLACE, "m")
    with pytest.raises(DamagedError, match=words):
        read_npz(tmp_path / "q.npz", *expected)


def test_arrays_are_those_that_another_file_names(tmp_path):
    first = write_npz(tmp_path / "a.npz", {"x": np.zeros(2)}, "a")
    write_npz(tmp_path / "a.npz", {"x": np.ones(2)}, "a")
    with pytest.raises(DamagedError, match=r"quality\.json"):
        read_npz(tmp_path / "a.npz", "a", None, first)


def test_files_without_a_seal_say_so(tmp_path):
    (tmp_path / "q.json").write_text('{"a": 1}')
    np.savez(tmp_path / "a.npz", x=np.ones(1))
    with pytest.raises(UnsealedError):
        sealed.read_json(tmp_path / "q.json", "q")
    with pytest.raises(UnsealedError):
        read_npz(tmp_path / "a.npz", "a")


def test_pickles_are_refused_both_ways(tmp_path):
    with pytest.raises(TypeError, match="'bad' holds Python objects"):
        write_npz(tmp_path / "a.npz", {"bad": np.array([{}, None])}, "a")


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.binary(max_size=400)
    | st.sampled_from(
        [
            b"5",
            b'"x"',
            b"[]",
            b"null",
            b"[" * 5000,
            b'{"seal": 3}',
            b'{"seal": {"of": 1}}',
            b"PK\x05\x06",
        ]
    )
)
def test_any_bytes_are_damaged_or_unsealed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for name, read in (("a.json", sealed.read_json), ("a.npz", read_npz)):
        (folder / name).write_bytes(data)
        with pytest.raises(DamagedError):
            read(folder / name, "file")
