"""The fit of mixtures of probabilistic PCA, and the model that ships."""

from functools import cache

import numpy as np
import pytest
import torch

from samplerbench.models.cards.card import CARDS
from samplerbench.models.exact.mixture import MPPCA, GaussianMixture, fashion_mppca
from samplerbench.models.reference import Reference
from samplerbench_studies.training.fit_mppca import (
    Array,
    Component,
    Recipe,
    fit,
    fit_class,
    log_joint,
    maximised,
)

SMALL = Recipe(components=3, rank=2, iterations=30, prior=0.0, noise_floor=1e-3, prune=0.0)


@cache
def shipped() -> MPPCA:
    return fashion_mppca()


def truth(seed: int) -> GaussianMixture:
    rng = torch.Generator().manual_seed(seed)
    normal = torch.randn(3, 12, 3, generator=rng, dtype=torch.float64)
    return GaussianMixture(
        "truth",
        (12,),
        torch.tensor([0.5, 0.3, 0.2]),
        normal[:, :, 0],
        normal[:, :, 1:],
        torch.full((3,), 0.3),
    )


def data(seed: int, n: int) -> Array:
    return truth(seed).sample(n, seed=0).float().numpy()


def as_model(components: list[Component]) -> GaussianMixture:
    weights, means, factors, noise = (
        torch.tensor(np.array(part)) for part in zip(*components, strict=True)
    )
    return GaussianMixture("fitted", (means.shape[1],), weights, means, factors, noise)


def test_log_joint_is_the_density_of_the_exact_model() -> None:
    x = data(0, 50)
    component = Component(
        0.3, x[0], np.linalg.qr(x[:12].T)[0][:, :2] * np.array([2.0, 0.5], dtype=np.float32), 0.4
    )
    expected = as_model([component]).log_density(torch.from_numpy(x), 0.0).numpy() + np.log(0.3)
    np.testing.assert_allclose(log_joint(x, component), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_likelihood_never_falls(seed: int) -> None:
    _, history = fit_class(data(seed, 600), SMALL, np.random.default_rng(seed))
    assert history[-1] > history[0]
    assert (np.diff(history) > -1e-4).all()


def test_the_fit_is_as_likely_as_the_truth_and_seeded() -> None:
    x = data(0, 3000)
    components, _ = fit_class(x, SMALL, np.random.default_rng(0))
    again, _ = fit_class(x, SMALL, np.random.default_rng(0))
    assert all(
        np.array_equal(a, b)
        for one, two in zip(components, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    held_out = truth(0).held_out(3000)
    lost = (
        truth(0).log_density(held_out, 0.0).mean()
        - as_model(components).log_density(held_out, 0.0).mean()
    )
    assert lost < 0.1


def test_a_heavy_prior_gives_every_component_the_covariance_of_the_class() -> None:
    x = data(0, 400)
    whole = np.cov(x, rowvar=False, bias=True).astype(np.float32)
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=400)
    recipe = Recipe(components=3, rank=11, prior=1e9, noise_floor=1e-3)
    for component in maximised(x, weights, whole, recipe):
        cov = component.factor @ component.factor.T + component.noise**2 * np.eye(12)
        np.testing.assert_allclose(cov, whole, atol=1e-4 * np.abs(whole).max())


def test_constant_pixels_meet_the_noise_floor() -> None:
    x = data(0, 200).copy()
    x[:, 2:] = -1.0
    components, _ = fit_class(
        x,
        Recipe(components=2, rank=2, iterations=3, prior=0.0, noise_floor=0.05),
        np.random.default_rng(0),
    )
    assert [component.noise for component in components] == pytest.approx([0.05, 0.05])


def test_fitted_tensors_make_a_model_with_the_classes_of_the_data() -> None:
    images = (
        torch.cat([truth(0).sample(300, 0), truth(1).sample(100, 0)]).float().reshape(400, 1, 3, 4)
    )
    labels = torch.arange(400) // 300
    model = MPPCA("fitted", (1, 3, 4), fit(images, labels, SMALL))
    assert model.classes == 2
    assert (model.mode_of(images) == labels).double().mean() > 0.95
    chosen = model.responsibilities(images[:1] * 0, 1e6)[0]
    assert chosen.reshape(2, 3).sum(1).tolist() == pytest.approx([0.75, 0.25], abs=1e-3)


def test_a_missing_tensor_is_named() -> None:
    with pytest.raises(ValueError, match=r"lacks the tensors noise; fit it again"):
        MPPCA(
            "m",
            (2,),
            {name: torch.ones(1) for name in ("weights", "means", "factors", "component_class")},
        )


def test_the_reference_is_the_given_one_or_the_samples_themselves() -> None:
    tensors = {
        "weights": torch.ones(1),
        "means": torch.zeros(1, 2),
        "factors": torch.ones(1, 2, 1),
        "noise": torch.ones(1),
        "component_class": torch.zeros(1, dtype=torch.int64),
    }
    plain = MPPCA("m", (2,), tensors).reference()
    assert isinstance(plain, Reference)
    np.testing.assert_allclose(plain.cov, [[2.0, 1.0], [1.0, 2.0]])
    model = MPPCA("m", (2,), tensors)
    model.make_reference = lambda: plain
    assert model.reference() is plain


def test_shipped_model_is_small_and_knows_its_classes() -> None:
    model = shipped()
    assert (
        sum(path.stat().st_size for path in (CARDS / "fashion-mppca").glob("weights.*")) < 4_500_000
    )
    assert (model.event, model.classes, model.component_class is not None) == (
        (1, 28, 28),
        10,
        True,
    )
    x = model.sample(96, seed=0)
    torch.testing.assert_close(fashion_mppca().sample(2, seed=0), x[:2], rtol=0, atol=1e-12)
    noisy = x + 0.5 * torch.randn(
        x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    by_class = [model.log_density(noisy, 0.5, torch.full((96,), label)) for label in range(10)]
    assert (torch.stack(by_class, 1).argmax(1) == model.mode_of(x)).double().mean() > 0.9


def test_shipped_model_gives_the_same_bits_in_any_batch() -> None:
    model = shipped()
    x = model.sample(256, seed=1) + 2 * torch.randn(
        256, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    labels = torch.arange(256) % 10
    whole = model.denoise(x, 2.0, labels)
    for start, size in ((0, 1), (100, 7), (255, 1), (130, 97)):
        rows = slice(start, start + size)
        assert torch.equal(model.denoise(x[rows], 2.0, labels[rows]), whole[rows])
