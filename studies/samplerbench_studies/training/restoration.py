"""Train and publish the network that undoes degradations: ``python -m
samplerbench_studies.training.restoration --out runs/restorer``.

Bansal et al. (arXiv:2208.09392) train a network for each degradation and minimise the mean absolute
error, which the posterior median minimises. Here one network gets the degradation as an input, so
that all share its knowledge of pictures and have the same budget. Its squared error is minimised by
the posterior mean. So the network is to its degradations what a denoiser is to noise, and for noise
it is one.

The pictures of the shipped card ``fashion-kde`` are excluded from the training, since the network
is tested on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from samplerbench.models import Card
from samplerbench.models.cards import datasets
from samplerbench_studies import CARDS

from ..models.degradation import DEGRADATIONS, Degradation
from ..models.restorer import Restorer
from .loop import Optimisation, epoch_rows, fit, step_generator
from .make_fashion_kde import PER_CLASS, first_of_each
from .publish import architecture, checkpoint, release

NAME = "restorer"
NET: dict[str, object] = {"channels": (16, 32), "embedding": 64, "patch": 2, "group": 16}


@dataclass(frozen=True, kw_only=True)
class Recipe(Optimisation):
    """Recipe of the training, recorded in the card.

    A batch has equally many pictures of each kind.
    """

    kinds: tuple[str, ...] = tuple(DEGRADATIONS)
    net: dict[str, object] = field(default_factory=lambda: dict(NET))
    batch: int = 60
    steps: int = 9_000
    decay: int = 1_000
    warmup: int = 100
    lr: float = 3e-3
    ema: float = 0.998


def split() -> tuple[Tensor, Tensor]:
    """Return training pictures and held-out pictures, ``(n, 1, 28, 28)`` float32 in [-1, 1]."""
    images, labels = datasets.fashion_mnist("train")
    aside = torch.zeros(len(images), dtype=torch.bool)
    aside[first_of_each(labels, PER_CLASS)] = True
    return images[~aside], images[aside]


def degraded(
    degradation: Degradation, x0: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return degraded pictures, and their severities ``(n,)``: uniform in [0, 1], stratified."""
    n = len(x0)
    severity = (torch.rand(n, generator=generator) + torch.arange(n)) / n
    return degradation(x0, severity, degradation.companions(n, generator)), severity


def restoration_loss(
    net: Restorer,
    degradations: Mapping[str, Degradation],
    x0: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return the scalar mean squared error of restored pictures, equally many of each kind.

    Args:
        net: restoration network.
        degradations: degradations by kind.
        x0: ``(n, 1, 28, 28)``, n divisible by the number of kinds.
        generator: generator of severities and companions.
    """
    parts = x0.chunk(len(net.kinds))
    made = [
        degraded(degradations[kind], part, generator)
        for kind, part in zip(net.kinds, parts, strict=True)
    ]
    x, severity = (torch.cat(both) for both in zip(*made, strict=True))
    kind = torch.arange(len(parts)).repeat_interleave(len(parts[0]))
    restored = net(x.contiguous(memory_format=torch.channels_last), severity, kind)
    return (restored - x0).square().mean()


def build(recipe: Recipe) -> Restorer:
    """Return a new network of a recipe, initialised from its seed."""
    torch.manual_seed(recipe.seed)
    net = Restorer(recipe.kinds, **recipe.net)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def train(
    recipe: Recipe, out: Path, *, images: Tensor | None = None, checkpoint_every: int = 100
) -> Restorer:
    """Train, or resume from ``out/checkpoint.pt``; return the averaged network in eval mode.

    Args:
        recipe: recipe of the training.
        out: folder of the checkpoint.
        images: ``(n, 1, 28, 28)`` float32, in place of the training pictures of :func:`split`.
        checkpoint_every: steps between checkpoints.
    """
    pictures = split()[0] if images is None else images

    def loss(net: Restorer, step: int) -> Tensor:
        rows = epoch_rows(len(pictures), recipe.batch, recipe.seed, step)
        with torch.autocast("cpu", enabled=False):  # so small a network is slower in bfloat16
            return restoration_loss(net, DEGRADATIONS, pictures[rows], step_generator(recipe, step))

    return fit(build(recipe), loss, recipe, out, checkpoint_every=checkpoint_every)


def publish(run: Path, root: Path = CARDS) -> Card:
    """Publish the present network of a run in float16, and return its card."""
    state = checkpoint(run)
    recipe = Recipe(**state["recipe"])
    weights = {key: value.half() for key, value in state["ema"].items()}
    net = build(recipe)
    net.load_state_dict(weights)
    training = {key: value for key, value in asdict(recipe).items() if key not in {"net", "kinds"}}
    training |= {
        "script": f"python -m samplerbench_studies.training.restoration --steps {recipe.steps}",
        "steps": state["step"],
        "images_seen": state["step"] * recipe.batch,
        "held_out_loss": held_out_loss(net.eval()),
    }
    return release(
        Card(
            name=NAME,
            title="network that restores pictures of Fashion-MNIST from several degradations",
            licence="MIT",
            event=(1, 28, 28),
            data=datasets.PROVENANCE["fashion_mnist"]
            | {"split": "train without the pictures of fashion-kde"},
            architecture=architecture(net, "Restorer", recipe.net) | {"kinds": list(recipe.kinds)},
            training=training,
            folder=root / NAME,
        ),
        weights,
    )


@torch.inference_mode()
def held_out_loss(net: Restorer) -> dict[str, float]:
    """Return the training loss of each kind on held-out pictures, in float32 with seeded
    severities.
    """
    aside = split()[1]
    found = {}
    for place, kind in enumerate(net.kinds):
        generator = torch.Generator().manual_seed(0)
        x, severity = degraded(DEGRADATIONS[kind], aside, generator)
        restored = net(x, severity, torch.full((len(x),), place))
        found[kind] = round((restored - aside).square().mean().item(), 5)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="total number of steps")
    parser.add_argument("--publish", action="store_true", help="write the card of what is there")
    args = parser.parse_args()
    if args.publish:
        card = publish(args.out)
        print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")
    else:
        train(Recipe(steps=args.steps), args.out)
        print(
            f"now: python -m samplerbench_studies.training.restoration --out {args.out} --publish"
        )


if __name__ == "__main__":
    main()
