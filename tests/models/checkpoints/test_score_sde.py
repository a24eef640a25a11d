"""NCSN++ and DDPM++ of score_sde: recognised by their list of modules, and told apart by what they do."""

from __future__ import annotations

import math

import pytest
import torch
import trained_mixture as training
from score_sde_files import DDPM, FOURIER, NCSN, SIDE, as_saved
from torch.nn import functional as F

from samplerbench.benchmarks.conformance.models import check_checkpoint
from samplerbench.models.checkpoints.families import score_sde
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint
from samplerbench.models.nets.edm_unets import SongUNet


def training_file(network: SongUNet, arguments: dict, levels: torch.Tensor | None = None) -> dict:
    """What a training saves: the last weights are spoilt, so that the average alone can be right."""
    average = as_saved(network, arguments)
    shadow = [t.clone() for name, t in average.items() if not name.endswith("all_modules.0.W")]
    last = {k: t if k.endswith("all_modules.0.W") else 0 * t for k, t in average.items()}
    held = {"sigmas": levels} if levels is not None else {}
    return {
        "optimizer": {"state": {}},
        "model": {"module.sigmas": levels, **last} if held else last,
        "ema": {"decay": 0.9999, "num_updates": 7, "shadow_params": shadow},
        "step": 7,
    }


def losses_ve(network):
    """Of minus the noise, with data in [0, 1] and what the network is shown in [-1, 1]."""

    def of(x0, _, generator):
        count = len(x0)
        u = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        level = (math.log(0.02) + u * math.log(10 / 0.02)).exp()
        z = torch.randn(x0.shape, generator=generator)
        x = 0.5 * (x0 + 1) + level[:, None, None, None] * z
        return (network(2 * x - 1, level.log()) + z).square().mean()

    return of


def marginal(kind: str, t):
    """alpha and sigma of VP and subVP."""
    integral = 0.5 * 19.9 * t**2 + 0.1 * t
    kept = torch.exp(-integral)
    return kept.sqrt(), (1 - kept).sqrt() if kind == "VP" else 1 - kept


def losses_vp(network, kind):
    def of(x0, _, generator):
        count = len(x0)
        t = (torch.rand(count, generator=generator) + torch.arange(count)) / count
        alpha, sigma = (v[:, None, None, None] for v in marginal(kind, t.clamp(min=1e-3)))
        z = torch.randn(x0.shape, generator=generator)
        return (network(alpha * x0 + sigma * z, 999 * t) - z).square().mean()

    return of


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """NCSN++ trained on the VE process, and DDPM++ on the VP."""
    folder = tmp_path_factory.mktemp("score_sde")
    levels = torch.logspace(1, math.log10(0.02), 1000)
    torch.manual_seed(0)
    exploding = SongUNet(**NCSN)
    weights = training.trained(
        exploding, losses_ve(exploding), steps=150, rate=6e-3, batch=64, side=SIDE
    )
    exploding.load_state_dict(weights)
    torch.save(training_file(exploding, NCSN, levels), folder / "VE.pth")
    torch.manual_seed(0)
    preserving = SongUNet(**DDPM)
    weights = training.trained(
        preserving, losses_vp(preserving, "VP"), steps=250, rate=6e-3, batch=64, side=SIDE
    )
    preserving.load_state_dict(weights)
    torch.save(training_file(preserving, DDPM), folder / "VP.pth")
    return {"VE": (folder / "VE.pth", exploding), "VP": (folder / "VP.pth", preserving)}


