import numpy as np
import pytest
import torch

from samplerbench.models import Reference, load_card, make_model
from samplerbench.models.cards.reference import card_reference
from samplerbench.models.networks import networks_in


@pytest.fixture(scope="module", params=["fashion", "digits", "emoji", "emoji-flow"])
def model(request):
    return make_model(request.param)


def state(model, n=9, dtype=torch.float32):
    return torch.randn(n, *model.event, generator=torch.Generator().manual_seed(3), dtype=dtype)


LEVELS = [0.002, 0.3, 80.0]


@pytest.mark.parametrize("sigma", LEVELS)
def test_a_sample_does_not_depend_on_its_batch(model, sigma):
    x, labels = sigma * state(model), torch.arange(9)
    together = model.denoise(x, sigma, labels)
    alone = torch.cat([model.denoise(x[k : k + 1], sigma, labels[k : k + 1]) for k in range(9)])
    shuffled = model.denoise(x.flip(0), sigma, labels.flip(0)).flip(0)
    assert (together - alone).abs().max() < 1e-5
    assert (together - shuffled).abs().max() < 1e-5


def test_sigma_is_a_number_or_one_a_row(model):
    x, labels = state(model, 3), torch.tensor([0, 1, 2])
    sigma = torch.tensor(LEVELS)
    rows = model.denoise(x, sigma, labels)
    for k, level in enumerate(LEVELS):
        torch.testing.assert_close(
            rows[k : k + 1],
            model.denoise(x[k : k + 1], level, labels[k : k + 1]),
            atol=1e-5,
            rtol=0,
        )
    assert torch.equal(model.denoise(x, sigma.double(), labels), rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_the_state_is_not_touched(model, dtype):
    x = state(model, dtype=dtype)
    before = x.clone()
    d = model.denoise(x, 0.5, None)
    assert d.dtype == dtype
    assert d.shape == x.shape
    assert d.is_contiguous()
    assert not d.requires_grad
    assert torch.equal(x, before)


def test_a_float64_state_keeps_its_digits_at_small_sigma(model):
    x = state(model, dtype=torch.float64)
    nudge = 1e-10
    moved = model.denoise(x + nudge, 0.002, None) - model.denoise(x, 0.002, None)
    assert moved.median().item() == pytest.approx(nudge, rel=0.01)


def test_no_label_is_the_null_label(model):
    x = state(model)
    null = model.denoise(x, 1.0, torch.full((9,), model.classes))
    assert torch.equal(model.denoise(x, 1.0, None), null)
    assert (model.denoise(x, 1.0, torch.zeros(9, dtype=torch.int64)) - null).abs().max() > 1e-3


def test_gradients_flow_to_the_state_but_not_to_the_weights(model):
    x = state(model, 1).requires_grad_()
    model.denoise(x, 1.0, None).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for net in networks_in(model) for p in net.parameters())


def test_it_denoises(model):
    """At sigma -> 0 a denoiser is the identity, and at sigma_max its output has the scale of
    the data, not of the noise.
    """
    x = state(model)
    assert (model.denoise(x, model.sigma_min, None) - x).abs().max() < 0.05
    assert model.denoise(model.sigma_max * x, model.sigma_max, None).abs().max() < 2


def test_labels_are_seeded_and_independent_of_the_batch(model):
    ids = torch.arange(5000)
    labels = model.draw_labels(ids, 7)
    assert labels.dtype == torch.int64
    assert torch.equal(model.draw_labels(ids[100:], 7), labels[100:])
    assert torch.equal(model.draw_labels(ids.flip(0), 7), labels.flip(0))
    shares = np.array(model.class_weights) / sum(model.class_weights)
    assert (model.draw_labels(ids, 8) != labels).double().mean() > 0.95 * (1 - (shares**2).sum())
    assert torch.equal(model.bind(ids, 7).labels, labels)


def test_drawing_labels_leaves_the_global_generator_alone(model):
    before = torch.get_rng_state()
    model.draw_labels(torch.arange(10), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_have_the_frequencies_of_the_data(model):
    n = 40_000
    counts = np.asarray(load_card(model.name).data["class_counts"])
    found = model.draw_labels(torch.arange(n), 1).bincount(minlength=model.classes).numpy()
    expected = n * counts / counts.sum()
    chi_square = ((found - expected) ** 2 / expected).sum()
    assert len(counts) == model.classes
    assert chi_square < {10: 27.9, 9: 26.1}[model.classes]  # 0.999 quantiles


def test_reference(model):
    reference = model.reference()
    assert isinstance(reference, Reference)
    dim = reference.extractor.dim
    assert reference.mean.shape == (dim,)
    assert np.array_equal(reference.cov, reference.cov.T)
    assert reference.cov.dtype == np.float64
    assert reference.held_out(13).shape == (13, dim)
    assert 13 < len(reference.held_out(10**6)) < reference.n
    assert reference.clamp == (-1.0, 1.0)
    assert reference.extractor.identity in reference.identity
    assert model.reference() is reference


def test_held_out_data_come_from_the_same_distribution_as_the_reference(model):
    """The squared distance of the means is about what sampling makes it, tr(cov) (1 / n + 1 /
    reference.n); more for emoji, whose held-out images come in families that look alike.
    """
    reference = model.reference()
    held_out = reference.held_out(10_000)
    expected = np.trace(reference.cov) * (1 / len(held_out) + 1 / reference.n)
    most = 4 if model.name.startswith("emoji") else 3
    assert 0.2 < ((held_out.mean(axis=0) - reference.mean) ** 2).sum() / expected < most


def test_a_reference_of_another_extractor_is_refused():
    card = load_card("fashion")
    card.reference["extractor"] = "another"
    with pytest.raises(
        ValueError,
        match=r"holds features of another, but the extractor is "
        r"now .*training\.reference fashion in a checkout",
    ):
        card_reference(card)


def test_mode_of_is_the_extractor_s_class():
    model = make_model("fashion")
    x, predict = 3 * state(model, 50), model.reference().extractor.predict
    inside = x.clamp(*model.reference().clamp)
    assert (predict(x) != predict(inside)).any(), "clamping would change nothing here"
    assert torch.equal(model.mode_of(x), predict(inside))
    assert torch.equal(model.mode_of(inside), predict(inside))
    assert make_model("digits").mode_of(torch.zeros(2, 1, 8, 8)) is None


def test_moving_leaves_the_original(model):
    twin = model.to("cpu")
    x = state(model)
    assert twin is not model
    assert torch.equal(twin.denoise(x, 1.0, None), model.denoise(x, 1.0, None))
