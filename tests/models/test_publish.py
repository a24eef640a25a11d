from dataclasses import replace

import pytest
import torch

from samplerbench.models import CardError
from samplerbench.models.cards.card import AXES, CONVERGED, REFERENCE, WEIGHTS
from samplerbench.models.cards.network import NetworkDenoiser
from samplerbench_studies.training import train
from samplerbench_studies.training.cards import write_card, write_tensors
from samplerbench_studies.training.publish import publish_network, release
from samplerbench_studies.training.reference import add_converged, build_reference

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training run of two steps."""
    folder = tmp_path_factory.mktemp("run")
    train.train(replace(train.RECIPES["digits"], steps=2), folder)
    return folder


@pytest.fixture
def card(run, tmp_path):
    return build_reference(publish_network("digits", run, tmp_path))


def test_a_published_model_is_the_averaged_one(run, card):
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = NetworkDenoiser(card)
    assert all(
        torch.equal(model._net.state_dict()[name], value) for name, value in state["ema"].items()
    )
    assert card.training["steps"] == 2
    assert card.training["images_seen"] == 128
    assert sum(card.data["class_counts"]) == 1399


def test_converged_samples_are_features_of_clamped_samples(card):
    samples = 2 * torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    reference = NetworkDenoiser(add_converged(card, samples)).reference()
    assert torch.allclose(
        torch.from_numpy(reference.converged).float(), samples.clamp(-1, 1).flatten(1), atol=1e-3
    )


def test_the_same_weights_keep_everything(run, card):
    card = add_converged(card, torch.zeros(3, 1, 8, 8))
    assert publish_network("digits", run, card.folder.parent) == card


def test_new_weights_keep_the_reference_and_drop_converged_samples(card, capsys):
    card = add_converged(card, torch.zeros(3, 1, 8, 8))
    after = release(card, {"w": torch.zeros(1)})
    assert set(after.files) == {WEIGHTS, REFERENCE}
    assert after.reference == card.reference
    assert not (card.folder / CONVERGED).exists()
    assert CONVERGED in capsys.readouterr().out


def test_new_weights_of_an_extractor_drop_the_axes_of_its_features(card, capsys):
    write_tensors(card.folder / AXES, {"axes": torch.eye(2)})
    card = write_card(card)
    assert AXES in release(card, card.tensors()).files
    assert AXES not in release(card, {"w": torch.zeros(1)}).files
    assert not (card.folder / AXES).exists()
    assert AXES in capsys.readouterr().out


def test_samples_of_another_shape_are_refused(card):
    with pytest.raises(
        CardError, match=r"digits: converged samples have shape \(3, 64\), " r"not \(n, 1, 8, 8\)"
    ):
        add_converged(card, torch.zeros(3, 64))


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CardError, match=r"checkpoint.pt not found; --run names"):
        publish_network("digits", tmp_path)
