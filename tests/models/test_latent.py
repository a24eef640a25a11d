"""The shipped latent model, and how it and the networks of one level are trained and published."""

from dataclasses import replace

import pytest
import torch

from samplerbench.models import load_card, make_model
from samplerbench.models.cards.network import LatentNetwork, NetworkDenoiser
from samplerbench.models.decoding import decode_in_batches
from samplerbench_studies import CARDS
from samplerbench_studies.training import latent, one_level


@pytest.fixture(scope="module")
def model():
    return make_model("fashion-latent")


@pytest.fixture(scope="module")
def real():
    """Real images, of the test set, and labels."""
    found = load_card("all-levels", CARDS).tensors("held_out.safetensors")
    return found["images"].float() / 127.5 - 1, found["labels"].long()


def test_its_samples_are_latents_and_what_is_scored_are_images(model):
    assert (model.event, model.limits) == ((4, 8, 8), None)
    assert (model.decoded_event, model.decoded_limits) == ((1, 28, 28), (-1.0, 1.0))
    assert model.reference().identity == make_model("fashion").reference().identity
    assert model.reference().converged is None
    assert model.moments() is None


def test_latents_of_real_images_have_unit_scale(model, real):
    latents = model.decoder.encode(real[0])
    assert latents.mean((0, 2, 3)).abs().max() < 0.1
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=0.1)


def test_the_autoencoder_errs_as_its_card_says(model, real):
    back = model.decode(model.decoder.encode(real[0])).clamp(-1, 1)
    told = model.card.training["autoencoder"]["held_out_rms"]
    assert (back - real[0]).square().mean().sqrt().item() == pytest.approx(told, rel=0.05)


def test_classes_are_seen_in_the_images_of_latents(model, real):
    images, labels = real
    seen = model.mode_of(model.decoder.encode(images[:128]))
    assert (seen == labels[:128]).double().mean() > 0.7


def test_a_latent_s_image_does_not_depend_on_its_batch(model):
    latents = torch.randn(7, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    together = decode_in_batches(model.decoder, latents)
    alone = torch.cat([decode_in_batches(model.decoder, one[None]) for one in latents])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert decode_in_batches(model.decoder, latents.double()).dtype == torch.float64


def test_a_copy_has_a_decoder_of_its_own(model):
    twin = model.to("cpu")
    assert twin is not model
    assert twin.decoder is not model.decoder
    assert twin.decoder.network is not model.decoder.network
    latents = torch.zeros(2, 4, 8, 8)
    assert torch.equal(twin.decode(latents), model.decode(latents))


SET = (torch.rand(64, 1, 28, 28) * 2 - 1, torch.arange(64) % 10)
"""Images and labels."""


def test_two_steps_make_a_latent_model(tmp_path):
    recipe = latent.AutoencoderRecipe(steps=2, decay=1, warmup=1)
    net = latent.train_autoencoder(recipe, SET[0], tmp_path / "autoencoder")
    latents = latent.latents_of(net, SET[0])
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    short = replace(latent.LATENTS, steps=2, decay=1, warmup=1)
    latent.train_network(short, (latents, SET[1]), tmp_path / "network")
    card = latent.publish(tmp_path, SET, SET, tmp_path / "cards")
    assert card.training["images_seen"] == 64
    made = LatentNetwork(card)
    assert made.decode(made.denoise(torch.randn(3, 4, 8, 8), 1.0, None)).shape == (3, 1, 28, 28)
    torch.testing.assert_close(made.decoder.encode(SET[0]), latents, atol=0.03, rtol=0)


def test_a_network_of_one_level_sees_no_other(tmp_path, monkeypatch):
    name, levels = "only-level-1.5", []
    short = replace(one_level.RECIPES[name], steps=2, decay=1, warmup=1)
    forward = one_level.train.EDMPrecond.forward
    monkeypatch.setattr(
        one_level.train.EDMPrecond,
        "forward",
        lambda net, x, sigma, y: levels.append(sigma) or forward(net, x, sigma, y),
    )
    one_level.train.train(short, tmp_path / name, data=SET, dtype=torch.float32)
    assert torch.cat(levels).unique().tolist() == pytest.approx([1.5])
    monkeypatch.undo()
    card = one_level.publish(name, tmp_path, [7] * 10, SET, tmp_path / "cards")
    assert list(card.training["held_out_errors"]) == ["1.5"]
    assert NetworkDenoiser(card).reference().identity == make_model("fashion").reference().identity
