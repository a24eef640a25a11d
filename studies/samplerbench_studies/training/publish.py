"""Turn a training run into a card: ``python -m samplerbench_studies.training.publish fashion --run
runs/fashion``.

It reads the averaged weights in ``checkpoint.pt`` of the run (at any step, even during the run),
measures the loss on held-out data, and writes ``weights.safetensors`` and ``card.toml``. An
existing card keeps its reference and moments, which do not depend on the weights. Converged samples
and the axes of an extractor's features do, so they are dropped if the weights change.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from samplerbench.models import Card, CardError, load_card
from samplerbench.models.cards import AXES, CARDS, CONVERGED, WEIGHTS, datasets
from samplerbench.models.nets import Classifier

from . import train, train_extractor
from .cards import write_card, write_tensors

EXTRACTOR = "fashion-features"
EXTRACTORS = {"fashion": EXTRACTOR, "digits": "", "emoji": "blocks-8", "emoji-flow": "blocks-8"}
HALVES = ("emoji", "emoji-flow")
"""Networks whose weights are stored in float16 to save space; they run in float32."""
REFERENCES = {"emoji-flow": {"card": "emoji"}}
"""Reference of a network whose data are another card's."""
SIGMA_RANGE = (0.002, 80.0)
FLOW_RANGE = (1e-3, 1e4)
"""Levels t / (1 - t) between which a flow is sampled, since that of t = 1 is infinite."""
NOT_OF_TRAINING = {"dataset", "net", "sigma_data", "steps", "flow"}
"""Fields of a recipe that other sections of a card have."""


def publish_network(name: str, run: Path, root: Path = CARDS) -> Card:
    """Publish a score network of :data:`train.RECIPES`, and return its card."""
    state = checkpoint(run)
    recipe = train.Recipe(**(asdict(train.RECIPES[name]) | state.get("recipe", {})))
    net = train.build(recipe)
    weights = {k: v.half() if name in HALVES else v for k, v in state["ema"].items()}
    net.load_state_dict(weights)
    images, labels = getattr(datasets, recipe.dataset)("train")
    held_out, held_out_labels = getattr(datasets, recipe.dataset)("test")
    training = {key: value for key, value in asdict(recipe).items() if key not in NOT_OF_TRAINING}
    training |= {
        "script": f"python -m samplerbench_studies.training.train {name}",
        "steps": state["step"],
        "images_seen": state["step"] * recipe.batch,
        "seconds": seconds(state),
        "held_out_loss": round(held_out_loss(net.eval(), held_out, held_out_labels, recipe), 5),
    }
    levels = FLOW_RANGE if recipe.flow else SIGMA_RANGE
    return release(
        Card(
            name=name,
            title=f"class-conditional {'rectified flow' if recipe.flow else 'score network'} trained on "
            f"{datasets.PROVENANCE[recipe.dataset]['name']}",
            licence="MIT",
            event=tuple(images.shape[1:]),
            data=datasets.PROVENANCE[recipe.dataset]
            | {"split": "train", "class_counts": labels.bincount().tolist()},
            architecture=architecture(net, f"{type(net).__name__}(UNet)", recipe.net)
            | {"sigma_data": recipe.sigma_data},
            training=training,
            reference=REFERENCES.get(name, {}),
            extractor=EXTRACTORS[name],
            sigma_min=levels[0],
            sigma_max=levels[1],
            folder=root / name,
        ),
        weights,
    )


