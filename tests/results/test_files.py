import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from samplerbench.results.run_directory.files import (
    PART,
    read_json,
    read_npz,
    write_atomic,
    write_json,
    write_npz,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})

    def fill(file):
        file.write(b"half of")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomic(path, fill)
    assert read_json(path) == {"n": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_every_truncation_reads_as_absent(tmp_path):
    write_json(tmp_path / "a.json", {"values": [1, 2, 3]})
    write_npz(tmp_path / "a.npz", {"x": np.arange(20.0), "y": np.ones(3, np.float16)})
    for name, read, stride in (("a.json", read_json, 1), ("a.npz", read_npz, 23)):
        whole = (tmp_path / name).read_bytes()
        assert read(tmp_path / name) is not None
        for length in range(0, len(whole) - 2, stride):
            (tmp_path / name).write_bytes(whole[:length])
            assert read(tmp_path / name) is None, (name, length)


def test_a_flipped_byte_in_the_data_reads_as_absent(tmp_path):
    write_npz(tmp_path / "a.npz", {"x": np.arange(1000.0)})
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    damaged[4000] ^= 1
    (tmp_path / "a.npz").write_bytes(damaged)
    assert read_npz(tmp_path / "a.npz") is None


def test_missing_files_read_as_absent(tmp_path):
    assert read_json(tmp_path / "no" / "a.json") is None
    assert read_npz(tmp_path / "no.npz") is None


def test_json_keeps_every_digit_and_has_no_infinity(tmp_path):
    values = {
        "x": 0.1 + 0.2,
        "tiny": 5e-324,
        "f32": np.float32(0.1),
        "i": np.int64(2**62),
        "list": np.arange(3),
        "flag": np.True_,
    }
    write_json(tmp_path / "a.json", {**values, "nan": math.nan, "inf": [np.inf]})
    back = read_json(tmp_path / "a.json")
    assert back == {
        **values,
        "list": [0, 1, 2],
        "f32": float(np.float32(0.1)),
        "nan": None,
        "inf": [None],
    }


def test_arrays_round_trip_and_pickles_are_refused(tmp_path):
    arrays = {
        "features": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float16),
        "ids": np.arange(5),
    }
    write_npz(tmp_path / "a.npz", arrays)
    back = read_npz(tmp_path / "a.npz")
    assert back is not None
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes()
    with pytest.raises(TypeError, match="'bad' holds Python objects"):
        write_npz(tmp_path / "b.npz", {"bad": np.array([{}, None])})


WRITER = """
import sys
from pathlib import Path
import numpy as np
from samplerbench.results.run_directory.files import write_npz
n = 0
while True:
    n += 1
    write_npz(Path(sys.argv[1]), {"x": np.full(200_000, n)})
    print(n, flush=True)
"""


def test_a_process_that_writes_or_is_killed_never_shows_half_a_file(tmp_path):
    path = tmp_path / "a.npz"
    for delay in (0.0, 0.013, 0.029):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()  # the first write is done
        assert all(read_npz(path) is not None for _ in range(60))
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        arrays = read_npz(path)
        assert arrays is not None
        assert len(set(arrays["x"])) == 1
    assert all(entry.name == "a.npz" or entry.name.endswith(PART) for entry in tmp_path.iterdir())
