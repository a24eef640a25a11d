"""F9, F10, F12: files that take more than they are, or say what nobody reads."""

import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.scoring.real_files import read_array
from samplerbench.benchmarks.scoring.statistics_files import read_statistics
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint


def test_read_array__a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (100, 1000, 1000)}
        )
        for _ in range(100):
            member.write(bytes(1_000_000))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    assert read_statistics(str(path)) is None
    with pytest.raises(ValueError, match=r"bomb.npz .* times its size; save the samples"):
        read_array(path, (1, 1000, 1000), (-1.0, 1.0))
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_read_array__packed_samples_are_read(tmp_path):
    path, values = tmp_path / "good.npz", np.zeros((500, 1, 28, 28), np.uint8)
    np.savez_compressed(path, x=values)
    assert read_array(path, (1, 28, 28), (-1.0, 1.0)).shape == values.shape


def test_read_array__nothing_unsafe_is_advised(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="it holds Python objects") as caught:
        read_array(path, (2,), None)
    assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize("bit", range(8))
def test_open_checkpoint__each_bit_of_the_version_that_is_needed(tmp_path, bit):
    path = tmp_path / "w.pt"
    torch.save({"w": torch.zeros(2)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 6] ^= 1 << bit
    path.write_bytes(data)
    # whatever it says, it is read or refused in a sentence
    with suppress(CheckpointError):
        open_checkpoint(path)
