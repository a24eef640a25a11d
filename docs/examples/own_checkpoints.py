"""Three checkpoints as people have them: an EDM pickle, a folder of diffusers, a file of torchcfm.

Small networks, trained here for minutes on one core on images that ship with the package, and
written in the layouts of three libraries, so that everything that takes a checkpoint can be tried,
and measured, without a download:

    OMP_NUM_THREADS=1 python docs/examples/own_checkpoints.py --out runs/own-checkpoints
    samplerbench check-model runs/own-checkpoints/edm.pkl --images runs/own-checkpoints/fashion-14.npz
    samplerbench check-model runs/own-checkpoints/ddpm --images runs/own-checkpoints/fashion-16.npz
    samplerbench check-model "runs/own-checkpoints/flow.pt?size=8&attention=1-head" --images runs/own-checkpoints/digits-8.npz

``ddpm`` needs diffusers, to train and to read. The weights are the same whenever it is run on the same
machine with one thread, and it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import math
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from samplerbench.models.cards.card import load_card
from samplerbench.models.checkpoints.checkpoint_denoiser import OneHot
from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.models.nets.edm_unets import SongUNet
from samplerbench.models.nets.unet import EDMPrecond, edm_loss
from samplerbench_studies.training.loop import Optimisation, epoch_rows, fit, step_generator

SONG = {
    "img_resolution": 14, "in_channels": 1, "out_channels": 1, "label_dim": 10,
    "model_channels": 16, "channel_mult": [1, 2], "channel_mult_emb": 2, "num_blocks": 1,
    "attn_resolutions": [7], "dropout": 0.0, "label_dropout": 0.1,
}  # fmt: skip
SIGMA_DATA = 0.5
DDPM = {
    "sample_size": 16, "in_channels": 1, "out_channels": 1, "block_out_channels": (16, 32, 32),
    "layers_per_block": 1, "down_block_types": ("DownBlock2D",) * 3,
    "up_block_types": ("UpBlock2D",) * 3, "norm_num_groups": 4, "attention_head_dim": 32,
}  # fmt: skip
FLOW = {
    "in_channels": 1, "out_channels": 1, "embedding": 32, "stem": 32, "widths": (32, 32),
    "blocks": 1, "attention": (1,), "heads": 1,
}  # fmt: skip


def fashion() -> tuple[Tensor, Tensor]:
    """The 2 500 images of Fashion-MNIST that ship with ``fashion-kde`` and their mirror images, at half the
    resolution: ``(5000, 1, 14, 14)`` in [-1, 1], and classes.
    """
    stored = load_card("fashion-kde").tensors()
    images = avg_pool2d(stored["pixels"].float() / 127.5 - 1, 2)
    return torch.cat([images, images.flip(3)]), stored["labels"].long().repeat(2)


def fashion_of_16() -> tuple[Tensor, Tensor]:
    """The same with a black margin, ``(5000, 1, 16, 16)``."""
    images, labels = fashion()
    return pad(images, (1, 1, 1, 1), value=-1.0), labels


def digits() -> tuple[Tensor, Tensor]:
    """The 1 797 digits that ship with ``digits-cloud``: ``(1797, 1, 8, 8)`` in [-1, 1], and classes."""
    stored = load_card("digits-cloud").tensors()
    return stored["pixels"].float() / 8 - 1, stored["labels"].long()


Batch = tuple[Tensor, Tensor, torch.Generator]
Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Example:
    """How a checkpoint is made.

    Attributes:
        data: gives images and classes.
        images: file of these, for ``check-model``.
        network: the raw one, freshly initialised.
        loss: of a network on images, classes and the generator of all noise.
        write: the averaged network into a folder; returns what ``--model`` takes.
        steps: of training.
        rate: steps a minute of one free core, about.
    """

    data: Callable[[], tuple[Tensor, Tensor]]
    images: str
    network: Callable[[], nn.Module]
    loss: Loss
    write: Callable[[nn.Module, Path], Path]
    steps: int
    rate: int


def spread(n: int, generator: torch.Generator) -> Tensor:
    """Numbers that are evenly spread in [0, 1), ``(n,)``, in random places of n cells."""
    return (torch.rand(n, generator=generator) + torch.arange(n)) / n


def loss_of_edm(net: nn.Module, batch: Batch) -> Tensor:
    """EDM's, with a tenth of the classes left out."""
    images, labels, generator = batch
    left_out = torch.rand(len(images), generator=generator) < SONG["label_dropout"]
    told = torch.where(left_out, SONG["label_dim"], labels)
    model = EDMPrecond(OneHot(net, SONG["label_dim"]), SIGMA_DATA)
    return edm_loss(model, images, told, p_mean=-1.2, p_std=1.4, generator=generator)