def checked(path, given, images=64):
    opened = open_checkpoint(path)
    spec = specify_checkpoint(opened).with_settings(given)
    clean = training.data(images, 5, SIDE)[0]
    clean = 0.5 * (clean + 1) if spec.limits == (0.0, 1.0) else clean
    return check_checkpoint(
        spec,
        score_sde.network(spec, opened),
        clean,
        built=lambda of: score_sde.network(of, opened),
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["VE", "VP"])
def test_a_trained_network_denoises_as_the_formula_says(files, kind):
    path, network = files[kind]
    model = load(path, {"size": str(SIDE), **({"training": "VP"} if kind == "VP" else {})})
    assert (model.spec.weights["entry"], model.limits) == (
        "ema",
        (0.0, 1.0) if kind == "VE" else (-1.0, 1.0),
    )
    clean = training.data(64, 9, SIDE)[0]
    for sigma in (2.0, 0.4, 0.1):
        z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
        if kind == "VE":
            x = 0.5 * (clean + 1) + sigma * z
            with torch.no_grad():
                score = network(2 * x - 1, torch.full((64,), math.log(sigma))) / sigma
            right = x + sigma**2 * score
            best = 0.5 * (training.exact(2 * x - 1, 2 * sigma) + 1)
        else:
            x = clean + sigma * z
            t = (math.sqrt(0.1**2 + 2 * 19.9 * math.log1p(sigma**2)) - 0.1) / 19.9
            alpha, std = marginal("VP", torch.tensor(t, dtype=torch.float64))
            with torch.no_grad():
                score = -network(x * float(alpha), torch.full((64,), 999 * t)) / float(std)
            right = x + sigma**2 * float(alpha) * score
            best = training.exact(x, sigma)
        d = model.denoise(x, sigma, None)
        torch.testing.assert_close(d, right, rtol=1e-5, atol=1e-5)
        told = 0.5 * (clean + 1) if kind == "VE" else clean
        if sigma <= 0.4:
            assert (d - told).square().mean() < 1.3 * (best - told).square().mean()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "answer"), [("VE", {}), ("VP", {"training": "VP"})])
def test_the_process_is_found(files, kind, answer):
    found = checked(files[kind][0], {"size": str(SIDE)})
    assert found.passed, [c.detail for c in found.checks]
    assert found.answers == answer


WRONG = [("VE", "sign=1"), ("VE", "time.scale=0.25"), ("VE", "prediction=score")]
WRONG += [("VP", "training=subVP"), ("VP", "training=VE-1000"), ("VP", "training=VP&sign=-1")]
WRONG += [("VP", "training=VP&time.scale=1"), ("VP", "training=VP&prediction=v")]


def exact_ve():
    """Minus the noise of data in [0, 1], which are those of the mixture in [-1, 1]."""
    shown = training.Exact(
        lambda t: (torch.ones_like(t), 2 * t.exp()), lambda x, d, alpha, sigma: (d - x) / sigma
    )
    return lambda x, t, labels=None: shown(2 * x - 1, t, labels)


def exact_vp():
    return training.Exact(
        lambda t: marginal("VP", t.double() / 999),
        lambda x, d, alpha, sigma: (x - alpha * d) / sigma,
    )


@pytest.mark.slow
def test_check_checkpoint__wrong_settings_fail(files):
    networks = {"VE": exact_ve(), "VP": exact_vp()}
    clean = training.data(96, 5, SIDE)[0]
    images = {"VE": 0.5 * (clean + 1), "VP": clean}

    def verdict(kind, changes):
        given = {"size": str(SIDE), **dict(part.split("=") for part in changes.split("&"))}
        spec = specify_checkpoint(open_checkpoint(files[kind][0])).with_settings(given)
        return check_checkpoint(spec, networks[kind], images[kind])

    for kind, right in (("VE", "sign=-1"), ("VP", "training=VP")):
        found = verdict(kind, right)
        assert found.passed, [c.detail for c in found.checks]
    assert [wrong for wrong in WRONG if verdict(*wrong).passed] == []


@pytest.mark.slow
def test_check_checkpoint__the_last_weights_fail_where_the_average_is_right(files):
    given = {"size": str(SIDE), "weights.entry": "model"}
    assert not checked(files["VE"][0], given).passed


