"""Losses of tuning: distances in the features of an extractor."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from looping import each
from tuners import refusal, tuner

from samplerbench.benchmarks.planning.model_loading import NamedModel
from samplerbench.benchmarks.planning.remedy import _tuning_options
from samplerbench.benchmarks.planning.schedules import make_schedule
from samplerbench.benchmarks.planning.tuned_file import read_tuned
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters, project_grid
from samplerbench.benchmarks.tuning.least_squares import ENOUGH, Runs, fit
from samplerbench.benchmarks.tuning.problem import (
    LOST,
    TRAIN_IDS,
    FeatureLoss,
    make_loss,
    power_mean,
    tuning_problem,
)
from samplerbench.benchmarks.tuning.search import fit_coefficients, search_levels
from samplerbench.benchmarks.tuning.tuning import Target
from samplerbench.models import from_function, make_model
from samplerbench.models.extractors.rgb import RgbNetwork, resize_bicubic, resize_bicubic_as_pillow
from samplerbench.models.reference import Identity
from samplerbench.samplers import karras, make

STEPS = 4
TARGET = Target(make("dpmpp_2m"), STEPS)


class Linear:
    """Features that are a matrix ``(dim, d)`` times the flattened samples."""

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, float)
        self.dim, self.identity = len(self.matrix), "linear"

    def __call__(self, x):
        return x.detach().cpu().double().flatten(1).numpy() @ self.matrix.T


def problem_in(gmm, extractor, count=48):
    features = None if extractor is None else FeatureLoss(gmm, extractor)
    return replace(tuning_problem(gmm, TRAIN_IDS, count, 0), features=features)


def fitted(problem):
    model = problem.model
    grid = karras(STEPS, model.sigma_min, model.sigma_max)
    grid = project_grid(grid, model.sigma_min, model.sigma_max)
    x = torch.cat([states for _, states in problem.batches])
    runs = Runs(model, problem.ids, 0, x, problem.targets(128), len(x), problem.features)
    free = FreeParameters(make("dpmpp_2m"), grid, model.sigma_min, model.sigma_max, "both")
    return fit(free, runs.differences_from_ends, 32), runs


# -- the fit


@pytest.mark.slow
def test_fit__in_features_that_are_the_samples_finds_what_the_default_finds(gmm):
    """Also scaled by a power of 2, on which not even rounding depends."""
    found = fit_coefficients(problem_in(gmm, None), make("dpmpp_2m"), STEPS)
    for scale in (1.0, -4.0):
        features = problem_in(gmm, Linear(scale * np.eye(2)))
        other = fit_coefficients(features, make("dpmpp_2m"), STEPS)
        assert other.schedule == found.schedule
        np.testing.assert_allclose(other.grid.sigma, found.grid.sigma, rtol=1e-5)
        for row, expected in zip(other.table, found.table, strict=True):
            np.testing.assert_allclose([row.a, *row.b], [expected.a, *expected.b], atol=1e-5)


@pytest.mark.slow
def test_search_levels__in_features_that_are_the_samples_finds_what_the_default_finds(gmm):
    found, other = (
        search_levels(problem_in(gmm, extractor, 16), make("euler"), 3)
        for extractor in (None, Identity((2,)))
    )
    np.testing.assert_allclose(other.grid.sigma, found.grid.sigma, rtol=1e-6)


def test_fit__a_linear_extractor_gives_weighted_least_squares(monkeypatch):
    """The fit reaches the minimum over z of |M (J z + r)|², which NumPy finds.

    Samples are linear in the coefficients of the last step. Latents stand twice, so that those that
    choose the step are those of the equations.
    """
    monkeypatch.setattr("samplerbench.benchmarks.tuning.least_squares.DAMPINGS", (1e-9,))
    model = make_model("gaussian")
    d = int(np.prod(model.event))
    matrix = np.random.default_rng(0).normal(size=(3, d)) * np.linspace(0.2, 3, d)
    problem = problem_in(model, Linear(matrix), 16)
    x, ids, targets, ends = (
        torch.cat([part, part])
        for part in (problem.batches[0][1], problem.ids, problem.targets(128), problem.endpoints)
    )
    runs = Runs(model, ids, 0, x, targets, len(x), problem.features)
    pixels = Runs(model, ids, 0, x, ends, len(x))
    grid = karras(2, model.sigma_min, model.sigma_max)
    own = FreeParameters(make("dpmpp_2m"), grid, model.sigma_min, model.sigma_max, "coefficients")

    class LastStep(FreeParameters):
        """The weights of the last step only: its gain, and its weight of the older image."""

        def table(self, z):
            return super().table(np.array([0.0, z[0], z[1]]))

    free = LastStep(make("dpmpp_2m"), grid, model.sigma_min, model.sigma_max, "coefficients")
    assert own.size == free.size == 3
    free.size = 2
    found = fit(free, runs.differences_from_ends, 16, power=2)

    whole = slice(0, 16)
    zero = pixels.differences_from_ends(free.sampler_at(np.zeros(2)), grid, whole) @ matrix.T
    slopes = [
        pixels.differences_from_ends(free.sampler_at(e), grid, whole) @ matrix.T - zero
        for e in np.eye(2)
    ]
    best = np.linalg.lstsq(np.stack([s.ravel() for s in slopes], 1), -zero.ravel(), rcond=None)[0]
    least = runs.differences_from_ends(free.sampler_at(best), grid, whole)
    reached = runs.differences_from_ends(found.sampler, grid, whole)
    np.testing.assert_allclose(np.square(reached).sum(), np.square(least).sum(), rtol=1e-6)
    plain = fit(free, pixels.differences_from_ends, 16, power=2)
    elsewhere = runs.differences_from_ends(plain.sampler, grid, whole)
    assert np.square(elsewhere).sum() > 1.01 * np.square(least).sum()


@pytest.mark.slow
def test_fit__a_direction_that_the_features_do_not_see_does_not_count(gmm):
    found, runs = fitted(problem_in(gmm, Linear([[1.0, 0.0]])))
    blind = runs.differences_from_ends(found.sampler, found.grid, slice(None))
    assert blind.shape == (48, 1)
    plain, _ = fitted(problem_in(gmm, None))
    test = tuning_problem(gmm, TRAIN_IDS, 48, 0)
    errors = [test.sample(f.sampler, f.grid) - test.endpoints for f in (found, plain)]
    first, both = ([float(e[:, k].abs().log().mean()) for e in errors] for k in (0, 1))
    assert first[0] < first[1]
    assert both[0] > both[1]


class Waves:
    """Features that no fit far from its best numbers can follow."""

    dim, identity = 2, "waves"

    def __call__(self, x):
        return np.sin(4 * x.double().flatten(1).numpy())


@pytest.mark.slow
def test_fit_coefficients__features_that_bend_are_fitted_from_the_fit_of_the_samples_too(gmm):
    plain, features = problem_in(gmm, None, 24), problem_in(gmm, Waves(), 24)
    found, near = (fit_coefficients(p, make("dpmpp_2m"), STEPS) for p in (features, plain))
    errors = [
        power_mean(features.distances(each.apply_coefficients(make("dpmpp_2m")), each.grid)[16:], 1)
        for each in (found, near)
    ]
    assert errors[0] <= errors[1] / (1 - ENOUGH)


# -- distances


def test_distances__are_norms_of_feature_differences_over_the_root_of_their_number(gmm):
    matrix = np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 1.0]])
    problem = problem_in(gmm, Linear(matrix), 6)
    grid = karras(3, gmm.sigma_min, gmm.sigma_max)
    x = problem.sample(make("euler"), grid)
    moved = (x - problem.endpoints).double().numpy() @ matrix.T
    expected = np.linalg.norm(moved, axis=1) / np.sqrt(3)
    assert problem.distances(make("euler"), grid) == pytest.approx(expected)
    pixels = np.linalg.norm((x - problem.endpoints).numpy(), axis=1) / np.sqrt(2)
    assert problem.in_sample_space.distances_of(x) == pytest.approx(pixels)
    x[2] = torch.nan
    assert problem.distances_of(x)[2] == LOST
    assert problem.distances_of(x)[3] == pytest.approx(expected[3])


def test_feature_loss__sees_decoded_and_clamped_samples():
    class Double:
        event, limits, identity, batch, device = (4,), (-1.0, 1.0), "", 2, "cpu"

        def __call__(self, latents):
            return torch.cat([latents, 2 * latents], 1)

    model = from_function(lambda x, sigma: x, event=(2,), sigma_min=0.1, sigma_max=1.0)
    model.decoder = Double()
    loss = FeatureLoss(model, Identity((4,)))
    x = torch.tensor([[0.25, 0.75], [torch.inf, 0.0], [0.5, -0.25]])
    features = loss(x)
    assert features[0].tolist() == [0.25, 0.75, 0.5, 1.0]
    assert features[1].isnan().all()
    assert features[2].tolist() == [0.5, -0.25, 1.0, -0.5]


# -- the teacher


def test_converge_endpoints__goes_on_until_features_are_resolved_too(monkeypatch):
    """Features that magnify what the teacher moves, and hide what a sampler errs by."""
    model = make_model("digits")
    problem = tuning_problem(model, TRAIN_IDS, 3, 0)
    grid = make_schedule("discrete_trailing")(2, model.sigma_min, model.sigma_max)
    run = make("euler"), grid
    monkeypatch.setattr("samplerbench.benchmarks.tuning.problem.RESOLVED", 0.2)
    plain = tuning_problem(model, TRAIN_IDS, 3, 0)
    plain.steps = 4
    plain.converge_endpoints(run)
    error = (problem.sample(*run) - problem.endpoints).flatten(1).double()
    change = (problem.teacher.endpoints(4) - problem.teacher.endpoints(2)).flatten(1).double()
    seen = change[0] - (change[0] @ error[0]) / (error[0] @ error[0]) * error[0]
    fine = problem_in(model, Linear(seen[None]), 3)
    fine.steps = 4
    fine.converge_endpoints(run)
    assert fine.steps > plain.steps
    assert fine.resolution <= 0.2 * np.sqrt(np.square(fine.distances(*run)).mean())


# -- extractors


class Recorded:
    """Network that flattens images, and records their type."""

    def to(self, _device):
        return self


def flat(network, images):
    network.dtype = images.dtype
    return resize_bicubic(images, 2).flatten(1)


def test_unrounded__features_follow_changes_below_a_grey_level():
    rounding = RgbNetwork((-1.0, 1.0), Recorded(), flat, 12, "flat")
    smooth = rounding.unrounded()
    x = torch.zeros(1, 1, 4, 4)
    near = x + 1e-3
    assert np.array_equal(rounding(x), rounding(near))
    np.testing.assert_allclose(smooth(near) - smooth(x), 0.1275, rtol=1e-3)
    assert "rounded" in rounding.identity
    assert smooth.identity == "flat-unrounded-range[-1,1]"
    assert rounding.made_of == "flat-uint8-rounded"


@pytest.mark.parametrize("network", [flat, lambda _, x: resize_bicubic_as_pillow(x, 2).flatten(1)])
def test_make_loss__a_network_that_needs_8_bits_is_refused(network, monkeypatch):
    made = RgbNetwork((-1.0, 1.0), Recorded(), network, 12, "net")
    monkeypatch.setattr(
        "samplerbench.benchmarks.tuning.problem.make_scoring_extractor", lambda *_: made
    )
    subject = NamedModel("digits", make_model("digits"))
    if network is flat:
        assert make_loss(subject, "net")[1].identity == "net-unrounded-range[-1,1]"
    else:
        with pytest.raises(ValueError, match=r"need 8-bit images.*give an extractor that does not"):
            make_loss(subject, "net")


# -- entries


def test_tune__an_entry_says_its_loss_and_scores_both_distances(tmp_path, gmm):
    file = tmp_path / "tuned.json"
    (entry,) = tuner(file, gmm, what="both", loss="pixels")([TARGET])
    assert entry.setting.loss.extractor == "pixels"
    assert entry.setting.loss.identity == entry.facts["tuning_loss"] == "identity-2"
    assert read_tuned(file) == (entry,)
    for own, by_loss in ((entry.train, entry.loss_train), (entry.test, entry.loss_test)):
        assert by_loss.tuned.error == pytest.approx(own.tuned.error)
        assert by_loss.untuned.rms == pytest.approx(own.untuned.rms)
    assert entry.gap == pytest.approx(entry.loss_test.ratio / entry.loss_train.ratio - 1)
    subject = NamedModel("gmm-2d", gmm)
    assert ("--loss", "pixels") in _tuning_options([entry], subject)
    (plain,) = tuner(file, gmm, what="both")([TARGET])
    assert plain.levels == pytest.approx(entry.levels, rel=1e-5)
    assert read_tuned(file) == (plain,)  # another loss is tuned again


def test_tune__without_a_loss_the_column_is_empty(tmp_path, gmm):
    (entry,) = tuner(tmp_path / "tuned.json", gmm)([Target(make("euler"), 2)])
    assert entry.facts["tuning_loss"] is None
    assert power_mean(np.array([1.0]), 1) == 1


@pytest.mark.slow
def test_tune__scores_of_pixels_stay_those_of_samples(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def sums():\n    return lambda x: x.flatten(1)[:, :32].sum(1, keepdim=True)\n")
    digits = make_model("digits")
    (entry,) = tuner(
        tmp_path / "t.json",
        None,
        subject=NamedModel("digits", digits),
        latents=3,
        test_latents=2,
        loss=f"{own}:sums",
    )([Target(make("euler"), 2)])
    test = tuning_problem(digits, 2**30 + 2**29, 2, 0)
    tuned = make_schedule(f"tuned(file='{tmp_path / 't.json'}')").for_model(digits)
    grid = tuned.for_sampler(make("euler"))(2, digits.sigma_min, digits.sigma_max)
    distances = test.distances_of(test.sample(make("euler"), grid))
    assert entry.test.tuned.error == pytest.approx(distances.mean(), rel=0.02)
    x, ends = (
        each.clamp(-1, 1).flatten(1)[:, :32].sum(1)
        for each in (test.sample(make("euler"), grid), test.endpoints)
    )
    by_loss = (x - ends).abs().mean()
    assert entry.loss_test.tuned.error == pytest.approx(float(by_loss), rel=0.02)


# -- mistakes


@each(
    ("loss", "sentence"),
    [
        ("nowhere", "--loss nowhere on model OWN: unknown extractor 'nowhere'; "),
        ("card:0", "write card:N with a whole number"),
        ("card", "has no features of its own; give another extractor, such as pixels"),
        ("efficientnet-lite0", "takes grey or RGB images, not samples (2,)"),
    ],
)
def test_tune__wrong_losses_are_one_sentence_and_exit_code_2(
    loss, sentence, tmp_path, monkeypatch, capsys
):
    own = tmp_path / "own.py"
    own.write_text(
        "from samplerbench.models import from_function\n"
        "def make():\n"
        "    return from_function(lambda x, sigma: 0 * x, event=(2,), sigma_min=0.1, sigma_max=9.0)\n"
    )
    words = ["--model", f"{own}:make", "--sampler", "euler", "--steps", "3", "--loss", loss]
    assert sentence.replace("OWN", f"{own}:make") in refusal(words, monkeypatch, capsys)
