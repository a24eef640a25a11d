"""Fit ``fashion-mppca``: ``python -m samplerbench_studies.training.fit_mppca --out
models/cards/fashion-mppca``.

A mixture of probabilistic PCA for each class of Fashion-MNIST, by expectation maximisation (Tipping
and Bishop, 1999, Neural Computation 11:443, appendix C), each M step in closed form: with
responsibilities p_nk, component k has the weighted mean mu_k and covariance C_k, and, with the r
largest eigenpairs (l_j, u_j) of S_k = (n_k C_k + b C) / (n_k + b),

    s_k^2 = (tr S_k - sum_j l_j) / (d - r),        W_k = [u_j sqrt(l_j - s_k^2)]_j.

n_k = sum_n p_nk, C is the covariance of the class, and b the weight of a conjugate (inverse
Wishart) prior around C. Without the prior, components of a few images become spikes on a subspace
through those images. A class's mixture starts from k-means, and that from k-means++. The fit takes
a few minutes on one thread. Its last bits depend on the linear algebra library, so the stored file
defines the model, not this script.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import logsumexp
from torch import Tensor

from samplerbench.models import Card
from samplerbench.models.cards import PROVENANCE, fashion_mnist
from samplerbench.models.exact import MPPCA

from .publish import release

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """Recipe of the fit.

    Attributes:
        components: number of mixture components of a class.
        rank: number of principal directions of a component.
        iterations: iterations of expectation maximisation, enough for a constant log-likelihood.
        lloyd: iterations of k-means at the start.
        prior: weight of the class's covariance in each component's, in images (b above).
        noise_floor: smallest standard deviation s_k, four grey levels of 255, since many corner
            pixels are constant.
        prune: responsibility below which it counts as 0, which saves most of the work.
        seed: seed of k-means++.
    """

    components: int = 10
    rank: int = 24
    iterations: int = 20
    lloyd: int = 10
    prior: float = 10.0
    noise_floor: float = 8 / 255
    prune: float = 1e-4
    seed: int = 0


class Component(NamedTuple):
    """Gaussian component of the mixture, with d dimensions and r principal directions."""

    weight: float
    mean: Array  # (d,)
    factor: Array  # (d, r), orthogonal columns
    noise: float


def fit_class(
    x: Array, recipe: Recipe, rng: np.random.Generator
) -> tuple[list[Component], list[float]]:
    """Fit the mixture of one class.

    Args:
        x: ``(n, d)`` images.
        recipe: sizes and iterations.
        rng: generator for the initial centres.

    Returns:
        The components, and the mean log-likelihood (nats per image) before each M step except the
        first.
    """
    member = nearest(x, centres(x, recipe, rng))
    weights = np.eye(recipe.components)[member]
    history: list[float] = []
    whole = np.cov(x, rowvar=False, bias=True, dtype=np.float32)
    components = maximised(x, weights, whole, recipe)
    for _ in range(recipe.iterations):
        joint = np.stack([log_joint(x, component) for component in components], axis=1)
        total = np.asarray(logsumexp(joint, axis=1, keepdims=True))
        history.append(float(total.mean()))
        components = maximised(x, np.exp(joint - total), whole, recipe)
    return components, history


def maximised(
    x: Array, weights: NDArray[np.float64], whole: Array, recipe: Recipe
) -> list[Component]:
    """Return the components after the M step.

    ``weights`` ``(n, K)`` are the responsibilities, ``whole`` ``(d, d)`` is the covariance of the
    class.
    """
    components = []
    for p in weights.T:
        rows = p > recipe.prune
        total = p[rows].sum()
        mean = (p[rows] / total).astype(np.float32) @ x[rows]
        scaled = (x[rows] - mean) * np.sqrt(p[rows] / (total + recipe.prior)).astype(np.float32)[
            :, None
        ]
        cov = scaled.T @ scaled + whole * np.float32(recipe.prior / (total + recipe.prior))
        d, trace = len(cov), float(np.trace(cov, dtype=np.float64))
        values, vectors = eigh(
            cov, subset_by_index=[d - recipe.rank, d - 1], overwrite_a=True, check_finite=False
        )
        variance = max((trace - float(values.sum())) / (d - recipe.rank), recipe.noise_floor**2)
        factor = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1] - variance, 0))
        components.append(Component(float(p.mean()), mean, factor, variance**0.5))
    return components


def log_joint(x: Array, component: Component) -> NDArray[np.float64]:
    """Return log w_k + log N(x; mu_k, W_k W_k^T + s_k^2 I), ``(n,)``.

    The columns of W_k are orthogonal, so W_k^T W_k is diagonal.
    """
    strength = np.square(component.factor, dtype=np.float64).sum(0)
    noise = component.noise**2
    c = x - component.mean
    along = np.square(c @ component.factor, dtype=np.float64)
    quadratic = (np.square(c, dtype=np.float64).sum(1) - along @ (1 / (strength + noise))) / noise
    d, r = component.factor.shape
    volume = np.log(strength + noise).sum() + (d - r) * np.log(noise) + d * np.log(2 * np.pi)
    return np.log(component.weight) - 0.5 * (quadratic + volume)


def centres(x: Array, recipe: Recipe, rng: np.random.Generator) -> Array:
    """Return centres by k-means: k-means++, then Lloyd's iterations.

    K-means++ draws each centre with probability proportional to the squared distance to the nearest
    one.
    """
    chosen = x[rng.integers(len(x), size=1)]
    while len(chosen) < recipe.components:
        distance = squared_distances(x, chosen).min(1)
        chosen = np.concatenate(
            [chosen, x[rng.choice(len(x), size=1, p=distance / distance.sum())]]
        )
    for _ in range(recipe.lloyd):
        member = nearest(x, chosen)
        clusters = [x[member == k] for k in range(len(chosen))]
        chosen = np.stack(
            [
                x[rng.integers(len(x))] if len(cluster) == 0 else cluster.mean(0)
                for cluster in clusters
            ]
        )
    return chosen


def nearest(x: Array, chosen: Array) -> NDArray[np.intp]:
    """Return the index of the nearest of ``chosen`` ``(K, d)`` for each row of ``x``."""
    return squared_distances(x, chosen).argmin(1)


def squared_distances(x: Array, chosen: Array) -> NDArray[np.float64]:
    """Return squared distances ``(n, K)`` float64 >= 0."""
    a, b = x.astype(np.float64), chosen.astype(np.float64)
    return np.maximum(np.square(a).sum(1)[:, None] - 2 * a @ b.T + np.square(b).sum(1), 0)


def fit(images: Tensor, labels: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """Fit the mixtures of all classes.

    Returns the tensors of :class:`~samplerbench.models.exact.MPPCA`, rounded to their stored
    precision.
    """
    x, y = images.reshape(len(images), -1).numpy(), labels.numpy()
    fitted: list[Component] = []
    for label in range(int(y.max()) + 1):
        rows = x[y == label]
        components, history = fit_class(rows, recipe, np.random.default_rng((recipe.seed, label)))
        fitted += [
            component._replace(weight=component.weight * len(rows) / len(x))
            for component in components
        ]
        noise = [component.noise for component in components]
        print(
            f"class {label}: {history[0]:.1f} to {history[-2]:.2f}, {history[-1]:.2f} "
            f"nats; noise {min(noise):.3f} to {max(noise):.3f}; "
            f"least weight {min(component.weight for component in components):.3f}",
            flush=True,
        )
    return {
        "weights": torch.tensor([component.weight for component in fitted], dtype=torch.float32),
        "means": torch.from_numpy(np.stack([component.mean for component in fitted])).half(),
        "factors": torch.from_numpy(np.stack([component.factor for component in fitted])).half(),
        "noise": torch.tensor([component.noise for component in fitted], dtype=torch.float32),
        "component_class": torch.arange(len(fitted)) // recipe.components,
    }


def publish(tensors: dict[str, Tensor], recipe: Recipe, folder: Path) -> Card:
    """Write the weights and the card, with the quality of the fit on test images.

    Returns the card.
    """
    model = MPPCA(folder.name, (1, 28, 28), tensors)
    images, labels = fashion_mnist("test")
    factors = tensors["factors"].shape
    return release(
        Card(
            name=folder.name,
            title="mixture of probabilistic PCA fitted to Fashion-MNIST: an image model "
            "whose score is exact",
            licence="MIT",
            event=model.event,
            data=PROVENANCE["fashion_mnist"] | {"split": "train"},
            architecture={
                "class": "MPPCA",
                "components": factors[0],
                "rank": factors[2],
                "classes": model.classes,
            },
            training={
                "script": "python -m samplerbench_studies.training.fit_mppca --out "
                f"models/cards/{folder.name}",
                **asdict(recipe),
                "held_out_nats": round(model.log_density(images, 0.0, labels).mean().item(), 2),
                "held_out_class_accuracy": (model.mode_of(images) == labels).double().mean().item(),
            },
            extractor="fashion-features",
            sigma_min=model.sigma_min,
            sigma_max=model.sigma_max,
            folder=folder,
        ),
        tensors,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of the card; its last part is the card's name",
    )
    folder: Path = parser.parse_args().out.resolve()
    torch.set_num_threads(1)
    recipe = Recipe()
    card = publish(fit(*fashion_mnist("train"), recipe), recipe, folder)
    print(f"wrote {card.folder} ({card.identity}): {dict(card.training)}")


if __name__ == "__main__":
    main()
