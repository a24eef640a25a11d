"""``family:KIND``: a random exact problem (:mod:`samplerbench.models.exact.problems`).

A family here is a kind of exact problem.
"""

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
    moved: int | None = None,
) -> ExactModel:
    """Return the exact problem ``rest``, such as ``family:curve(dim=3, std=0.1, seed=4)``.

    Args:
        rest: kind of the problem; "" for :data:`EXAMPLE`.
        dim: number of dimensions, >= 2; of a wavelet, the square of a power of two.
        std: standard deviation of the data, root mean square over the dimensions, > 0.
        seed: seed of the problem, >= 0.
        sigma_min: lowest noise level, > 0.
        sigma_max: highest noise level.
        moved: seed, >= 0, of a rotation, scale and shift of the data (:class:`samplerbench.models.exact.moved.Moved`).
            Noise levels are scaled by the same factor. None leaves the data unmoved.

    Raises:
        ValueError: there is no such kind, or a number is out of range.
    """
    from ..exact.problems import make_problem

    if moved is not None and (not isinstance(moved, int) or moved < 0):
        raise ValueError(f"moved is a seed, a whole number >= 0, not {moved!r}")
    problem = make_problem(rest or EXAMPLE, dim, std, seed, sigma_min, sigma_max)
    if moved is None:
        return problem
    from ..exact.moved import Moved

    return Moved(problem, moved)
