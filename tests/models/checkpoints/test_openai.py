"""U-Nets of OpenAI's libraries: recognised by their weights, and right about what a file leaves open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trained_mixture as training
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.check_cache import has_passed_check
from samplerbench.models.checkpoints.families import openai
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.adm_unet import ADMUNet

SIDE = 4
TRAINED = {
    "in_channels": 1,
    "out_channels": 2,
    "embedding": 32,
    "stem": 64,
    "widths": (64,),
    "blocks": 1,
    "attention": (0,),
    "heads": 4,
}
GIVEN = {"size": str(SIDE), "attention": "4-heads"}
"""What is said to check the schedule alone."""


def kept(schedule: str) -> torch.Tensor:
    """alphas_cumprod of 1000 steps, from the papers' formulas."""
    if schedule == "linear":
        return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    t = torch.arange(1001, dtype=torch.float64) / 1000
    left = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
    return torch.cumprod(1 - (1 - left[1:] / left[:-1]).clamp(max=0.999), 0)


def losses(schedule: str, network: torch.nn.Module):
    """Of the noise in the first half of the channels, and of a variance in the second."""
    table = kept(schedule).float()

    def of(x0, modes, generator):
        count = len(x0)
        n = ((torch.rand(count, generator=generator) + torch.arange(count)) * 1000 / count).long()
        z = torch.randn(x0.shape, generator=generator)
        left = table[n][:, None, None, None]
        x_t = left.sqrt() * x0 + (1 - left).sqrt() * z
        eps, variance = network(x_t, n.float(), None).chunk(2, 1)
        off = (eps.detach() - z).square()
        return (eps - z).square().mean() + 0.1 * (variance - off).square().mean()

    return of


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network trained on each schedule, saved as the libraries save: the second from the first."""
    folder = tmp_path_factory.mktemp("openai")
    torch.manual_seed(0)
    network = ADMUNet(**TRAINED)
    paths = {}
    for schedule, steps in (("linear", 200), ("cosine", 80)):
        weights = training.trained(
            network, losses(schedule, network), steps=steps, rate=4e-3, batch=64, side=SIDE
        )
        paths[schedule] = folder / f"{schedule}_ema_0.9999.pt"
        torch.save(weights, paths[schedule])
        network.load_state_dict(weights)
    return paths


def checked(path, given, images=64):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    clean = training.data(images, 5, SIDE)[0]
    return check_checkpoint(
        spec, openai.network(spec, opened), clean, built=lambda of: openai.network(of, opened)
    )


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_trained_network_denoises_as_the_formula_says(files, schedule):
    model = load(files[schedule], {"schedule": schedule, **GIVEN})
    network = ADMUNet(**TRAINED)
    network.load_state_dict(torch.load(files[schedule], weights_only=True))
    levels = (1 / kept(schedule) - 1).sqrt()
    clean, _ = training.data(64, 9, SIDE)
    for sigma in (float(levels[300]), float(levels[800]), 0.4, 0.1):
        z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        x = clean + sigma * z
        n = (levels.log() - np.log(sigma)).abs().argmin()
        with torch.no_grad():
            eps = network(x / (1 + sigma**2) ** 0.5, n.float().expand(len(x)), None)[:, :1]
        d = model.denoise(x, sigma, None)
        wide = max(sigma, 1)
        torch.testing.assert_close(d / wide, (x - sigma * eps) / wide, rtol=1e-5, atol=1e-5)
        if sigma <= 0.4:
            best = (training.exact(x, sigma) - clean).square().mean()
            assert (d - clean).square().mean() < 1.25 * best


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_schedule_is_found_and_every_usual_mistake_is_worse(files, schedule):
    found = checked(files[schedule], GIVEN)
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == {"schedule": schedule}
    others = {c["settings"]: c["excess"] for c in found.candidates[1:]}
    assert {"half=second", "factor=-1", "prediction=v"} < set(others)
    assert min(others.values()) > 0


def exact(schedule: str) -> training.Exact:
    """The noise, and in the second half of the channels a number that is none."""
    logs = (1 / kept(schedule) - 1).log()

    def path(n):
        below = n.double().clamp(0, 998).floor().long()
        share = (n.double() - below).clamp(0, 1)
        left = torch.sigmoid(-torch.lerp(logs[below], logs[below + 1], share))
        return left.sqrt(), (1 - left).sqrt()

    def output(x, d, alpha, sigma):
        eps = (x - alpha * d) / sigma
        return torch.cat([eps, 0.1 * eps.square()], 1)

    return training.Exact(path, output)


WRONG = [("linear", f"schedule={s}") for s in ("cosine", "linear-4000", "cosine-4000")]
WRONG += [("cosine", f"schedule={s}") for s in ("linear", "linear-4000")]
WRONG += [("linear", "half=second"), ("linear", "sign=-1")]


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(files):
    clean = training.data(64, 5, SIDE)[0]

    def verdict(schedule, changes):
        given = {"schedule": schedule, **GIVEN, **changes}
        spec = specify_checkpoint(open_checkpoint(files[schedule])).with_settings(given)
        return check_checkpoint(spec, exact(schedule), clean)

    for schedule in ("linear", "cosine"):
        right = verdict(schedule, {})
        assert right.passed, [c.detail for c in right.checks]
    passed = [w for w in WRONG if verdict(w[0], dict([w[1].split("=")])).passed]
    assert passed == []


@pytest.mark.slow
def test_check_checkpoint__another_number_of_heads_fails(files):
    assert not checked(
        files["linear"], {"schedule": "linear", **GIVEN, "attention": "1-head"}
    ).passed


@pytest.mark.slow
def test_how_attention_divides_its_channels_is_found(files):
    found = checked(files["linear"], {"schedule": "linear", "size": str(SIDE)})
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == {"attention": "4-heads"}


@pytest.mark.slow
def test_check_model_tells_the_size_by_the_images_and_run_uses_what_it_found(
    files, tmp_path, monkeypatch
):
    monkeypatch.setenv("SAMPLERBENCH_CACHE", str(tmp_path))
    np.save(tmp_path / "images.npy", training.data(64, 5, SIDE)[0].numpy())
    given = f"{files['cosine']}?attention=4-heads&limits=null"
    with pytest.raises(ValueError, match="does not say everything: schedule="):
        load(files["cosine"], {"attention": "4-heads"})
    found = CliRunner().invoke(app, ["check-model", given, "--images", f"{tmp_path}/images.npy"])
    assert found.exit_code == 0, found.output
    answered = {"attention": "4-heads", "schedule": "cosine", "size": str(SIDE)}
    assert has_passed_check(load(files["cosine"], {**answered, "limits": "null"}))
    assert not has_passed_check(load(files["cosine"], {**answered, "limits": "null", "sign": "-1"}))
    outside = CliRunner().invoke(
        app, ["check-model", given.replace("null", "[-1,1]"), "--images", f"{tmp_path}/images.npy"]
    )
    assert outside.exit_code == 1
    assert "FAILED  range: the images go from -" in outside.stdout
    model = load(files["cosine"], {"attention": "4-heads"})
    assert (model.event, model.spec.process["schedule"]) == ((1, SIDE, SIDE), "cosine")


def state(**changes):
    """Weights of a network that was not trained."""
    torch.manual_seed(1)
    return ADMUNet(**{**TRAINED, **changes}).state_dict()


def saved(tmp_path, weights, name="model.pt"):
    torch.save(weights, tmp_path / name)
    return tmp_path / name


LAYOUTS = {
    "improved, CIFAR-10": {
        "in_channels": 3,
        "out_channels": 6,
        "widths": (32, 64, 64, 64),
        "blocks": 2,
        "attention": (1, 2),
        "side": 32,
    },
    "ADM, 64": {
        "in_channels": 3,
        "out_channels": 6,
        "widths": (32, 64, 96, 128),
        "blocks": 1,
        "attention": (1, 2, 3),
        "resample_blocks": True,
        "classes": 10,
        "side": 64,
    },
    "ADM, 512": {
        "in_channels": 3,
        "out_channels": 6,
        "embedding": 64,
        "stem": 32,
        "side": 512,
        "widths": (32, 64, 64, 128, 128, 256, 256),
        "attention": (4, 5, 6),
    },
    "LSUN, additive": {
        "in_channels": 3,
        "out_channels": 3,
        "widths": (32, 32, 64, 64, 128, 128),
        "side": 256,
        "attention": (4, 5),
        "scale_shift": False,
        "resample_blocks": True,
    },
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_sizes_come_from_shapes(tmp_path, name):
    changes = dict(LAYOUTS[name])
    side = changes.pop("side")
    made = ADMUNet(**{**TRAINED, **changes})
    opened = open_checkpoint(saved(tmp_path, {"ema": made.state_dict(), "step": 3}))
    spec = specify_checkpoint(opened)
    assert spec.event == (3, side, side)
    assert spec.half == ("first" if changes["out_channels"] == 6 else "")
    assert spec.classes == changes.get("classes", 0)
    assert ("edm" in spec.open["schedule"]) == (changes["out_channels"] == 3)
    spec = spec.with_settings({"attention": "4-heads"})
    network = openai.network(spec, opened)
    x, t = torch.randn(2, 3, 64, 64), torch.tensor([3.0, 900.0])
    labels = torch.tensor([0, 7]) if spec.classes else None
    with torch.no_grad():
        torch.testing.assert_close(network(x, t, labels), made.eval()(x, t, labels))


def test_convolutions_of_attention_in_two_dimensions_are_the_same(tmp_path):
    weights = state()
    flat = {
        n: w[..., None] if "qkv.weight" in n or "proj_out.w" in n else w for n, w in weights.items()
    }
    models = [
        load(saved(tmp_path, w, f"{i}.pt"), {"schedule": "linear", **GIVEN})
        for i, w in enumerate((weights, flat))
    ]
    x = torch.randn(2, 1, SIDE, SIDE)
    assert torch.equal(*(model.denoise(x, 0.5, None) for model in models))


def test_steps_and_schedules_have_the_levels_of_the_libraries(tmp_path):
    spec = specify_checkpoint(open_checkpoint(saved(tmp_path, state())))
    ends = {k: (v["sigma_min"], v["sigma_max"]) for k, v in spec.open["schedule"].items()}
    assert ends["linear"] == pytest.approx((0.0100, 157.4), rel=1e-3)
    assert ends["cosine"] == pytest.approx((0.0064, 20291), rel=1e-2)
    assert ends["linear-4000"] == pytest.approx((0.0050, 153.4), rel=1e-2)
    assert spec.open["schedule"]["cosine-4000"]["process"]["steps"] == 4000


class Teacher:
    """EDM's F of an exact denoiser, or of another function in its place, told 250 ln(sigma)."""

    def __init__(self, of) -> None:
        self.of = of

    def __call__(self, x_t, told, labels):
        sigma = (told.double() / 250).exp()[:, None, None, None]
        total = (sigma**2 + 0.25).sqrt()
        x = x_t.double() * total
        d = torch.cat([self.of(row[None], float(s)) for row, s in zip(x, sigma, strict=True)])
        return ((d - 0.25 / total**2 * x) * total / (0.5 * sigma)).float()


