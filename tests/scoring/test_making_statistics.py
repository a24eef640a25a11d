"""``samplerbench reference``: statistics of a folder or an array, as EDM's scripts read them."""

import numpy as np
import pytest
from PIL import Image

from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import write_features_statistics
from samplerbench.models import make_model

N = 40
BYTES = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)
PIXELS = BYTES.reshape(N, -1) / 127.5 - 1


@pytest.fixture
def sources(tmp_path):
    """The same images in every way that they can be kept."""
    for folder, mode in (("images", "L"), ("palettes", "P")):
        (tmp_path / folder).mkdir()
        for place, image in enumerate(BYTES):
            Image.fromarray(image).convert(mode).save(tmp_path / folder / f"{place:03}.png")
    np.save(tmp_path / "grey.npy", BYTES)
    np.savez(tmp_path / "last.npz", arr_0=BYTES[..., None])
    np.save(tmp_path / "first.npy", BYTES[:, None])
    names = ("images", "palettes", "grey.npy", "last.npz", "first.npy")
    return [str(tmp_path / name) for name in names]


def test_statistics_are_those_of_all_images_and_read_again_to_the_last_bit(sources, tmp_path):
    model = make_model("digits")
    for source in sources:
        count, _ = write_features_statistics(source, "pixels", tmp_path / "out.npz")
        assert count == N
        stored = np.load(tmp_path / "out.npz")
        np.testing.assert_allclose(stored["mu"], PIXELS.mean(0), atol=1e-6)
        np.testing.assert_allclose(stored["sigma"], np.cov(PIXELS, rowvar=False), atol=1e-6)
        found = load_references({"m": model}, "pixels", str(tmp_path / "out.npz"), tmp_path)["m"]
        np.testing.assert_array_equal(found.mean, stored["mu"])
        np.testing.assert_array_equal(found.cov, stored["sigma"])
        assert found.n == N


def test_a_model_says_shape_and_range_of_numbers_and_may_bring_the_features(tmp_path):
    x = np.random.default_rng(1).uniform(-1, 1, (600, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    model = make_model("fashion")
    write_features_statistics(str(tmp_path / "x.npy"), "card:8", tmp_path / "out.npz", model)
    stored = np.load(tmp_path / "out.npz")
    assert stored["mu"].shape == (8,)
    assert "axes8" in str(stored["extractor"])


def test_networks_of_8_bit_images_have_the_same_statistics_in_any_range(sources, tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch")
    _, network = write_features_statistics(sources[0], "efficientnet-lite0", tmp_path / "out.npz")
    assert network.dim == 1280
    (tmp_path / "mine.py").write_text(
        "class Model:\n    event, sigma_min, sigma_max, limits = (1, 8, 8), 0.01, 10.0, (0.0, 1.0)\n"
        "    def __call__(self, x, sigma):\n        return x\n"
        "def make():\n    return Model()\n"
    )
    model = make_model(f"{tmp_path / 'mine.py'}:make")
    found = load_references({"m": model}, "efficientnet-lite0", str(tmp_path / "out.npz"))["m"]
    assert found.n == N


def test_what_cannot_be_made_is_one_sentence(sources, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 2)))
    np.save(tmp_path / "one.npy", BYTES[:1])
    (tmp_path / "out.npz").write_bytes(b"earlier statistics")
    (tmp_path / "empty").mkdir()
    for source, spec, out, message in (
        (tmp_path / "one.npy", "pixels", "out.npz", "generate at least two"),
        (tmp_path / "x.npy", "inception:w", "out.npz", "say whose data they are with --model"),
        (tmp_path / "none", "pixels", "out.npz", "there is no file or folder"),
        (tmp_path / "empty", "pixels", "out.npz", "there are no images in this folder"),
        (sources[0], "pixels", "out.pkl", "go into a .npz file, such as out.npz"),
        (sources[0], "card", "out.npz", "it has none"),
    ):
        with pytest.raises(ValueError, match=message):
            write_features_statistics(str(source), spec, tmp_path / out)
        assert (tmp_path / "out.npz").read_bytes() == b"earlier statistics"


def test_make_statistics__a_grey_first_image_does_not_make_a_folder_grey(sources, tmp_path):
    Image.fromarray(np.stack([BYTES[0], BYTES[1], BYTES[2]], -1)).save(f"{sources[0]}/{N:03}.png")
    write_features_statistics(sources[0], "pixels", tmp_path / "out.npz")
    assert np.load(tmp_path / "out.npz")["mu"].shape == (3 * 8 * 8,)


@pytest.mark.parametrize("values", [BYTES[:, None].astype(float), BYTES[:, None] / 255])
def test_make_statistics__numbers_of_another_range_are_refused(values, tmp_path):
    """They were clamped: of all images in 0 … 255, white ones were left."""
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ValueError, match=r"the data's range \[-1, 1\]"):
        write_features_statistics(
            str(tmp_path / "x.npy"), "pixels", tmp_path / "out.npz", make_model("digits")
        )
