"""Models with an error of known size: its statistics, its size, and the endpoints of the flow
that it bends.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from looping import each
from scipy.integrate import solve_ivp
from scipy.linalg import sqrtm

from samplerbench.benchmarks.sampling.counting import Meter
from samplerbench.models import make_model
from samplerbench.models.exact.base import CHUNK
from samplerbench.models.exact.problems import gaussian, gmm_2d
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.perturbed import FEATURES, Perturbed, RandomField
from samplerbench.samplers import NoNoise, karras
from samplerbench.samplers.methods.edm import Heun

LEVELS = pytest.mark.parametrize("sigma", [0.003, 0.4, 60.0])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    model = make_model("perturbed:gmm-2d", delta=0.2)
    model.inner.tolerance = 1e-8
    return model


def fields(seeds: int, x: torch.Tensor, sigma: torch.Tensor, length: float) -> torch.Tensor:
    return torch.stack(
        [RandomField(x.shape[1], 0.7, length, seed)(x, sigma) for seed in range(seeds)]
    )


def test_the_field_has_mean_square_one_and_the_correlation_that_it_says() -> None:
    """Over seeds, at pairs of states a known distance apart: exp(-|x - x'|^2 / (2 d (length
    r)^2)), to four standard errors.
    """
    d, sigma, length, seeds = 5, 2.0, 0.8, 300
    r = math.hypot(sigma, 0.7)
    first = normal(1, d)
    direction = normal(1, d, seed=1)
    distances = (
        torch.tensor([0.0, 0.5, 1.0, 2.0], dtype=torch.float64)[:, None] * length * r * math.sqrt(d)
    )
    states = first + distances * direction / direction.norm()
    f = fields(seeds, states, torch.full((4,), sigma, dtype=torch.float64), length)
    found = (f * f[:, :1]).mean((0, 2))
    want = torch.tensor(
        [1.0, math.exp(-0.125), math.exp(-0.5), math.exp(-2.0)], dtype=torch.float64
    )
    torch.testing.assert_close(found, want, rtol=0, atol=4 * math.sqrt(2 / (seeds * d)))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_field_is_bounded(scale: float) -> None:
    f = RandomField(3, 1.0, 0.5, 0)(
        scale * normal(500, 3), torch.full((500,), scale, dtype=torch.float64)
    )
    assert f.abs().max() <= math.sqrt(2 * FEATURES)
    assert f.isfinite().all()


def test_the_field_is_smooth_in_log_sigma_and_settles_below_the_spread() -> None:
    field, x = RandomField(3, 1.0, 0.5, 0), normal(1, 3)
    lam = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    f = field(x.expand(2001, 3), torch.exp(-lam))
    step = float(lam[1] - lam[0])
    assert f.diff(dim=0).abs().max() / step < 20
    assert f.diff(n=2, dim=0).abs().max() / step**2 < 400
    low = field(x.expand(2, 3), torch.tensor([1e-4, 1e-6], dtype=torch.float64))
    torch.testing.assert_close(low[0], low[1], rtol=0, atol=1e-6)


def test_no_error_is_the_inner_model() -> None:
    model = make_model("perturbed:gaussian", delta=0)
    x = normal(3, 16)
    assert torch.equal(model.denoise(x, 0.5, None), model.inner.denoise(x, 0.5))
    torch.testing.assert_close(
        model.endpoint(80 * x), model.inner.endpoint(80 * x), rtol=0, atol=1e-9
    )


@LEVELS
def test_the_error_is_delta_posterior_deviations(sigma: float) -> None:
    """Root mean square over seeds, against the posterior of an isotropic Gaussian with the
    data's variance.
    """
    inner, delta = gaussian(), 0.3
    spread = math.sqrt(np.trace(inner.moments()[1]) / inner.dim)
    x = inner.sample(4, 0) + sigma * normal(4, inner.dim)
    seeds = [
        make_model("perturbed:gaussian", delta=delta, seed=seed).error(x, sigma)
        for seed in range(100)
    ]
    found = float(torch.stack(seeds).square().mean().sqrt())
    assert found == pytest.approx(delta * (spread**-2 + sigma**-2) ** -0.5, rel=0.05)


@LEVELS
def test_the_error_is_what_the_denoiser_is_off_by(model: Perturbed, sigma: float) -> None:
    x = normal(5, 2) * (1 + sigma)
    levels = torch.full((5,), sigma, dtype=torch.float64)
    off = model.denoise(x, sigma, None) - model.inner.denoise(x, sigma)
    torch.testing.assert_close(off, model.error(x, sigma), rtol=0, atol=1e-13 * (1 + sigma))
    assert torch.equal(model.denoise(x, levels, None), model.denoise(x, sigma, None))
    assert model.error(x, sigma).abs().min() > 0


def test_the_same_seed_is_the_same_error_and_another_is_another() -> None:
    x = normal(3, 2)
    first, again, other = (make_model("perturbed:gmm-2d", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.error(x, 1.0), again.error(x, 1.0))
    assert not torch.equal(first.error(x, 1.0), other.error(x, 1.0))
    assert first.identity == again.identity != other.identity


@pytest.mark.parametrize("option", [{"delta": 0.3}, {"length": 0.4}, {"seed": 3}, {"spread": 2.0}])
def test_every_option_is_part_of_the_identity(option: dict[str, float]) -> None:
    assert (
        make_model("perturbed:gmm-2d", **option).identity != make_model("perturbed:gmm-2d").identity
    )


def test_endpoints_equal_an_independent_integration(model: Perturbed) -> None:
    """In lam = -log sigma, one sample at a time, far down."""
    x = 80 * normal(1, 2)
    end = -math.log(1e-8)

    def slope(lam: float, x: np.ndarray) -> np.ndarray:
        return model.denoise(torch.from_numpy(x)[None], math.exp(-lam), None)[0].numpy() - x

    for row, found in zip(x, model.endpoint(x), strict=True):
        solution = solve_ivp(
            slope, (-math.log(80.0), end), row.numpy(), method="DOP853", rtol=1e-8, atol=1e-8
        )
        torch.testing.assert_close(found, torch.from_numpy(solution.y[:, -1]), rtol=0, atol=1e-6)


def test_endpoints_move_in_proportion_to_a_small_error() -> None:
    inner, x = gaussian(), 80 * normal(3, 16)
    moved = [Perturbed(inner, delta, 0.5).endpoint(x) - inner.endpoint(x) for delta in (1e-3, 2e-3)]
    assert 1e-4 < float(moved[0].square().mean().sqrt()) < 1e-2
    torch.testing.assert_close(moved[1], 2 * moved[0], rtol=0, atol=1e-4)


def test_bits_do_not_depend_on_the_batch(model: Perturbed) -> None:
    x, levels = normal(256, 2), torch.linspace(0.1, 5, 256, dtype=torch.float64)
    whole = model.denoise(x, levels, None)
    for size in (1, 7, CHUNK + 1):
        rows = slice(100, 100 + size)
        assert torch.equal(model.denoise(x[rows], levels[rows], None), whole[rows])
    for place in range(CHUNK):
        assert torch.equal(
            model.error(x[:CHUNK].roll(place, 0), 0.5)[place], model.error(x[:1], 0.5)[0]
        )
    ends = model.endpoint(80 * x[:6])
    assert torch.equal(model.endpoint(80 * x[4:6]), ends[4:])


def test_no_samples_give_no_samples(model: Perturbed) -> None:
    assert model.denoise(normal(0, 2), 0.5, None).shape == (0, 2)


def test_it_is_scored_against_the_data(model: Perturbed) -> None:
    reference, data = model.reference(), gmm_2d().reference()
    assert reference.identity == data.identity
    assert np.array_equal(reference.mean, data.mean)
    assert reference.converged is None


@pytest.mark.parametrize(("delta", "fewer_steps_are_better"), [(0.0, False), (0.3, True)])
def test_a_coarse_solver_can_beat_the_converged_flow_of_a_wrong_model(
    delta: float, fewer_steps_are_better: bool
) -> None:
    """Heun with 14 and with 40 steps from the same latents, by the Fréchet distance of means
    and covariances to the data.
    """
    model = make_model("perturbed:gmm-2d", delta=delta)
    mean, cov = model.inner.moments()

    def distance(steps: int) -> float:
        x = Heun().sample(
            model.bind(torch.arange(1000), 0),
            80 * normal(1000, 2),
            karras(steps, 0.002, 80.0),
            NoNoise(),
        )
        found = np.cov(x.T)
        return float(
            ((x.mean(0).numpy() - mean) ** 2).sum()
            + np.trace(found + cov - 2 * np.real(sqrtm(found @ cov)))
        )

    assert (distance(14) < 0.95 * distance(40)) == fewer_steps_are_better


def test_it_moves_with_its_field(model: Perturbed) -> None:
    moved = model.to("cpu")
    x = normal(3, 2)
    assert moved is not model
    assert torch.equal(moved.denoise(x, 1.0, None), model.denoise(x, 1.0, None))
    assert model.to("meta")._field._phase.device.type == "meta"
    latent = Perturbed(make_model("fashion-latent"), 0.1, 1.0)
    twin = latent.to("cpu")
    assert twin.decoder is twin.inner.decoder
    assert twin.decoder is not latent.decoder


def test_a_network_keeps_its_precision_and_has_no_exact_endpoints() -> None:
    model = make_model("perturbed:digits", delta=0.2)
    x = normal(2, 1, 8, 8).float()
    off = model.denoise(x, 1.0, None) - model.inner.denoise(x, 1.0, None)
    torch.testing.assert_close(off, model.error(x, 1.0).float(), rtol=0, atol=1e-6)
    assert off.dtype == torch.float32
    assert model.endpoint(x) is None
    assert (model.name, model.classes) == ("perturbed:digits", 10)
    assert f"spread={model.inner.card.architecture['sigma_data']}" in model.identity


def test_load__options_of_the_inner_model() -> None:
    assert make_model("perturbed:fashion-kde", width=0.2, spread=1.0).inner.width == 0.2
    assert make_model("perturbed:digits", guidance=2.0).passes == 2


@each(
    ("name", "options", "message"),
    [
        ("perturbed:gmm-3d", {}, "no model 'gmm-3d'; did you mean 'gmm-2d'"),
        ("perturbd", {}, "no model 'perturbd'; did you mean 'perturbed'"),
        (
            "perturbed:gmm-2d",
            {"dleta": 1},
            r"'dleta'.*\(perturbed itself takes delta, " r"length, seed and spread\)",
        ),
        ("perturbed", {}, "perturbed alone is no model; write perturbed:MODEL"),
        ("family", {"dim": 3}, "family alone is no model; write family:KIND"),
        ("checkpoint", {}, "checkpoint alone is no model; write checkpoint:PATH"),
        ("perturbed:gmm-2d", {"delta": -0.1}, "delta must be a number >= 0, got -0.1"),
        ("perturbed:gmm-2d", {"delta": "much"}, "delta must be a number, got 'much'"),
        ("perturbed:gmm-2d", {"length": 0}, "length must be a number > 0, got 0"),
        ("perturbed:gmm-2d", {"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ("perturbed:gmm-2d", {"spread": math.inf}, "spread must be a number > 0, got inf"),
    ],
)
def test_perturbed__mistakes_are_one_sentence(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_model(name, **options)
    assert "\n" not in str(caught.value)


def test_a_model_of_one_s_own_needs_its_spread(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "class M:\n    event, sigma_min, sigma_max = (2,), 0.01, 10.0\n"
        "    def __call__(self, x, sigma): return 0 * x\n"
        "def make(): return M()\n"
    )
    with pytest.raises(ValueError, match=r"give it as spread=1\.0"):
        make_model(f"perturbed:{path}:make")
    assert make_model(f"perturbed:{path}:make", spread=1.0).endpoint(normal(2, 2)) is None


def test_perturbed__both_images_of_a_guided_model_have_the_error():
    inner = ClassifierFree(make_model("digits"), 3.0)
    model, x, labels = (
        Perturbed(inner, 0.1, 0.5),
        torch.randn(2, *inner.event),
        torch.tensor([3, 7]),
    )
    both, plain = (m.denoise_both(x, 1.0, labels) for m in (model, inner))
    assert (plain[0] - plain[1]).abs().max() > 0.01
    torch.testing.assert_close(both[0] - both[1], plain[0] - plain[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(both[0], model.denoise(x, 1.0, labels))


def test_endpoint__a_counter_of_evaluations_does_not_hide_it(model: Perturbed):
    x, meter = model.sigma_max * normal(3, 2), Meter()
    assert torch.equal(meter.attach(model).endpoint(x), model.endpoint(x))
    assert meter.rows > 0


def test_endpoint__none_of_a_rounded_model_whose_flow_no_solver_resolves():
    rounded = Perturbed(make_model("gmm-2d", network_dtype="float16"), 0.1, 1.0)
    assert rounded.endpoint(rounded.sigma_max * normal(1, 2)) is None
