import numpy as np
import pytest
import torch

from samplerbench.models.cards.reference import CHUNK, load_extractor
from samplerbench.models.exact import GaussianMixture, PointCloud
from samplerbench.models.reference import BlockMeansExtractor, Identity


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("fashion-features")


@pytest.fixture(scope="module")
def images():
    return torch.rand(CHUNK + 11, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def features(extractor, images):
    return extractor(images)


def test_shape_and_dtype(extractor, images, features):
    assert features.shape == (len(images), extractor.dim)
    assert features.dtype == np.float64
    assert extractor(images[:0]).shape == (0, extractor.dim)


def test_identity_and_blocks__no_sample_has_no_features():
    assert Identity((1, 4, 4))(torch.zeros(0, 1, 4, 4)).shape == (0, 16)
    assert BlockMeansExtractor((1, 4, 4), 2)(torch.zeros(0, 1, 4, 4)).shape == (0, 4)


def test_exact_models__one_dimension_and_no_sample():
    cloud = PointCloud("cloud", torch.tensor([[0.0], [2.0]], dtype=torch.float64))
    assert [moment.tolist() for moment in cloud.moments()] == [[1.0], [[1.0]]]
    ones = torch.ones(2, dtype=torch.float64)
    mixture = GaussianMixture("m", (1,), ones, ones[:, None], ones.reshape(2, 1, 1), ones)
    assert mixture.posterior(torch.zeros(0, 1), 1.0)[1].shape == (0, 1, 1)


def test_features_are_the_net_s_without_padding(extractor, images, features):
    with torch.no_grad():
        plain = extractor._net.features(images)
    np.testing.assert_allclose(features, plain, atol=2e-5)


@pytest.mark.parametrize("n", [1, 7, CHUNK, CHUNK + 1])
def test_features_do_not_depend_on_the_batch(extractor, images, features, n):
    np.testing.assert_allclose(extractor(images[:n]), features[:n], atol=1e-6, rtol=0)


def test_features_follow_a_permutation(extractor, images, features):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(extractor(images[order]), features[order.numpy()], atol=1e-5, rtol=0)


def test_input_dtype_only_matters_by_its_rounding(extractor, images, features):
    assert np.array_equal(extractor(images.double()), features)
    assert np.abs(extractor(images.bfloat16()) - features).max() > 1e-3
    assert extractor(images.half()).dtype == np.float64


def test_no_clamping(extractor, images, features):
    assert np.abs(extractor(3 * images) - extractor((3 * images).clamp(-1, 1))).max() > 0.1


def test_predictions_are_the_classes_of_the_features(extractor, images, features):
    weight, bias = extractor._net.classify.weight, extractor._net.classify.bias
    logits = features @ weight.detach().numpy().T + bias.detach().numpy()
    predicted = extractor.predict(images)
    assert predicted.dtype == torch.int64
    assert np.array_equal(predicted.numpy(), logits.argmax(axis=1))


def test_every_feature_moves(features):
    assert features.std(axis=0).min() > 1e-3


def test_identity_names_weights_and_preprocessing(extractor):
    assert extractor.identity.startswith("fashion-features-")
    assert extractor.identity.endswith("float32-range[-1,1]")


def test_another_shape_is_refused(extractor):
    with pytest.raises(ValueError, match=r"expects images \(n, 1, 28, 28\), not \(2, 784\)"):
        extractor(torch.zeros(2, 784))


def test_it_runs_where_the_images_are_and_stays_where_it_was(extractor, images, features):
    assert extractor.predict(images.to("meta")).device.type == "meta"
    assert extractor._classifier_on(torch.device("meta")) is extractor._classifier_on(
        torch.device("meta")
    )
    assert extractor.predict(images).device.type == "cpu"
    assert np.array_equal(extractor(images), features)
