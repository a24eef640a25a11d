"""``family:KIND``: an exact problem of any size, scale and range (:mod:`samplerbench.models.exact.problems`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import loader

if TYPE_CHECKING:
    from ..exact.base import ExactModel

EXAMPLE = "modes"


@loader("family", usage="family:KIND")
def load(
    rest: str,
    dim: int = 8,
    std: float = 0.5,
    seed: int = 0,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
) -> ExactModel:
    """Return the exact problem of the kind ``rest``, such as ``family:curve(dim=3, std=0.1, seed=4)``.

    Args:
        rest: kind of the problem; "" for :data:`EXAMPLE`.
        dim: number of dimensions, >= 2.
        std: standard deviation of the data in each dimension, > 0.
        seed: seed of the problem, >= 0.
        sigma_min: lowest noise level, > 0.
        sigma_max: highest noise level.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """
    from ..exact.problems import make_problem

    return make_problem(rest or EXAMPLE, dim, std, seed, sigma_min, sigma_max)
