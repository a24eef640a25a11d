"""Train and publish the reverse model of binomial diffusion.

``python -m samplerbench.models.build.binomial --out runs/fashion-binomial`` trains, or resumes;
with ``--publish`` it makes the card of what that folder has, also while the training goes on.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..cards.datasets import fashion_mnist
from ..discrete.binomial import bernoulli_kl, diffuse, reverse_flip
from ..discrete.network import ReverseNetwork
from .loop import Optimisation, epoch_rows, fit, step_generator


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimisation):
    """What is trained and how.

    Attributes:
        channels, embedding: of the network.
        counts: numbers of steps N; the loss is the mean of their bounds, each with the schedule
            beta_t = 1 / (N - t + 1).
    """

    channels: tuple[int, int] = (24, 32)
    embedding: int = 64
    counts: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 1000)
    batch: int = 32
    steps: int = 4_000
    decay: int = 1_200
    warmup: int = 100
    lr: float = 2e-3
    ema: float = 0.998


def binary(images: Tensor) -> Tensor:
    """1 where a pixel of [-1, 1] is brighter than middle grey, 0 elsewhere, float32."""
    return (images > 0).float()


def build(recipe: Recipe) -> ReverseNetwork:
    """The network, freshly initialised from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    return ReverseNetwork(recipe.channels, recipe.embedding)


def bound_loss(net: ReverseNetwork, x0: Tensor, recipe: Recipe, step: int) -> Tensor:
    """The bound on the negative log-likelihood, in bits a pixel, from one random step of a random
    count for each image: unbiased for the mean over the counts.

    Counts take turns within the batch, and so do the steps of a count.
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
        recipe: what is trained.
        out: folder of the checkpoint.
        images: ``(n, 1, side, side)`` of 0 and 1, in place of the training set.
    """
    data = binary(fashion_mnist("train")[0]) if images is None else images

    def loss(net: ReverseNetwork, step: int) -> Tensor:
        rows = epoch_rows(len(data), recipe.batch, recipe.seed, step)
        return bound_loss(net, data[rows], recipe, step)

    net = build(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fit(net, loss, recipe, out, checkpoint_every=100)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, help="total number of steps")
    parser.add_argument("--decay", type=int, help="steps of the final decay of the learning rate")
    args = parser.parse_args()
    given = {key: value for key in ("steps", "decay") if (value := getattr(args, key)) is not None}
    train(Recipe(**{**asdict(Recipe()), **given}), args.out)


if __name__ == "__main__":
    main()
