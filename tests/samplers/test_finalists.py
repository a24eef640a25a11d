"""The choice among finalists, and the text of a rule."""

import math

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.conformance.problems import ThreeModes
from samplerbench.samplers import SampleNoise, karras, make
from samplerbench.samplers.auto import Fitted, Rule, choose_rule, principal_axes, typical
from samplerbench.samplers.auto.rule import read_rule
from samplerbench.samplers.auto.search import ALIKE, moment_error

RULE = Rule(2, True, True, 0.540329511, 12.96, 2.032, 0.7035, 0.4557, 1.062, 0.0)
STD = np.array([2.0, 0.5, 0.1])


def gaussian(count, seed=0):
    """Samples of a Gaussian, one a row."""
    return np.random.default_rng(seed).standard_normal((count, 3)) * STD


def test_moment_error__on_a_gaussian_is_its_closed_form():
    """x (1 - c) + b: per axis b² / s² + c²."""
    shift, shrink = np.array([0.1, 0.0, 0.02]), np.array([0.05, 0.1, 0.0])
    expected = (shift**2 / STD**2 + shrink**2).mean()
    truth = gaussian(40_000)
    found = moment_error(truth * (1 - shrink) + shift, truth, np.eye(3))
    assert found.value == pytest.approx(expected, rel=0.03)
    few = [moment_error(t * (1 - shrink) + shift, t, np.eye(3)).value for t in parts(64)]
    assert np.mean(few) == pytest.approx(expected, rel=0.05)


def test_moment_error__of_other_samples_of_the_same_distribution_is_zero():
    """A rotation towards independent noise leaves the distribution as it is, not the samples."""
    turned = [
        moment_error(0.8 * t + 0.6 * gaussian(64, 1000 + i), t, np.eye(3))
        for i, t in enumerate(parts(64))
    ]
    values = np.array([each.value for each in turned])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values))
    assert all(each.influence.mean() == pytest.approx(0, abs=1e-12) for each in turned)


def test_moment_error__does_not_change_with_the_unit():
    truth = gaussian(64)
    one = moment_error(0.9 * truth, truth, np.eye(3))
    assert moment_error(90 * truth, 100 * truth, np.eye(3)).value == pytest.approx(one.value)


def parts(count):
    """Four hundred sets of samples."""
    return np.split(gaussian(400 * count, 7), 400)


def test_principal_axes__are_orthonormal_and_widest_first():
    ends = gaussian(50)
    axes = principal_axes(ends, 2)
    assert axes.T @ axes == pytest.approx(np.eye(2))
    assert abs(axes[0, 0]) > 0.95 < abs(axes[1, 1])
    assert principal_axes(np.ones((5, 3)), 2).shape == (3, 0)


def finalists(*factors, shrink=()):
    """Ends of as many rules whose errors are unlike noise times these factors, and the truth."""
    truth, noise = gaussian(64), gaussian(64, 1) * 0.05
    ends = [f * noise + (1 - s) * truth for f, s in zip(factors, shrink or [0.0] * 9, strict=False)]
    return np.array(ends), truth


def rules(*kinds):
    """Rules of these points and corrections."""
    return [RULE._replace(points=points, corrected=corrected) for points, corrected in kinds]


def test_choose_rule__a_tie_goes_to_the_lowest_order_and_then_to_the_smallest_error():
    ends, truth = finalists(1.0, 1.06, 1.05, 1.04)
    some = rules((3, False), (1, True), (2, False), (2, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[2]


def test_choose_rule__what_is_further_off_than_a_tie_loses():
    ends, truth = finalists(1.0, 1.05 * ALIKE)
    some = rules((4, False), (2, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


def test_choose_rule__of_two_at_one_distance_the_one_that_shrinks_loses():
    ends, truth = finalists(1.0, 0.0, shrink=(0.0, 0.05))
    distance = np.sqrt(np.square(ends - truth).mean(-1)).mean(1)
    ends[0] = truth + (ends[0] - truth) * distance[1] / distance[0]
    some = rules((3, False), (1, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


@pytest.mark.parametrize("unit", [0.01, 1.0, 700.0])
def test_choose_rule__does_not_change_with_the_unit(unit):
    ends, truth = finalists(1.0, 1.05, 0.3, shrink=(0.0, 0.0, 0.2))
    some = rules((3, False), (2, False), (1, True))
    assert choose_rule(some, ends * unit, truth * unit, np.eye(3), unit) == some[1]


def test_choose_rule__samples_that_are_not_finite_lose():
    ends, truth = finalists(1.0, 0.5)
    ends[1, 3] = np.nan
    some = rules((3, False), (1, True))
    assert choose_rule(some, ends, truth, np.eye(3), 1.0) == some[0]


def test_read_rule__returns_every_number_of_the_text():
    for rule in (RULE, RULE._replace(deferred=False), typical(1 / 3), RULE._replace(knee=1e-7)):
        assert read_rule(rule.text) == rule
    assert RULE.text == "2dc 0.540329511 12.96 2.032 0.7035 0.4557 1.062 0.0"


@pytest.mark.parametrize(
    "text",
    [
        "best", "5d 1.0 1.0 1.0 1.0 1.0 1.0 0.0", "1d 1.0 1.0 1.0 1.0 1.0 1.0 0.0",
        "2 1.0 1.0 1.0", "2 1.0 1.0 1.0 1.0 1.0 1.0 nan", "2 1.0 -1.0 1.0 1.0 1.0 1.0 0.0",
        "2 1.0 0.0 1.0 1.0 1.0 1.0 0.0", "2  1.0 1.0 1.0 1.0 1.0 1.0 0.0", "2 1 1 1 1 1 1e999 1",
    ],
)  # fmt: skip
def test_read_rule__refuses_another_text_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"cannot read the rule .*run\.json") as caught:
        make("auto", rule=text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to_zero", [True, False])
def test_auto__with_the_text_of_a_rule_makes_the_same_samples(to_zero):
    fitted = make("auto").fitted(Fitted(RULE, 1000))
    given = make(f"auto(rule='{fitted.facts['rule']}')")
    assert not given.needs_look
    grid = karras(7, 0.002, 80.0, to_zero=to_zero)
    x = 80.0 * SampleNoise(0, torch.arange(5), (2,), torch.float64).initial()
    assert torch.equal(fitted.sample(ThreeModes(), x, grid), given.sample(ThreeModes(), x, grid))