def publish_extractor(run: Path, root: Path = CARDS) -> Card:
    """Publish the classifier of :mod:`train_extractor`.

    Returns its card, with accuracy and spread of the features on the test set.
    """
    state = checkpoint(run)
    recipe = train_extractor.Recipe(**state.get("recipe", {}))
    prefix = "classifier."
    weights = {
        key.removeprefix(prefix): value
        for key, value in state["model"].items()
        if key.startswith(prefix)
    }
    net = train_extractor.TrainingModel().classifier
    training: dict[str, Any] = {
        key: value for key, value in asdict(recipe).items() if key != "steps"
    } | {
        "script": "python -m samplerbench_studies.training.train_extractor",
        "steps": state["step"],
        "images_seen": state["step"] * recipe.batch,
    }

    net.load_state_dict(weights)
    return release(
        Card(
            name=EXTRACTOR,
            title="classifier of Fashion-MNIST; its last hidden layer is the feature "
            "space of fid_proxy",
            licence="MIT",
            event=(1, 28, 28),
            data=datasets.PROVENANCE["fashion_mnist"] | {"split": "train"},
            architecture=architecture(
                net, "Classifier", {"channels": [32, 64], "features": 128, "classes": 10}
            ),
            training=training | quality(net.eval()),
            folder=root / EXTRACTOR,
        ),
        weights,
    )


@torch.inference_mode()
def quality(net: Classifier) -> dict[str, float]:
    """Return statistics of the classifier and its features on the test set.

    They are the accuracy, the smallest and largest standard deviation of a feature, and the
    condition number of the features' covariance.
    """
    images, labels = datasets.fashion_mnist("test")
    features = torch.cat([net.features(part) for part in images.split(250)])
    predicted = net.classify(features).argmax(dim=1)
    std = features.std(dim=0)
    return {
        "test_accuracy": (predicted == labels).double().mean().item(),
        "feature_std_min": round(std.min().item(), 4),
        "feature_std_max": round(std.max().item(), 4),
        "feature_condition": round(torch.linalg.cond(features.double().T.cov()).item(), 1),
    }


@torch.inference_mode()
def held_out_loss(
    net: train.Network, images: Tensor, labels: Tensor, recipe: train.Recipe
) -> float:
    """Return the training loss in float32 on up to 10 000 held-out images, seeded noise."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        len(x0) * train.loss_of(recipe, net, x0, y, generator).item()
        for x0, y in zip(images.split(250), labels.split(250), strict=True)
    ]
    return sum(parts) / len(images)


def architecture(
    net: torch.nn.Module, called: str, arguments: Mapping[str, object]
) -> dict[str, Any]:
    """Return the card's section on a network."""
    return {
        "class": called,
        "parameters": sum(p.numel() for p in net.parameters()),
        "net": dict(arguments),
    }


def checkpoint(run: Path) -> dict[str, Any]:
    """Return the checkpoint of a training run."""
    path = run / "checkpoint.pt"
    if not path.is_file():
        raise CardError(f"{path} not found; --run names the --out folder of a training run")
    return torch.load(path, map_location="cpu", weights_only=True)


def seconds(state: Mapping[str, Any]) -> float:
    """Return the core seconds of a checkpoint's steps, at the pace of its last process."""
    return round(state["step"] * state["seconds_a_step"], 1)


def release(card: Card, weights: Mapping[str, Tensor]) -> Card:
    """Write the weights and the card; keep the parts of an existing card that remain valid."""
    card.folder.mkdir(parents=True, exist_ok=True)
    before = (
        load_card(card.name, card.folder.parent) if (card.folder / "card.toml").is_file() else None
    )
    write_tensors(card.folder / WEIGHTS, weights)
    if before is None:
        return write_card(card)
    after = write_card(replace(card, reference=before.reference, moments=before.moments))
    stale = {CONVERGED, AXES} & set(after.files) if after.identity != before.identity else set()
    for file in sorted(stale):
        (card.folder / file).unlink()
        print(
            f"{file} belonged to other weights and is gone; make it anew (see "
            "samplerbench_studies.training.reference)"
        )
    return write_card(after) if stale else after


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*sorted(train.RECIPES), EXTRACTOR])
    parser.add_argument(
        "--run", type=Path, required=True, help="folder that the training script wrote to"
    )
    args = parser.parse_args()
    card = (
        publish_extractor(args.run)
        if args.name == EXTRACTOR
        else publish_network(args.name, args.run)
    )
    print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")


if __name__ == "__main__":
    main()