def scheduler() -> Any:
    """Of Ho et al. 2020 (arXiv:2006.11239): 1000 linear betas, the noise predicted."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", clip_sample=False)


def unet() -> nn.Module:
    """A U-Net of diffusers.

    Raises:
        SystemExit: diffusers is not installed.
    """
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise SystemExit(
            "ddpm needs diffusers; pip install diffusers, or leave it out with --only"
        ) from error
    return UNet2DModel(**DDPM)


def loss_of_ddpm(net: nn.Module, batch: Batch) -> Tensor:
    """The error of the noise, at all times alike."""
    images, _, generator = batch
    kept = scheduler().alphas_cumprod
    t = (spread(len(images), generator) * len(kept)).long()
    noise = torch.randn(images.shape, generator=generator)
    at = kept[t][:, None, None, None]
    seen = at.sqrt() * images + (1 - at).sqrt() * noise
    return (net(seen, t, return_dict=False)[0] - noise).square().mean()


def loss_of_flow(net: nn.Module, batch: Batch) -> Tensor:
    """The error of the velocity from noise at t = 0 to data at t = 1, at all times alike (Lipman et al.
    2023, arXiv:2210.02747).
    """
    images, _, generator = batch
    t = spread(len(images), generator)
    noise = torch.randn(images.shape, generator=generator)
    at = t[:, None, None, None]
    return (net(at * images + (1 - at) * noise, t, None) - (images - noise)).square().mean()


class Persisted:
    """Stands for an object of NVIDIA's ``torch_utils.persistence`` where it is pickled."""

    def __init__(self, meta: dict[str, Any]) -> None:
        self.meta = meta

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconstruct_persistent_obj, (self.meta,)


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> Persisted:
    return Persisted(meta)


def persisted(net: nn.Module, name: str = "", given: dict[str, Any] | None = None) -> Any:
    """A network as the library's class ``name``, with the arguments that it was made with."""
    state = {
        "training": False,
        "_parameters": OrderedDict(net._parameters),
        "_buffers": OrderedDict(net._buffers),
        "_modules": OrderedDict((k, persisted(m)) for k, m in net._modules.items() if m),
    }
    if isinstance(net, nn.ModuleDict):  # torch's own classes are pickled by name
        plain = nn.ModuleDict.__new__(nn.ModuleDict)
        plain.__dict__.update(state)
        return plain
    state |= {"_init_args": (), "_init_kwargs": given} if given is not None else {}
    meta = {"type": "class", "version": 6, "module_src": "# the library's source\n", "state": state}
    return Persisted({**meta, "class_name": name or type(net).__name__})


class Around(nn.Module):
    """The place of the network in a preconditioning of the library."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


def write_edm(net: nn.Module, folder: Path) -> Path:
    """A network-snapshot of NVIDIA's training, ``edm.pkl``."""
    outer = {k: v for k, v in SONG.items() if k not in ("in_channels", "out_channels")}
    outer |= {"img_channels": 1, "use_fp16": False, "model_type": "SongUNet"}
    outer |= {"sigma_min": 0, "sigma_max": math.inf, "sigma_data": SIGMA_DATA}
    whole = persisted(Around(net), "EDMPrecond", outer)
    whole.meta["state"]["_modules"]["model"] = persisted(net, "SongUNet", SONG)
    library = types.ModuleType("torch_utils.persistence")
    library._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    _reconstruct_persistent_obj.__module__ = library.__name__
    modules = {"torch_utils": types.ModuleType("torch_utils"), library.__name__: library}
    path = folder / "edm.pkl"
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps({"ema": whole, "loss_fn": None, "dataset_kwargs": {}}))
    finally:
        for name in modules:
            del sys.modules[name]
    return path


def write_ddpm(net: nn.Module, folder: Path) -> Path:
    """A folder of a ``DDPMPipeline``, ``ddpm``."""
    from diffusers import DDPMPipeline

    path = folder / "ddpm"
    DDPMPipeline(unet=net, scheduler=scheduler()).save_pretrained(path)
    return path


def write_flow(net: nn.Module, folder: Path) -> Path:
    """What torchcfm's training saves, ``flow.pt``."""
    weights, path = net.state_dict(), folder / "flow.pt"
    torch.save({"net_model": weights, "ema_model": weights, "sched": {}, "optim": {}}, path)
    return path


EXAMPLES = {
    "edm": Example(
        fashion, "fashion-14", lambda: SongUNet(**SONG), loss_of_edm, write_edm, 4500, 900
    ),
    "ddpm": Example(fashion_of_16, "fashion-16", unet, loss_of_ddpm, write_ddpm, 2000, 1100),
    "flow": Example(
        digits, "digits-8", lambda: ADMUNet(**FLOW), loss_of_flow, write_flow, 5000, 2000
    ),
}


def make(name: str, out: Path, minutes: float | None = None) -> Path:
    """Train one, or go on with it, and write it and its images.

    Args:
        name: of :data:`EXAMPLES`.
        out: folder; made if need be.
        minutes: of one free core, about, which decide the number of steps, and with that the weights;
            None for the example's own.

    Returns:
        What ``--model`` takes.
    """
    example = EXAMPLES[name]
    images, labels = example.data()
    steps = example.steps if minutes is None else max(2, round(minutes * example.rate))
    how = Optimisation(
        steps=steps, decay=max(1, steps // 3), warmup=min(500, steps), lr=2e-3, ema=0.999
    )

    def loss(net: nn.Module, step: int) -> Tensor:
        rows = epoch_rows(len(images), how.batch, how.seed, step)
        return example.loss(net, (images[rows], labels[rows], step_generator(how, step)))

    torch.manual_seed(how.seed)
    net = fit(example.network(), loss, how, out / "training" / name, dtype=torch.float32)
    np.savez_compressed(out / f"{example.images}.npz", x=images.numpy(), y=labels.numpy())
    return example.write(net.requires_grad_(False), out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--only", choices=EXAMPLES, nargs="+", default=list(EXAMPLES))
    parser.add_argument("--minutes", type=float, help="of training, of each, about")
    args = parser.parse_args()
    for name in args.only:
        print(make(name, args.out, args.minutes), flush=True)


if __name__ == "__main__":
    main()