def asked_of_teacher(tmp_path):
    weights = state(out_channels=1)
    spec = specify_checkpoint(open_checkpoint(saved(tmp_path, weights, "unknown.pt")))
    return spec.with_settings({**GIVEN, "size": "8"})


def test_a_teacher_of_consistency_models_is_told_from_ddpm(tmp_path):
    spec = asked_of_teacher(tmp_path)
    found = check_checkpoint(spec, Teacher(training.exact), training.data(64, 5)[0])
    assert found.answers == {"schedule": "edm"}, [c.detail for c in found.checks]


def test_a_student_is_a_map(tmp_path):
    """Its name says so, or the user; and by another name the check finds out."""
    weights = state(out_channels=1)
    model = load(saved(tmp_path, weights, "cd_imagenet64_l2.pt"), GIVEN)
    told = load(saved(tmp_path, weights), {**GIVEN, "schedule": "edm", "kind": "map"})
    x = torch.randn(2, 1, SIDE, SIDE, dtype=torch.float64)
    assert (model.kind, model.spec.prediction) == ("map", "consistency")
    assert torch.equal(model.denoise(x, 0.002, None), x)
    assert torch.equal(model.denoise(x, 3.0, None), told.denoise(x, 3.0, None))
    mean, width = training.mean(), 0.25
    generator = torch.Generator().manual_seed(1)
    images = mean + width * torch.randn(256, 1, 8, 8, generator=generator)

    def jump(x, sigma):
        return mean + (x - mean) * width / (width**2 + sigma**2) ** 0.5

    spec = asked_of_teacher(tmp_path).with_settings({"schedule": "edm"})
    found = check_checkpoint(spec, Teacher(jump), images)
    assert any("say kind=map" in c.detail for c in found.checks if not c.passed)


