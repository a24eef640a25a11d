"""Rows 4, 5, 6, 8, 13 and 16 on models for which their claims are false, or true where they are
false of images.
"""

import numpy as np
import pytest
import torch

from samplerbench.models import make_model
from samplerbench.models.exact.cloud import PointCloud
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.samplers import Grid, NoNoise
from samplerbench_studies.why_steps.measuring import collapse, guiding, no_noise, one_step, solver
from samplerbench_studies.why_steps.measuring.effort import Effort
from samplerbench_studies.why_steps.measuring.solver import SolverCurve
from samplerbench_studies.why_steps.rows import (
    row_04_no_noise,
    row_05_one_step,
    row_06_collapse,
    row_08_solver,
    row_13_guidance,
    row_16_locality,
)
from samplerbench_studies.why_steps.statistics.deciding import GuidedRun, decision, mean_level
from samplerbench_studies.why_steps.statistics.spread import (
    modes_kept,
    total_variance,
    variance_kept,
)


def gaussian(
    d: int, variance: float, event: tuple[int, ...] | None = None, kind: type[Gaussian] = Gaussian
) -> Gaussian:
    model = kind(
        "one",
        torch.zeros(d, dtype=torch.float64),
        torch.eye(d, dtype=torch.float64),
        torch.full((d,), variance),
    )
    model.event = event or (d,)
    return model


class EndOfPath(Gaussian):
    """Predicts where the path ends and not the mean: a consistency model, which needs no steps."""

    def denoise_rows(self, x, sigma, labels):
        return self._scale_along_axes(
            x, (self._variances / (self._variances + sigma.square()[:, None])).sqrt()
        )


def few(monkeypatch, module, **values) -> None:
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)


def test_row_4_a_consistency_model_has_no_trade_off(monkeypatch):
    few(monkeypatch, no_noise, COUNTS=(1, 2), FINE=(1, 2))
    model = gaussian(2, 0.01, kind=EndOfPath)
    assert (
        row_04_no_noise.ROW(
            Effort("full", models={"fashion-mppca": model, "gmm-64d": model})
        ).verdict.kind
        == "refines"
    )


@pytest.mark.slow
def test_row_4_supported_by_modes(monkeypatch):
    few(monkeypatch, no_noise, COUNTS=(1, 64), FINE=(1, 8), SAMPLERS=("euler", "ddpm"))
    monkeypatch.setattr(row_04_no_noise, "draw", lambda *_: None)
    model = make_model("gmm-2d")
    assert (
        row_04_no_noise.ROW(
            Effort("full", models={"fashion-mppca": model, "gmm-64d": model})
        ).verdict.kind
        == "supports"
    )


@pytest.mark.parametrize("name", ["gaussian", "gmm-64d"])
def test_row_5_is_true_of_an_isotropic_gaussian(monkeypatch, name):
    few(monkeypatch, one_step, FAST=(1, 50))
    model = gaussian(4, 0.25) if name == "gaussian" else make_model(name)
    found = row_05_one_step.ROW(Effort("fast", models={"fashion-mppca": model}))
    assert found.verdict.kind == ("supports" if name == "gaussian" else "refutes")


