"""Two small networks of another scale than the shipped ones, trained here, as models of a suite.

Training takes some minutes on one core of a CPU, and gives the same weights whenever it is run on
the same machine with the same number of threads:

    OMP_NUM_THREADS=1 python docs/examples/small_networks.py faint
    OMP_NUM_THREADS=1 python docs/examples/small_networks.py wide

Then ``samplerbench run quick --model docs/examples/small_networks.py:faint``. The weights are in
``runs/small-networks``, or in ``$SMALL_NETWORKS``.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from samplerbench.models.cards import datasets
from samplerbench.models.cards.card import Card, load_card
from samplerbench.models.cards.network import NetworkDenoiser
from samplerbench_studies.training.publish import architecture, release
from samplerbench_studies.training.train import Recipe, train


def digits_of_a_tenth() -> tuple[Tensor, Tensor]:
    """Digits of standard deviation 0.1 about -0.05, in ten classes."""
    images, labels = datasets.digits("train")
    return images * (0.1 / images.std()), labels


def fashion_of_two() -> tuple[Tensor, Tensor]:
    """Fashion-MNIST at half the resolution, of standard deviation 2 about 0, all in one class."""
    images, labels = datasets.fashion_mnist("train")
    images = avg_pool2d(images, 2)
    return (images - images.mean()) * (2 / images.std()), torch.zeros_like(labels)


@dataclass(frozen=True)
class Network:
    """How one is trained, and for which levels."""

    data: Callable[[], tuple[Tensor, Tensor]]
    recipe: Recipe
    sigma_min: float
    sigma_max: float


NETWORKS = {
    "faint": Network(
        digits_of_a_tenth,
        Recipe(
            "digits",
            {"channels": (16, 24), "embedding": 64, "patch": 1, "group": 8},
            sigma_data=0.11,
            p_mean=-2.9,
            p_std=1.8,  # sigma_max is 800 standard deviations of the data
            steps=8_000,
            decay=3_000,
            lr=3e-3,
            ema=0.999,
        ),
        0.002,
        80.0,
    ),
    "wide": Network(
        fashion_of_two,
        Recipe(
            "fashion_mnist",
            {"channels": (24, 32), "embedding": 96, "patch": 1, "group": 8},
            sigma_data=2.0,
            p_mean=0.15,
            p_std=1.3,
            steps=2_400,
            decay=900,
            lr=3e-3,
            ema=0.999,
        ),
        0.03,
        14.6,
    ),
}


class SmallNetwork(NetworkDenoiser):
    """A trained one, with the images that it was trained on."""

    def data(self, n: int, seed: int) -> Tensor:
        """``n`` training images, with repetition."""
        images, _ = NETWORKS[self.name].data()
        generator = torch.Generator().manual_seed(seed)
        return images[torch.randint(len(images), (n,), generator=generator)]


def folder() -> Path:
    """Where the weights are."""
    return Path(os.environ.get("SMALL_NETWORKS", "runs/small-networks"))


def faint() -> SmallNetwork:
    """The digits of standard deviation 0.1."""
    return SmallNetwork(load_card("faint", folder()))


def wide() -> SmallNetwork:
    """The images of standard deviation 2."""
    return SmallNetwork(load_card("wide", folder()))


def make(name: str) -> Card:
    """Train one, or go on with it, and write its card."""
    network, place = NETWORKS[name], folder() / name
    images, labels = network.data()
    recipe = network.recipe
    net = train(recipe, place, data=(images, labels))
    card = Card(
        name,
        f"trained by {Path(__file__).name}",
        "MIT",
        tuple(images.shape[1:]),
        data={
            **datasets.PROVENANCE[recipe.dataset],
            "preprocessing": str(network.data.__doc__).splitlines()[0],
            "range": [images.min().item(), images.max().item()],
            "class_counts": labels.bincount().tolist(),
        },
        architecture={
            **architecture(net, "EDMPrecond(UNet)", recipe.net),
            "sigma_data": recipe.sigma_data,
        },
        sigma_min=network.sigma_min,
        sigma_max=network.sigma_max,
        folder=place,
    )
    return release(card, net.state_dict())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NETWORKS)
    print(make(parser.parse_args().name).identity)
