"""Networks of diffusers, trained here for seconds on data whose exact denoiser is known, and read
from their folders alone.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from samplerbench.benchmarks.conformance.models.checking import check_checkpoint
from samplerbench.models.checkpoints.families.diffusers import network, recognise
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

SIZE, BATCH, SPREAD = 4, 64, 0.2
BETAS = {"num_train_timesteps": 100, "beta_start": 1e-3, "beta_end": 0.06, "clip_sample": False}
ALPHAS = torch.cumprod(1 - torch.linspace(1e-3, 0.06, 100, dtype=torch.float64), 0)
LEVELS = ((1 - ALPHAS) / ALPHAS).sqrt()
UNET = {
    "block_out_channels": (16,), "down_block_types": ("DownBlock2D",), "layers_per_block": 1,
    "up_block_types": ("UpBlock2D",), "norm_num_groups": 4, "add_attention": False,
    "sample_size": SIZE, "in_channels": 1, "out_channels": 1,
}  # fmt: skip
DIT = {
    "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1, "sample_size": SIZE,
    "in_channels": 1, "out_channels": 2, "patch_size": 2, "num_embeds_ada_norm": 2,
}  # fmt: skip


def centres() -> Tensor:
    """Two images: bright on the left, and bright above."""
    left = torch.full((1, SIZE, SIZE), -0.5, dtype=torch.float64)
    left[:, :, : SIZE // 2] = 0.5
    return torch.stack([left, left.mT])


def drawn(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images about one of the two centres, and which."""
    of = torch.randint(2, (count,), generator=generator)
    noise = torch.randn(count, 1, SIZE, SIZE, generator=generator)
    return centres()[of].float() + SPREAD * noise, of


def exact(x: Tensor, sigma: float, of: Tensor | None) -> Tensor:
    """E[x0 | x] of that mixture, or of the component that a label names."""
    total = SPREAD**2 + sigma**2
    means = centres()[None] + (SPREAD**2 / total) * (x[:, None] - centres()[None])
    if of is not None:
        return means[torch.arange(len(x)), of]
    far = (x[:, None] - centres()[None]).square().sum((2, 3, 4))
    weight = torch.softmax(-far / (2 * total), 1)
    return (weight[:, :, None, None, None] * means).sum(1)


class Kind(NamedTuple):
    """A way to train: the scheduler, and, as the library's documentation says it, what the network
    sees, is told and predicts at levels sigma; and d of its output p.
    """

    scheduler: Callable[[], object]
    seen: Callable[[Tensor], Tensor]
    told: Callable[[Tensor], Tensor]
    target: Callable[[Tensor, Tensor, Tensor], Tensor]
    solved: Callable[[Tensor, Tensor, Tensor], Tensor]


def table_time(sigma: Tensor) -> Tensor:
    return (sigma[:, None] - LEVELS.to(sigma)).abs().argmin(1).to(sigma)


def vp(sigma: Tensor) -> Tensor:
    return 1 / (1 + sigma**2).sqrt()


def edm(sigma: Tensor) -> Tensor:
    return 1 / (0.25 + sigma**2).sqrt()


KINDS = {
    "eps": Kind(
        lambda: diffusers.DDPMScheduler(**BETAS),
        vp,
        table_time,
        lambda x0, z, s: z,
        lambda x, p, s: x - s * p,
    ),
    "v": Kind(
        lambda: diffusers.DDIMScheduler(prediction_type="v_prediction", **BETAS),
        vp,
        table_time,
        lambda x0, z, s: (z - s * x0) * vp(s),
        lambda x, p, s: x / (1 + s**2) - s * p / (1 + s**2).sqrt(),
    ),
    "flow": Kind(
        lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        lambda s: 1 / (1 + s),
        lambda s: 1000 * s / (1 + s),
        lambda x0, z, s: z - x0,
        lambda x, p, s: (x - s * p) / (1 + s),
    ),
    "edm": Kind(
        lambda: diffusers.EDMEulerScheduler(prediction_type="v_prediction"),
        edm,
        lambda s: s.log() / 4,
        lambda x0, z, s: (0.25 * (x0 + s * z) * edm(s) ** 2 - x0) / (0.5 * s * edm(s)),
        lambda x, p, s: 0.25 * edm(s) ** 2 * x - 0.5 * s * edm(s) * p,
    ),
}


def column(sigma: Tensor) -> Tensor:
    return sigma[:, None, None, None]


