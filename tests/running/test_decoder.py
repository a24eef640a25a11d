"""Latent models with a decoder: features are those of images, the solution is compared in latents,
and the decoder's time is told apart.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from quiet_runs import quiet_run

from samplerbench.benchmarks.identity.model import model_fingerprint
from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.running.executors import shard_limits as throughput
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.models import make_model
from samplerbench.results.run_directory.behaviour_fingerprint import difference
from samplerbench.results.run_directory.run_dir import RunDir

SAMPLES = 40

LATENTS = """
import torch

MEAN, STD = 0.4, 0.5


class Model:
    "Gaussian latents (1, 2, 2)."

    event, sigma_min, sigma_max, dtype = (1, 2, 2), 0.002, 80.0, torch.float64

    def __call__(self, x, sigma):
        sigma = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1)
        return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)

    def sample(self, n, seed):
        z = torch.randn(n, *self.event, generator=torch.Generator().manual_seed(seed))
        return MEAN + STD * z.double()

    def moments(self):
        return torch.full((4,), MEAN), STD**2 * torch.eye(4)


class Decoded(Model):
    limits = (-1.0, 1.0)

    def decode(self, x):
        return 2 * x.repeat_interleave(2, 2).repeat_interleave(2, 3) - 0.5


class Moving(Decoded):
    "With a copy of its own on each device."

    def to(self, device):
        return type(self)()


def latents():
    return Model()


def moving():
    return Moving()


def decoded():
    return Decoded()
"""


def images_of(latents: np.ndarray) -> np.ndarray:
    """What the file's decoder makes of latents."""
    return 2 * latents.repeat(2, axis=2).repeat(2, axis=3) - 0.5


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(LATENTS)
    return path


@pytest.fixture(scope="module")
def ran(file, tmp_path_factory):
    """Rows of the same model with its decoder and without, and the folder."""
    suite = {
        "name": "small",
        "models": [{"name": f"{file}:latents"}, {"name": f"{file}:decoded"}],
        "samplers": ["heun"],
        "steps": [4],
        "samples": SAMPLES,
        "batch_size": 16,
        "keep": 4,
        "reference_samples": SAMPLES,
        "converged_samples": 32,
        "timing": {"seconds": 0.5, "min_rounds": 2, "max_rounds": 2, "batch_size": [8]},
    }
    out = tmp_path_factory.mktemp("run") / "out"
    frame = quiet_run(check_suite(suite, "test"), out).frame
    assert list(frame["status"]) == ["ok", "ok"], list(frame["reason"])
    rows = {row["model"].partition(":")[2]: row for row in frame.to_dict("records")}
    return rows["latents"], rows["decoded"], RunDir.at(out)


def whole(run: RunDir, cell: str) -> dict[str, np.ndarray]:
    (shard,) = (run.read_shard(cell, *ends) for ends in run.shard_ranges(cell, SAMPLES))
    assert shard is not None
    return shard


def test_what_is_sampled_and_how_far_it_is_from_the_solution_stays_about_latents(ran):
    plain, decoded, run = ran
    for column in ("rmse", "rmse_median", "nfe", "depth"):
        assert plain[column] == decoded[column], column
    latents = [whole(run, row["cell"])["endpoint"] for row in (plain, decoded)]
    assert latents[0].shape == (SAMPLES, 1, 2, 2)
    np.testing.assert_array_equal(*latents)


def test_features_are_those_of_clamped_images(ran):
    shard = whole(ran[2], ran[1]["cell"])
    images = images_of(shard["endpoint"])
    inside = images.clip(-1, 1).reshape(SAMPLES, -1)
    np.testing.assert_allclose(shard["moments_mean"], inside.mean(0), atol=1e-12)
    np.testing.assert_allclose(shard["features"], inside, atol=1e-3)  # kept in half precision
    outside = (np.abs(images) > 1).mean()
    assert outside > 0.05
    assert ran[1]["clamped"] == pytest.approx(outside)
    assert ran[0]["clamped"] == 0


def test_images_are_what_a_report_shows(ran):
    plain, decoded, run = ran
    shown = [np.load(run.pictures_path(row["cell"]))["images"] for row in (plain, decoded)]
    assert [part.shape for part in shown] == [(4, 1, 2, 2), (4, 1, 4, 4)]
    images = images_of(whole(run, decoded["cell"])["endpoint"][:4]).clip(-1, 1)
    assert np.abs(shown[1] - (images + 1) / 2 * 255).max() <= 0.51
    assert np.load(run.trajectories_path(decoded["cell"]))["d"].shape[-3:] == (1, 4, 4)


def test_the_decoders_time_is_a_column_of_its_own(ran):
    plain, decoded, _ = ran
    assert decoded["decoder_ms_per_sample"] > 0
    assert pd.isna(plain["decoder_ms_per_sample"])
    # of medians over rounds: that of the difference is not the difference of theirs
    apart = decoded["solver_ms_per_sample"] / decoded["model_ms_per_sample"]
    assert decoded["overhead"] == pytest.approx(apart)
    assert decoded["solver_ms_per_sample"] < decoded["ms_per_sample"]


