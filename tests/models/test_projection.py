"""A card's features on their first principal axes: the same numbers as the whole space's where
they should be, and one fixed basis.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.metrics import FrechetReference, estimate, frechet_distance
from samplerbench.benchmarks.metrics.estimators.rows import Moments
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.models import load_card, make_model
from samplerbench.models.cards.card import AXES, WEIGHTS, CardError
from samplerbench.models.cards.reference import FashionExtractor
from samplerbench.models.extractors.card import project_reference
from samplerbench_studies.training.reference import add_axes, principal_axes


@pytest.fixture(scope="module")
def whole():
    reference = make_model("fashion").reference()
    assert reference is not None
    return reference


@pytest.fixture(scope="module")
def reduced(whole):
    return project_reference(whole, 32)


def test_everything_is_projected_alike(whole, reduced):
    """Samples, held-out, converged features and moments: what is scored and what it is scored
    against live in one space.
    """
    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    on = whole.extractor.axes[0][:, :32]
    np.testing.assert_array_equal(reduced.extractor(images), whole.extractor(images) @ on)
    np.testing.assert_array_equal(reduced.held_out(40), whole.held_out(40) @ on)
    np.testing.assert_array_equal(reduced.converged, whole.converged @ on)
    np.testing.assert_allclose(reduced.mean, whole.mean @ on)
    np.testing.assert_allclose(reduced.cov, on.T @ whole.cov @ on)
    assert (reduced.extractor.dim, reduced.n, reduced.clamp) == (32, whole.n, whole.clamp)


def test_the_axes_whiten_the_real_images_and_the_widest_come_first(whole, reduced):
    axes = whole.extractor.axes[0]
    np.testing.assert_allclose(axes.T @ whole.cov @ axes, np.eye(128), atol=1e-4)
    variances = 1 / np.square(axes).sum(axis=0)
    assert (np.diff(variances) < 0).all()
    assert variances[:32].sum() > 0.9 * np.trace(whole.cov)
    np.testing.assert_allclose(reduced.cov, np.eye(32), atol=1e-5)


def test_all_axes_together_are_all_the_features(whole):
    """Nothing is lost but the units: undone, the distance is that of the features."""
    axes = whole.extractor.axes[0]
    back, features = np.linalg.inv(axes), whole.held_out(500)
    plain = frechet_distance(FrechetReference(whole.mean, whole.cov), Moments.of(features))
    turned = FrechetReference(whole.mean @ axes @ back, back.T @ axes.T @ whole.cov @ axes @ back)
    assert frechet_distance(turned, Moments.of(features @ axes @ back)) == pytest.approx(
        plain, rel=1e-6
    )


def test_a_covariance_without_all_directions_has_no_units():
    with pytest.raises(ValueError, match="vary in fewer directions"):
        principal_axes(np.diag([1.0, 0.0]))


def test_enough_samples_for_32_features_are_not_flagged(whole, reduced):
    few = reduced.held_out(15 * 32)
    assert estimate(FrechetReference(reduced.mean, reduced.cov), few).flag == ""
    assert (
        "below" in estimate(FrechetReference(whole.mean, whole.cov), whole.held_out(15 * 32)).flag
    )


def test_another_number_of_axes_is_another_space(whole, reduced):
    other = project_reference(whole, 16)
    assert (
        len({r.extractor.identity for r in (whole, reduced, other)})
        == len({r.identity for r in (whole, reduced, other)})
        == 3
    )
    assert project_reference(whole, 128) is whole


def test_the_axes_are_those_of_the_reference_up_to_rounding(whole):
    """What is stored is what the card's data gives.

    Not compared vector by vector, which close eigenvalues would not survive.
    """
    stored, anew = (
        whole.extractor.axes[0][:, :32],
        principal_axes(whole.cov).double().numpy()[:, :32],
    )
    np.testing.assert_allclose(
        stored @ stored.T, anew @ anew.T, atol=1e-3 * np.abs(stored @ stored.T).max()
    )


def copied(name, folder, *files):
    """A card in a folder of its own, with some of its files."""
    card = load_card(name)
    (folder / name).mkdir()
    for file in ("card.toml", *files):
        (folder / name / file).write_bytes((card.folder / file).read_bytes())
    return load_card(name, folder)


def test_axes_are_written_into_the_extractor_s_card(tmp_path):
    card = copied("fashion", tmp_path, "reference.safetensors")
    copied("fashion-features", tmp_path, WEIGHTS)
    owner = add_axes(card)
    assert set(owner.files) == {WEIGHTS, AXES}
    found = owner.tensors(AXES)["axes"]
    cov = card.tensors("reference.safetensors")["cov"].float()
    torch.testing.assert_close(found.T @ cov @ found, torch.eye(128), atol=1e-3, rtol=0)
    with pytest.raises(
        CardError, match="axes are made for a card with an extractor and a reference"
    ):
        add_axes(load_card("digits"))


def test_damaged_axes_are_not_used(tmp_path):
    card = copied("fashion-features", tmp_path, WEIGHTS, AXES)
    extractor = FashionExtractor(card)
    path = tmp_path / "fashion-features" / AXES
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CardError, match=r"axes\.safetensors does not match its card"):
        _ = extractor.axes
    with pytest.raises(CardError, match=r"has no file axes\.safetensors"):
        _ = FashionExtractor(replace(card, files={WEIGHTS: card.files[WEIGHTS]})).axes


@pytest.mark.parametrize("spec", ["card:0", "card:-3", "card:x", "card:3.5", "card:99999999999"])
def test_a_number_that_is_none_is_one_sentence(spec):
    with pytest.raises(
        ValueError,
        match=r"on model fashion: 'card:.*' asks for no number "
        r"of features; write card:N .* such as card:32",
    ):
        load_references({"fashion": make_model("fashion")}, spec)
    with pytest.raises(
        ValueError,
        match=r"on model fashion: nothing follows the "
        r"colon of 'card:'; write card\[:N\]",
    ):
        load_references({"fashion": make_model("fashion")}, "card:")


def test_features_without_axes_are_refused_unless_they_are_few_enough():
    models = {name: make_model(name) for name in ("gmm-2d", "gmm-64d")}
    small = load_references({"gmm-2d": models["gmm-2d"]}, "card:32")["gmm-2d"]
    assert small is not None
    assert small.extractor.dim == 2
    with pytest.raises(
        ValueError,
        match="on model gmm-64d: no axes are known for the 64 "
        "features identity-64; use --extractor card",
    ):
        load_references(models, "card:32")
