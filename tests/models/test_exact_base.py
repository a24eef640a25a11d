"""What every exact model shares: bit-identity over batches, probability flow, clear errors."""

import math

import numpy as np
import pytest
import torch
from looping import each
from scipy.integrate import DOP853, solve_ivp
from torch import Tensor

from samplerbench.models.exact import probability_flow
from samplerbench.models.exact.base import CHUNK, ExactModel, row_stable_matmul
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d, gmm_64d

MODELS = pytest.mark.parametrize("make", [gaussian, gmm_2d, gmm_64d])


def states(model: ExactModel, n: int, sigma: float) -> Tensor:
    """Noisy exact samples."""
    noise = torch.randn(
        n, *model.event, dtype=torch.float64, generator=torch.Generator().manual_seed(n)
    )
    return model.sample(n, seed=n) + sigma * noise


def labelled() -> GaussianMixture:
    rng = torch.Generator().manual_seed(0)
    normal = torch.randn(4, 5, 3, dtype=torch.float64, generator=rng)
    return GaussianMixture(
        "labelled",
        (5,),
        torch.ones(4),
        normal[:, :, 0] * 2,
        normal[:, :, 1:],
        torch.full((4,), 0.2),
        torch.arange(4) % 2,
    )


def test_flow__weights_are_those_of_scipy() -> None:
    padded = [[*row, *[0.0] * (12 - len(row))] for row in ((), *probability_flow.STAGES)]
    assert np.array_equal(padded, DOP853.A)
    assert np.array_equal(probability_flow.NODES, DOP853.C)
    assert np.array_equal(probability_flow.WEIGHTS, DOP853.B)
    assert np.array_equal([*probability_flow.FIFTH, 0.0], DOP853.E5)
    assert np.array_equal([*probability_flow.THIRD, 0.0], DOP853.E3)


@each("make", [gaussian, gmm_2d, gmm_64d, labelled])
@each("sigma", [0.05, 3.0])
def test_exact_model__bits_do_not_depend_on_the_batch(make, sigma: float) -> None:
    model = make()
    x = states(model, 256, sigma)
    levels = torch.linspace(0.5, 1.5, 256, dtype=torch.float64) * sigma
    labels = torch.arange(256) % model.classes if model.classes else None

    def evaluate(rows: Tensor) -> list[Tensor]:
        chosen = None if labels is None else labels[rows]
        return [
            model.denoise(x[rows], sigma, chosen),
            model.denoise(x[rows], levels[rows], chosen),
            model.log_density(x[rows], levels[rows], chosen),
        ]

    whole = evaluate(torch.arange(256))
    for size in (1, 7, CHUNK + 1, 2 * CHUNK + 1):
        for start in (0, 50, 256 - size):
            rows = torch.arange(start, start + size)
            assert all(
                torch.equal(found, full[rows])
                for found, full in zip(evaluate(rows), whole, strict=True)
            )


@MODELS
def test_bits_do_not_depend_on_the_position(make) -> None:
    """One row at each place of a chunk, among others."""
    model = make()
    x = states(model, model.chunk, 0.5)
    for function in (model.denoise, model.log_density):
        alone = function(x[:1], 0.5)
        for position in range(model.chunk):
            assert torch.equal(function(x.roll(position, 0), 0.5)[position], alone[0])


@each(("k", "m"), [(2, 7), (5, 5), (9, 2), (12, 5), (17, 3), (64, 45), (784, 33)])
def test_exact_model__bits_of_a_product_do_not_depend_on_the_position(k: int, m: int) -> None:
    rng = torch.Generator().manual_seed(k)
    matrix = torch.randn(k, m, generator=rng, dtype=torch.float64)
    for size in (CHUNK, 2 * CHUNK):
        rows = torch.randn(size, k, generator=rng, dtype=torch.float64)
        first = row_stable_matmul(rows, matrix)[0]
        torch.testing.assert_close(
            row_stable_matmul(rows, matrix), rows @ matrix, rtol=1e-12, atol=1e-12
        )
        assert all(
            torch.equal(row_stable_matmul(rows.roll(place, 0), matrix)[place], first)
            for place in range(size)
        )


def test_exact_model__evaluates_twice_as_many_rows_at_a_time_if_it_is_tiny() -> None:
    assert gmm_2d().chunk == 2 * CHUNK
    assert gmm_64d().chunk == CHUNK


@pytest.mark.parametrize("make", [gmm_2d, gmm_64d])
def test_flow_bits_do_not_depend_on_the_batch(make) -> None:
    model = make()
    model.tolerance = 1e-5
    x = states(model, 12, 1.0)
    whole = model.flow(x, 1.0, 0.0)
    for start, size in ((0, 1), (4, 7), (11, 1)):
        rows = slice(start, start + size)
        assert torch.equal(model.flow(x[rows], 1.0, 0.0), whole[rows])


