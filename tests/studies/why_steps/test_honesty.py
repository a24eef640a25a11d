"""What intervals and tables of the rows own up to: bounds, flags, picking, and what is left out."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.metrics.memorisation import binomial_interval
from samplerbench.models import make_model
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.problems import gmm_2d
from samplerbench.models.mmse import Estimate
from samplerbench_studies.why_steps.measuring import big_steps, collapse, no_noise, one_step
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.generating import SAMPLES, DistanceToData
from samplerbench_studies.why_steps.measuring.shrinking import (
    SHOWN,
    CandidatesResult,
    PathEntropies,
)
from samplerbench_studies.why_steps.rows import row_04_no_noise, row_05_one_step, row_06_collapse
from samplerbench_studies.why_steps.rows.row_02_candidates import _table
from samplerbench_studies.why_steps.rows.row_06_collapse import largest
from samplerbench_studies.why_steps.rows.wording import mark, note
from samplerbench_studies.why_steps.statistics.deciding import decision_ratio, undecided_share
from samplerbench_studies.why_steps.statistics.intervals import Interval


def unit(d: int) -> Gaussian:
    model = Gaussian(
        "unit",
        torch.zeros(d, dtype=torch.float64),
        torch.eye(d, dtype=torch.float64),
        torch.ones(d, dtype=torch.float64),
    )
    model.event = (d,)
    return model


def test_an_interval_holds_the_bound_too():
    assert Interval.of(Estimate(5.0, 1.0, 0.5)) == pytest.approx(
        (5.0, 5 - 1.96 - 0.5, 5 + 1.96 + 0.5)
    )


def test_row_2_s_information_holds_the_bound():
    flat = PathEntropies(np.arange(25), np.ones((2, 25)), 1.0)
    found = CandidatesResult(
        flat, flat, flat, {"a": [Estimate(10.0, 1.0, 0.7)] * len(SHOWN)}, Interval(0, 0, 0)
    )
    assert _table(found)["nats known, a"][0] == "10.0 ± 2.7"


def test_row_3_s_nats_hold_the_bound():
    model = gmm_2d()
    curve = big_steps.tabulated(model, 64, 9)  # so coarse that interpolation errs
    at = big_steps.levels("karras", 4)
    nats = big_steps.losses(model, curve, (4,), {}, DistanceToData(model))["karras"][0].nats
    truth = big_steps.path_kl(curve, at)
    assert truth.bound > 0.01 * truth.value
    assert nats.high - nats.value == pytest.approx(1.96 * truth.error + truth.bound)


def test_a_yardstick_remembers_why_its_intervals_are_not_to_be_trusted():
    model = unit(8)
    to_data = DistanceToData(model)
    assert to_data(model.sample(500, 1)).flag == ""
    assert (mark(to_data.flags), note(to_data.flags)) == ("", "")
    to_data(model.sample(40, 1))
    assert mark(to_data.flags) == " †"
    assert "1 of 2 Fréchet distances" in note(to_data.flags)
    assert "N = 40 is below 15 d = 120" in note(to_data.flags)


@pytest.mark.parametrize(("n", "axes"), [(SAMPLES, 32), (192, 10)])
def test_distance_to_data__takes_no_more_axes_than_the_samples_bear(n: int, axes: int):
    to_data = DistanceToData(make_model("fashion"), n)
    found = to_data.of_features(np.random.default_rng(0).normal(size=(n, axes)))
    assert found.n == n
    assert to_data.reference.extractor.dim == axes
    assert to_data.flags == [""]


def test_distance_to_data__of_a_point_is_exact():
    to_data = DistanceToData(unit(2))
    found = to_data(torch.full((100, 2), 3.0, dtype=torch.float64))
    assert found.value == pytest.approx(to_data.variance + 18, rel=1e-3)
    assert to_data.flags == [""]


def test_page__no_verdict_rests_on_a_flagged_distance():
    html = (Path(__file__).parents[3] / "docs" / "why-steps.html").read_text("utf-8")
    flagged = [
        number
        for number, section in re.findall(
            r'<section id="row-(\d+)"(.*?)</section>', html, re.DOTALL
        )
        if "†" in section
    ]
    assert flagged == []


@pytest.mark.parametrize(
    ("row", "measuring"), [(row_04_no_noise, no_noise), (row_05_one_step, one_step)]
)
@pytest.mark.parametrize(("d", "flagged"), [(2, False), (16, True)])
def test_rows_mark_distances_of_too_few_samples(
    monkeypatch: pytest.MonkeyPatch, row, measuring, d: int, flagged: bool
):
    monkeypatch.setattr(measuring, "FAST", (20, 50) if measuring is no_noise else (1, 50))
    if measuring is no_noise:
        monkeypatch.setattr(no_noise, "FAST_FINE", (1, 2))
    answer = row.ROW(Effort("fast", models={"fashion-mppca": unit(d), "gmm-64d": unit(d)}))
    marked = [name for name in answer.table if name.startswith("distance") and name.endswith("†")]
    named = "is below 15 d" in answer.details
    # One step leaves samples that are all but identical, a flag of its own.
    assert named == flagged
    assert bool(marked) == ("†" in answer.details)
    assert marked or not flagged


def test_the_largest_of_three_shares_has_a_wider_interval():
    shares, n = [0.0, 0.01, 0.012], 500
    alone, picked = binomial_interval(6, n), largest(shares, n)
    assert picked.value == pytest.approx(0.012)
    assert picked.low < alone[0] < alone[1] < picked.high
    assert picked[1:] == pytest.approx(binomial_interval(6, n, 1 - 0.05 / 3))
    assert largest([0.012], n)[1:] == pytest.approx(alone)


def test_row_6_picks_at_the_joint_level(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(collapse, "COUNTS", (1, 2))
    monkeypatch.setattr(
        row_06_collapse,
        "largest",
        lambda shares, n: asked.append((len(shares), n)) or Interval(0, 0, 0),
    )
    few = dict.fromkeys(("gmm-2d", "fashion"), gmm_2d())
    row_06_collapse.ROW(Effort("fast", models=few))
    assert asked == [(2, 256)]


def test_guidance_is_compared_on_latents_that_are_decided_in_both_runs():
    """Guidance that decides more latents, at low levels, but none earlier: means of each run
    alone would show an effect.
    """
    plain = np.array([8.0] * 30 + [math.nan] * 10)
    guided = np.array([8.0] * 30 + [0.5] * 10)
    assert decision_ratio(plain, guided) == pytest.approx((1.0, 1.0, 1.0))
    assert undecided_share(plain, guided) == pytest.approx(0.25)


def test_pairs_share_their_latents_spread():
    """A common factor of two between levels that spread widely is known exactly."""
    plain = np.exp(np.random.default_rng(0).normal(size=60))
    assert decision_ratio(plain, 2 * plain) == pytest.approx((2.0, 2.0, 2.0))
    assert math.isnan(decision_ratio(np.array([1.0, math.nan, math.nan]), np.ones(3)).value)
