"""Train and publish ``fashion-latent``: an autoencoder of Fashion-MNIST and a network on its latents.

In this order::

    python -m samplerbench_studies.training.latent autoencoder --out runs/latent
    python -m samplerbench_studies.training.latent network --out runs/latent
    python -m samplerbench_studies.training.latent publish --out runs/latent

:mod:`.loop` has the loop, and resumes runs. The training of the autoencoder does not use the
feature extractor by which its images are scored.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from samplerbench.models import Card
from samplerbench.models.cards import CARDS, datasets
from samplerbench.models.nets import Autoencoder

from . import train
from .loop import Optimisation, epoch_rows, fit, step_generator
from .publish import (
    EXTRACTOR,
    NOT_OF_TRAINING,
    SIGMA_RANGE,
    architecture,
    checkpoint,
    held_out_loss,
    release,
    seconds,
)

SAVED = 250
"""Steps between checkpoints, few for a machine that may be busy with other work."""
CHANNELS = (16, 32)
Labelled = tuple[Tensor, Tensor]
PART = 500
"""Images per batch outside of training."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Optimisation):
    """Recipe of the autoencoder's training.

    Attributes:
        noise: standard deviation of the white noise on the latents, which have unit variance.
        edges: weight of the error in differences of neighbouring pixels.
    """

    batch: int = 32
    steps: int = 3_000
    decay: int = 1_000
    warmup: int = 200
    lr: float = 3e-3
    ema: float = 0.998
    noise: float = 0.1
    edges: float = 1.0


LATENT = (4, 8, 8)
"""Shape of a latent."""
AUTOENCODER, NETWORK = "autoencoder.", "network."
"""Prefixes of the names of the weights."""

LATENTS = train.Recipe(
    "fashion_mnist",
    {"in_channels": 4, "channels": (24, 48), "embedding": 64, "patch": 1, "group": 8},
    sigma_data=1.0,
    p_mean=-0.5,
    p_std=1.2,
    batch=32,
    steps=3_400,
    decay=1_200,
    warmup=200,
    lr=2e-3,
    ema=0.998,
)
"""Recipe of the score network. Its steps take about as long as the 1 500 steps of the same network
on pixels (:mod:`.one_level`), where an image costs 2.9 times as much.
"""


