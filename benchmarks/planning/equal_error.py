"""Schedule with equal errors of all Euler steps, searched once per model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...models import Denoiser
from ...samplers import Source
from ...samplers.schedules import schedule
from ...samplers.schedules.optimised import Equalised
from . import gits


@schedule(
    Source(
        "chen2024gits",
        "section 4, cost of a jump",
        "https://arxiv.org/abs/2405.11326v1",
        (
            "The paper minimises the sum of the costs; here the largest is as small as can be, "
            "the classical equidistribution of the local error.",
            "Errors are measured on the teacher's path and not carried on to its end.",
            "To 0, the last step goes from sigma_min to 0 and is not searched.",
        ),
    ),
    needs_model=True,
)
def equal_error(*, teacher: str = "ipndm", teacher_steps: int = 64, latents: int = 64) -> Search:
    """The levels of a fine karras grid between which Euler steps, each from the model's own
    trajectory, err as equally as can be.

    Args:
        teacher: the deterministic sampler on a fixed grid that gives the trajectories.
        teacher_steps: its steps from sigma_max to sigma_min, >= 2; the search can use at most as
            many.
        latents: how many trajectories, >= 1.

    Raises:
        ValueError: an option out of range, or a teacher that is unknown, stochastic, or not on a
            fixed grid.
    """
    return Search(
        teacher=teacher,
        teacher_steps=teacher_steps,
        latents=latents,
        weight=1.0,
        name="equal_error",
    )


@dataclass(frozen=True, kw_only=True)
class Search(gits.Search):
    """Options of a search (see :func:`equal_error`), with the costs of ``gits``."""

    def on(self, model: Denoiser, cache: Path | None = None, device: str = "cpu") -> Equalised:
        """See :meth:`.gits.Search.on`; both share the cached costs."""
        search = super().on(model, cache, device)
        return Equalised(search.levels, search.cost, search.weight, search.evaluations, self.name)
