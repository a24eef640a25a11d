"""Discrete posteriors of exact models: probabilities of clean samples and classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from samplerbench.models.exact import ExactModel, GaussianMixture, KernelDensity, PointCloud


def responsibilities(
    model: ExactModel, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return p(k | x) of the components of a mixture, or the points of a cloud, given a state.

    Args:
        model: a Gaussian mixture, a point cloud or a kernel density.
        x: ``(batch, *event)``.
        sigma: level > 0, one or ``(batch,)``.
        labels: ``(batch,)`` classes to condition on, or None.

    Returns:
        ``(batch, K)`` float64; rows sum to 1.

    Raises:
        ValueError: the model has no components.
    """
    if isinstance(model, GaussianMixture | KernelDensity | PointCloud):
        return model.responsibilities(x, sigma, labels)
    raise ValueError(
        f"model {model.name} has no components to choose from; take a mixture or a point cloud"
    )


def effective_number(probabilities: Tensor) -> Tensor:
    """Return exp(H) of each row ``(batch, K)``, H its entropy in nats: ``(batch,)`` in [1, K]."""
    return torch.special.entr(probabilities).sum(1).exp()


def effective_candidates(
    model: ExactModel, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
) -> Tensor:
    """Return the :func:`effective_number` of :func:`responsibilities`, ``(batch,)``.

    It counts the components or points that are still possible.
    """
    return effective_number(responsibilities(model, x, sigma, labels))


def class_probabilities(model: ExactModel, x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return the exact p(class | x): the sum of the responsibilities of each class.

    Args:
        model: a mixture, cloud or kernel density with classes.
        x: ``(batch, *event)``.
        sigma: level > 0, one or ``(batch,)``.

    Returns:
        ``(batch, classes)`` float64.

    Raises:
        ValueError: the model has no classes.
    """
    chosen = responsibilities(model, x, sigma)
    return chosen.new_zeros(len(x), model.classes).index_add_(1, _classes_of(model), chosen)


def classes_along(model: ExactModel, states: Sequence[Tensor], levels: Sequence[float]) -> Tensor:
    """Return the class probabilities along a trajectory.

    Args:
        model: as in :func:`class_probabilities`.
        states: states ``(batch, *event)`` at each level.
        levels: noise levels > 0.

    Returns:
        ``(len(levels), batch, classes)`` float64.
    """
    return torch.stack(
        [class_probabilities(model, x, level) for x, level in zip(states, levels, strict=True)]
    )


def class_prior(model: ExactModel) -> Tensor:
    """Return the probability of each class in the data, ``(classes,)`` float64.

    Raises:
        ValueError: the model has no classes.
    """
    classes = _classes_of(model)
    weights = (
        model.weights
        if isinstance(model, GaussianMixture)
        else torch.full((len(classes),), 1 / len(classes), dtype=torch.float64)
    )
    return weights.new_zeros(model.classes).index_add_(0, classes, weights)


def _classes_of(model: ExactModel) -> Tensor:
    """Return the class of each component or point, ``(K,)``."""
    classes = getattr(
        model, "component_class" if isinstance(model, GaussianMixture) else "labels", None
    )
    if classes is None:
        raise ValueError(
            f"model {model.name} has no classes; take one that has, such as fashion-mppca"
        )
    return classes
