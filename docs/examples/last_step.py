"""Plain solver with a better last step: a file for ``samplerbench submit``.

    samplerbench submit last_step.py --out submissions/last_step.json

Usual samplers end with x <- d at the lowest level. On a path, d = x0 + c sigma^2 + …, so that step leaves
an error of c sigma_min^2 at any number of evaluations. Here a polynomial in sigma^2 through the last three
images ends the path. The other steps are an exponential Adams-Bashforth method of fourth order.
"""

from dataclasses import dataclass
from math import prod

from samplerbench.samplers import LinearRow, get

POINTS = 3
"""Number of images in the last step."""


@dataclass(frozen=True, kw_only=True)
class LastStep(get("xeab_4")):
    """``xeab_4``, whose step to sigma = 0 extrapolates the images to there."""

    name, same_as = "last_step", ""

    def plan(self, grid):
        """Return the rows of ``xeab_4``, the last one extrapolated."""
        rows = super().plan(grid)
        if not grid.to_zero:
            return rows
        squares = [level**2 for level in grid.positive[: -POINTS - 1 : -1]]  # newest first
        weights = [
            prod(other / (other - own) for other in squares if other != own) for own in squares
        ]
        return [*rows[:-1], LinearRow(grid.positive[-1], 0.0, tuple(weights))]
