"""Transformers of DiT, SiT and REPA: recognised by their weights, and told apart by what they do."""

from __future__ import annotations

import argparse
import math

import pytest
import torch
import trained_mixture as training
from looping import each

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import dit
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.dit import DiT

SHAPE = {
    "side": 8,
    "in_channels": 1,
    "out_channels": 2,
    "patch": 4,
    "width": 64,
    "depth": 1,
    "heads": 4,
    "hidden": 128,
    "labels": training.MODES + 1,
}


def made(**changes) -> DiT:
    torch.manual_seed(0)
    network = DiT(**{**SHAPE, **changes})
    with torch.no_grad():
        network.pos_embed.normal_(0, 0.1)
    network.pos_embed.requires_grad_(False)
    return network


def losses(network, *, noise_first: bool):
    """Of SiT, whose path runs from noise at t = 0 to data at t = 1; or of REPA, whose path runs the
    other way. Half of the labels are dropped, and most times are near the data.
    """

    def of(x0, modes, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        share = 1 - (1 - u) ** 2  # of the data
        z = torch.randn(x0.shape, generator=generator)
        labels = torch.where(torch.rand(count, generator=generator) < 0.5, training.MODES, modes)
        data = share[:, None, None, None]
        t, wanted = (share, x0 - z) if noise_first else (1 - share, z - x0)
        velocity, variance = network(data * x0 + (1 - data) * z, t, labels).chunk(2, 1)
        off = (velocity.detach() - wanted).square()
        return (velocity - wanted).square().mean() + 0.1 * (variance - off).square().mean()

    return of


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network trained as SiT's are, and one as REPA's, which begins as minus the first; saved with
    what those trainings save beside it.
    """
    folder = tmp_path_factory.mktemp("dit")
    network = made()
    first = training.trained(
        network, losses(network, noise_first=True), steps=300, rate=1.2e-2, batch=256
    )
    network.load_state_dict({k: -w if "final_layer.l" in k else w for k, w in first.items()})
    second = training.trained(
        network, losses(network, noise_first=False), steps=250, rate=1.2e-2, batch=256
    )
    second["projectors.0.0.weight"] = torch.zeros(4, 64)
    for name, weights in (("SiT", first), ("REPA", second)):
        held = {
            "ema": weights,
            "model": {k: 0 * w for k, w in weights.items()},
            "opt": {"state": {}},
        }
        torch.save(held, folder / f"{name}.pt")
    return {name: folder / f"{name}.pt" for name in ("SiT", "REPA")}


def checked(path, given, images=96):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    clean, labels = training.data(images, 5) if images else (None, None)
    return check_checkpoint(
        spec, dit.network(spec, opened), clean, labels, built=lambda of: dit.network(of, opened)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SiT", "REPA"])
def test_a_trained_network_denoises_as_the_formula_says(files, name):
    model = load(files[name], {"training": name, "heads": "4"})
    assert (model.spec.weights["entry"], model.spec.half, model.classes) == ("ema", "first", 2)
    network = DiT(**SHAPE)
    weights = torch.load(files[name], weights_only=True)["ema"]
    network.load_state_dict({k: w for k, w in weights.items() if "projectors" not in k})
    clean, modes = training.data(64, 9)
    for sigma in (20.0, 1.0, 0.4, 0.1):
        z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        x = clean + sigma * z
        t = sigma / (1 + sigma)  # of noise
        told = torch.full((64,), 1 - t if name == "SiT" else t)
        with torch.no_grad():
            velocity = network((1 - t) * x, told, modes)[:, :1]
        to_data = velocity if name == "SiT" else -velocity
        right = (1 - t) * x + t * to_data
        torch.testing.assert_close(model.denoise(x, sigma, modes), right, rtol=1e-5, atol=1e-5)
        none = model.denoise(x, sigma, torch.full((64,), 2))
        best = (training.exact(x, sigma) - clean).square().mean()
        assert (none - clean).square().mean() < 1.3 * best


@pytest.mark.slow
@pytest.mark.parametrize("images", [96, 0])
def test_the_training_is_found_among_all(files, images):
    found = checked(files["SiT"], {"heads": "4"}, images)
    assert found.verdict == ("passed" if images else "not decided"), [
        c.detail for c in found.checks
    ]
    assert found.answers == ({"training": "SiT"} if images else {})
    assert "training=SiT fits" in found.checks[0].detail


def test_the_path_of_repa_is_found(files):
    """Its file has projectors, so it is none of the others."""
    found = checked(files["REPA"], {"heads": "4"})
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == {"training": "REPA"}


WRONG = ["SiT&half=second", "SiT&sign=1", "REPA", "SiT-GVP", "DiT", "SiT&prediction=x0"]
WRONG += ["SiT&time.scale=-1000&time.offset=1000", "SiT&process.noise_scale=2"]


WRONG_OF_REPA = ["REPA-cosine", "REPA&time.scale=-1&time.offset=1"]


def exact(*, noise_first: bool):
    """The velocity, and in the second half of the channels a number that is none."""

    def path(t):
        share = (t if noise_first else 1 - t).clamp(1e-6, 1 - 1e-6)
        return share, 1 - share

    def output(x, d, alpha, sigma):
        velocity = (d - x) / sigma if noise_first else (x - d) / sigma
        return torch.cat([velocity, 0.1 * velocity.square()], 1)

    return training.Exact(path, output)


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(files):
    networks = {"SiT": exact(noise_first=True), "REPA": exact(noise_first=False)}

    def verdict(name, changes):
        given = dict(part.split("=") for part in f"training={changes}".split("&"))
        spec = specify_checkpoint(open_checkpoint(files[name])).with_settings(
            {"heads": "4", **given}
        )
        return check_checkpoint(spec, networks[name], *training.data(96, 5))

    for name in networks:
        right = verdict(name, name)
        assert right.passed, [c.detail for c in right.checks]
    assert [wrong for wrong in WRONG if verdict("SiT", wrong).passed] == []
    assert [wrong for wrong in WRONG_OF_REPA if verdict("REPA", wrong).passed] == []


def test_heads_that_fit_alike_are_refused_by_name(files):
    found = checked(files["SiT"], {"training": "SiT"})
    assert not found.passed
    assert "heads=4" in found.checks[0].detail
    assert "fit alike" in found.checks[0].detail


def saved(tmp_path, value, name="model.pt"):
    torch.save(value, tmp_path / name)
    return tmp_path / name


@each(
    ("settings", "projectors", "training_of"),
    [
        ({"path_type": "Linear", "prediction": "velocity"}, False, "SiT"),
        ({"path_type": "GVP", "prediction": "velocity"}, False, "SiT-GVP"),
        ({"path_type": "linear", "proj_coeff": 0.5}, False, "REPA"),
        ({"path_type": "cosine"}, True, "REPA-cosine"),
        ({"model": "DiT-XL/2", "image_size": 256, "vae": "ema"}, False, "DiT"),
        ({"path_type": "VP", "prediction": "velocity"}, False, "SiT-VP"),
        ({"path_type": "Linear", "prediction": "image"}, False, None),
    ],
)
def test_dit__the_arguments_of_the_training_decide(tmp_path, settings, projectors, training_of):
    weights = made().state_dict() | ({"projectors.0.0.weight": torch.ones(1)} if projectors else {})
    held = {"ema": weights, "args": argparse.Namespace(**settings)}
    spec = specify_checkpoint(open_checkpoint(saved(tmp_path, held)))
    assert ("training" in spec.open) == (training_of is None)
    if training_of:
        assert spec.source("prediction") == "file"
        assert spec.prediction == dit.TRAININGS[training_of]["prediction"]


@pytest.mark.parametrize("path", ["Linear", "GVP", "VP"])
@pytest.mark.parametrize("prediction", ["noise", "score"])
def test_sit__the_noise_or_its_score_is_read_by_the_arguments(tmp_path, path, prediction):
    held = {"ema": made().state_dict()}
    held["args"] = argparse.Namespace(path_type=path, prediction=prediction)
    model = load(saved(tmp_path, held), {"heads": "4"})
    assert model.spec.source("prediction") == "file"
    clean, z = training.data(3, 1)[0].double(), torch.randn(3, 1, 8, 8, dtype=torch.float64)
    sigma = 0.7
    width = model.process.sigma(model.process.t_of(sigma)) if prediction == "score" else -1.0
    exact = torch.cat([-z / width] * 2, 1)
    model.network = lambda x_t, t, labels: exact
    torch.testing.assert_close(
        model.denoise(clean + sigma * z, sigma, None), clean, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("kind", ["SiT-GVP", "REPA-cosine"])
def test_the_path_on_a_circle(tmp_path, kind):
    """Against the derivative of its own formula."""
    model = load(saved(tmp_path, made().state_dict()), {"training": kind, "heads": "4"})
    clean, z = training.data(3, 1)[0].double(), torch.randn(3, 1, 8, 8, dtype=torch.float64)
    sigma = 0.7
    angle = math.atan(sigma)
    speed = math.pi / 2 * (math.cos(angle) * z - math.sin(angle) * clean)
    seen = []

    def exact(x_t, t, labels):
        seen.append(t)
        velocity = (-speed if kind == "SiT-GVP" else speed).float()
        return torch.cat([velocity, velocity], 1)

    model.network = exact
    torch.testing.assert_close(
        model.denoise(clean + sigma * z, sigma, None), clean, atol=1e-5, rtol=0
    )
    noise = 2 / math.pi * angle
    assert seen[0].tolist() == pytest.approx([1 - noise if kind == "SiT-GVP" else noise] * 3)


def test_the_path_of_a_linear_rate(tmp_path):
    """Against the derivative of its own formula, taken by differences."""
    model = load(saved(tmp_path, made().state_dict()), {"training": "SiT-VP", "heads": "4"})
    clean, z = training.data(3, 1)[0].double(), torch.randn(3, 1, 8, 8, dtype=torch.float64)

    def state(t):  # data at t = 1
        log = -0.25 * (1 - t) ** 2 * 19.9 - 0.5 * (1 - t) * 0.1
        return math.exp(log) * clean + math.sqrt(-math.expm1(2 * log)) * z

    seen = []
    for t in (0.2, 0.9):
        log = -0.25 * (1 - t) ** 2 * 19.9 - 0.5 * (1 - t) * 0.1
        sigma = math.sqrt(math.expm1(-2 * log))
        velocity = (state(t + 1e-5) - state(t - 1e-5)) / 2e-5

        def exact(x_t, told, _, at=t, velocity=velocity):
            seen.append(float(told[0]) - at)
            torch.testing.assert_close(x_t.double(), state(at), rtol=1e-6, atol=1e-6)
            return torch.cat([velocity, velocity], 1)

        model.network = exact
        d = model.denoise(clean + sigma * z, sigma, None)
        torch.testing.assert_close(d, clean, atol=1e-5 * (1 + sigma), rtol=0)
    assert seen == pytest.approx([0, 0], abs=1e-6)


def test_a_path_without_an_end_begins_at_noise_alone(tmp_path):
    """Of noise, SiT is told t = 0 and shown the noise; DiT predicts it, and cannot."""
    path = saved(tmp_path, made().state_dict())
    given = {"heads": "4", "sigma_max": "inf"}
    model = load(path, {"training": "SiT", **given})
    assert (model.infinite, model.sigma_max) == (True, 1e4)
    assert model.identity != load(path, {"training": "SiT", "heads": "4"}).identity
    z, seen = torch.randn(3, 1, 8, 8), []

    def network(x_t, t, labels):
        seen.append((x_t, t))
        return torch.ones(3, 2, 8, 8)

    model.network = network
    torch.testing.assert_close(model.denoise(z, math.inf, None), z + 1)  # u = x0 - z
    assert torch.equal(seen[0][0], z)
    assert seen[0][1].tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="infinite level"):
        load(path, {"training": "DiT", **given})


def test_sizes_and_heads_of_a_published_network_come_from_shapes(tmp_path):
    sizes = {
        "side": 16,
        "in_channels": 4,
        "out_channels": 8,
        "patch": 2,
        "width": 384,
        "labels": 1001,
    }
    held = {f"module.{k}": w for k, w in made(**sizes, heads=6, normed=True).state_dict().items()}
    spec = specify_checkpoint(open_checkpoint(saved(tmp_path, held)))
    assert (spec.event, spec.classes, spec.half, spec.limits) == ((4, 16, 16), 1000, "first", None)
    assert spec.network["arguments"]["heads"] == 6
    assert set(spec.open) == {"training"}
    assert any("latents" in sentence for sentence in spec.evidence)
    spec = spec.with_settings({"training": "DiT"})
    assert (spec.sigma_min, spec.sigma_max) == pytest.approx((0.0100, 157.4), rel=1e-3)


def test_a_wrong_file_is_one_sentence(tmp_path):
    weights = made().state_dict()
    path = saved(tmp_path, weights | {"pos_embed": torch.zeros(1, 5, 64)}, "tokens.pt")
    with pytest.raises(CheckpointError, match=r"has 5 tokens .* which is not DiT's"):
        specify_checkpoint(open_checkpoint(path))
    del weights["blocks.0.attn.qkv.bias"]
    opened = open_checkpoint(saved(tmp_path, weights))
    with pytest.raises(CheckpointError, match=r"missing, such as blocks\.0\.attn\.qkv\.bias"):
        dit.network(specify_checkpoint(opened), opened)


@each(
    ("rows", "settings", "classes", "null"),
    [
        (1000, {}, 1000, False),
        (1001, {}, 1000, True),
        (4, {}, 3, True),
        (4, {"num_classes": 4}, 4, False),
        (4, {"num_classes": 3}, 3, True),
    ],
)
def test_dit__a_training_that_dropped_no_labels_has_a_row_for_each_class(
    tmp_path, rows, settings, classes, null
):
    args = argparse.Namespace(path_type="Linear", **settings)
    torch.save({"ema": made(labels=rows).state_dict(), "args": args}, tmp_path / "a.pt")
    spec = specify_checkpoint(open_checkpoint(tmp_path / "a.pt"))
    assert (spec.classes, spec.null_label) == (classes, null)
