"""Guidance against diffusers' guiders, on the predictions that they are given."""

from __future__ import annotations

import pytest
import torch

from samplerbench.models.guidance_formulas import (
    LinearGuidance,
    ProjectedGuidance,
    RescaledGuidance,
    ZeroStarGuidance,
)

guiders = pytest.importorskip("diffusers.guiders", reason="diffusers is not installed")

W, SIGMA = 5.0, 1.7
LABEL, FREE, X = torch.randn(
    3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)


def answer(guider, k, steps=10, step=3):
    """The guider's image: it is given and gives p = (x - k d) / sigma."""
    guider._num_inference_steps, guider._step, guider._count_prepared = steps, step, 1
    p, q = ((X - k * d) / SIGMA for d in (LABEL, FREE))
    return (X - SIGMA * guider.forward(p, q).pred) / k


def assert_same(a, b, most=1e-12):
    assert float((a - b).abs().max()) < most


@pytest.mark.parametrize(
    ("prediction", "k"), [("eps", 1.0), ("v", 1 + SIGMA**2), ("flow", 1 + SIGMA)]
)
def test_diffusers__rescaled_guidance_is_the_same_in_the_networks_own_prediction(prediction, k):
    for rescale in (0.0, 0.7):
        theirs = guiders.ClassifierFreeGuidance(guidance_scale=W, guidance_rescale=rescale)
        ours = RescaledGuidance(
            formula=LinearGuidance(scale=W), share=rescale, prediction=prediction
        )
        assert_same(ours(LABEL, FREE, X, SIGMA), answer(theirs, k))


def test_diffusers__apg_is_the_papers_only_in_the_original_formulation():
    """The paper has label + (w - 1) update; diffusers' default is free + w update, another image."""
    options = {
        "adaptive_projected_guidance_momentum": None,
        "adaptive_projected_guidance_rescale": 4.0,
        "eta": 0.2,
    }
    ours = ProjectedGuidance(scale=W, eta=0.2, threshold=4.0, prediction="eps")(
        LABEL, FREE, X, SIGMA
    )
    paper = guiders.AdaptiveProjectedGuidance(
        guidance_scale=W - 1, use_original_formulation=True, **options
    )
    assert_same(ours, answer(paper, 1.0))
    default = guiders.AdaptiveProjectedGuidance(guidance_scale=W, **options)
    assert float((ours - answer(default, 1.0)).abs().max()) > 0.1


def test_diffusers__zero_star_is_the_same_on_a_flow_and_its_first_step():
    """In float32, in which diffusers computes the fit."""
    theirs = guiders.ClassifierFreeZeroStarGuidance(guidance_scale=W)
    assert_same(ZeroStarGuidance(scale=W)(LABEL, FREE, X, SIGMA), answer(theirs, 1 + SIGMA), 1e-4)
    first = ZeroStarGuidance(scale=W, zero_above=SIGMA / 2)(LABEL, FREE, X, SIGMA)
    assert_same(first, answer(theirs, 1 + SIGMA, step=0))
