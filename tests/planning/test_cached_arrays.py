import numpy as np

from samplerbench.benchmarks.planning.cache import read_arrays, write_arrays


def test_cache__arrays_that_were_changed_are_not_believed(tmp_path):
    """F11: the checksum of an archive says only that it is whole."""
    path, arrays = tmp_path / "a.npz", {"rule": np.arange(3.0), "evaluations": np.array(7)}
    write_arrays(path, arrays)
    stored = read_arrays(path)
    assert stored is not None
    assert stored.keys() == arrays.keys()
    whole = dict(np.load(path))
    for changed in (
        {**whole, "rule": np.arange(3.0) + 1e-9},
        {name: array for name, array in whole.items() if name != "evaluations"},
    ):
        np.savez(path, **changed)
        assert read_arrays(path) is None