def in_order(saved: dict, x: torch.Tensor, told: torch.Tensor, taps, shown: str, skips: bool):
    """The network as its list of modules is run: an oracle that knows nothing of ours.

    Args:
        saved: a training's ``model``.
        x, told: image and time.
        taps: of the filter with which the resolution changes.
        shown: ``residual`` or ``skip``, how smaller images are shown to it, or "".
        skips: whether images of all resolutions are added up.
    """
    at = {}
    for name, tensor in saved.items():
        number, _, part = name.removeprefix("module.all_modules.").partition(".")
        at.setdefault(int(number), {})[part] = tensor
    modules = [at[n] for n in sorted(at)]
    row = torch.tensor(taps, dtype=x.dtype)
    kernel = row[:, None] * row / row.sum() ** 2
    reach = (len(taps) - 1) // 2

    def norm(h, m, name=""):
        w, b = m[f"{name}weight"], m[f"{name}bias"]
        return F.group_norm(h, min(len(w) // 4, 32), w, b, 1e-6)

    def half(h):
        each = kernel.expand(h.shape[1], 1, -1, -1)
        return F.conv2d(h, each, stride=2, padding=reach, groups=h.shape[1])

    def twice(h):
        wide = torch.zeros(*h.shape[:2], 2 * h.shape[2], 2 * h.shape[3])
        wide[:, :, ::2, ::2] = h
        wide = F.pad(wide, (reach + 1, reach, reach + 1, reach))
        return F.conv2d(wide, 4 * kernel.expand(h.shape[1], 1, -1, -1), groups=h.shape[1])

    def block(h, m, change=None):
        a = F.silu(norm(h, m, "GroupNorm_0."))
        a, h = (change(a), change(h)) if change else (a, h)
        a = F.conv2d(a, m["Conv_0.weight"], m["Conv_0.bias"], padding=1)
        a = a + F.linear(F.silu(emb), m["Dense_0.weight"], m["Dense_0.bias"])[:, :, None, None]
        a = F.silu(norm(a, m, "GroupNorm_1."))
        a = F.conv2d(a, m["Conv_1.weight"], m["Conv_1.bias"], padding=1)
        if "Conv_2.weight" in m:
            h = F.conv2d(h, m["Conv_2.weight"], m["Conv_2.bias"])
        return (h + a) / math.sqrt(2)

    def attended(h, m):
        n = norm(h, m, "GroupNorm_0.").flatten(2)
        q, k, v = (
            torch.einsum("bcs,cd->bds", n, m[f"NIN_{i}.W"]) + m[f"NIN_{i}.b"][:, None]
            for i in range(3)
        )
        weight = (torch.einsum("bcs,bct->bst", q, k) / math.sqrt(h.shape[1])).softmax(-1)
        mixed = torch.einsum("bst,bct->bcs", weight, v)
        out = torch.einsum("bcs,cd->bds", mixed, m["NIN_3.W"]) + m["NIN_3.b"][:, None]
        return (h + out.reshape(h.shape)) / math.sqrt(2)

    def image_of(h, m, c):
        return F.conv2d(F.silu(norm(h, m)), c["weight"], c["bias"], padding=1)

    todo = list(modules)
    if "W" in todo[0]:
        angle = told[:, None] * todo.pop(0)["W"] * 2 * math.pi
        emb = torch.cat([angle.sin(), angle.cos()], 1)
    else:
        count = todo[0]["weight"].shape[1] // 2
        angle = told[:, None] * torch.exp(-math.log(1e4) * torch.arange(count) / (count - 1))
        emb = torch.cat([angle.sin(), angle.cos()], 1)
    for i in range(2):
        m = todo.pop(0)
        emb = F.linear(F.silu(emb) if i else emb, m["weight"], m["bias"])
    m = todo.pop(0)
    kept, image, h = [], x, F.conv2d(x, m["weight"], m["bias"], padding=1)
    for level in range(2):
        kept.append(h)
        h = block(h, todo.pop(0))
        if "NIN_0.W" in todo[0] and level:
            h = attended(h, todo.pop(0))
        kept.append(h)
        if level == 0:
            h = block(h, todo.pop(0), half)
            if shown == "skip":
                image, m = half(image), todo.pop(0)
                h = h + F.conv2d(image, m["Conv_0.weight"], m["Conv_0.bias"])
            if shown == "residual":
                m = todo.pop(0)
                wide = F.pad(image, (2, 2, 2, 2))
                wide = F.conv2d(wide, kernel.expand(x.shape[1], 1, -1, -1), groups=x.shape[1])
                image = F.conv2d(wide, m["Conv2d_0.weight"], m["Conv2d_0.bias"], stride=2)
                h = image = (image + h) / math.sqrt(2)
    h = block(h, todo.pop(0))
    h = block(attended(h, todo.pop(0)), todo.pop(0))
    total = 0
    for level in (1, 0):
        for _ in range(2):
            h = block(torch.cat([h, kept.pop()], 1), todo.pop(0))
        if level:
            h = attended(h, todo.pop(0))
        if skips or level == 0:
            here = image_of(h, todo.pop(0), todo.pop(0))
            total = here + (twice(total) if skips and level == 0 else total)
        if level:
            h = block(h, todo.pop(0), twice)
    assert not todo
    assert not kept
    return total


SHAPES = {
    "DDPM++": ({"resample_filter": [1, 1]}, "", False),
    "NCSN++": ({**FOURIER, "encoder_type": "residual"}, "residual", False),
    "NCSN++ of 256": (
        {**FOURIER, "encoder_type": "skip", "decoder_type": "skip"},
        "skip",
        True,
    ),
}


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_list_of_modules_run_in_its_own_order_gives_the_same(tmp_path, name):
    changes, shown, skips = SHAPES[name]
    arguments = {**DDPM, "channel_mult": [1, 2], "model_channels": 16, "img_resolution": 32}
    arguments |= {"resample_filter": [1, 3, 3, 1], "attn_resolutions": [16], **changes}
    torch.manual_seed(1)
    network = SongUNet(**arguments).requires_grad_(False)
    saved = as_saved(network, arguments)
    torch.save({"model": saved}, tmp_path / "checkpoint.pth")
    opened = open_checkpoint(tmp_path / "checkpoint.pth")
    spec = specify_checkpoint(opened)
    assert spec.event == (1, 32, 32)  # it attends at half of the side, and published ones at 16
    asked = {"filter", "training"} - ({"training"} if "fourier" in str(arguments) else set())
    asked -= {"filter"} if shown == "residual" else set()
    assert set(spec.open) == asked
    given = {"filter": "box" if name == "DDPM++" else "smooth", "training": "VP"}
    spec = spec.with_settings({k: given[k] for k in spec.open})
    made = score_sde.network(spec, opened)
    made = made.network if spec.limits == (0.0, 1.0) else made
    x, told = torch.randn(2, 1, 32, 32), torch.tensor([0.3, -1.2])
    right = in_order(saved, x, told, arguments["resample_filter"], shown, skips)
    torch.testing.assert_close(made(x, told), right, rtol=1e-5, atol=1e-5)


def test_levels_of_the_file_are_those_of_the_process(files):
    spec = specify_checkpoint(open_checkpoint(files["VE"][0]))
    assert (spec.sigma_min, spec.sigma_max) == pytest.approx((0.02, 10.0), rel=1e-4)
    assert (spec.prediction, spec.factor, dict(spec.time)) == ("eps", -1.0, {"of": "log_level"})


@pytest.mark.parametrize("training_of", ["VP", "subVP", "VE-1000"])
def test_the_ends_are_those_of_the_library_samplers(files, training_of):
    """VP stops at t = 1e-3; numbers of levels count from the highest."""
    model = load(files["VP"][0], {"training": training_of, "size": str(SIDE)})
    if training_of == "VE-1000":
        ends = model.time.network_input(
            torch.zeros(2).numpy(), torch.tensor([50.0, 0.01]).double().numpy()
        )
        assert ends.tolist() == pytest.approx([0, 999], abs=1e-5)
        return
    for sigma, t in ((model.sigma_min, 1e-3), (model.sigma_max, 1.0)):
        alpha, std = marginal(training_of, torch.tensor(t, dtype=torch.float64))
        assert sigma == pytest.approx(float(std / alpha), rel=1e-4)


def test_a_wrong_file_is_one_sentence(files, tmp_path):
    def saved(value):
        torch.save(value, tmp_path / "wrong.pth")
        return open_checkpoint(tmp_path / "wrong.pth")

    whole = torch.load(files["VP"][0], weights_only=True)
    short = {**whole, "ema": {"shadow_params": whole["ema"]["shadow_params"][:-1]}}
    with pytest.raises(CheckpointError, match="average of its weights is of another network"):
        specify_checkpoint(saved(short))
    old = {**whole["model"], "module.all_modules.6.NIN_0.W": torch.zeros(32, 32)}
    with pytest.raises(CheckpointError, match="older network"):
        specify_checkpoint(saved({"model": old}))
    cut = {k: v for k, v in whole["model"].items() if "all_modules.12." not in k}
    with pytest.raises(CheckpointError, match="not in the order"):
        score_sde.network(specify_checkpoint(saved({"model": cut})), saved({"model": cut}))