def trained(
    net: torch.nn.Module, kind: Kind, classes: int = 0, steps: int | None = None
) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    steps = steps or (400 if classes else 200)
    optimiser = torch.optim.Adam(net.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, steps, pct_start=0.1)
    for _ in range(steps):
        x0, of = drawn(BATCH, generator)
        if classes:  # a tenth of the labels is left out
            of[torch.rand(BATCH, generator=generator) < 0.1] = classes
        sigma = LEVELS[torch.randint(100, (BATCH,), generator=generator)].float()
        s, z = column(sigma), torch.randn(x0.shape, generator=generator)
        labels = {"class_labels": of} if classes else {}
        seen = kind.seen(s) * (x0 + s * z)
        p = net(seen, timestep=kind.told(sigma), return_dict=False, **labels)[0]
        loss = (p[:, :1] - kind.target(x0, z, s)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return net.eval()


Folder = tuple[Kind, torch.nn.Module, Path]


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Callable[[str], Folder]:
    """Pipelines of each of the kinds, saved by the library; trained when asked for."""

    @functools.cache
    def folder(name: str) -> Folder:
        torch.manual_seed(0)
        kind, path = KINDS[name], tmp_path_factory.mktemp(name)
        net = trained(diffusers.UNet2DModel(**UNET), kind)
        diffusers.DDPMPipeline(net, kind.scheduler()).save_pretrained(path)
        return kind, net, path

    return folder


@pytest.fixture(scope="session")
def dit(tmp_path_factory) -> tuple[torch.nn.Module, Path]:
    """A DiT of two classes that learned a variance too, with a decoder."""
    torch.manual_seed(0)
    net = trained(diffusers.DiTTransformer2DModel(**DIT), KINDS["eps"], classes=2)
    vae = diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=4, latent_channels=1)
    path = tmp_path_factory.mktemp("dit")
    diffusers.DiTPipeline(net, vae, KINDS["eps"].scheduler()).save_pretrained(path)
    return net, path


def noisy(sigma: float, count: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """Clean images in float64, the same with noise, and their classes."""
    generator = torch.Generator().manual_seed(2)
    x0, of = drawn(count, generator)
    noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    return x0.double(), x0.double() + sigma * noise, of


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("at", [5, 30, 60])
def test_the_map_is_the_networks_own_and_it_denoises(folders, name, at):
    kind, net, path = folders(name)
    model, sigma = load(path, {}), LEVELS[at].item()
    x0, x, _ = noisy(sigma)
    d = model.denoise(x, sigma, None)
    s = torch.full((len(x),), sigma, dtype=torch.float64)
    with torch.no_grad():
        seen = (kind.seen(column(s)) * x).float()
        p = net(seen, timestep=kind.told(s).float(), return_dict=False)[0].double()
    assert (d - kind.solved(x, p, column(s))).abs().max() < 1e-5
    best = (exact(x, sigma, None) - x0).square().mean()
    assert (d - x0).square().mean() < 1.25 * best
    wrong = load(path, {"sign": str(-model.spec.factor)})
    assert (wrong.denoise(x, sigma, None) - x0).square().mean() > 2 * best


def test_between_the_times_of_the_table(folders):
    """At the nearest, unless a user says otherwise."""
    path = folders("eps")[2]
    sigma = (LEVELS[30] * LEVELS[31]).sqrt().item() * 1.001
    x, told = noisy(sigma, 4)[1], []
    for settings in ({}, {"snap": ""}):
        model = load(path, settings)
        handle = model.network.register_forward_pre_hook(lambda _, args: told.append(args[1]))
        model.denoise(x, sigma, None)
        handle.remove()
    assert told[0].tolist() == [31.0] * 4
    assert ((told[1] > 30.5) & (told[1] < 30.6)).all()


def test_the_check_finds_the_sign_of_edm(folders):
    opened = open_checkpoint(folders("edm")[2])
    spec = recognise(opened)
    assert spec.factor == -1
    images = noisy(1.0)[0]
    assert check_checkpoint(spec, network(spec, opened), images).passed
    wrong = check_checkpoint(spec.with_settings({"sign": "1"}), network(spec, opened), images)
    assert next(check.name for check in wrong.checks if not check.passed) == "usual mistakes"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("eps", {"factor=-1", "prediction=v", "process.schedule=scaled_linear"}),
        ("v", {"factor=-1", "prediction=eps", "process.schedule=scaled_linear"}),
        ("flow", {"factor=-1", "time.scale=-1000&time.offset=1000", "process.noise_scale=2"}),
    ],
)
def test_the_check_passes_and_finds_every_usual_mistake_worse(folders, name, wrong):
    opened = open_checkpoint(folders(name)[2])
    spec = recognise(opened)
    found = check_checkpoint(spec, network(spec, opened), noisy(1.0, 64)[0])
    assert found.passed, [check.detail for check in found.checks]
    excess = {c["settings"]: c["excess"] for c in found.candidates[1:]}
    assert min(excess[settings] for settings in wrong) > 0.1


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_dit_takes_labels_and_its_first_half(dit, label):
    net, path = dit
    model, sigma = load(path, {}), LEVELS[20].item()
    assert (model.event, model.decoded_event) == ((1, SIZE, SIZE), (3, SIZE, SIZE))
    x0, x, of = noisy(sigma)
    given = of if label < 2 else torch.full_like(of, 2)
    d = model.denoise(x, sigma, given)
    with torch.no_grad():
        seen, time = (x / math.sqrt(1 + sigma**2)).float(), torch.full((len(x),), 20)
        p = net(seen, timestep=time, class_labels=given, return_dict=False)[0][:, :1].double()
    assert (d - (x - sigma * p)).abs().max() < 1e-5
    best = (exact(x, sigma, of if label < 2 else None) - x0).square().mean()
    assert (d - x0).square().mean() < 1.25 * best
    assert set(model.draw_labels(torch.arange(50), 0).tolist()) == {0, 1}


