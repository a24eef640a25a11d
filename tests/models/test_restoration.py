"""The network that undoes degradations: its training, and the one that ships."""

import pytest
import torch

from samplerbench.models.cards.card import load_card
from samplerbench_studies import CARDS
from samplerbench_studies.models.degradation import DEGRADATIONS
from samplerbench_studies.models.restorer import Restorer
from samplerbench_studies.training import restoration

TINY: dict[str, object] = {"channels": (4, 4), "embedding": 8, "group": 2}


@pytest.fixture(scope="module")
def pictures():
    """Real ones that it was not trained on, spread over the classes."""
    pixels = load_card("fashion-kde").tensors()["pixels"]
    return pixels[::10].float() / 127.5 - 1


@pytest.fixture(scope="module")
def card():
    return load_card("restorer", CARDS)


@pytest.fixture(scope="module")
def net(card):
    found = Restorer(card.architecture["kinds"], **card.architecture["net"])
    found.load_state_dict(card.tensors())
    return found.eval()


def recipe(steps=4):
    return restoration.Recipe(net=TINY, batch=12, steps=steps, decay=1, warmup=1)


def test_a_lengthened_training_equals_an_uninterrupted_one(tmp_path, pictures):
    whole = restoration.train(recipe(), tmp_path / "whole", images=pictures).state_dict()
    restoration.train(recipe(3), tmp_path / "parts", images=pictures)
    longer = restoration.train(recipe(), tmp_path / "parts", images=pictures).state_dict()
    assert all(torch.equal(longer[name], value) for name, value in whole.items())
    fresh = restoration.build(recipe()).state_dict()
    assert not all(torch.equal(fresh[name], value) for name, value in whole.items())


def test_an_untrained_network_changes_nothing(pictures):
    """So its loss is what the degradations do, equally many pictures of each kind."""
    net, generators = restoration.build(recipe()), [torch.Generator().manual_seed(5) for _ in "ab"]
    some = pictures[:60]
    with torch.no_grad():
        loss = restoration.restoration_loss(net, DEGRADATIONS, some, generators[0])
    expected = [
        (restoration.degraded(DEGRADATIONS[kind], part, generators[1])[0] - part).square().mean()
        for kind, part in zip(net.kinds, some.chunk(len(net.kinds)), strict=True)
    ]
    torch.testing.assert_close(loss, torch.stack(expected).mean())


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_the_shipped_network_restores_each_kind(kind, card, net, pictures):
    """As well as its card says, and better than leaving pictures as they are."""
    x, severity = restoration.degraded(
        DEGRADATIONS[kind], pictures, torch.Generator().manual_seed(0)
    )
    place = torch.full((len(x),), net.kinds.index(kind))
    with torch.no_grad():
        error = (net(x, severity, place) - pictures).square().mean().item()
    assert error == pytest.approx(card.training["held_out_loss"][kind], rel=0.15)
    assert error < 0.5 * (x - pictures).square().mean().item()
