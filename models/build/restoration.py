"""Train and publish a network that undoes a degradation: ``python -m
samplerbench.models.build.restoration blur --out runs/restore-blur``.

Bansal et al. (arXiv:2208.09392) minimise the mean absolute error, whose best answer is the median
of all pictures that could be meant; here it is the mean squared error, whose best answer is their
mean. So a restorer is to its degradation what a denoiser is to noise, and with noise it is one.

The pictures of the card ``fashion-kde``, which ships, are left out of the training: they are what
the networks are tried on.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..cards import datasets
from ..cards.card import STUDIES, Card
from ..degradation import DEGRADATIONS, Degradation
from ..nets.restorer import Restorer
from .loop import Optimisation, epoch_rows, fit, step_generator
from .make_fashion_kde import PER_CLASS, first_of_each
from .publish import architecture, checkpoint, release

NET: dict[str, object] = {"channels": (16, 32), "embedding": 64, "patch": 2, "group": 8}


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimisation):
    """What is trained and how; recorded in the card."""

    degradation: str
    net: dict[str, object] = field(default_factory=lambda: dict(NET))
    steps: int = 2_000
    decay: int = 800
    warmup: int = 100
    lr: float = 3e-3
    ema: float = 0.998


def split() -> tuple[Tensor, Tensor]:
    """Pictures to train on and pictures kept aside, ``(n, 1, 28, 28)`` float32 in [-1, 1]."""
    images, labels = datasets.fashion_mnist("train")
    aside = torch.zeros(len(images), dtype=torch.bool)
    aside[first_of_each(labels, PER_CLASS)] = True
    return images[~aside], images[aside]


def restoration_loss(
    net: Restorer, degradation: Degradation, x0: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean squared error of restored pictures at severities uniform in [0, 1], a scalar.

    They are stratified over the batch.
    """
    n = len(x0)
    severity = (torch.rand(n, generator=generator) + torch.arange(n)) / n
    companions = degradation.companions(n, generator)
    return (net(degradation(x0, severity, companions), severity) - x0).square().mean()


def build(recipe: Recipe) -> Restorer:
    """The network of a recipe, freshly initialised from its seed."""
    torch.manual_seed(recipe.seed)
    return Restorer(**recipe.net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train(
    recipe: Recipe, out: Path, *, images: Tensor | None = None, checkpoint_every: int = 250
) -> Restorer:
    """Train, or resume from ``out/checkpoint.pt``; returns the averaged network in eval mode.

    Args:
        recipe: what is trained.
        out: folder of the checkpoint.
        images: ``(n, 1, 28, 28)`` float32, in place of those of :func:`split`.
        checkpoint_every: steps.
    """
    pictures = split()[0] if images is None else images
    degradation = DEGRADATIONS[recipe.degradation]

    def loss(net: Restorer, step: int) -> Tensor:
        rows = epoch_rows(len(pictures), recipe.batch, recipe.seed, step)
        x0 = pictures[rows].contiguous(memory_format=torch.channels_last)
        return restoration_loss(net, degradation, x0, step_generator(recipe, step))

    return fit(build(recipe), loss, recipe, out, checkpoint_every=checkpoint_every)


def publish(run: Path, root: Path = STUDIES) -> Card:
    """Publish what a run has so far, in float16; returns its card."""
    state = checkpoint(run)
    recipe = Recipe(**state["recipe"])
    weights = {key: value.half() for key, value in state["ema"].items()}
    net = build(recipe)
    net.load_state_dict(weights)
    aside = split()[1]
    with torch.inference_mode():
        loss = restoration_loss(
            net.eval(), DEGRADATIONS[recipe.degradation], aside, torch.Generator().manual_seed(0)
        )
    name = recipe.degradation
    training = {key: value for key, value in asdict(recipe).items() if key not in {"net", "steps"}}
    training |= {
        "script": f"python -m samplerbench.models.build.restoration {name}",
        "steps": state["step"],
        "images_seen": state["step"] * recipe.batch,
        "held_out_loss": round(loss.item(), 5),
    }
    return release(
        Card(
            name=f"restore-{name}",
            title=f"network that restores pictures of Fashion-MNIST from the degradation {name}",
            licence="MIT",
            event=(1, 28, 28),
            data=datasets.PROVENANCE["fashion_mnist"]
            | {"split": "train without the pictures of fashion-kde"},
            architecture=architecture(net, "Restorer", recipe.net),
            training=training,
            folder=root / f"restore-{name}",
        ),
        weights,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("degradation", choices=[*DEGRADATIONS])
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--publish", action="store_true", help="write the card of what is there")
    args = parser.parse_args()
    if not args.publish:
        train(Recipe(degradation=args.degradation), args.out)
    card = publish(args.out)
    print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")


if __name__ == "__main__":
    main()
