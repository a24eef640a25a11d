"""PSNR and LPIPS to converged images: exact values, latents, files of weights, and their requests."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quiet_runs import quiet_run, quiet_setup

import samplerbench
from samplerbench.benchmarks.metrics import Measured, metrics
from samplerbench.benchmarks.metrics import converged_images as module
from samplerbench.benchmarks.metrics.converged_images import FLOOR, peak_signal_to_noise
from samplerbench.benchmarks.metrics.metric import Endpoints
from samplerbench.benchmarks.scoring.context import CellContext, gather_shards
from samplerbench.benchmarks.scoring.data import ModelData
from samplerbench.benchmarks.scoring.versions import requested_metrics, version_of
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.results.printed_values import interval_bounds

CAP = 10 * np.log10(12 * 255**2)
LIMITS = (-1.0, 1.0)


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def a_model(event=(3, 32, 32), limits=LIMITS, decoder=None):
    """What the context asks of a model."""
    return SimpleNamespace(
        decoder=decoder,
        event=event,
        decoded_limits=limits,
        decode=decoder or (lambda x: x),
    )


def a_context(x, ends, model, data=None):
    shards = gather_shards([{"endpoint": x, "sizes": np.array([len(x)])}], len(x))
    solution = Endpoints(ends, None, 64, 0.0)
    data = data or ModelData(model, "cpu")
    return CellContext(shards, len(x), data, None, solution, follows_path=False)


def measured(name, *about):
    return metrics()[name](a_context(*about))


@pytest.mark.parametrize("shift", [0.5, 0.02, -0.1])
def test_peak_signal_to_noise__a_shift_of_all_pixels_has_its_decibels(shift):
    x = uniform(4, 1, 8, 8).astype(float)
    found = peak_signal_to_noise(x + shift, x, LIMITS)
    np.testing.assert_allclose(found, -20 * np.log10(abs(shift) / 2), rtol=1e-10)
    # in another range of the same images
    bytes_ = peak_signal_to_noise(*(127.5 * (y + 1) for y in (x + shift, x)), (0.0, 255.0))
    np.testing.assert_allclose(bytes_, found, rtol=1e-10)


def test_peak_signal_to_noise__is_of_the_mean_square_over_all_values():
    x, noise = uniform(3, 2, 5, 5).astype(float), uniform(3, 2, 5, 5, seed=1)
    mse = np.square(noise.astype(float)).reshape(3, -1).mean(axis=1)
    found = peak_signal_to_noise(x + noise, x, (-9.0, 9.0))
    np.testing.assert_allclose(found, 10 * np.log10(18**2 / mse), rtol=1e-10)


def test_peak_signal_to_noise__both_sides_are_clamped():
    inside, outside = np.full((1, 4), 1.0), np.full((1, 4), 1.7)
    assert peak_signal_to_noise(outside, inside, LIMITS) == pytest.approx(CAP)
    assert peak_signal_to_noise(inside, outside, LIMITS) == pytest.approx(CAP)
    half = np.full((1, 4), 0.5)
    assert peak_signal_to_noise(half, outside, LIMITS) == pytest.approx(-20 * np.log10(0.25))
    assert peak_signal_to_noise(-outside, outside, LIMITS) == pytest.approx(0.0)


def test_peak_signal_to_noise__the_cap_is_the_rounding_error_of_8_bits():
    """Of many values of an image that is saved and read again."""
    x = np.random.default_rng(0).uniform(*LIMITS, (1, 10**6))
    saved = np.round((x + 1) * 127.5) / 127.5 - 1
    assert peak_signal_to_noise(saved, x, LIMITS) == pytest.approx(CAP, abs=0.02)
    assert peak_signal_to_noise(x, x, LIMITS) == pytest.approx(CAP)
    assert -10 * np.log10(FLOOR) == pytest.approx(58.92, abs=0.01)


def test_peak_signal_to_noise__one_reference_is_not_taken_for_all():
    with pytest.raises(ValueError, match=r"\(3, 4\) need as many, not \(1, 4\)"):
        peak_signal_to_noise(uniform(3, 4), uniform(1, 4), LIMITS)


def test_psnr_conv__is_the_mean_of_decibels_with_its_error():
    """And not the decibels of a mean error, which two samples of 20 and 40 dB have far below 30."""
    ends = uniform(40, 1, 4, 4)
    shift = np.where(np.arange(40) % 2, 0.2, 0.02).astype(np.float32)
    result = measured("psnr_conv", ends + shift[:, None, None, None], ends, a_model((1, 4, 4)))
    each = result.influence["psnr_conv"]
    np.testing.assert_allclose(each, np.where(np.arange(40) % 2, 20.0, 40.0), atol=1e-4)
    assert result.columns["psnr_conv"] == pytest.approx(30.0, abs=1e-4)
    assert result.columns["psnr_conv_se"] == pytest.approx(each.std(ddof=1) / 40**0.5)
    assert result.columns["psnr_capped"] == 0.0
    apart = np.concatenate([peak_signal_to_noise(ends[k + 1 : k + 32], ends[k : k + 31][: 39 - k], LIMITS)
                            for k in (0, 32)])  # fmt: skip
    assert result.columns["psnr_apart"] == pytest.approx(apart.mean(), abs=1e-4)


def test_psnr_conv__equal_samples_are_finite_and_counted():
    ends = uniform(8, 1, 4, 4)
    x = ends + np.where(np.arange(8) < 6, 0, 0.2).astype(np.float32)[:, None, None, None]
    columns = measured("psnr_conv", x, ends, a_model((1, 4, 4))).columns
    assert columns["psnr_conv"] == pytest.approx((6 * CAP + 2 * 20) / 8, abs=1e-4)
    assert columns["psnr_capped"] == 0.75


def test_psnr_conv__latents_are_decoded_and_endpoints_once_for_all_cells():
    calls = []

    def decode(latents):
        calls.append(len(latents))
        return (3 * latents).repeat(1, 3, 2, 2)

    model = a_model(event=(1, 2, 2), decoder=decode)
    data, ends = ModelData(model, "cpu"), 0.1 * uniform(40, 1, 2, 2)
    for shift in (0.01, 0.1):
        cell = a_context(ends + np.float32(shift), ends, model, data)
        found = metrics()["psnr_conv"](cell).columns["psnr_conv"]
        assert found == pytest.approx(-20 * np.log10(3 * shift / 2), abs=1e-3)
    assert calls == [32, 32, 8, 8, 32, 8], "the second cell decodes samples only"


def test_psnr_conv__the_shipped_latent_model_is_compared_in_images():
    model = make_model("fashion-latent")
    ends = np.random.default_rng(0).standard_normal((3, *model.event)).astype(np.float32)
    x = ends + 0.1 * uniform(3, *model.event)
    images, truth = (model.decode(torch.from_numpy(y)).clamp(-1, 1).double() for y in (x, ends))
    mse = (images - truth).square().flatten(1).mean(1).numpy()
    found = measured("psnr_conv", x, ends, model).influence["psnr_conv"]
    np.testing.assert_allclose(found, 10 * np.log10(4 / mse), rtol=1e-5)


def test_psnr_conv__without_a_range_or_samples_it_is_empty():
    ends, model = uniform(3, 2), a_model((2,), limits=None)
    assert measured("psnr_conv", ends, ends, model) == Measured({})
    assert measured("psnr_conv", ends[:0], ends, a_model((2,))) == Measured({})
    # samples beyond the endpoints, which an earlier run kept, do not count
    assert len(measured("psnr_conv", ends, ends[:2], a_model((2,))).influence["psnr_conv"]) == 2


def test_psnr_conv__its_interval_covers_means_with_flips():
    """Per-sample decibels of 64 samples: 35 ± 6, and 12 for one in fifty that ends elsewhere."""
    rng, covered, truth = np.random.default_rng(0), 0, 0.98 * 35 + 0.02 * 12
    for _ in range(400):
        each = np.where(rng.random(64) < 0.02, 12.0, rng.normal(35, 6, 64))
        columns = module._mean_of(each, "psnr_conv").columns
        low, high = interval_bounds(columns, "psnr_conv")
        covered += low <= truth <= high
    assert covered / 400 > 0.9


SUITE = {
    "name": "t", "models": ["gmm-2d"], "samplers": ["euler", "heun"], "nfe": [3], "samples": 64,
    "reference_samples": 16, "converged_samples": 64, "timing": {"enabled": False},
}  # fmt: skip


def test_requested_metrics__only_a_suite_that_names_them_has_these():
    found = {metric.name for metric in requested_metrics(None)}
    assert set(metrics()) - found == {"psnr_conv", "lpips_conv"}
    assert {m.name for m in requested_metrics(["default", "psnr_conv"])} == found | {"psnr_conv"}
    assert [m.name for m in requested_metrics(["kid"])] == ["kid"]


@pytest.mark.slow
def test_psnr_conv__joins_a_finished_run_from_its_samples(tmp_path):
    model = make_model("gmm-2d")
    model.limits = (-3.0, 3.0)

    def run(**changes):
        suite = {key: value for key, value in SUITE.items() if key != "models"} | changes
        return samplerbench.run(suite, tmp_path, models={"limited": model}).frame

    before = run()
    assert before["psnr_conv"].isna().all()
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.glob("parts/*/0*.npz")}
    assert shards
    after = run(metrics=["default", "psnr_conv"])
    assert (after["psnr_conv"] > 5).all()
    assert shards == {path: path.stat().st_mtime_ns for path in shards}
    rest = before.columns.difference(["psnr_conv", "psnr_conv_se", "psnr_apart", "psnr_capped"])
    assert after[rest].equals(before[rest])
    assert run().equals(after), "a later run that does not ask keeps them"


class Backbone(torch.nn.Module):
    """A stand-in of the package's: one convolution, with the names of AlexNet's first."""

    def __init__(self):
        super().__init__()
        self.slice1 = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 11))


class Stub(torch.nn.Module):
    def __init__(self, net, pnet_rand, verbose):
        super().__init__()
        assert (net, pnet_rand, verbose) == ("alex", True, False), "no backbone is downloaded"
        self.net = Backbone()

    def forward(self, x, r):
        assert x.shape[1] == r.shape[1] == 3
        assert max(x.abs().max(), r.abs().max()) <= 1
        return (self.net.slice1(x) - self.net.slice1(r)).square().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of weights that fits the stand-in of the package lpips."""
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Stub))
    module._load_file.cache_clear()
    torch.manual_seed(0)
    state = torch.nn.Conv2d(3, 64, 11).state_dict()
    path = tmp_path / "alexnet.pth"
    torch.save({f"features.0.{key}": value for key, value in state.items()}, path)
    monkeypatch.setenv(module.WEIGHTS, str(path))
    yield path
    module._load_file.cache_clear()


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_conv__images_are_rgb_in_the_range_of_the_package(weights, channels):
    ends = 100 + 50 * uniform(40, channels, 32, 32)
    x = ends + 20 * uniform(40, channels, 32, 32, seed=1)
    drawn = torch.get_rng_state()
    result = measured("lpips_conv", x, ends, a_model((channels, 32, 32), (0.0, 200.0)))
    assert torch.equal(torch.get_rng_state(), drawn), "the unused first weights draw from nobody"
    kernel = torch.load(weights)["features.0.weight"]
    difference = torch.from_numpy((x - ends) / 100).expand(-1, 3, -1, -1)
    expected = torch.nn.functional.conv2d(difference, kernel).square().mean((1, 2, 3))
    np.testing.assert_allclose(result.influence["lpips_conv"], expected, rtol=1e-4)
    assert result.columns["lpips_conv"] == pytest.approx(expected.mean().item(), rel=1e-4)
    assert result.columns["lpips_network"] == module.lpips_name()
    assert module.lpips_name().startswith("alex-")


