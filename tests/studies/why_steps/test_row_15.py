"""Row 15 on a map that is exact, on denoisers that are passed for maps, and its parts one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.metrics.coverage import against_counts, mode_counts
from samplerbench.benchmarks.metrics.estimators.frechet import FrechetReference, estimate
from samplerbench.models import make_model
from samplerbench.models.denoiser import Wrapper
from samplerbench.samplers import Grid
from samplerbench_studies.why_steps.measuring import jumping
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.generating import generate
from samplerbench_studies.why_steps.rows.row_15_jumping import ROW, judge


class TrueMap(Wrapper):
    """The flow of an exact model to sigma_min."""

    kind = "map"

    def denoise(self, x, sigma, labels):
        return self.inner.flow(x, float(sigma), self.sigma_min, labels)


class GaussianMap(Wrapper):
    """The same of a Gaussian, by its formula."""

    kind = "map"

    def denoise(self, x, sigma, labels):
        mean, cov = map(torch.from_numpy, self.inner.moments())
        variances, axes = torch.linalg.eigh(cov)
        kept = ((variances + self.sigma_min**2) / (variances + float(sigma) ** 2)).sqrt()
        return mean + (x - mean) @ (axes * kept) @ axes.T


class Passed(Wrapper):
    """A denoiser that says it is a map."""

    kind = "map"


def row_on(monkeypatch, student):
    few = {"SAMPLERS": ("euler",), "COUNTS": (1, 4, 10), "EXACT_SAMPLES": 64}
    for name, value in few.items():
        monkeypatch.setattr(jumping, name, value)
    exact = student.inner
    models = {jumping.TEACHER: exact, jumping.STUDENT: student, jumping.EXACT: exact}
    return ROW.measure(Effort("full", models=models))


@pytest.fixture(scope="module")
def passed():
    with pytest.MonkeyPatch.context() as patch:
        return row_on(patch, Passed(make_model("gaussian")))


def test_it_is_true_of_the_true_map(monkeypatch):
    found = row_on(monkeypatch, GaussianMap(make_model("gaussian")))
    assert ROW.answer(found).verdict.kind == "supports"
    assert all(one.low == 0 for one in found.map)  # every jump leaves the law of the data
    kept = [found.likeness[name].variance.value for name in ("1 jump", jumping.END)]
    assert kept[0] == pytest.approx(kept[1], rel=0.05) == pytest.approx(1, abs=0.1)
    # up to the error of the steps that are called converged
    assert found.missed[0].value < 0.02 < 0.5 < found.predicted[0].value
    assert (found.cost, found.teacher_cost) == (0, 0)


def test_it_is_false_of_a_denoiser_that_is_passed_for_a_map(passed):
    assert ROW.answer(passed).verdict.kind == "refutes"
    # one jump of it is the prediction, to the last bit
    assert passed.ratio.value == pytest.approx(1, abs=1e-12)
    assert passed.missed == passed.predicted
    assert passed.likeness["1 jump"] == passed.likeness[jumping.PREDICTION]
    assert passed.likeness["1 jump"].variance.value < 0.01


@pytest.mark.slow
def test_every_jump_of_the_true_map_of_a_mixture_leaves_a_sample_of_it():
    model = make_model("gmm-2d")
    x = generate(TrueMap(model), "consistency", Grid((80.0, 0.5, 0.002)), 256)
    found = estimate(FrechetReference(*model.moments()), x)
    assert found.low == 0 < found.high < 0.15
    modes = against_counts(
        mode_counts(model.mode_of(x), 7), mode_counts(model.mode_of(model.sample(9999, 1)), 7)
    )
    assert modes.p > 0.01


@each(
    ("ratio", "most", "kept", "kind"),
    [
        ((15, 12, 20), (-1, -2, 0), 0.9, "supports"),
        ((15, 12, 20), (-1, -2, 0), 0.4, "refines"),
        ((15, 12, 20), (9, 8, 10), 0.9, "refines"),
        ((6, 5, 7), (-1, -2, 0), 0.9, "refines"),
        ((6, 5, 7), (9, 8, 10), 0.9, "refines"),
        ((6, 1.5, math.inf), (-1, -2, 0), 0.9, "inconclusive"),
        ((1, 0.9, 1.1), (-1, -2, 0), 0.9, "refutes"),
    ],
)
def test_row_15__the_verdict_follows_the_intervals(passed, ratio, most, kept, kind):
    alike = passed.likeness["1 jump"]._replace(variance=jumping.Interval(kept, kept, kept))
    found = passed._replace(
        likeness=passed.likeness | {"1 jump": alike},
        ratio=jumping.Interval(*ratio),
        at_most=jumping.Interval(*most),
    )
    verdict = judge(found)
    assert verdict.kind == kind
    assert len(verdict.sentence) < 180


def test_models_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="fashion-map is no map of gaussian"):
        ROW.measure(Effort("fast", models={jumping.TEACHER: make_model("gaussian")}))


def test_the_interval_of_a_ratio_covers_it():
    """Two correlated samples of known distances, 4 and 1, many times."""
    rng, truth = np.random.default_rng(0), FrechetReference(np.zeros(1), np.eye(1))
    hits = 0
    for _ in range(200):
        x = rng.standard_normal((400, 1))
        one = jumping.ratio(*(estimate(truth, x + shift) for shift in (2.0, 1.0)))
        hits += one.low <= 4 <= one.high
        assert one.low < one.value < one.high
    assert 180 <= hits <= 198
    at_data = jumping.ratio(
        estimate(truth, x + 2.0), estimate(truth, rng.standard_normal((400, 1)))
    )
    assert at_data.high == math.inf
    assert 10 < at_data.low <= at_data.value


def test_ratio__of_a_distance_below_0_has_no_upper_end():
    """Where the second distance comes out below 0, as it may, the first is not a multiple of it."""
    x = np.random.default_rng(0).standard_normal((400, 2))
    plain, jumped = (
        estimate(FrechetReference(np.zeros(2), np.eye(2)), x + shift) for shift in (2, 0)
    )
    below = replace(jumped, value=-1.0)
    found = jumping.ratio(plain, below)
    assert found.high == found.value == math.inf
    assert found.low > 10


def test_evaluations_between_two_counts():
    assert jumping.evaluations_for(10.0, (1, 4, 16), (100.0, 10.0, 1.0)) == 4
    assert jumping.evaluations_for(1000**0.5, (1, 4, 16), (100.0, 10.0, 1.0)) == pytest.approx(2)
    assert jumping.evaluations_for(200.0, (1, 4), (100.0, 10.0)) == 1
    assert jumping.evaluations_for(0.5, (1, 4), (100.0, 10.0)) == math.inf
    assert jumping.evaluations_for(0.5, (1, 4), (100.0, -1.0)) == 4


def test_errors_against_brute_force():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    end = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    shift = torch.randn(3, 5, generator=generator, dtype=torch.float64)[labels]
    pairs = [
        (end[i] - end[j]).square().sum()
        for i in range(60)
        for j in range(60)
        if i != j and labels[i] == labels[j]
    ]
    x = 0.3 * end + shift
    expected = (x - end).square().sum(1).mean().sqrt() / torch.stack(pairs).mean().sqrt()
    assert jumping.distance(x, end, labels).value == pytest.approx(expected.item(), rel=1e-12)
    common, shrunk = jumping.errors(x, end, labels)
    assert shrunk.value == pytest.approx(-1)
    assert jumping.errors(end + shift, end, labels)[0].value == pytest.approx(1)
    assert 0 < common.value < 1
