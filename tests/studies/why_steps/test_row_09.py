"""Row 9 on data for which one level is enough, and its parts against what is known exactly."""

import math

import numpy as np
import pytest
import torch
from invented import INVENTED

from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench_studies.why_steps.measuring import big_steps, one_level
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.one_level import chain, start_loss
from samplerbench_studies.why_steps.rows.row_09_one_level import ROW, evaluations_for, surprise
from samplerbench_studies.why_steps.statistics.intervals import Interval

NETWORKS = ("all-levels", *one_level.SINGLE)


def gaussian(d: int, variance: float, mean: float = 2.0) -> Gaussian:
    one = torch.ones(d, dtype=torch.float64)
    return Gaussian("one", mean * one, torch.eye(d, dtype=torch.float64), variance * one)


def heaps() -> GaussianMixture:
    """Three, farther from each other than noise of a single level reaches."""
    means = torch.tensor([[-60.0, 0.0], [0.0, 0.0], [60.0, 0.0]], dtype=torch.float64)
    ones = torch.ones(3, dtype=torch.float64)
    axes = torch.zeros(3, 2, 1, dtype=torch.float64)
    return GaussianMixture("three", (2,), ones, means, axes, ones)


@pytest.mark.parametrize(
    ("model", "kind"),
    [(gaussian(2, 1.0, 0.0), "supports"), (heaps(), "refines")],
    ids=lambda one: "",
)
def test_one_level_is_enough_for_a_gaussian_and_not_for_heaps(monkeypatch, model, kind):
    """Repeated denoising mixes within a heap; from one to the other it does not get at a low level,
    and at a high one it gives neither.
    """
    monkeypatch.setattr(one_level, "COUNTS", (1, 30))
    models = dict.fromkeys(NETWORKS, model) | {"fashion-mppca": model}
    assert ROW(Effort("full", models=models)).verdict.kind == kind


def test_repeated_denoising_keeps_the_spread_of_a_gaussian():
    """With its draws it is a Gibbs sampler, whose predictions have the variance v² / (v + σ²)."""
    v, level = 0.8, 0.5
    error = math.sqrt(v * level**2 / (v + level**2))
    (x,) = chain(gaussian(2, v), level, error, (60,), 4000)
    assert x.mean().item() == pytest.approx(2, abs=0.03)
    assert x.var().item() == pytest.approx(v**2 / (v + level**2), rel=0.05)


def test_a_chain_of_few_is_the_beginning_of_one_of_many():
    model = gaussian(2, 0.8)
    few, many = (chain(model, 0.5, 0.4, counts, 100) for counts in ((1, 3), (1, 3, 9)))
    assert all(torch.equal(a, b) for a, b in zip(few, many, strict=False))


def test_the_loss_of_the_start_is_that_of_two_gaussians():
    v, level = 0.8, 0.5
    total = v + level**2
    exact = 0.5 * 3 * (total / level**2 - 1 - math.log(total / level**2)) + 3 * 4 / (2 * level**2)
    found = start_loss(gaussian(3, v), level, 4000)
    assert found.low < exact < found.high
    assert found.half < 0.05 * exact


def test_a_jump_from_a_level_is_a_staircase_of_one_step():
    """On a Gaussian, whose curve is known, by sums over a fine grid."""
    model = gaussian(2, 1.0)
    nats = one_level.lost(Effort("fast", models={"fashion-mppca": model}))
    for level, jump in zip(one_level.SINGLE.values(), nats.jump, strict=True):
        gamma = np.linspace(level**-2, big_steps.LOW**-2, 200_001)
        curve = 2 / (1 + gamma)
        area = np.trapezoid(curve[0] - curve, gamma) / 2
        assert jump.value == pytest.approx(area, rel=0.01)


def test_the_right_level_is_told_with_what_it_takes():
    found = INVENTED[9]()
    made = found.single["only-level-10"]
    assert surprise(found._replace(single=dict.fromkeys(found.single, made))) == ""
    others = {name: made for name in found.single if name != "only-level-1.5"}
    near = made._replace(distances=[Interval(one.value / 9, *one[1:]) for one in made.distances])
    near = near._replace(distances=[one._replace(high=one.value) for one in near.distances])
    told = surprise(found._replace(single=others | {"only-level-1.5": near}))
    assert "100 times are as good as 100 evaluations" in told
    assert evaluations_for(found, 9.0) == pytest.approx(10)
