"""MeanFlow: a transformer that is told two times, as a few-step map and as the flow that it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trained_mixture as training
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import dit
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint, write_converted
from samplerbench.models.nets.dit import DiT
from samplerbench.samplers import Grid, SampleNoise, karras, make

SHAPE = {
    "side": 8,
    "in_channels": 1,
    "out_channels": 1,
    "patch": 4,
    "width": 64,
    "depth": 1,
    "heads": 4,
    "hidden": 128,
    "labels": training.MODES + 1,
    "interval": "whole",
}
BY = 0.005


def made() -> DiT:
    torch.manual_seed(0)
    network = DiT(**SHAPE)
    with torch.no_grad():
        network.pos_embed.normal_(0, 0.1)
    network.pos_embed.requires_grad_(False)
    return network


def losses(network: DiT):
    """Of the paper: the mean velocity u from t down to r is v - (t - r) du/dt, with the derivative along
    the path by central differences; half of the intervals are empty, where u = v.
    """

    def velocity(x, t, r, labels):
        label = network.y_embedder["embedding_table"](labels)
        emb = network.t_embedder(t) + network.r_embedder(t - r) + label
        return network.run_blocks(x, emb, label)

    def of(x0, modes, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        t = u**1.5
        share = torch.rand(count, generator=generator).square()
        empty = torch.rand(count, generator=generator) < 0.5
        r = torch.where(empty, t, t * share)
        z = torch.randn(x0.shape, generator=generator)
        at = t[:, None, None, None]
        x, v = (1 - at) * x0 + at * z, z - x0
        with torch.no_grad():
            after, before = (velocity(x + h * v, t + h, r, modes) for h in (BY, -BY))
            wanted = v - (t - r)[:, None, None, None] * (after - before) / (2 * BY)
        return (velocity(x, t, r, modes) - wanted).square().mean()

    return of


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A network that was trained so, saved with what such a training saves beside it."""
    network = made()
    weights = training.trained(network, losses(network), steps=160, rate=1.2e-2, batch=96)
    file = tmp_path_factory.mktemp("meanflow") / "0400000.pt"
    held = {"ema": weights, "model": {k: 0 * w for k, w in weights.items()}, "steps": 400_000}
    torch.save(held, file)
    return file


def ends(x, sigma, modes):
    """Of the paths of each class, a Gaussian about the mean: states keep their quantile."""
    width = torch.tensor(training.WIDTHS)[modes, None, None, None]
    return training.mean() + (x - training.mean()) * width / (width**2 + sigma**2).sqrt()


def checked(path, given=(), **more):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings({"heads": "4", **dict(given)})
    clean, labels = training.data(96, 5)
    return check_checkpoint(
        spec,
        dit.network(spec, opened),
        clean,
        labels,
        built=lambda of: dit.network(of, opened),
        **more,
    )


@pytest.mark.slow
def test_the_file_is_a_map_whose_end_is_x_less_t_times_u(path):
    model = load(path, {"heads": "4"})
    assert (model.kind, model.map_end, model.spec.prediction) == ("map", 0.0, "flow")
    assert model.spec.source("kind") == "file"
    network = DiT(**SHAPE)
    network.load_state_dict(torch.load(path, weights_only=True)["ema"])
    clean, modes = training.data(32, 9)
    z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    for sigma in (50.0, 1.0, 0.1):
        t = torch.full((32,), sigma / (1 + sigma))
        state = clean + sigma * z
        x = state / (1 + sigma)  # (1 - t) x0 + t z
        with torch.no_grad():
            label = network.y_embedder["embedding_table"](modes)
            emb = network.t_embedder(t) + network.r_embedder(t) + label
            right = x - t[0] * network.run_blocks(x, emb, label)
        found = model.denoise(state, sigma, modes)
        torch.testing.assert_close(found, right, rtol=0, atol=1e-5)
        assert (found - ends(state, sigma, modes)).square().mean() < 0.05


@pytest.mark.slow
def test_one_jump_samples_the_data(path):
    model = load(path, {"heads": "4"})
    ids = torch.arange(400)
    modes = ids % 2
    noise = SampleNoise(1, ids, (1, 8, 8), torch.float32)
    x = model.sigma_max * noise.initial()
    one = make("consistency").sample(model.bind(ids, 0, modes), x, Grid((model.sigma_max, 0.0)))
    for mode, width in enumerate(training.WIDTHS):
        off = one[modes == mode] - training.mean()
        assert float(off.std()) == pytest.approx(width, rel=0.25)


