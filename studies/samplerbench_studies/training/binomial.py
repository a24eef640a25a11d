"""Train and publish the reverse model of binomial diffusion.

``python -m samplerbench_studies.training.binomial --out runs/fashion-binomial`` trains, or resumes;
with ``--publish`` it makes a card of the folder's checkpoint, even during the training.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from samplerbench.models import Card
from samplerbench.models.cards import PROVENANCE, REFERENCE, fashion_mnist
from samplerbench_studies import CARDS

from ..models.discrete.binomial import bernoulli_kl, diffuse, reverse_flip, signals
from ..models.discrete.bound import bound
from ..models.discrete.hamming import hamming, majority, pack
from ..models.discrete.network import CARD, ReverseNetwork
from .cards import write_tensors
from .loop import Optimisation, epoch_rows, fit, step_generator
from .publish import architecture, checkpoint, release

HELD_OUT = 512
"""Number of test images in the card."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimisation):
    """Recipe of the training.

    Attributes:
        channels, embedding: arguments of the network.
        counts: numbers of steps N. The loss is the mean of the bounds of chains of N steps, each
            with the schedule beta_t = 1 / (N - t + 1).
    """

    channels: tuple[int, int] = (24, 32)
    embedding: int = 64
    counts: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 1000)
    batch: int = 32
    steps: int = 7_000
    decay: int = 2_000
    warmup: int = 100
    lr: float = 2e-3
    ema: float = 0.998


def binary(images: Tensor) -> Tensor:
    """Return images float32: 1 where a pixel in [-1, 1] is brighter than middle grey, else 0."""
    return (images > 0).float()


def build(recipe: Recipe) -> ReverseNetwork:
    """Return a new network, initialised from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    return ReverseNetwork(recipe.channels, recipe.embedding)


def bound_loss(net: ReverseNetwork, x0: Tensor, recipe: Recipe, step: int) -> Tensor:
    """Return an unbiased estimate of the mean over ``counts`` of the bounds, in bits per pixel.

    For each image it evaluates one random step of one of the counts. Counts, and steps of a count,
    are stratified over the batch.
    """
    generator, n = step_generator(recipe, step), len(x0)
    turns = torch.randperm(n, generator=generator)
    count = torch.tensor(recipe.counts)[turns % len(recipe.counts)].double()
    place = (torch.rand(n, generator=generator, dtype=torch.float64) + turns / n) % 1
    later = 1 - ((place * count).floor() + 1) / count
    earlier = later + 1 / count
    x = diffuse(x0, later[:, None, None, None], torch.rand(x0.shape, generator=generator).double())
    a, b = earlier[:, None, None, None].clamp(max=1), later[:, None, None, None]
    true = reverse_flip((x != x0).double(), a, b)
    kl = bernoulli_kl(true, reverse_flip(net(x, later), a, b))
    return (count * kl.mean(dim=(1, 2, 3))).mean() / math.log(2)


def train(recipe: Recipe, out: Path, images: Tensor | None = None) -> ReverseNetwork:
    """Train, or resume from ``out/checkpoint.pt``; returns the averaged network.

    Args:
        recipe: recipe of the training.
        out: folder of the checkpoint.
        images: ``(n, 1, side, side)`` of 0 and 1, in place of the training set.
    """
    data = binary(fashion_mnist("train")[0]) if images is None else images

    def loss(net: ReverseNetwork, step: int) -> Tensor:
        rows = epoch_rows(len(data), recipe.batch, recipe.seed, step)
        return bound_loss(net, data[rows], recipe, step)

    net = build(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fit(net, loss, recipe, out, checkpoint_every=100)


def publish(run: Path, root: Path = CARDS) -> Card:
    """Write the card of a training run, and return it."""
    state = checkpoint(run)
    recipe = Recipe(**state["recipe"])
    weights = {name: value.half() for name, value in state["ema"].items()}
    net = build(recipe)
    net.load_state_dict(weights)
    (train_images, labels), (test_images, _) = fashion_mnist("train"), fashion_mnist("test")
    x, held_out = binary(train_images), binary(test_images[:HELD_OUT])
    prototypes = majority(x, labels)
    features = np.concatenate([hamming(part, prototypes) for part in x.split(5000)])
    folder = root / CARD
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(
        folder / REFERENCE,
        {
            "prototypes": pack(prototypes),
            "held_out": pack(held_out),
            "mean": torch.from_numpy(features.mean(0)),
            "cov": torch.from_numpy(np.cov(features, rowvar=False)),
        },
    )
    nats = bound(net.eval(), held_out, signals(100), draws=20).mean() / held_out[0].numel()
    kept = {key: value for key, value in state["recipe"].items() if key != "steps"}
    card = Card(
        name=CARD,
        title="reverse model of binomial diffusion, trained on Fashion-MNIST of two colours",
        licence="MIT",
        event=tuple(x.shape[1:]),
        data=PROVENANCE["fashion_mnist"]
        | {
            "preprocessing": "1 where brighter than middle grey, 0 elsewhere",
            "range": [0.0, 1.0],
            "split": "train",
        },
        architecture=architecture(
            net,
            "ReverseNetwork(UNet)",
            {"channels": recipe.channels, "embedding": recipe.embedding},
        ),
        training={
            **kept,
            "script": "python -m samplerbench_studies.training.binomial --out runs/fashion-binomial "
            f"--steps {recipe.steps} --decay {recipe.decay}",
            "steps": state["step"],
            "images_seen": state["step"] * recipe.batch,
            "held_out_bits_a_pixel": round(float(nats / math.log(2)), 4),
        },
        reference={"extractor": "hamming", "set": "train", "n": len(x)},
        folder=folder,
    )
    return release(card, weights)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, help="total number of steps")
    parser.add_argument("--decay", type=int, help="steps of the final decay of the learning rate")
    parser.add_argument(
        "--publish", action="store_true", help="make the card of that folder, do not train"
    )
    args = parser.parse_args()
    if args.publish:
        card = publish(args.out)
        print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")
        return
    given = {key: value for key in ("steps", "decay") if (value := getattr(args, key)) is not None}
    train(Recipe(**{**asdict(Recipe()), **given}), args.out)


if __name__ == "__main__":
    main()
