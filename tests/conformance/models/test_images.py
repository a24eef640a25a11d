"""Images that a checkpoint is checked on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from samplerbench import check_model
from samplerbench.benchmarks.conformance.models import check_denoiser, read_images
from samplerbench.benchmarks.conformance.models.checking import FAULT_ON_IMAGES
from samplerbench.benchmarks.conformance.models.clean_samples import labels_for_network
from samplerbench.models import from_function, make_model
from samplerbench.models.adapters import NativeDenoiser
from samplerbench.models.process import VPLinear

EVENT, LIMITS = (3, 4, 5), (-1.0, 1.0)
PIXELS = np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3)
VALUES = torch.from_numpy(PIXELS.astype(np.float32) / 255 * 2 - 1).permute(0, 3, 1, 2)


def test_bytes_become_the_range_of_the_model_with_channels_first(tmp_path):
    np.savez(tmp_path / "adm.npz", PIXELS, np.array([0, 1, 2, 0, 1, 2]))
    np.save(tmp_path / "x.npy", PIXELS.transpose(0, 3, 1, 2))
    found, labels = read_images(tmp_path / "adm.npz", EVENT, LIMITS, 100)
    torch.testing.assert_close(found, VALUES)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    found, labels = read_images(tmp_path / "x.npy", EVENT, LIMITS, 100)
    torch.testing.assert_close(found, VALUES)
    assert labels is None


def test_folders_are_classes_and_a_few_are_spread_over_all(tmp_path):
    for i, pixels in enumerate(PIXELS):
        folder = tmp_path / f"class{i // 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    found, labels = read_images(tmp_path, EVENT, LIMITS, 100)
    torch.testing.assert_close(found, VALUES)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert read_images(tmp_path, EVENT, LIMITS, 3)[1].tolist() == [0, 1, 2]


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"--images .* there is no such file"):
        read_images(tmp_path / "none.npy", EVENT, LIMITS, 10)
    np.save(tmp_path / "x.npy", np.zeros((3, 7)))
    with pytest.raises(ValueError, match=r"shape \(7,\), but the model's are \(3, 4, 5\)"):
        read_images(tmp_path / "x.npy", EVENT, LIMITS, 10)


def test_read_images__other_numbers_of_classes_than_samples_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, *EVENT), np.float32), y=np.arange(3))
    with pytest.raises(ValueError, match="has 4 samples and 3 classes"):
        read_images(tmp_path / "x.npz", EVENT, LIMITS, 10)


def test_labels_for_network__are_a_number_of_the_network_for_each_image():
    model = make_model("digits")  # which has a null label beside its ten
    assert labels_for_network(model, torch.tensor([[0], [10]]), "cpu").tolist() == [0, 10]
    with pytest.raises(ValueError, match=r"from 5 to 14, .*; give one from 0 to 9 for each image"):
        labels_for_network(model, torch.tensor([5, 14]), "cpu")
    with pytest.raises(ValueError, match=r"of shape \(4, 4\) and from 0 to 1, are no"):
        labels_for_network(model, torch.eye(4), "cpu")


def test_check_denoiser__a_network_that_fails_on_images_is_not_called_finite():
    def denoise(x, sigma):
        return x / (1 + sigma**2) / (len(x) <= 8)

    images = torch.rand(16, 2)
    result = check_denoiser(from_function(denoise, event=(2,)), images)
    (check,) = [check for check in result.checks if check.name == "usual mistakes"]
    assert check.detail.endswith("however it is read: " + FAULT_ON_IMAGES)


def test_read_images__a_data_set_is_read_into_the_range_of_the_model():
    whole, labels = read_images("digits", (1, 8, 8), (-1.0, 1.0), 50)
    found, same = read_images("digits", (1, 8, 8), (0.0, 1.0), 50)
    assert torch.equal(found, (whole + 1) / 2)
    assert torch.equal(labels, same)
    assert torch.equal(read_images("digits", (1, 8, 8), None, 50)[0], whole)


def test_check_model__images_without_the_labels_that_a_network_needs_are_not_dropped(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 2)).astype("f"))
    model = NativeDenoiser(
        lambda x, t, labels: x, VPLinear(), "eps", name="own", event=(2,), identity="own",
        classes=3, class_weights=[1.0] * 3, null_label=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="conditional on 3 classes, and the images have none"):
        check_model(model, images=tmp_path / "x.npy")
    assert check_model(model).verdict != "passed", (
        "without images, it draws samples and their labels"
    )
