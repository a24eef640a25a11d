"""A folder of images as real samples, and samples in a range that is not the model's."""

import numpy as np
import pytest
from PIL import Image

from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.scoring.real_data import load_real_data
from samplerbench.benchmarks.scoring.real_files import read_folder
from samplerbench.models import make_model
from samplerbench.models.reference import HELD_OUT

N = 30


@pytest.fixture(scope="module")
def model():
    return make_model("digits")  # (1, 8, 8) in [-1, 1]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)


def write(folder, pixels, mode="L", suffix="png"):
    (folder / "deeper").mkdir(parents=True)
    for place, image in enumerate(pixels):
        Image.fromarray(image).convert(mode).save(
            folder / ("deeper" if place % 2 else ".") / f"{place:03}.{suffix}"
        )
    (folder / "notes.txt").write_text("no image")
    return str(folder)


def test_read_folder__leaves_out_no_image_of_another_format(tmp_path, pixels):
    suffixes = ("png", "tif", "gif", "pgm", "TIFF")
    for place, suffix in enumerate(suffixes):
        Image.fromarray(pixels[place]).save(tmp_path / f"{place}.{suffix}")
    found = read_folder(tmp_path, (1, 8, 8), (0.0, 255.0))
    np.testing.assert_array_equal(found[:, 0], pixels[: len(suffixes)])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_images_come_in_the_model_s_shape_and_range(model, tmp_path, pixels, mode):
    found = load_real_data(model, write(tmp_path / "images", pixels, mode))
    assert found.reference.shape == (N - N // HELD_OUT, 1, 8, 8)
    assert found.name == "images"
    order = [*range(0, N, 2), *range(1, N, 2)]  # by path
    expected = pixels[order].astype(np.float32) / 127.5 - 1
    both = np.empty((N, 8, 8), np.float32)
    held = np.arange(N) % HELD_OUT == HELD_OUT - 1
    both[~held], both[held] = found.reference[:, 0], found.held_out[:, 0]
    np.testing.assert_allclose(both, expected, atol=1e-6)


def test_a_folder_of_images_is_compared_with(model, tmp_path, pixels):
    source = write(tmp_path / "images", pixels)
    reference = load_references({"digits": model}, "pixels", source, tmp_path / "cache")["digits"]
    assert reference is not None
    np.testing.assert_allclose(
        reference.load_statistics().mean.mean(), pixels.mean() / 127.5 - 1, atol=0.1
    )


def test_a_folder_that_does_not_fit_is_one_sentence(model, tmp_path, pixels):
    (tmp_path / "empty").mkdir()
    for source, message in (
        (str(tmp_path / "empty"), "there are no images in this folder; it takes .png"),
        (
            write(tmp_path / "large", np.zeros((12, 9, 8), np.uint8)),
            "000.png has 8 x 9 pixels, but the model's images have 8 x 8; resize it",
        ),
    ):
        with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared below
            load_real_data(model, source)
        assert message in str(error.value)
    source = write(tmp_path / "broken", pixels)
    (tmp_path / "broken" / "000.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"000\.png cannot be read as an image"):
        load_real_data(model, source)
    Image.fromarray(pixels[0].astype(np.uint16) * 257).save(tmp_path / "broken" / "000.png")
    with pytest.raises(ValueError, match=r"000\.png has more than 8 bits a channel"):
        load_real_data(model, source)
    with pytest.raises(ValueError, match=r"are no grey or RGB images; give a \.npy file"):
        load_real_data(make_model("gmm-2d"), source)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 0), (0.1, 0.9)])
def test_values_in_one_half_of_the_range_are_refused(model, tmp_path, low, high):
    np.save(tmp_path / "half.npy", np.random.default_rng(0).uniform(low, high, (N, 1, 8, 8)))
    with pytest.raises(
        ValueError,
        match=r"one half of the data's range \[-1, 1\]; scale " r"them to the whole of it",
    ):
        load_references({"digits": model}, "pixels", str(tmp_path / "half.npy"), tmp_path / "cache")
