"""Row 14 on models whose latents are no cheaper, and its counts against brute force."""

import math

import numpy as np
import pytest
import torch
from invented import INVENTED
from torch.nn import functional as F

from samplerbench.models import make_model
from samplerbench_studies.why_steps.measuring import latent_space
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.latent_space import (
    decoding,
    difference,
    operations,
    steps_needed,
)
from samplerbench_studies.why_steps.rows.row_14_latent_space import ROW, judge, surprise
from samplerbench_studies.why_steps.statistics.intervals import Interval


class Same:
    """The decoder that changes nothing."""

    event, limits, identity, batch, device = (2,), None, "same", 96, "cpu"

    def __call__(self, latents):
        return latents.clone()


def with_decoder(name):
    model = make_model(name)
    model.decoder = Same()
    return model


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(latent_space, "FAST", (4, 8, 16))
    monkeypatch.setattr(latent_space, "FAST_CONVERGED", 32)


@pytest.mark.usefixtures("few")
def test_latents_that_are_the_pixels_are_no_cheaper():
    models = {"all-levels": make_model("gmm-2d"), "fashion-latent": with_decoder("gmm-2d")}
    found = ROW(Effort("fast", models=models))
    assert found.verdict.kind == "refutes"
    assert found.images == ()


def test_multiply_adds_are_those_of_the_convolutions():
    """Against a count by hand of a network whose sizes are all known."""

    class Convolved:
        name, event, dtype, sigma_max, decoder = "one", (3, 8, 8), torch.float32, 80.0, None
        weight = torch.randn(5, 3, 3, 3)

        def place_noise(self, z):
            return z

        def bind(self, ids, seed):
            return lambda x, sigma: F.conv2d(x, self.weight, padding=1)

        def decode(self, x):
            return F.linear(x.flatten(1), torch.ones(7, 192))

    assert operations(Convolved()) == 8 * 8 * 5 * 3 * 3 * 3
    assert decoding(Convolved()) == 7 * 192


def test_difference__is_as_sure_as_the_trainings_agree():
    """Welch's interval, with the quantile of Student's t at 3.2 degrees of freedom from a table."""
    found = difference([7.0, 7.2, 7.7], [14.6, 14.9, 15.0])
    half = 3.073 * math.sqrt((0.13 + 0.13 / 3) / 3)
    assert found == pytest.approx((-22.6 / 3, -22.6 / 3 - half, -22.6 / 3 + half), abs=1e-3)
    assert difference([7.0, 7.2, 20.0], [14.6, 14.9, 15.0]).high > 0
    assert math.isnan(difference([math.nan, 1.0, 2.0], [1.0, 2.0, 3.0]).low)


def test_row_14__says_that_images_are_better_only_if_the_trainings_agree():
    found = INVENTED[14]()
    assert surprise(found._replace(gap=difference([7.0, 7.2, 20.0], [14.6, 14.9, 15.0]))) == ""
    told = surprise(found._replace(gap=difference([7.0, 7.2, 7.7], [14.6, 14.9, 15.0])))
    assert "means of 3 trainings" in told


@pytest.mark.parametrize(
    ("more", "gap", "kind", "told"),
    [
        ((1.0, 0.9, 1.1), (-1, -2, 0), "supports", "about as many steps"),
        ((0.86, 0.74, 1.01), (-3, -4, -2), "supports", "no more steps"),
        ((0.86, 0.74, 1.01), (5, 4, 6), "refines", "worse"),
        ((0.7, 0.6, 0.8), (-3, -4, -2), "refines", "30 % fewer steps"),
        ((1.0, 0.5, 2.0), (-3, -4, -2), "inconclusive", "more steps"),
    ],
)
def test_row_14__judges_by_the_spread_over_trainings(more, gap, kind, told):
    verdict = judge(INVENTED[14]()._replace(more=Interval(*more), gap=Interval(*gap)))
    assert verdict.kind == kind
    assert told in verdict.sentence


def test_steps_needed_lie_on_the_line():
    squares = np.array([0.4, 0.2, 0.05])[:, None].repeat(3, 1) ** 2
    assert steps_needed((5, 10, 40), squares) == pytest.approx(20)
    assert math.isnan(steps_needed((5, 10), squares[:2]))
