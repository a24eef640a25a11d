"""Images that a checkpoint is checked on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from samplerbench.benchmarks.conformance.models import read_images

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
