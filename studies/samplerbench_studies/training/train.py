"""Train a shipped score network: ``python -m samplerbench_studies.training.train fashion --out
runs/fashion``.

:mod:`.loop` has the loop, and resumes or lengthens runs.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from samplerbench.models.cards import datasets
from samplerbench.models.nets import EDMPrecond, FlowPrecond, UNet, edm_loss, flow_loss

from .loop import Optimisation, epoch_rows, fit, step_generator

Network = EDMPrecond | FlowPrecond


@dataclass(frozen=True)
class Recipe(Optimisation):
    """Recipe of the training, recorded in the card of the model.

    Attributes:
        p_mean, p_std: mean and standard deviation of ln(sigma), for a flow the logit of t.
        flow: True for a rectified flow, False for an EDM network.
    """

    dataset: str
    net: dict[str, object]
    sigma_data: float
    p_mean: float
    p_std: float
    label_dropout: float = 0.1
    flow: bool = False


RECIPES = {
    "fashion": Recipe(
        "fashion_mnist",
        {"channels": (48, 96), "embedding": 192, "patch": 2},
        sigma_data=0.7,
        p_mean=-0.9,
        p_std=1.2,
    ),
    "digits": Recipe(
        "digits",
        {"channels": (16, 24), "embedding": 64, "patch": 1, "group": 8},
        sigma_data=0.75,
        p_mean=-0.9,
        p_std=1.2,
        steps=8_000,
        decay=3_000,
        lr=3e-3,
        ema=0.999,
    ),
    "emoji": Recipe(
        "emoji",
        {
            "in_channels": 3,
            "channels": (64, 128),
            "embedding": 256,
            "patch": 2,
            "labels": 9,
        },
        sigma_data=0.6,
        p_mean=-0.9,
        p_std=1.2,
        steps=7_000,
        decay=2_000,
        ema=0.999,
    ),
    "emoji-flow": Recipe(
        "emoji",
        {
            "in_channels": 3,
            "channels": (64, 96),
            "embedding": 256,
            "patch": 2,
            "labels": 9,
        },
        sigma_data=0.6,
        p_mean=-0.5,
        p_std=1.2,
        steps=10_000,
        decay=3_500,
        ema=0.999,
        flow=True,
    ),
}


def build(recipe: Recipe) -> Network:
    """Return a new network of a recipe, initialised from its seed."""
    torch.manual_seed(recipe.seed)
    precond = FlowPrecond if recipe.flow else EDMPrecond
    return precond(UNet(**recipe.net), recipe.sigma_data)  # type: ignore[arg-type]


def loss_of(
    recipe: Recipe,
    model: Network,
    x0: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return the scalar loss of a recipe on images ``(batch, C, h, w)`` at random levels."""
    loss = flow_loss if isinstance(model, FlowPrecond) else edm_loss
    return loss(model, x0, labels, p_mean=recipe.p_mean, p_std=recipe.p_std, generator=generator)  # type: ignore[arg-type]


def batch_of(
    recipe: Recipe, images: Tensor, labels: Tensor, step: int
) -> tuple[Tensor, Tensor, torch.Generator]:
    """Return the mini-batch of a step, its labels with dropout, and the generator of its noise.

    Each epoch has a new permutation.
    """
    rows = epoch_rows(len(images), recipe.batch, recipe.seed, step)
    generator = step_generator(recipe, step)
    drop = torch.rand(recipe.batch, generator=generator) < recipe.label_dropout
    null = int(labels.max()) + 1
    return images[rows], torch.where(drop, null, labels[rows]), generator


def train(
    recipe: Recipe,
    out: Path,
    *,
    data: tuple[Tensor, Tensor] | None = None,
    checkpoint_every: int = 500,
    dtype: torch.dtype = torch.bfloat16,
) -> Network:
    """Train, or resume from ``out/checkpoint.pt``; return the averaged network in eval mode.

    Args:
        recipe: recipe of the training.
        out: folder of the checkpoint.
        data: images ``(n, C, h, w)`` float32 and labels ``(n,)`` int64, in place of the training
            set that the recipe names.
        checkpoint_every: steps between checkpoints.
        dtype: dtype of autocast, as in :func:`.loop.fit`.
    """
    images, labels = data or getattr(datasets, recipe.dataset)("train")

    def loss(model: Network, step: int) -> Tensor:
        x0, y, generator = batch_of(recipe, images, labels, step)
        return loss_of(recipe, model, x0, y, generator)

    model = build(recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fit(model, loss, recipe, out, checkpoint_every=checkpoint_every, dtype=dtype)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, help="total number of steps")
    parser.add_argument(
        "--decay", type=int, help="steps of the final linear decay of the learning rate"
    )
    args = parser.parse_args()
    given = {key: value for key in ("steps", "decay") if (value := getattr(args, key)) is not None}
    recipe = Recipe(**{**asdict(RECIPES[args.recipe]), **given})
    train(recipe, args.out)
    print(f"now: python -m samplerbench_studies.training.publish {args.recipe} --run {args.out}")


if __name__ == "__main__":
    main()