def test_real_data_are_images_and_the_start_knows_latents(file):
    model = make_model(f"{file}:decoded")
    assert (model.decoded_event, model.decoded_limits, model.limits) == ((1, 4, 4), (-1, 1), None)
    mean, cov = model.moments()
    np.testing.assert_allclose(mean, [0.4] * 4)
    np.testing.assert_allclose(cov, 0.25 * np.eye(4))
    reference = load_references({"it": model})["it"]
    assert reference.extractor.dim == 16
    drawn = images_of(make_model(f"{file}:latents").data(50_000, 2_000_000).numpy()).clip(-1, 1)
    np.testing.assert_allclose(reference.mean, drawn.reshape(len(drawn), -1).mean(0), atol=1e-12)
    pixels = load_references({"it": model}, extractor="pixels")["it"]
    assert (pixels.extractor.dim, pixels.clamp) == (16, (-1, 1))


def test_real_images_of_a_latent_model_have_the_size_of_images(file, tmp_path):
    model = make_model(f"{file}:decoded")
    rng = np.random.default_rng(0)
    for name, shape in (("images", (60, 1, 4, 4)), ("latents", (60, 1, 2, 2))):
        np.save(tmp_path / f"{name}.npy", rng.uniform(-1, 1, shape).astype(np.float32))
    real = {
        name: (lambda name=name: load_references(
            {"it": model}, "pixels", str(tmp_path / f"{name}.npy"), tmp_path
        ))
        for name in ("images", "latents")
    }  # fmt: skip
    assert real["images"]()["it"].n == 50
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2\), but those of .* are \(1, 4, 4\)"):
        real["latents"]()


def test_another_decoder_is_another_model(file, tmp_path):
    model = make_model(f"{file}:decoded")
    twin = make_model(f"{file}:decoded")
    assert difference(model_fingerprint(model), model_fingerprint(twin)) == ""
    twin.decoder.decode = lambda x: model.decode(x) + 0.01  # pyright: ignore
    assert "decoded noise" in difference(model_fingerprint(model), model_fingerprint(twin))


def test_batches_and_moves_change_nothing(file):
    model = make_model(f"{file}:decoded")
    latents = torch.randn(150, 1, 2, 2, dtype=torch.float64)
    images = model.decode(latents)
    assert (images.shape, images.dtype) == ((150, 1, 4, 4), torch.float64)
    assert torch.equal(images, torch.cat([model.decode(row[None]) for row in latents]))
    assert torch.equal(images, model.to("cpu").decode(latents))
    assert model.decode(latents[:0]).shape == (0, 1, 4, 4)
    assert make_model(f"{file}:latents").decode(latents) is latents


def test_a_model_that_moves_takes_its_decoder_along(file):
    model = make_model(f"{file}:moving")
    moved = model.to("cpu")
    x = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    assert moved.decoder is not model.decoder
    assert torch.equal(moved.decode(x), model.decode(x))


def test_the_time_that_a_shard_may_take_has_room_for_the_decoder(file, monkeypatch):
    """A clock that runs a second for each batch that is decoded: 64 latents."""
    suite = {"name": "small", "models": [f"{file}:decoded"], "samplers": ["euler"], "steps": [1]}
    asked = check_suite(suite | {"samples": 640, "timing": {"enabled": False}}, "test")
    models = load_models(asked, "cpu")
    (model,) = models.values()
    (cell,) = plan(asked, models, load_references(models), "cpu")
    decode, clock = model.decode, [0.0]

    def slow(x):
        clock[0] += len(x) / 64
        return decode(x)

    monkeypatch.setattr(model, "decode", slow)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    limits = throughput.ShardTimeLimits(models, None, lambda _: 1e9)
    assert limits.limit_of(cell, 640) == pytest.approx(throughput.GENEROUS * 10, rel=1e-3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return x.sum()", "decode gave () for one latent; it must return a tensor"),
        ("return x @ torch.zeros(3, 3)", "decode fails on a latent of zeros (1, 1, 2, 2)"),
        ("return x / 0 * 0", "gives NaN or infinity for latents of noise"),
        ("return x - x.mean()", "gives a latent another image in another batch"),
        ("return x if len(x) == 1 else x[:, :, :1]", "it must give a tensor of the shape (64, 1"),
    ],
)
def test_a_wrong_decoder_is_one_sentence(samplerbench, tmp_path, body, said):
    text = textwrap.dedent(LATENTS).partition("        return 2 * x.repeat")[0]
    path = tmp_path / "wrong.py"
    path.write_text(f"{text}        {body}\n\n\ndef decoded():\n    return Decoded()\n")
    asked = ("--sampler", "euler", "--steps", 2, "--samples", 8, "--no-timing")
    code, _, err = samplerbench("run", "smoke", "--model", f"{path}:decoded", *asked)
    assert code == 2
    assert said in " ".join(err.split())


def test_exported_samples_are_images(file, samplerbench, tmp_path):
    asked = ("--sampler", "euler", "--steps", 2, "--samples", 8)
    out = tmp_path / "images"
    code, _, err = samplerbench(
        "samples", "smoke", "--model", f"{file}:decoded", *asked, "--out", out
    )
    assert code == 0, err
    (path,) = out.glob("*.npz")
    images = np.load(path)["arr_0"]
    assert (images.shape, images.dtype) == ((8, 4, 4, 1), np.uint8)
    assert (images[:, ::2, ::2] == images[:, 1::2, 1::2]).all()
