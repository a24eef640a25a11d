import numpy as np

from samplerbench.benchmarks.planning import cache
from samplerbench.benchmarks.planning.cache import behaviour_digest, read_arrays, write_arrays
from samplerbench.models import make_model
from samplerbench.results.run_directory.behaviour_fingerprint import Fingerprint


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


def test_behaviour_digest__each_device_has_its_own(tmp_path, monkeypatch):
    by_device = {
        device: Fingerprint("model", "m", {"device": device}, {}) for device in ("cpu", "cuda")
    }
    monkeypatch.setattr(cache, "first_fingerprint", lambda _model, device: by_device[device])
    model = make_model("gmm-2d")
    on_cpu, on_cuda, again = (
        behaviour_digest(tmp_path, model, device) for device in ("cpu", "cuda", "cpu")
    )
    assert on_cpu == again != on_cuda
