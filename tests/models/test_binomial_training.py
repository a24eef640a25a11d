"""Training and publishing the reverse model of binomial diffusion."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.models.cards.card import REFERENCE, load_card
from samplerbench_studies import CARDS
from samplerbench_studies.models.discrete.binomial import signals
from samplerbench_studies.models.discrete.bound import bound
from samplerbench_studies.models.discrete.hamming import hamming, unpack
from samplerbench_studies.models.discrete.network import CARD, ReverseNetwork, binomial_network
from samplerbench_studies.training import binomial as build

TINY = replace(
    build.Recipe(), channels=(8, 8), embedding=8, batch=16, steps=2, decay=1, counts=(1, 3, 40)
)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(64, 1, 8, 8, generator=generator) - 1


def test_the_loss_is_the_mean_of_the_bounds(images):
    """Of an untrained network, over noise and steps: bits a pixel."""
    net, x0 = build.build(TINY), build.binary(images[:24])
    with torch.no_grad():
        losses = [build.bound_loss(net, x0, TINY, step).item() for step in range(120)]
    known = [bound(net, x0.repeat(12, 1, 1, 1), signals(n), seed=n).mean() for n in TINY.counts]
    off = np.mean(losses) - np.mean(known) / 64 / np.log(2)
    assert abs(off) < 4 * np.std(losses) / np.sqrt(len(losses)) + 0.01


def test_a_run_becomes_a_card(images, tmp_path, monkeypatch):
    labels = torch.arange(64) % 3
    monkeypatch.setattr(build, "fashion_mnist", lambda _: (images, labels))
    net = build.train(TINY, tmp_path / "run")
    card = build.publish(tmp_path / "run", tmp_path / "cards")
    again = ReverseNetwork(**card.architecture["net"])
    again.load_state_dict({name: value.float() for name, value in card.tensors().items()})
    for stored, trained in zip(again.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(stored, trained, rtol=1e-3, atol=1e-4)
    tensors = card.tensors(REFERENCE)
    prototypes = unpack(tensors["prototypes"], card.event)
    features = hamming(build.binary(images), prototypes)
    assert prototypes.shape == (3, 1, 8, 8)
    assert tensors["mean"].numpy() == pytest.approx(features.mean(0))
    assert card.training["images_seen"] == 32
    assert f"--steps {TINY.steps} --decay {TINY.decay}" in card.training["script"]


def test_the_shipped_network_has_learned():
    """It knows more of unseen pictures than each pixel's own share of ones."""
    card = load_card(CARD, CARDS)
    unseen = unpack(card.tensors(REFERENCE)["held_out"], card.event)[:32]
    nats = bound(binomial_network(), unseen, signals(20), draws=4).mean() / unseen[0].numel()
    assert nats / np.log(2) == pytest.approx(card.training["held_out_bits_a_pixel"], rel=0.25)
    assert sum(entry.bytes for entry in card.files.values()) < 800_000