@pytest.mark.parametrize("event", [(3, 28, 28), (4, 32, 32), (1024,)])
@pytest.mark.usefixtures("weights")
def test_lpips_conv__other_samples_leave_it_empty_with_one_warning(event, caplog):
    model, x = a_model(event), uniform(40, *event)
    data = ModelData(model, "cpu")
    for _ in range(2):
        assert metrics()["lpips_conv"](a_context(x, x, model, data)) == Measured({})
    assert len(caplog.records) == 1
    assert "needs grey or RGB images of 31 x 31 pixels" in caplog.text


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_lpips_conv__code_in_a_file_of_weights_is_not_executed(weights, tmp_path):
    trace = tmp_path / "executed"
    torch.save({"features.0.weight": Hostile(trace)}, weights)
    with pytest.raises(ValueError, match=r"alexnet\.pth") as caught:
        requested_metrics(["lpips_conv"])
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("tensors", [{}, {"features.0.weight": torch.zeros(64, 3, 5, 5)},
                                     {"features.0.weight": torch.zeros(9, 3, 11, 11)}])  # fmt: skip
def test_lpips_conv__a_file_of_something_else_is_refused(weights, tensors):
    torch.save(tensors | {"other": torch.zeros(1)}, weights)
    with pytest.raises(ValueError, match=r"alexnet\.pth does not hold torchvision's weights"):
        requested_metrics(["lpips_conv"])


