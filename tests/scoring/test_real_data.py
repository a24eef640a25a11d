"""Real samples of the user's: what is read of a file, and what is refused."""

import numpy as np
import pytest

from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import load_real_data
from samplerbench.models import make_model
from samplerbench.models.reference import HELD_OUT


def test_real_samples_come_from_a_file(tmp_path):
    model, x = make_model("gmm-2d"), np.random.default_rng(0).standard_normal((30, 2))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", other=x[:3], x=x)
    np.savez(tmp_path / "one.npz", anything=x)
    for name in ("x.npy", "x.npz", "one.npz"):
        real = load_real_data(model, str(tmp_path / name))
        assert (len(real.reference), len(real.held_out)) == (25, 30 // HELD_OUT)
        np.testing.assert_allclose(real.held_out.numpy(), x[HELD_OUT - 1 :: HELD_OUT], rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((30, 3))}, "shape"),
        ({"x": np.full((30, 2), np.nan)}, "not finite"),
        ({"x": np.zeros((5, 2))}, "give at least 12"),
        ({"x": np.array([["a", "b"]] * 30)}, "not numbers"),
        ({"a": np.zeros((30, 2)), "b": np.zeros((30, 2))}, "call the one that is meant x"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path, arrays, message):
    np.savez(tmp_path / "real.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        load_real_data(make_model("gmm-2d"), str(tmp_path / "real.npz"))


def test_images_of_another_range_are_refused(tmp_path):
    np.save(tmp_path / "bytes.npy", np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8)))
    with pytest.raises(ValueError, match=r"outside the data's range \[-1, 1\]; scale them"):
        load_references(
            {"digits": make_model("digits")}, "pixels", str(tmp_path / "bytes.npy"), tmp_path
        )


def test_missing_data_are_one_sentence(tmp_path):
    (tmp_path / "junk.npy").write_bytes(b"junk")
    with pytest.raises(ValueError, match="is no NumPy file"):
        load_real_data(make_model("gmm-2d"), str(tmp_path / "junk.npy"))
    with pytest.raises(ValueError, match="no such file"):
        load_real_data(make_model("gmm-2d"), str(tmp_path / "none.npy"))
    with pytest.raises(ValueError, match=r"--reference FILE\.npy"):
        load_real_data(make_model("digits"), None)


def test_load_references__held_out_samples_of_a_sorted_file_are_like_the_file(tmp_path):
    """Samples sorted by class: both halves of the few that are compared need all classes."""
    x = np.repeat(np.arange(10.0), 120)[:, None] + np.zeros(2)
    np.save(tmp_path / "sorted.npy", x)
    models = {"gmm-2d": make_model("gmm-2d")}
    real = load_references(models, "pixels", str(tmp_path / "sorted.npy"), tmp_path)["gmm-2d"]
    first, second = np.split(real.held_out(60)[:, 0], 2)
    for half in (first, second):
        assert abs(half.mean() - 4.5) < 1.5
        assert half.std() > 2


def test_card_reference__the_first_emoji_held_out_are_of_all_classes():
    """The file is sorted by class: its first 100 features were 3 times as far from the moments."""
    reference = make_model("emoji").reference()
    few = [np.square(reference.held_out(n).mean(0) - reference.mean).sum() for n in (100, 10**6)]
    assert few[0] < 3 * np.trace(reference.cov) / 100 + few[1]