def train_autoencoder(recipe: AutoencoderRecipe, images: Tensor, out: Path) -> Autoencoder:
    """Train, or resume from ``out/checkpoint.pt``; return the averaged network with unit latents.

    Args:
        recipe: recipe of the training.
        images: ``(n, 1, 28, 28)`` float32 in [-1, 1].
        out: folder of the checkpoint.
    """

    def loss(net: Autoencoder, step: int) -> Tensor:
        x = images[epoch_rows(len(images), recipe.batch, recipe.seed, step)]
        raw = net.encode_raw(x)
        latents = (raw - raw.mean((0, 2, 3), keepdim=True)) / raw.std((0, 2, 3), keepdim=True)
        noise = torch.randn(latents.shape, generator=step_generator(recipe, step))
        return unlikeness(net.decode(latents + recipe.noise * noise), x, recipe.edges)

    torch.manual_seed(recipe.seed)
    net = Autoencoder(CHANNELS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return scaled(fit(net, loss, recipe, out, checkpoint_every=SAVED, dtype=torch.float32), images)


def unlikeness(made: Tensor, real: Tensor, edges: float) -> Tensor:
    """Return the mean absolute error of pixels plus ``edges`` times that of neighbours'
    differences.

    The second term makes a blurred edge worse than a shifted grey level.
    """
    error = made - real
    across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
    return error.abs().mean() + edges * (across + down)


@torch.no_grad()
def scaled(net: Autoencoder, images: Tensor) -> Autoencoder:
    """Return the network with latents normalised on ``images``: mean 0 and variance 1 per
    channel.
    """
    raw = torch.cat([net.encode_raw(part) for part in images.split(PART)])
    net.mean.copy_(raw.mean((0, 2, 3)))
    net.std.copy_(raw.std((0, 2, 3)))
    return net


@torch.no_grad()
def latents_of(net: Autoencoder, images: Tensor) -> Tensor:
    """Return latents ``(n, 4, 8, 8)`` of images ``(n, 1, 28, 28)``."""
    return torch.cat([net.encode(part) for part in images.split(PART)])


def train_network(recipe: train.Recipe, data: Labelled, out: Path) -> train.Network:
    """Train the score network on latents ``(n, 4, 8, 8)``, or resume; return its average."""
    return train.train(recipe, out, data=data, checkpoint_every=SAVED, dtype=torch.float32)


def publish(run: Path, train_set: Labelled, test_set: Labelled, root: Path = CARDS) -> Card:
    """Publish the autoencoder and the score network of a run as one card, and return it.

    Weights are stored in float16. The losses in the card are those of the stored weights.

    Args:
        run: folder of both checkpoints.
        train_set: images ``(n, 1, 28, 28)`` that normalise the latents, and labels.
        test_set: images and labels on which the losses of the card are measured.
        root: folder of cards.
    """
    outer, inner = checkpoint(run / "autoencoder"), checkpoint(run / "network")
    (images, labels), (held_out, held_out_labels) = train_set, test_set
    made = Autoencoder(CHANNELS)
    made.load_state_dict(outer["ema"])
    scaled(made, images)
    made.load_state_dict({key: value.half() for key, value in made.state_dict().items()})
    recipe = train.Recipe(**inner["recipe"])
    net = train.build(recipe)
    net.load_state_dict({key: value.half() for key, value in inner["ema"].items()})
    latents = latents_of(made.eval(), held_out)
    loss = held_out_loss(net.eval(), latents, held_out_labels, recipe)
    weights = {AUTOENCODER + key: value for key, value in made.state_dict().items()}
    weights |= {NETWORK + key: value for key, value in net.state_dict().items()}
    training = {k: v for k, v in asdict(recipe).items() if k not in NOT_OF_TRAINING} | {
        "script": "python -m samplerbench_studies.training.latent network --out runs/latent",
        "steps": inner["step"],
        "images_seen": inner["step"] * recipe.batch,
        "seconds": seconds(inner),
        "held_out_loss": round(loss, 5),
        "autoencoder": {k: v for k, v in outer["recipe"].items() if k != "steps"}
        | {
            "steps": outer["step"],
            "images_seen": outer["step"] * outer["recipe"]["batch"],
            "seconds": seconds(outer),
            "held_out_rms": round(reconstruction_rms(made, held_out), 5),
        },
    }
    return release(
        Card(
            name="fashion-latent",
            title="autoencoder of fashion-mnist, and a class-conditional score network on its latents",
            licence="MIT",
            event=LATENT,
            data=datasets.PROVENANCE[recipe.dataset]
            | {
                "split": "train",
                "shape": list(images.shape[1:]),
                "class_counts": labels.bincount().tolist(),
            },
            architecture=architecture(net, "EDMPrecond(UNet) on Autoencoder", recipe.net)
            | {
                "sigma_data": recipe.sigma_data,
                "autoencoder": {"channels": list(CHANNELS)},
                "autoencoder_parameters": sum(p.numel() for p in made.parameters()),
            },
            training=training,
            reference={"card": "fashion"},
            extractor=EXTRACTOR,
            sigma_min=SIGMA_RANGE[0],
            sigma_max=SIGMA_RANGE[1],
            folder=root / "fashion-latent",
        ),
        {key: value.half() for key, value in weights.items()},
    )


@torch.no_grad()
def reconstruction_rms(net: Autoencoder, images: Tensor) -> float:
    """Return the root mean square error of pixels in [-1, 1] after encoding and decoding."""
    square = [
        (net.decode(net.encode(part)).clamp(-1, 1) - part).square().mean()
        for part in images.split(PART)
    ]
    return float(torch.stack(square).mean().sqrt())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("autoencoder", "network", "publish"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    args = parser.parse_args()
    images, labels = datasets.fashion_mnist("train")
    if args.what == "publish":
        card = publish(args.out, (images, labels), datasets.fashion_mnist("test"))
        print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")
        return
    net = train_autoencoder(AutoencoderRecipe(), images, args.out / "autoencoder")
    if args.what == "network":
        train_network(LATENTS, (latents_of(net, images), labels), args.out / "network")


if __name__ == "__main__":
    main()
