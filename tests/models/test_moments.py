"""Moments in a card: kept to float32's digits, asked for by whoever begins a run, and a
sentence where the file is another model's.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.suites.cell import make_start, moments_of
from samplerbench.models import Denoiser, Identity, Reference, load_card, make_model
from samplerbench.models.cards.card import MOMENTS, WEIGHTS, CardError
from samplerbench.models.cards.reference import card_moments, unpack_moments
from samplerbench.models.objects import as_model
from samplerbench.models.reference import Statistics
from samplerbench.samplers import NoNoise, karras, make
from samplerbench_studies.training.cards import write_card, write_tensors
from samplerbench_studies.training.reference import add_moments, pack_moments

CARD = load_card("fashion")


def normals(n, *event):
    return torch.randn(n, *event, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def card_of(event, classes):
    return replace(CARD, event=event, data={"class_counts": [1] * classes})


@pytest.mark.parametrize("event", [(1,), (5,), (2, 3, 2)])
def test_what_is_packed_comes_back_to_float32(event):
    samples, labels = normals(40, *event), torch.arange(40) % 3
    samples += labels.reshape(-1, *[1] * len(event))
    means, cov = unpack_moments(card_of(event, 3), pack_moments(samples, labels))
    flat = samples.flatten(1).numpy()
    parts = [flat[labels.numpy() == k] for k in range(3)]
    pooled = sum((len(part) - 1) * np.cov(part.T) for part in parts) / 37
    np.testing.assert_allclose(means, [part.mean(axis=0) for part in parts], rtol=1e-6)
    np.testing.assert_allclose(cov, pooled.reshape(cov.shape), rtol=1e-6, atol=1e-7)
    assert np.array_equal(cov, cov.T)


@pytest.mark.parametrize(("event", "classes"), [((5,), 3), ((4,), 2)])
def test_moments_of_other_data_are_refused_in_a_sentence(event, classes):
    with pytest.raises(
        CardError,
        match=r"^fashion: moments.safetensors is not of \d classes of samples of \d "
        r"numbers; run .* fashion --moments in a checkout",
    ):
        unpack_moments(card_of(event, classes), pack_moments(normals(9, 4), torch.arange(9) % 3))


def test_a_card_without_moments_has_none():
    assert card_moments(replace(CARD, moments={})) is None


def test_building_them_writes_file_hash_and_provenance(tmp_path):
    """Those of digits, whose reference holds the moments of all classes together: within and
    between make the whole.
    """
    pytest.importorskip("sklearn")
    folder = tmp_path / "digits"
    folder.mkdir()
    write_tensors(folder / WEIGHTS, {"w": torch.zeros(1)})
    card = add_moments(write_card(replace(load_card("digits"), folder=folder)))
    assert set(card.files) == {WEIGHTS, MOMENTS}
    assert card.files[MOMENTS] == load_card("digits").files[MOMENTS]
    means, cov = card_moments(card)
    counts, reference = np.array(card.data["class_counts"]), make_model("digits").reference()
    mean = counts @ means / counts.sum()
    between = (means - mean).T * counts @ (means - mean)
    np.testing.assert_allclose(mean, reference.mean, atol=1e-6)
    np.testing.assert_allclose(
        ((counts.sum() - 10) * cov + between) / (counts.sum() - 1), reference.cov, atol=1e-6
    )


def test_the_moments_of_fashion_are_those_of_its_data():
    """Beside those of the exact model that was fitted to the same images."""
    means, cov = make_model("fashion").moments()
    fitted_mean, fitted_cov = make_model("fashion-mppca").moments()
    mean = means.mean(axis=0)
    assert np.abs(mean - fitted_mean).max() < 0.01
    whole = cov + (means - mean).T @ (means - mean) / 10
    assert np.linalg.norm(whole - fitted_cov) < 0.02 * np.linalg.norm(whole)
    assert np.linalg.eigvalsh(cov)[0] > -1e-5
    assert CARD.files[MOMENTS].bytes < 1.5e6


class Bare(Denoiser):
    """What its reference says is all there is to know."""

    name, event, identity = "bare", (2,), "bare"

    def __init__(self, extractor):
        self.extractor = extractor

    def denoise(self, x, sigma, labels):
        return x

    def reference(self):
        return Reference(
            self.extractor,
            1,
            "r",
            lambda: Statistics(np.zeros(2), np.eye(2), lambda n: np.zeros((n, 2))),
        )


class Elsewhere:
    identity, dim = "elsewhere", 2


def test_a_reference_tells_them_only_if_its_features_are_the_samples():
    mean, cov = Bare(Identity((2,))).moments()
    assert (mean.shape, cov.shape) == ((2,), (2, 2))
    assert Bare(Elsewhere()).moments() is None


@pytest.mark.parametrize("change", [{}, {"guidance": 2.0}], ids=["bare", "guided"])
def test_a_run_of_fashion_can_begin_from_them(change):
    means, cov = moments_of(make_model("fashion", **change))
    assert (means.shape, cov.shape) == ((10, 784), (784, 784))


def test_a_start_brings_each_sample_near_the_flow_of_its_class():
    """At sigma = 20, from 80: nearer than the mean over all classes can."""
    model, ids = make_model("fashion"), torch.arange(6)
    labels, x = model.draw_labels(ids, 0), 80 * normals(6, 1, 28, 28).float()
    truth = make("vab_3").sample(
        model.bind(ids, 0), x, karras(4, 20.0, 80.0, to_zero=False), NoNoise()
    )
    start = make_start("gaussian", model, 20.0, "cpu")
    pooled = replace(start, means=start.means.mean(0, keepdim=True))

    def off(y):
        return float((y - truth).square().mean().sqrt())

    assert off(start.states(x, labels)) < 0.12
    assert off(pooled.states(x)) > 0.2
    assert off(start.states(x, labels.flip(0))) > 0.2


def test_sample_and_moments_are_called_without_gradients():
    net = torch.nn.Linear(2, 2)

    class Model:
        event, sigma_min, sigma_max = (2,), 0.002, 80.0

        def __call__(self, x, sigma):
            return x

        def sample(self, n, seed):
            return net(torch.ones(n, 2)).numpy()  # NumPy refuses tensors that require gradients

        def moments(self):
            return net(torch.ones(2)).numpy(), np.eye(2)

    model = as_model("mine", Model())
    expected = net(torch.ones(2)).detach()
    torch.testing.assert_close(model.data(3, 0), expected.expand(3, 2))
    np.testing.assert_allclose(model.reference().mean, expected.numpy(), rtol=1e-6)
    assert torch.is_grad_enabled()