def test_early_layouts_and_pickles_are_the_same_model(folders, tmp_path):
    _, net, path = folders("eps")
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    index = {"_class_name": "DDPMPipeline", **parts}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for part in ("unet/config.json", "scheduler/scheduler_config.json"):
        (tmp_path / part.partition("/")[2]).write_text((path / part).read_text())
    torch.save(net.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    x = noisy(1.0, 4)[1]
    d = load(path, {}).denoise(x, 1.0, None)
    assert torch.equal(load(tmp_path, {}).denoise(x, 1.0, None), d)
    (tmp_path / "model_index.json").unlink()  # the network alone, beside its scheduler
    assert torch.equal(load(tmp_path, {}).denoise(x, 1.0, None), d)


def test_early_names_of_attention_weights_are_understood(tmp_path):
    blocks = {"down_block_types": ("AttnDownBlock2D",), "up_block_types": ("AttnUpBlock2D",)}
    net = diffusers.UNet2DModel(**UNET | blocks).eval()
    net.save_config(tmp_path)
    (tmp_path / "scheduler_config.json").write_text('{"_class_name": "DDPMScheduler"}')
    early = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = net.state_dict()
    for new, old in early.items():
        weights = {name.replace(new, old): tensor for name, tensor in weights.items()}
    assert any("query" in name for name in weights)
    torch.save(weights, tmp_path / "diffusion_pytorch_model.bin")
    x, t = torch.randn(2, 1, SIZE, SIZE), torch.full((2,), 5.0)
    with torch.no_grad():
        assert torch.equal(load(tmp_path, {}).network(x, t, None), net(x, t).sample)


def test_weights_that_are_damaged_or_of_another_network_are_refused(folders, tmp_path):
    kind, net, _ = folders("eps")
    diffusers.DDPMPipeline(net, kind.scheduler()).save_pretrained(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"cannot read .*safetensors .*download it again"):
        load(tmp_path, {})
    weights.write_bytes(whole)
    config = tmp_path / "unet" / "config.json"
    told = json.loads(config.read_text())
    for change in ({"layers_per_block": 2}, {"block_out_channels": [8]}):
        config.write_text(json.dumps(told | change))
        with pytest.raises(CheckpointError, match=r"safetensors"):
            load(tmp_path, {})


class Runs:
    """Leaves a file where it is unpickled by anybody who executes it."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


def test_code_among_the_weights_does_not_run(folders, tmp_path):
    kind, net, _ = folders("eps")
    diffusers.DDPMPipeline(net, kind.scheduler()).save_pretrained(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    code = {**net.state_dict(), "more": Runs(tmp_path / "made")}
    torch.save(code, tmp_path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"a pickle with code: it names posix\.system"):
        load(tmp_path, {})
    assert not (tmp_path / "made").exists()


def test_half_precision_is_read_as_single(folders, tmp_path):
    kind, _, path = folders("eps")
    half = diffusers.UNet2DModel.from_pretrained(path / "unet", low_cpu_mem_usage=False).half()
    diffusers.DDPMPipeline(half, kind.scheduler()).save_pretrained(tmp_path, variant="fp16")
    model, x = load(tmp_path, {}), noisy(1.0, 4)[1]
    assert model.spec.weights["variant"] == "fp16"
    assert (model.denoise(x, 1.0, None) - load(path, {}).denoise(x, 1.0, None)).abs().max() < 0.02
    assert next(model.to("cpu").network.parameters()).dtype == torch.float32