@pytest.mark.parametrize("make", [gmm_2d, gmm_64d])
def test_flow_equals_an_independent_integration(make) -> None:
    """In lam = -log sigma, one sample at a time, down to where x and d agree: other
    coordinates, another implementation, another end.
    """
    model = make()
    x = states(model, 1, 1.0)
    end = -math.log(1e-7)

    def slope(lam: float, x: np.ndarray) -> np.ndarray:
        return model.denoise(torch.from_numpy(x)[None], math.exp(-lam))[0].numpy() - x

    for row, found in zip(x, model.flow(x, 1.0, 0.0), strict=True):
        solution = solve_ivp(
            slope, (0.0, end), row.numpy(), method="DOP853", rtol=1e-12, atol=1e-12
        )
        torch.testing.assert_close(found, torch.from_numpy(solution.y[:, -1]), rtol=0, atol=3e-11)


def test_flow_solver_equals_the_closed_form_of_a_gaussian() -> None:
    model = gaussian()
    x = states(model, 6, 80.0)
    for sigma_to in (20.0, 0.3, 1e-4, 300.0):
        numeric = probability_flow.flow_states(
            model.denoise, x, None, 80.0, sigma_to, model.scale, 1e-12
        )
        torch.testing.assert_close(numeric, model.flow(x, 80.0, sigma_to), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        ExactModel.flow_to_zero(model, model.flow(x, 80.0, 1e-4), 1e-4, None),
        model.endpoint(x),
        rtol=0,
        atol=1e-12,
    )


def test_a_step_that_is_too_long_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = gaussian()
    x = states(model, 3, 1.0)
    monkeypatch.setattr(probability_flow, "FIRST_STEP", 3.0)
    numeric = probability_flow.flow_states(model.denoise, x, None, 1.0, 0.01, model.scale, 1e-12)
    torch.testing.assert_close(numeric, model.flow(x, 1.0, 0.01), rtol=0, atol=1e-11)


@MODELS
def test_flow_composes_and_returns(make) -> None:
    model = make()
    model.tolerance = 1e-9
    x = states(model, 4, 1.0)
    there = model.flow(x, 1.0, 0.5)
    torch.testing.assert_close(
        model.flow(there, 0.5, 0.2), model.flow(x, 1.0, 0.2), rtol=0, atol=1e-7
    )
    torch.testing.assert_close(model.flow(there, 0.5, 1.0), x, rtol=0, atol=1e-7)


def test_flow_transports_the_distribution() -> None:
    """Endpoints of noise have the moments of the data (5 standard errors): a statistical check
    that shares nothing with the others.
    """
    model, n = gmm_2d(), 600
    model.tolerance = 1e-4
    x = states(model, n, 80.0)
    found = model.endpoint(x).numpy()
    mean, cov = model.moments()
    assert (np.abs(found.mean(0) - mean) < 5 * np.sqrt(np.diag(cov) / n)).all()
    squares = np.square(found - mean)
    assert (np.abs(squares.mean(0) - np.diag(cov)) < 5 * squares.std(0) / math.sqrt(n)).all()


def test_flow_respects_labels() -> None:
    model = labelled()
    model.tolerance = 1e-5
    x = states(model, 6, 4.0)
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    found = model.flow(x, 4.0, 0.0, labels)
    for label in (0, 1):
        rows = labels == label
        assert torch.equal(found[rows], model.flow(x[rows], 4.0, 0.0, labels[rows]))
    assert not torch.allclose(found, model.flow(x, 4.0, 0.0), atol=1e-3)


@MODELS
def test_dtype_shape_and_arguments(make) -> None:
    model = make()
    x = states(model, 3, 1.0).float()
    before = x.clone()
    result = model.denoise(x, 1.0)
    assert result.dtype == torch.float32
    assert result.shape == x.shape
    assert torch.equal(x, before)
    torch.testing.assert_close(result, model.denoise(x, torch.ones(3)), rtol=0, atol=0)
    assert model.denoise(x[:0], 1.0).shape == (0, *model.event)
    assert model.flow(x[:0], 1.0, 0.1).shape == (0, *model.event)
    with torch.no_grad():
        assert not model.denoise(x[:0].double(), 1.0).is_inference()
    assert model.to("cpu").identity == model.identity


def test_errors_name_what_is_wrong() -> None:
    model = labelled()
    with pytest.raises(ValueError, match=r"expects samples of shape \(5,\), not \(4,\)"):
        model.denoise(torch.zeros(2, 4), 1.0)
    for label in (-1, 3):
        with pytest.raises(ValueError, match="has 2 classes"):
            model.denoise(torch.zeros(2, 5), 1.0, torch.tensor([0, label]))
    with pytest.raises(ValueError, match="has 0 classes"):
        gmm_2d().denoise(torch.zeros(1, 2), 1.0, torch.tensor([1]))
    with pytest.raises(ArithmeticError, match="finite"):
        model.flow(torch.full((1, 5), math.nan), 1.0, 0.5)


def test_exact_model__data_are_the_samples_of_a_subclass() -> None:
    class Shifted(GaussianMixture):
        def sample(self, n: int, seed: int) -> Tensor:
            return super().sample(n, seed) + 7

    model = gmm_2d()
    model.__class__ = Shifted
    assert torch.equal(model.data(3, 0), gmm_2d().sample(3, 0) + 7)