@pytest.mark.parametrize("levels", [(80.0, 0.0), (80.0, 0.3), (80.0, 5.0, 1.0, 0.0)])
def test_euler_in_its_own_clock_is_exact_on_an_isotropic_gaussian(levels):
    model = one_step.sphere()
    x = torch.randn(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 80
    found = one_step.StraightEuler(variance=0.25).sample(
        model.bind(torch.arange(5), 0), x, Grid(levels), NoNoise()
    )
    torch.testing.assert_close(found, model.flow(x, 80.0, levels[-1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("models", "kind"),
    [
        ({"gmm-2d": gaussian(2, 0.25, kind=EndOfPath)}, "refutes"),
        ({"digits": make_model("digits-cloud")}, "supports"),
        ({}, "supports"),
    ],
)
def test_row_6(monkeypatch, models, kind):
    """A consistency model collapses nothing.

    A denoiser that knows its training images by heart copies them after four steps.
    """
    few(monkeypatch, collapse, COUNTS=(1, 4))
    stand_in = {"fashion": make_model("gmm-2d"), **models}
    assert row_06_collapse.ROW(Effort("fast", models=stand_in)).verdict.kind == kind


class Rounded(GaussianMixture):
    """A mixture whose denoiser rounds to eighths: no smooth equation, so no order."""

    def denoise(self, x, sigma, labels=None):
        return (super().denoise(x, sigma, labels) * 8).round() / 8

    def flow(self, x, sigma_from, sigma_to, labels=None):
        return make_model("gmm-2d").flow(x, sigma_from, sigma_to, labels)


@pytest.mark.slow
def test_row_8_a_denoiser_that_jumps_has_no_order(monkeypatch):
    few(monkeypatch, solver, FAST=(32, 64, 128), SOLVERS=("euler", "heun"))
    inner = make_model("gmm-2d")
    model = Rounded(
        "rounded", (2,), inner._weights, torch.zeros(7, 2), torch.zeros(7, 2, 2), torch.ones(7)
    )
    model.__dict__.update({key: value for key, value in vars(inner).items() if key != "name"})
    assert row_08_solver.ROW(Effort("fast", models={"gmm-64d": model})).verdict.kind == "refutes"
    assert row_08_solver.ROW(Effort("fast", models={"gmm-64d": inner})).verdict.kind == "supports"


def test_row_8_evaluations_that_are_needed_lie_on_the_line():
    line = SolverCurve("a", [10, 20, 40], 2, [10, 20, 40], [0.0] * 3, [1e-2, 2.5e-3, 6.25e-4], None)
    assert row_08_solver.needed(line, 2.5e-3) == pytest.approx(20)
    assert row_08_solver.needed(line, 5e-3) == pytest.approx(10 * 2**0.5)
    assert row_08_solver.needed(line, 1e-9) != row_08_solver.needed(line, 1e-9)


def classes(apart: float) -> GaussianMixture:
    """Two classes of spread 1, whose means are this far apart."""
    d = 4
    means = torch.zeros(2, d, dtype=torch.float64)
    means[1, 0] = apart
    ones = torch.ones(2, dtype=torch.float64)
    return GaussianMixture(
        "two",
        (d,),
        ones,
        means,
        torch.zeros(2, d, 1, dtype=torch.float64),
        ones,
        torch.tensor([0, 1]),
    )


@pytest.mark.parametrize(("apart", "kind"), [(0.0, "refutes"), (12.0, "supports")])
def test_row_13_classes_that_are_alike_are_never_decided(monkeypatch, apart, kind):
    monkeypatch.setattr(guiding, "STEPS", {"fashion-mppca": 24, "fashion": 4})
    answer = row_13_guidance.ROW(
        Effort("fast", models={"fashion-mppca": classes(apart), "fashion": classes(12.0)})
    )
    assert answer.verdict.kind == kind


def test_a_class_is_decided_where_it_stays_so():
    nothing = torch.zeros(4, 1)
    run = GuidedRun((8.0, 4.0, 2.0, 1.0), nothing, nothing, nothing, nothing)
    own = torch.tensor([[0.9, 0.1, 0.9], [0.1, 0.2, 0.9], [0.8, 0.3, 0.9], [0.9, 0.4, 0.9]])
    found = decision(own.numpy(), run)
    assert found[[0, 2]].tolist() == [2.0, 8.0]
    assert found[1] != found[1]
    assert mean_level(found) == pytest.approx(4.0)
    assert mean_level(found[:2]) != mean_level(found[:2])


@pytest.mark.slow
def test_row_16_independent_pixels_need_no_neighbours(monkeypatch):
    d = 36
    alone = gaussian(d, 1.0, (1, 6, 6))
    assert (
        row_16_locality.ROW(
            Effort("fast", models={"fashion-mppca": alone, "fashion": alone})
        ).verdict.kind
        == "refutes"
    )
    smooth = torch.exp(
        -torch.arange(d, dtype=torch.float64)[:, None].sub(torch.arange(d)).square() / 20
    ) + 0.01 * torch.eye(d)
    values, basis = torch.linalg.eigh(smooth)
    line = Gaussian("smooth", torch.zeros(d, dtype=torch.float64), basis, values)
    line.event = (1, 1, d)
    assert (
        row_16_locality.ROW(
            Effort("fast", models={"fashion-mppca": line, "fashion": line})
        ).verdict.kind
        == "supports"
    )


def test_spread_of_exact_samples_is_the_data_s():
    model = make_model("gmm-2d")
    x = model.sample(4000, 3)
    for found in (
        variance_kept(x.numpy(), total_variance(model)),
        modes_kept(model.mode_of(x).numpy(), model),
    ):
        assert found.low < 1.01
        assert found.high > 0.99


def test_means_of_classes_count_into_the_variance():
    points = torch.tensor([[0.0, 0.0], [0.0, 2.0], [6.0, 0.0], [6.0, 2.0]], dtype=torch.float64)
    model = PointCloud("four", points)
    assert total_variance(model) == pytest.approx(10)
    mean, cov = model.moments()
    model.moments = lambda: (
        np.add(mean, [[-3.0, 0.0], [3.0, 0.0]]),
        np.subtract(cov, [[9.0, 0.0], [0.0, 0.0]]),
    )
    assert total_variance(model) == pytest.approx(10)
