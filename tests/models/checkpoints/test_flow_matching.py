"""torchcfm's and flow_matching's files of OpenAI's U-Net."""

from __future__ import annotations

import math

import pytest
import torch
import trained_mixture as training

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import flow_matching
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.adm_unet import ADMUNet

SIDE = 4
SHAPE = {"in_channels": 1, "out_channels": 1, "embedding": 32, "stem": 32, "widths": (32,)}
SHAPE |= {"blocks": 1, "attention": (), "heads": 1}
GIVEN = {"size": str(SIDE), "attention": "1-head"}


def losses(network):
    """Of the velocity x1 - x0 from noise at t = 0 to data at t = 1."""

    def of(data, _, generator):
        count = len(data)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        t = 1 - (1 - u) ** 2
        noise = torch.randn(data.shape, generator=generator)
        at = t[:, None, None, None]
        return (network(at * data + (1 - at) * noise, t, None) - (data - noise)).square().mean()

    return of


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """What torchcfm saves; the weights that are no average are spoilt."""
    torch.manual_seed(0)
    network = ADMUNet(**SHAPE)
    weights = training.trained(network, losses(network), steps=150, rate=6e-3, batch=64, side=SIDE)
    spoilt = {k: 0 * w for k, w in weights.items()}
    held = {"net_model": spoilt, "ema_model": weights, "sched": {}, "optim": {}, "step": 3}
    path = tmp_path_factory.mktemp("cfm") / "otcfm_cifar10_weights_step_3.pt"
    torch.save(held, path)
    return path


def checked(path, given):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    return check_checkpoint(
        spec,
        flow_matching.network(spec, opened),
        training.data(96, 5, SIDE)[0],
        built=lambda of: flow_matching.network(of, opened),
    )


@pytest.mark.slow
def test_a_trained_network_denoises_as_the_formula_says(file):
    model = load(file, {"training": "straight", **GIVEN})
    assert (model.spec.family, model.spec.weights["entry"]) == ("flow_matching", "ema_model")
    assert "optimal transport" in " ".join(model.spec.evidence)
    network = ADMUNet(**SHAPE)
    network.load_state_dict(torch.load(file, weights_only=True)["ema_model"])
    clean = training.data(64, 9, SIDE)[0]
    for sigma in (20.0, 1.0, 0.4):
        x = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        t = 1 / (1 + sigma)
        with torch.no_grad():
            right = t * x + (1 - t) * network(t * x, torch.full((64,), t), None)
        d = model.denoise(x, sigma, None)
        torch.testing.assert_close(d, right, rtol=1e-5, atol=1e-5)
        best = (training.exact(x, sigma) - clean).square().mean()
        assert (d - clean).square().mean() < 1.5 * best


@pytest.mark.slow
def test_the_path_is_found(file):
    found = checked(file, GIVEN)
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == {"training": "straight"}


WRONG = ["training=circle", "training=straight&sign=1", "training=straight&prediction=x0"]
WRONG += ["training=straight&time.scale=1&time.offset=0", "training=straight&process.noise_scale=2"]


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(file):
    network = training.Exact(
        lambda t: (t.clamp(1e-6, 1 - 1e-6), 1 - t.clamp(1e-6, 1 - 1e-6)),
        lambda x, d, alpha, sigma: (d - x) / sigma,
    )

    def verdict(changes):
        given = {**GIVEN, **dict(part.split("=") for part in changes.split("&"))}
        spec = specify_checkpoint(open_checkpoint(file)).with_settings(given)
        return check_checkpoint(spec, network, training.data(96, 5, SIDE)[0])

    right = verdict("training=straight")
    assert right.passed, [c.detail for c in right.checks]
    assert [wrong for wrong in WRONG if verdict(wrong).passed] == []


def test_the_circle(file):
    """Against the derivative of x_t = cos(pi t / 2) x0 + sin(pi t / 2) x1."""
    model = load(file, {"training": "circle", **GIVEN})
    clean, z = training.data(3, 1, SIDE)[0].double(), torch.randn(3, 1, 4, 4).double()
    sigma = 0.7
    angle = math.atan(sigma)
    seen = []

    def exact(x_t, t, labels):
        seen.append(float(t[0]))
        return (math.pi / 2 * (math.sin(angle) * clean - math.cos(angle) * z)).float()

    model.network = exact
    right = clean
    torch.testing.assert_close(
        model.denoise(clean + sigma * z, sigma, None), right, atol=1e-5, rtol=0
    )
    assert seen == pytest.approx([1 - 2 / math.pi * angle])


def average(network) -> dict[str, torch.Tensor]:
    """flow_matching's averaging module: the weights, a count, and a list."""
    state = network.state_dict()
    held = {f"model.{k}": 0 * w for k, w in state.items()} | {"num_updates": torch.tensor(3)}
    return held | {f"shadow_params.{i}": w for i, w in enumerate(state.values())}


def test_the_average_of_flow_matching(tmp_path):
    """With labels, of which the last is none, and resolutions that change without weights."""
    shape = {**SHAPE, "stem": 64, "widths": (64, 64), "attention": (1,), "together": True}
    shape |= {"classes": 3, "resample_plain": True}
    torch.manual_seed(4)
    network = ADMUNet(**shape).eval()
    held = {"model": average(network), "lr_schedule": {}, "optimizer": {}, "epoch": 2}
    torch.save(held, tmp_path / "checkpoint.pth")
    opened = open_checkpoint(tmp_path / "checkpoint.pth")
    spec = specify_checkpoint(opened)
    assert (spec.weights["entry"], spec.classes, spec.null_label) == ("ema", 2, True)
    assert set(spec.open) == {"attention", "size"}
    spec = spec.with_settings({"attention": "1-head", "size": "8"})
    made = flow_matching.network(spec, opened)
    x, t, labels = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 2])
    with torch.no_grad():
        torch.testing.assert_close(made(x, t, labels), network(x, t, labels), rtol=0, atol=0)
    held["model"]["shadow_params.1"] = torch.zeros(3)
    torch.save(held, tmp_path / "checkpoint.pth")
    with pytest.raises(CheckpointError, match="average of its weights is of another network"):
        specify_checkpoint(open_checkpoint(tmp_path / "checkpoint.pth"))


def test_a_network_that_learned_a_variance_is_no_velocity(tmp_path):
    weights = ADMUNet(**{**SHAPE, "out_channels": 2}).state_dict()
    torch.save({"net_model": weights, "ema_model": weights}, tmp_path / "wrong.pt")
    with pytest.raises(CheckpointError, match="gives 2 channels of 1, and is no velocity"):
        specify_checkpoint(open_checkpoint(tmp_path / "wrong.pt"))
