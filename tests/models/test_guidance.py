"""Guidance and the other wrappers: formulas, costs, and what they must not inherit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from samplerbench.models.denoiser import Denoiser, Wrapper
from samplerbench.models.exact.cloud import digits_cloud
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.label_draws import labels_for
from samplerbench.models.reference import Identity, Reference, Statistics

SIGMAS: list[float | torch.Tensor] = [
    0.5,
    torch.tensor([0.1, 0.5, 1.0, 3.0, 9.0], dtype=torch.float64),
]


def mixture() -> GaussianMixture:
    rng = torch.Generator().manual_seed(0)
    means = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    factors = 0.3 * torch.randn(4, 3, 2, generator=rng, dtype=torch.float64)
    weights, noise = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.2, 0.3, 0.4, 0.5])
    return GaussianMixture(
        "mixture", (3,), weights, means, factors, noise, torch.tensor([0, 1, 1, 2])
    )


MODEL = mixture()
X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 1, 0])


@dataclass
class Fixed(Denoiser):
    """A model that always answers with the same image."""

    answer: torch.Tensor
    name = identity = "fixed"
    classes = 0

    def __post_init__(self) -> None:
        self.event = tuple(self.answer.shape[1:])

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        return self.answer.clone()

    def reference(self) -> Reference:
        features = np.zeros((2, 2))
        return Reference(
            Identity((2,)),
            None,
            "truth",
            lambda: Statistics(features[0], features, lambda n: features, features),
        )

    def endpoint(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return x


class Counter(Wrapper):
    """Counts calls and rows."""

    calls = rows = 0

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        self.calls, self.rows = self.calls + 1, self.rows + len(x)
        return super().denoise(x, sigma, labels)


# No label


@pytest.mark.parametrize("model", [MODEL, digits_cloud()], ids=lambda model: model.name)
def test_the_label_classes_means_no_label(model: Denoiser) -> None:
    """The rule of ``Denoiser.denoise`` that lets one call hold rows with and without a label."""
    x = torch.randn(
        4, *model.event, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    free, labelled = model.denoise(x, 1.0, None), model.denoise(x, 1.0, torch.tensor([0, 1, 2, 0]))
    mixed = model.denoise(x, 1.0, torch.tensor([0, model.classes, 2, model.classes]))
    assert torch.equal(mixed, torch.stack([labelled[0], free[1], labelled[2], free[3]]))
    with pytest.raises(ValueError, match="labels must lie in"):
        model.denoise(x, 1.0, torch.full((4,), model.classes + 1))


# Classifier-free guidance


@pytest.mark.parametrize("sigma", SIGMAS, ids=["one level", "a level a row"])
def test_scale_one_is_the_conditional_model_and_zero_the_unconditional(
    sigma: float | torch.Tensor,
) -> None:
    label, free = MODEL.denoise(X, sigma, LABELS), MODEL.denoise(X, sigma, None)
    assert torch.equal(ClassifierFree(MODEL, 1).denoise(X, sigma, LABELS), label)
    assert torch.equal(ClassifierFree(MODEL, 0).denoise(X, sigma, LABELS), free)
    for scale in (-0.5, 0.3, 2.5):
        torch.testing.assert_close(
            ClassifierFree(MODEL, scale).denoise(X, sigma, LABELS),
            free + scale * (label - free),
            rtol=0,
            atol=1e-14,
        )
        assert torch.equal(ClassifierFree(MODEL, scale).denoise(X, sigma, None), free)


def test_two_evaluations_a_sample_in_one_call() -> None:
    counter = Counter(MODEL)
    guided = ClassifierFree(MODEL, 2).instrumented(lambda inner: counter)
    guided.denoise(X, 1.0, LABELS)
    assert (counter.calls, counter.rows) == (1, 2 * len(X))
    assert guided.passes == 2
    assert ClassifierFree(ClassifierFree(MODEL, 2), 1.5).passes == 4


def test_a_guided_row_does_not_depend_on_its_companions() -> None:
    guided = ClassifierFree(MODEL, 2.5)
    whole = guided.denoise(X, 0.4, LABELS)
    for k in range(len(X)):
        assert torch.equal(guided.denoise(X[k : k + 1], 0.4, LABELS[k : k + 1])[0], whole[k])


def test_guidance_draws_the_labels_that_the_model_does_not() -> None:
    ids = torch.arange(3000)
    assert MODEL.draw_labels(ids, 0) is None
    labels = ClassifierFree(MODEL, 2).bind(ids, seed=5).labels
    assert labels is not None
    assert labels.bincount().tolist() == pytest.approx(
        [1000, 1000, 1000], abs=4 * (3000 * 2 / 9) ** 0.5
    )
    assert torch.equal(ClassifierFree(MODEL, 7).bind(ids[17:20], seed=5).labels, labels[17:20])  # type: ignore[arg-type]


# What all of them share


def test_an_altered_model_does_not_pass_for_the_inner_one() -> None:
    inner = Fixed(torch.zeros(2, 2))
    inner.classes = 3
    model = ClassifierFree(inner, 2.0)
    assert model.name == model.identity == "fixed(guidance=2)"
    assert model.endpoint(torch.zeros(2, 2)) is None
    reference = model.reference()
    assert reference is not None
    assert reference.converged is None
    assert reference.identity == "truth"


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="fixed has no classes"):
        ClassifierFree(Fixed(torch.zeros(1, 2)), 2)


# Labels


def test_labels_follow_their_weights_and_nothing_but_seed_and_id() -> None:
    ids = torch.arange(20_000)
    weights = [1.0, 0.0, 3.0]
    labels = labels_for(ids, 7, weights)
    assert labels.bincount(minlength=3).tolist() == pytest.approx(
        [5000, 0, 15000], abs=4 * (20_000 * 3 / 16) ** 0.5
    )
    assert torch.equal(labels_for(ids.flip(0)[:50], 7, weights), labels.flip(0)[:50])
    for seed in (8, 2**64 - 1):
        agreement = (labels_for(ids, seed, weights) == labels).double().mean().item()
        assert agreement == pytest.approx(0.25**2 + 0.75**2, abs=0.02)  # independent draws
    shifted = (labels[1:] == labels[:-1]).double().mean().item()
    assert shifted == pytest.approx(0.25**2 + 0.75**2, abs=0.02)


@pytest.mark.parametrize("options", [{"channels": 99}, {"interval": (5.0, 1.0)}])
def test_classifier_free__without_classes_that_is_said_first(options):
    with pytest.raises(ValueError, match="has no classes"):
        ClassifierFree(gaussian(), 2.0, **options)