def without(name):
    return lambda w: {k: v for k, v in w.items() if not k.startswith(name)}


WRONG_FILES = {
    "classifier": (without("output_blocks."), "is a classifier that guides"),
    "upsampler": (lambda w: state(in_channels=6, out_channels=6), "enlarges images"),
    "channels": (lambda w: state(out_channels=3), "gives 3 channels of 1"),
    "blocks": (without("input_blocks.1."), "lacks blocks"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_one_sentence(tmp_path, name):
    change, said = WRONG_FILES[name]
    path = saved(tmp_path, change(state()))
    with pytest.raises(CheckpointError, match=said) as refused:
        specify_checkpoint(open_checkpoint(path))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_weights_that_do_not_fit_are_one_sentence(tmp_path):
    opened = open_checkpoint(saved(tmp_path, without("out.0.")(state())))
    spec = specify_checkpoint(opened)
    with pytest.raises(CheckpointError, match=r"2 weights are missing, such as out\.0\.weight"):
        openai.network(spec, opened)


def test_images_of_another_size_are_refused(tmp_path):
    spec = replace(asked_of_teacher(tmp_path), open={})
    with pytest.raises(ValueError, match=r"images are of shape \(1, 4, 4\), but the model's are"):
        check_checkpoint(spec, Teacher(training.exact), torch.zeros(4, 1, 4, 4))


def test_openai__4000_steps_told_in_thousandths(tmp_path):
    torch.save(ADMUNet(**TRAINED).state_dict(), tmp_path / "ema.pt")
    given = {"schedule": "cosine-4000", "time.scale": "0.25", **GIVEN}
    model, told = load(tmp_path / "ema.pt", given), []
    assert "time.scale=0.25" in " ".join(model.spec.evidence)

    def network(x_t, t, labels):
        told.append(float(t[0]))
        return x_t.expand(-1, 2, -1, -1)

    model.network = network
    t = np.arange(4001) / 4000
    left = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    kept = np.cumprod(1 - np.minimum(1 - left[1:] / left[:-1], 0.999))
    for n in (1, 2001, 3990):
        model.denoise(torch.ones(1, 1, SIDE, SIDE), float(np.sqrt(1 / kept[n] - 1)), None)
        assert told[-1] == n / 4