def test_told_an_empty_interval_it_is_the_flow_itself(path):
    flow = load(path, {"heads": "4", "kind": "denoiser"})
    assert flow.kind == "denoiser"
    assert flow.spec.network["arguments"]["interval"] == "none"
    assert flow.identity != load(path, {"heads": "4"}).identity
    clean, modes = training.data(128, 9)
    for sigma in (5.0, 0.5):
        z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        width = torch.tensor(training.WIDTHS)[modes, None, None, None]
        x = clean + sigma * z
        best = training.mean() + width**2 / (width**2 + sigma**2) * (x - training.mean())
        error = (flow.denoise(x, sigma, modes) - best).square().mean()
        assert error < 0.15 * (best - clean).square().mean()
    ids, noise = torch.arange(8), torch.randn(8, 1, 8, 8)
    end = make("heun").sample(flow.bind(ids, 0, ids % 2), 80 * noise, karras(20, 1e-3, 80.0))
    assert end.isfinite().all()
    assert checked(path, {"kind": "denoiser"}).passed


def test_the_check_follows_the_paths_that_the_network_knows(path):
    found = checked(path)
    said = {check.name: check for check in found.checks}
    assert found.passed, [check.detail for check in found.checks]
    assert "of states on one path" in said["one path"].detail


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        ({"factor": "-1"}, "consistency"),
        ({"time.scale": "1000"}, "consistency"),
        ({"time.scale": "-1", "time.offset": "1"}, "consistency"),
        ({"network.interval": "none"}, "distribution"),
    ],
)
def test_a_wrong_reading_fails(path, given, failed):
    """The opposite sign, another unit or direction of time, and the velocity itself for its mean."""
    given = dict(given)
    if given.pop("network.interval", ""):
        opened = open_checkpoint(path)
        spec = specify_checkpoint(opened).with_settings({"heads": "4"})
        flow = spec.with_settings({"kind": "denoiser"})
        clean, labels = training.data(96, 5)
        found = check_checkpoint(spec, dit.network(flow, opened), clean, labels)
    else:
        found = checked(path, given)
    wrong = {check.name: check.detail for check in found.checks if not check.passed}
    assert failed in wrong, wrong


def test_what_it_is_converted_to_is_the_same_map(path, tmp_path):
    write_converted(path, {"heads": "4"}, None, tmp_path / "mine")
    ours, again = load(path, {"heads": "4"}), load(tmp_path / "mine", {})
    clean, modes = training.data(4, 1)
    assert torch.equal(again.denoise(clean, 2.0, modes), ours.denoise(clean, 2.0, modes))
    flow = load(tmp_path / "mine", {"kind": "denoiser"})
    assert flow.spec.network["arguments"]["interval"] == "none"


def test_a_file_without_one_of_the_embeddings_weights_is_refused(path, tmp_path):
    held = torch.load(path, weights_only=True)["ema"]
    del held["r_embedder.mlp.2.weight"]
    torch.save(held, tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match=r"missing, such as r_embedder\.mlp\.2\.weight"):
        load(tmp_path / "cut.pt", {"heads": "4"})


def test_the_circular_path_is_refused(path, tmp_path):
    held = torch.load(path, weights_only=True)
    torch.save({"ema": held["ema"], "args": {"path_type": "cosine"}}, tmp_path / "circle.pt")
    with pytest.raises(CheckpointError, match="trained along the path 'cosine'; the straight one"):
        load(tmp_path / "circle.pt", {})


def test_the_command_takes_a_teacher_for_maps_alone(path, tmp_path):
    clean, labels = training.data(48, 5)
    images = tmp_path / "images.npz"
    np.savez(images, x=clean.numpy(), y=labels.numpy())
    words = ["check-model", f"{path}?heads=4", "--images", str(images), "--teacher"]
    found = CliRunner().invoke(app, [*words, f"{path}?heads=4&kind=denoiser"])
    assert found.exit_code == 0, found.output
    assert "one path" in found.output
    with pytest.raises(ValueError, match="is a few-step map; give a denoiser of samples"):
        CliRunner().invoke(app, [*words, f"{path}?heads=4"], catch_exceptions=False)
    words[1] += "&kind=denoiser"
    with pytest.raises(ValueError, match="is for few-step maps, and the model is a denoiser"):
        CliRunner().invoke(app, [*words, f"{path}?heads=4"], catch_exceptions=False)
