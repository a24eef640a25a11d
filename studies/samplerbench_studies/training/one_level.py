"""Train and publish the small networks of rows 9 and 14 of ``samplerbench explain``.

The networks of row 9 have one architecture and budget, and are trained at all noise levels or at a
single level, as a denoising autoencoder is. The networks of row 14 repeat the training at all
levels from other seeds, on pixels and on the latents of ``fashion-latent``::

    python -m samplerbench_studies.training.one_level all-levels --out runs/one_level
    python -m samplerbench_studies.training.one_level publish --out runs/one_level

:mod:`.loop` has the loop, and resumes runs.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from samplerbench.models import Card, load_card
from samplerbench.models.cards import LatentNetwork, datasets
from samplerbench_studies import CARDS

from . import train
from .cards import write_tensors
from .latent import LATENTS, Labelled, latents_of
from .publish import (
    EXTRACTOR,
    NOT_OF_TRAINING,
    SIGMA_RANGE,
    architecture,
    checkpoint,
    release,
    seconds,
)

ALL = "all-levels"
IMAGES = "held_out.safetensors"
"""File of held-out real images in the card :data:`ALL`."""
SHIPPED = 512
RECIPE = train.Recipe(
    "fashion_mnist",
    {"channels": (24, 48), "embedding": 64, "patch": 2, "group": 8},
    sigma_data=0.7,
    p_mean=-0.9,
    p_std=1.2,
    batch=32,
    steps=1_500,
    decay=500,
    warmup=100,
    lr=2e-3,
    ema=0.995,
)
LEVELS = {"only-level-0.3": 0.3, "only-level-1.5": 1.5, "only-level-10": 10.0}
"""Noise level of the training, by name of a network trained at a single level."""
SEEDS = (1, 2)
"""Seeds of the repeated trainings."""
ON_LATENTS = {f"latents-{seed}": replace(LATENTS, seed=seed) for seed in SEEDS}
RECIPES = (
    {ALL: RECIPE}
    | {name: replace(RECIPE, p_mean=math.log(level), p_std=0.0) for name, level in LEVELS.items()}
    | {f"{ALL}-{seed}": replace(RECIPE, seed=seed) for seed in SEEDS}
    | ON_LATENTS
)


def data_of(name: str, split: Literal["train", "test"]) -> Labelled:
    """Return images, or their latents, for a network's training or test, with labels."""
    images, labels = datasets.fashion_mnist(split)
    if name in ON_LATENTS:
        images = latents_of(LatentNetwork(load_card("fashion-latent")).decoder.network, images)
    return images, labels


def train_one(name: str, out: Path) -> train.Network:
    """Train, or resume from ``out/name/checkpoint.pt``; return the averaged network."""
    data = data_of(name, "train")
    return train.train(
        RECIPES[name], out / name, data=data, checkpoint_every=100, dtype=torch.float32
    )


def publish(
    name: str, run: Path, counts: list[int], test_set: Labelled, root: Path = CARDS
) -> Card:
    """Publish one of the networks; return its card, with errors on held-out images.

    Weights are stored in float16. The errors are those of the stored weights.

    Args:
        name: a key of :data:`RECIPES`.
        run: folder of the checkpoints of all networks.
        counts: numbers of training images by class.
        test_set: held-out images ``(n, 1, 28, 28)``, or their latents, and their labels.
        root: folder of cards.
    """
    state = checkpoint(run / name)
    recipe = train.Recipe(**state["recipe"])
    weights = {key: value.half() for key, value in state["ema"].items()}
    net = train.build(recipe)
    net.load_state_dict(weights)
    images, labels = test_set
    told = {k: v for k, v in asdict(recipe).items() if k not in NOT_OF_TRAINING}
    training = told | {
        "script": f"python -m samplerbench_studies.training.one_level {name} --out runs/one_level",
        "steps": state["step"],
        "images_seen": state["step"] * recipe.batch,
        "seconds": seconds(state),
        "held_out_errors": {
            f"{level:g}": round(held_out_error(net.eval(), images, labels, level), 6)
            for level in ([LEVELS[name]] if name in LEVELS else LEVELS.values())
        },
    }
    folder = root / name
    if name == ALL:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(
            folder / IMAGES, {"images": grey(images[:SHIPPED]), "labels": labels[:SHIPPED]}
        )
    return release(
        Card(
            name=name,
            title=f"small score network of {'latents of ' * (name in ON_LATENTS)}fashion-mnist, trained at "
            + (f"the noise level {LEVELS[name]:g} alone" if name in LEVELS else "all noise levels"),
            licence="MIT",
            event=tuple(images.shape[1:]),
            data=datasets.PROVENANCE[recipe.dataset]
            | {
                "split": "train",
                "class_counts": counts,
            },
            architecture=architecture(net, "EDMPrecond(UNet)", recipe.net)
            | {"sigma_data": recipe.sigma_data},
            training=training,
            reference={"card": "fashion"},
            extractor=EXTRACTOR,
            sigma_min=SIGMA_RANGE[0],
            sigma_max=SIGMA_RANGE[1],
            folder=folder,
        ),
        weights,
    )


def grey(images: Tensor) -> Tensor:
    """Return grey levels 0 … 255, uint8, of images in [-1, 1]."""
    return ((images + 1) * 127.5).round().to(torch.uint8)


@torch.no_grad()
def held_out_error(net: train.Network, images: Tensor, labels: Tensor, level: float) -> float:
    """Return the mean squared error per pixel of one-step denoising at a level, with seeded
    noise.
    """
    generator, total = torch.Generator().manual_seed(0), 0.0
    for x0, y in zip(images.split(250), labels.split(250), strict=True):
        noisy = x0 + level * torch.randn(x0.shape, generator=generator)
        error = net(noisy, torch.full((len(x0),), level), y) - x0
        total += float(error.square().mean()) * len(x0)
    return total / len(images)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(*RECIPES, "publish"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    args = parser.parse_args()
    if args.what != "publish":
        train_one(args.what, args.out)
        return
    counts = datasets.fashion_mnist("train")[1].bincount().tolist()
    for name in RECIPES:
        if (args.out / name / "checkpoint.pt").is_file():
            card = publish(name, args.out, counts, data_of(name, "test"))
            print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")


if __name__ == "__main__":
    main()
