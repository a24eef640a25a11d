"""Lists of noise levels on the command line."""

from __future__ import annotations

from ...models import Denoiser
from ...samplers import Grid, Sampler, make
from ...samplers.spec import abbreviate
from ..suites.suite import LARGEST
from .native import default_schedule, drowned, log
from .schedules import make_schedule

FORM = (
    "write levels that fall, such as 80,5,0.5,0, or "
    "SCHEDULE:STEPS:SIGMA_MIN:SIGMA_MAX, such as 'karras(rho=7):10:0.002:80'"
)


def read_levels(text: str) -> tuple[float, ...]:
    """Read levels from a list, or from a schedule with its range.

    >>> read_levels("80,1,0")
    (80.0, 1.0, 0.0)
    >>> read_levels("uniform_lambda:2:1:100")
    (100.0, 1.0, 0.0)

    Raises:
        ValueError: neither, or levels that do not fall.
    """
    schedule, *fields = text.rsplit(":", 3) if ":" in text else (None, *text.split(","))
    try:
        numbers = tuple(float(part) for part in fields)
        if schedule is not None and not (
            schedule and len(numbers) == 3 and numbers[0].is_integer()
        ):
            raise ValueError("a schedule needs a whole number of steps and two levels")
    except ValueError as error:
        raise ValueError(f"cannot read the levels {abbreviate(text)}; {FORM}") from error
    if schedule is None:
        return Grid(numbers).sigma
    steps, low, high = numbers
    return make_schedule(schedule)(_steps(steps), low, high).sigma


def _steps(number: float) -> int:
    """Check that a list can have a number of steps.

    Raises:
        ValueError: it is larger.
    """
    if number > LARGEST:
        raise ValueError(
            f"{number:.12g} steps are too many for a list of levels; give at most {LARGEST:,}"
        )
    return int(number)


def levels_of(
    schedule: str | None, steps: int, model: Denoiser, sampler: Sampler | None = None
) -> tuple[float, ...]:
    """Return the levels of a schedule on a model's range, to 0.

    Args:
        schedule: None for the default of the model and the sampler, or of the model where there is
            none.
        steps: of the grid.
        model: on the CPU.
        sampler: for the levels.

    Raises:
        ValueError: unknown schedule, or a number of steps below 1 or beyond any list.
    """
    spec = default_schedule(model, sampler or make("euler")) if schedule is None else schedule
    chosen = make_schedule(spec).for_model(model)
    grid = chosen(_steps(steps), model.sigma_min, model.sigma_max)
    warning = "" if sampler and sampler.own_grid else drowned(grid, model, chosen.label)
    if warning:
        log.warning("%s", warning)
    return grid.sigma