def test_lpips_conv__another_file_is_another_version(weights):
    first, name = version_of(metrics()["lpips_conv"]), module.lpips_name()
    assert first == f"2 with {name}"
    tensors = torch.load(weights)
    torch.save({key: 2 * value for key, value in tensors.items()}, weights)
    assert version_of(metrics()["lpips_conv"]) not in (first, "2")


def test_lpips_conv__is_refused_before_a_run_that_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.delenv(module.WEIGHTS, raising=False)
    suite = check_suite(SUITE | {"metrics": ["lpips_conv"]}, "t")
    with pytest.raises(ValueError, match=r"name their file.*SAMPLERBENCH_LPIPS") as caught:
        quiet_setup(suite, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert version_of(metrics()["lpips_conv"]) == "2", "as long as nobody asks, nothing is refused"
    (tmp_path / "weights.pth").write_bytes(b"x")
    monkeypatch.setenv(module.WEIGHTS, str(tmp_path / "weights.pth"))
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match=r"pip install 'samplerbench\[lpips\]'"):
        requested_metrics(["lpips_conv"])


def test_scorer__a_metric_that_was_not_asked_for_loads_no_weights(tmp_path, monkeypatch):
    registry = sys.modules["samplerbench.benchmarks.metrics.metric"]._METRICS
    asked = []
    watching = replace(registry["lpips_conv"], weights=lambda: asked.append(1) or "x")
    monkeypatch.setitem(registry, "lpips_conv", watching)
    quiet_run(check_suite(SUITE | {"metrics": ["rmse"]}, "t"), tmp_path)
    assert not asked
